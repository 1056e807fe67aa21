"""What a wheel is built from, and the key under which the result is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from packaging.utils import canonicalize_name

from mmsetup.catalog.patches import Patch
from mmsetup.probe.machine import Interpreter

__all__ = ["PLAIN", "UNITS", "Recipe", "describe", "key"]

PLAIN = "plain"
"""The way of building in which each source file is compiled as setup.py says."""

UNITS = "units 2"
"""The way in which source files are compiled together; its number rises when the way changes the wheel."""

_SCHEMA = 1
_WITHOUT_EFFECT = frozenset({"MAX_JOBS"})


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that shapes a wheel.

    ``torch`` is its version without the local part and ``variant`` the CUDA variant (``cpu``, ``cu117``) that
    it was made for; both are empty for an extension that does not use torch. ``requirements`` are the pinned,
    hashed lines of the build environment, ``environment`` the variables that setup.py reads.
    ``architectures`` are the GPUs to compile for (``sm_86``: machine code, ``compute_86``: PTX): without any
    the build is for the CPU alone, whatever the machine has. ``compiler`` is the first line of ``g++
    --version``, ``flags`` are given to the compiler after the interpreter's own, ``libc`` is the C library
    built against (``glibc 2.36``). ``patches`` are the changes made to the source, in their order. ``way`` is
    ``PLAIN`` or ``UNITS``, with ``apart`` the groups of source files (ends of paths) of which no two are
    compiled together. ``local`` is the local part that the wheel's version gains (``pt1.13.1cu117``); empty
    for none. ``toolkit`` is the nvcc of a build for GPUs (``nvcc 13.0.88``).
    """

    distribution: str
    version: str
    sdist_sha256: str
    python: Interpreter
    torch: str
    variant: str
    requirements: tuple[str, ...]
    environment: Mapping[str, str]
    architectures: tuple[str, ...]
    compiler: str
    flags: tuple[str, ...]
    patches: tuple[Patch, ...] = ()
    libc: str = ""
    way: str = PLAIN
    apart: tuple[tuple[str, ...], ...] = ()
    local: str = ""
    toolkit: str = ""


def describe(recipe: Recipe) -> dict[str, Any]:
    """Give the recipe as a JSON document with what shapes the wheel and nothing else.

    Left out are where the interpreter lies (its version, implementation and platform count) and ``MAX_JOBS``.
    The order of requirements, architectures and variables has no effect; that of flags and patches has.
    """
    return {
        "schema": _SCHEMA,
        "distribution": canonicalize_name(recipe.distribution),
        "version": recipe.version,
        "sdist_sha256": recipe.sdist_sha256.lower(),
        "python": {
            "version": recipe.python.minor + ("t" if recipe.python.free_threaded else ""),
            "implementation": recipe.python.implementation.lower(),
            "platform": recipe.python.platform,
        },
        "torch": recipe.torch,
        "variant": recipe.variant,
        "requirements": sorted(" ".join(line.split()) for line in recipe.requirements),
        "environment": {
            name: value for name, value in recipe.environment.items() if name not in _WITHOUT_EFFECT
        },
        "architectures": sorted(recipe.architectures),
        "compiler": recipe.compiler,
        "flags": list(recipe.flags),
        "patches": [{"name": patch.name, "sha256": patch.sha256} for patch in recipe.patches],
        "libc": recipe.libc,
        "way": recipe.way,
        "apart": sorted(sorted(group) for group in recipe.apart),
        "local": recipe.local,
        "toolkit": recipe.toolkit,
    }


def key(recipe: Recipe) -> str:
    """Give the sha256 of the canonical JSON of :func:`describe`: sorted names, no spaces, UTF-8."""
    document = json.dumps(describe(recipe), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(document.encode()).hexdigest()
