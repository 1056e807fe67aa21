"""The builds of torch that come into question: release, CUDA variant, source, and the Python for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from packaging.version import Version

from mmsetup.catalog import TorchRelease
from mmsetup.catalog.model import TorchPlatform
from mmsetup.plan.request import starts
from mmsetup.plan.situation import Situation
from mmsetup.probe.machine import Interpreter

__all__ = ["DEFAULT_INDEX", "TorchBuild", "is_usable", "torch_builds"]

DEFAULT_INDEX = "default index"


@dataclass(frozen=True, slots=True)
class TorchBuild:
    """A build of torch with a Python. ``source`` is ``default index`` or a source's name.

    ``wheels`` is nothing where the release has none for the platform, ``interpreter`` where none of this
    version is here.
    """

    release: TorchRelease
    wheels: TorchPlatform | None
    variant: str
    source: str
    python: str
    interpreter: Interpreter | None

    @property
    def files(self) -> tuple[tuple[str, Version], ...]:
        """Give the distributions that come from torch's own source, with versions without a local part."""
        return ("torch", self.release.version), ("torchvision", Version(self.release.torchvision))

    @property
    def described(self) -> str:
        """Say it in one line."""
        place = "" if self.source == DEFAULT_INDEX else f" from {self.source}"
        python = f"Python {self.python}, " if self.python else ""
        return f"{python}torch {self.release.version} {self.variant}{place}"


def torch_builds(situation: Situation) -> Iterator[TorchBuild]:
    """Give every build that the catalogue knows and that the request does not name otherwise."""
    request, platform = situation.request, situation.platform
    sources = [source.name for source in situation.catalog.sources if "torch" in source.distributions]
    for release in situation.catalog.torch:
        if not starts(str(release.version), request.torch):
            continue
        wheels = release.platforms.get(platform)
        if wheels is None:
            # Kept for what is told: the rule of the platform excludes it.
            python = "" if request.wants_path else request.python
            yield TorchBuild(release, None, request.cuda or "cpu", DEFAULT_INDEX, python, None)
            continue
        # Kept where none is left, for what is told: the rule of Python excludes it.
        pythons = tuple(_pythons(situation, wheels)) or _asked_python(situation)
        origins = [(DEFAULT_INDEX, wheels.default_variant)] if wheels.default_variant else []
        origins += [(source, variant) for source in sources for variant in wheels.index_variants]
        for source, variant in origins:
            for python, interpreter in pythons:
                yield TorchBuild(release, wheels, variant, source, python, interpreter)


def _pythons(situation: Situation, wheels: TorchPlatform) -> Iterator[tuple[str, Interpreter | None]]:
    request, present = situation.request, situation.machine.interpreters
    if request.wants_path:
        yield from ((found.minor, found) for found in present if str(found.path) == request.python)
        return
    for python in wheels.pythons:
        if request.python and not (starts(request.python, python) or starts(python, request.python)):
            continue
        fitting = [
            found
            for found in present
            if found.minor == python
            and is_usable(found, situation.platform)
            and starts(found.version, request.python)
        ]
        # Headers first: without them nothing can be built; then the newest patch.
        fitting.sort(key=lambda found: (found.has_headers, Version(found.version)), reverse=True)
        yield python, fitting[0] if fitting else None


def _asked_python(situation: Situation) -> tuple[tuple[str, None], ...]:
    python = situation.request.python
    return () if situation.request.wants_path else ((".".join(python.split(".")[:2]), None),)


def is_usable(interpreter: Interpreter, platform: str) -> bool:
    """Tell whether torch's wheels for a platform fit an interpreter: a CPython with the global lock."""
    return (
        interpreter.implementation == "cpython"
        and not interpreter.free_threaded
        and interpreter.platform == platform
    )
