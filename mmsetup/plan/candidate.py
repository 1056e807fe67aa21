"""The sets that come into question: every combination that the catalogue knows, possible or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from packaging.version import Version

from mmsetup.catalog import Break, Catalog, Family, Page, TorchRelease
from mmsetup.plan.request import Request, starts
from mmsetup.probe.machine import Interpreter, Machine

__all__ = [
    "DEFAULT_INDEX",
    "SDIST",
    "Candidate",
    "Situation",
    "candidates",
    "cuda_of",
    "is_usable",
    "runs_on",
]

DEFAULT_INDEX = "default index"
SDIST = "sdist"


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that a plan depends on. ``pages`` maps an address to what it answered."""

    machine: Machine
    catalog: Catalog
    family: Family
    request: Request
    pages: Mapping[str, Page]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One possible set.

    ``torch_source`` is ``default index`` or a source's name; ``ops_source`` a source's name or ``sdist``.
    ``breaks`` are the known breaks whose conditions it meets.
    """

    python: str
    interpreter: Interpreter | None
    torch: TorchRelease
    variant: str
    torch_source: str
    ops: Version
    ops_source: str
    segmentation: Version
    breaks: tuple[Break, ...]

    @property
    def is_built(self) -> bool:
        """Tell whether the ops are built from source."""
        return self.ops_source == SDIST

    @property
    def series(self) -> str:
        """Give the release that extensions are built for: ``1.13.0`` for 1.13.1."""
        return f"{self.torch.version.major}.{self.torch.version.minor}.0"

    @property
    def torch_files(self) -> tuple[tuple[str, Version], ...]:
        """Give the distributions that come from torch's own source, with versions without a local part."""
        return ("torch", self.torch.version), ("torchvision", Version(self.torch.torchvision))

    def described(self, family: Family) -> str:
        """Say it in one line."""
        place = "" if self.torch_source == DEFAULT_INDEX else f" from {self.torch_source}"
        how = "built from source" if self.is_built else f"from {self.ops_source}"
        return (
            f"Python {self.python}, torch {self.torch.version} {self.variant}{place}, "
            f"{family.ops.distribution} {self.ops} {how}"
        )


def candidates(situation: Situation) -> Iterator[Candidate]:
    """Give every set that the catalogue knows for the family and that the request does not name otherwise."""
    family, request = situation.family, situation.request
    distribution = family.ops.distribution
    ops_sources = [
        source.name for source in situation.catalog.sources if distribution in source.distributions
    ]
    possible = _possible_breaks(situation)
    for release in situation.catalog.torch:
        if request.torch and not starts(str(release.version), request.torch):
            continue
        of_torch = _narrowed(possible, "torch", release.version)
        origins = tuple(_torch_origins(situation, release))
        pythons = tuple(_pythons(situation, release))
        for ops, segmentation in product(family.ops.versions, family.segmentation.versions):
            of_ops = _narrowed(of_torch, distribution, ops)
            of_set = _narrowed(of_ops, family.segmentation.distribution, segmentation)
            for python, interpreter in pythons:
                met = _narrowed(of_set, "python", Version(python))
                prebuilt = tuple(found for found in met if not found.only_built)
                for ops_source, (torch_source, variant) in product((*ops_sources, SDIST), origins):
                    yield Candidate(
                        python,
                        interpreter,
                        release,
                        variant,
                        torch_source,
                        ops,
                        ops_source,
                        segmentation,
                        met if ops_source == SDIST else prebuilt,
                    )


def _possible_breaks(situation: Situation) -> tuple[Break, ...]:
    family, libc = situation.family, situation.machine.libc
    named = {"torch", "python", family.ops.distribution, family.segmentation.distribution}
    glibc = Version(libc.version) if libc is not None and libc.name == "glibc" else None
    if glibc is not None:
        named.add("glibc")
    known = (found for found in situation.catalog.breaks if found.when.keys() <= named)
    return tuple(known) if glibc is None else _narrowed(known, "glibc", glibc)


def _narrowed(breaks: Iterable[Break], name: str, version: Version) -> tuple[Break, ...]:
    return tuple(found for found in breaks if found.admits(name, version))


def _pythons(situation: Situation, release: TorchRelease) -> Iterator[tuple[str, Interpreter | None]]:
    request, present = situation.request, situation.machine.interpreters
    if request.wants_path:
        yield from ((found.minor, found) for found in present if str(found.path) == request.python)
        return
    for python in release.pythons:
        if request.python and not (starts(request.python, python) or starts(python, request.python)):
            continue
        fitting = [
            found
            for found in present
            if found.minor == python and is_usable(found) and starts(found.version, request.python)
        ]
        # Headers first: without them nothing can be built; then the newest patch.
        fitting.sort(key=lambda found: (found.has_headers, Version(found.version)), reverse=True)
        yield python, fitting[0] if fitting else None


def _torch_origins(situation: Situation, release: TorchRelease) -> Iterator[tuple[str, str]]:
    yield DEFAULT_INDEX, release.default_variant
    for source in situation.catalog.sources:
        if "torch" in source.distributions:
            yield from ((source.name, variant) for variant in release.index_variants)


def is_usable(interpreter: Interpreter) -> bool:
    """Tell whether torch's wheels fit an interpreter: a CPython for Linux x86-64 with the global lock."""
    return (
        interpreter.implementation == "cpython"
        and not interpreter.free_threaded
        and interpreter.platform == "linux-x86_64"
    )


def cuda_of(variant: str) -> Version:
    """Give the CUDA version of a variant: ``11.7`` for cu117, ``9.2`` for cu92."""
    digits = variant.removeprefix("cu")
    return Version(f"{digits[:-1]}.{digits[-1]}")


def runs_on(architecture: str, sass: tuple[str, ...], ptx: tuple[str, ...]) -> bool:
    """Tell whether code for these architectures runs on a GPU.

    Machine code runs on its own major version and an equal or higher minor; PTX on anything newer (CUDA C++
    Programming Guide, "Application Compatibility").
    """
    major, minor = _capability(architecture)
    if any(_capability(held)[0] == major and _capability(held)[1] <= minor for held in sass):
        return True
    return any(_capability(held) <= (major, minor) for held in ptx)


def _capability(architecture: str) -> tuple[int, int]:
    digits = "".join(letter for letter in architecture.removeprefix("sm_") if letter.isdigit())
    return int(digits[:-1]), int(digits[-1])
