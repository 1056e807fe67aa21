"""What a library asks of the system below it: the lowest C library, and the manylinux tag that it deserves.

A library names the versions of the symbols that it was linked with (``GLIBC_2.32``, ``GLIBCXX_3.4.29``). The
newest of each kind decides on which systems it can be loaded; which manylinux tag allows which of them is the
table of auditwheel, kept as data beside this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Floor", "floor", "is_allowed", "manylinux", "named_floor", "runtime_of", "toolkit_of"]

_DATA = Path(__file__).parent / "data" / "floors.json"
_SYMBOL_VERSION = re.compile(r"(GLIBC|GLIBCXX|CXXABI)_(\d+(?:\.\d+)+)", re.ASCII)
_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_VARIANT = re.compile(r"cu(\d+)(\d)", re.ASCII)
_NAMED = re.compile(r"manylinux_(\d+)_(\d+)_\w+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Floor:
    """The newest version of each kind that is needed (``2.32``, ``3.4.29``, ``1.3.13``); empty for none."""

    glibc: str = ""
    glibcxx: str = ""
    cxxabi: str = ""


def floor(needed: Iterable[Mapping[str, tuple[str, ...]]]) -> Floor:
    """Give the floor of libraries, of each of which the symbol versions needed are given by library."""
    newest: dict[str, tuple[int, ...]] = {}
    for versions in needed:
        for wanted in versions.values():
            for found in filter(None, map(_SYMBOL_VERSION.fullmatch, wanted)):
                number = _numbers(found[2])
                newest[found[1]] = max(newest.get(found[1], ()), number)
    text = {kind: ".".join(map(str, number)) for kind, number in newest.items()}
    return Floor(text.get("GLIBC", ""), text.get("GLIBCXX", ""), text.get("CXXABI", ""))


def manylinux(needs: Floor) -> str:
    """Give the oldest manylinux tag that allows all of it, without the processor; empty where none does."""
    for policy in _data()["manylinux"]:
        limits = ((needs.glibc, "GLIBC"), (needs.glibcxx, "GLIBCXX"), (needs.cxxabi, "CXXABI"))
        if all(not version or _numbers(version) <= _numbers(policy[kind]) for version, kind in limits):
            return str(policy["tag"])
    return ""


def named_floor(platform: str) -> str:
    """Give the C library that a platform tag promises to do with, ``2.17``; empty where there is none."""
    if found := _NAMED.fullmatch(platform):
        return f"{found[1]}.{found[2]}"
    legacy = _LEGACY.get(platform.partition("_")[0])
    return ".".join(map(str, legacy)) if legacy else ""


def is_allowed(library: str) -> bool:
    """Tell whether every system that manylinux is for has a library, so that wheels need not bring it."""
    return library in _data()["libraries"] or library.startswith(("ld-linux", "ld64"))


def toolkit_of(ptx: str) -> str:
    """Give the CUDA toolkit that came with a version of the PTX instruction set: ``11.7`` for 7.7."""
    return str(_data()["ptx"].get(ptx, ""))


def runtime_of(variant: str) -> str:
    """Give the soname of the CUDA runtime of a variant: ``libcudart.so.11.0`` for cu117; empty for cpu."""
    found = _VARIANT.fullmatch(variant)
    if found is None:
        return ""
    number = str(_data()["cudart"].get(found[1], found[1]))
    return f"libcudart.so.{number.format(minor=found[2])}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(_DATA.read_text(encoding="utf-8"))
    return data
