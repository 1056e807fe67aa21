"""The catalogue as values. Versions are kept parsed: a plan compares thousands of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from mmsetup.catalog.breaks import Break
from mmsetup.catalog.gate import Gate, parsed
from mmsetup.catalog.patches import Patch
from mmsetup.catalog.toolkits import (
    ForwardCompatibility,
    MinorCompatibility,
    ToolkitDriver,
    ToolkitLimits,
    ToolkitWheels,
    TorchArchitectures,
)

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    from mmsetup.catalog.gpus import GpuModel

__all__ = [
    "PLATFORMS",
    "Architectures",
    "Break",
    "BuildNeeds",
    "Catalog",
    "Family",
    "ForwardCompatibility",
    "Gate",
    "Member",
    "MinorCompatibility",
    "OpsDistribution",
    "Proven",
    "Sdist",
    "Source",
    "Targets",
    "ToolkitDriver",
    "ToolkitLimits",
    "ToolkitWheels",
    "TorchArchitectures",
    "TorchPlatform",
    "TorchRelease",
    "WheelGroup",
    "WheelPythons",
    "parsed",
]

PLATFORMS = ("linux-x86_64", "linux-aarch64", "windows-x86_64", "macos-x86_64", "macos-arm64")


def _patched(gate: Gate, patches: Sequence[Patch]) -> Gate:
    for patch in patches:
        if gate.on in patch.admits and patch.fits(gate.distribution, parsed(gate.version)):
            return gate.widened(patch.admits[gate.on], f"patch {patch.name}")
    return gate


@cache
def _series(version: Version) -> str:
    return f"{version.major}.{version.minor}.0"


@dataclass(frozen=True, slots=True)
class Architectures:
    """The GPU architectures that a build holds machine code (``sass``) and portable code (``ptx``) for."""

    sass: tuple[str, ...]
    ptx: tuple[str, ...]
    certainty: str


@dataclass(frozen=True, slots=True)
class TorchPlatform:
    """The wheels of a torch release for one platform.

    ``pythons`` are those for which both it and its partner torchvision have wheels; ``default_variant`` is
    the CUDA variant of the wheel on the default index, empty where that has none; ``index_variants`` those on
    PyTorch's own; ``glibc`` the lowest that both ask for, empty where none is asked for.
    """

    pythons: tuple[str, ...]
    default_variant: str
    index_variants: tuple[str, ...]
    glibc: str = ""


@dataclass(frozen=True, slots=True)
class TorchRelease:
    """A torch release, its partner torchvision, and its wheels by platform (``linux-x86_64``).

    ``architectures`` maps a platform and a CUDA variant to the code that the build holds.
    """

    version: Version
    torchvision: str
    platforms: Mapping[str, TorchPlatform]
    architectures: Mapping[tuple[str, str], Architectures]
    sources: Mapping[str, str]

    @property
    def series(self) -> str:
        """Give the release that extensions are built for: ``1.13.0`` for 1.13.1."""
        return _series(self.version)


@dataclass(frozen=True, slots=True)
class OpsDistribution:
    """The distribution with the compiled ops, newest version first.

    ``requires`` is what its metadata would say if it could be read; ``omits`` is what it imports all the
    same. ``module`` is the name under which it is imported.
    """

    distribution: str
    module: str
    versions: tuple[Version, ...]
    requires: tuple[str, ...]
    omits: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Member:
    """Another distribution of a family, newest version first.

    ``role`` is ``segmentation``, ``engine``, ``detection`` …. One that is ``optional`` joins when it is
    asked for, or when the version of a distribution in ``needed_by`` is chosen that requires it. One with a
    ``sdist`` has no wheel: it is pure Python and made from its source distribution when it is installed.
    """

    role: str
    distribution: str
    module: str
    versions: tuple[Version, ...]
    source: str
    optional: bool = False
    needed_by: Mapping[str, SpecifierSet] = field(default_factory=dict)
    omits: tuple[str, ...] = ()
    sdist: Sdist | None = None


@dataclass(frozen=True, slots=True)
class Sdist:
    """What is known of a pure Python source distribution: what its metadata says, and what builds it."""

    requires: tuple[str, ...]
    build_requires: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proven:
    """A set, by distribution, that was built, imported and trained on a platform; ``source`` says by what."""

    pythons: tuple[str, ...]
    torch: Version
    versions: Mapping[str, Version]
    source: str
    platform: str = "linux-x86_64"


@dataclass(frozen=True, slots=True)
class BuildNeeds:
    """What joins torch in the environment in which the ops are built, and the variables set there."""

    requires: tuple[str, ...]
    environment: Mapping[str, str]
    source: str


@dataclass(frozen=True, slots=True)
class Family:
    """A set of distributions that belong together: the ops, and the others in the order of their weight.

    ``replaces`` names distributions that are declared somewhere and never installed, each with the one that
    takes its place.
    """

    name: str
    summary: str
    ops: OpsDistribution
    members: tuple[Member, ...]
    proven: tuple[Proven, ...]
    build: BuildNeeds
    replaces: Mapping[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> tuple[OpsDistribution | Member, ...]:
        """Give the ops and the members."""
        return (self.ops, *self.members)

    @property
    def distributions(self) -> tuple[str, ...]:
        """Give the names of all distributions, the ops first."""
        return tuple(part.distribution for part in self.parts)

    def member(self, role: str) -> Member | None:
        """Give the member with a role."""
        return next((member for member in self.members if member.role == role), None)

    def named(self, name: str) -> Member | OpsDistribution | None:
        """Give what people call ``name``: by its distribution or its module."""
        wanted = canonicalize_name(name)
        for part in self.parts:
            if wanted in {part.distribution, canonicalize_name(part.module)}:
                return part
        return None


@dataclass(frozen=True, slots=True)
class Source:
    """A place that files come from.

    ``layout`` is ``find-links`` (one flat page for a pair) or ``simple`` (PEP 503); ``pages`` are the
    addresses of its page, the usual one first, with ``{base}``, ``{variant}``, ``{torch}`` (2.8.0),
    ``{series}`` (2.8), ``{digits}`` (280), ``{release}`` and ``{distribution}`` to be filled in; the first of
    ``mirror_variables`` that is set replaces ``base``. Its ops fit a ``series`` of torch, or one ``release``
    alone (``fits``). ``local`` tells that the local version part of its wheels names the pair.
    """

    name: str
    layout: str
    base: str
    pages: tuple[str, ...]
    mirror_variables: tuple[str, ...]
    distributions: tuple[str, ...]
    source: str
    fits: str = "series"
    local: str = ""


@dataclass(frozen=True, slots=True)
class WheelGroup:
    """Prebuilt wheels of the ops that a source is said to hold for one pair on one platform.

    ``torch`` is the release whose page holds them. ``glibc`` and ``pythons`` are empty where they are not
    known, ``architectures`` is nothing where it is not.
    """

    index: str
    distribution: str
    platform: str
    variant: str
    torch: Version
    versions: tuple[Version, ...]
    certainty: str
    source: str
    pythons: tuple[str, ...] = ()
    glibc: str = ""
    architectures: Architectures | None = None


@dataclass(frozen=True, slots=True)
class WheelPythons:
    """The Pythons for which prebuilt wheels of some versions of the ops were ever seen."""

    distribution: str
    versions: SpecifierSet
    platform: str
    pythons: tuple[str, ...]
    certainty: str
    source: str


@dataclass(frozen=True, slots=True)
class Targets:
    """The Pythons of an environment: those that mmsetup's own scripts run on, and those that uv fetches."""

    pythons: SpecifierSet
    fetched: SpecifierSet


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that is known. ``digest`` is the sha256 of the data files, ``date`` the newest of their dates."""

    digest: str
    date: str
    torch: tuple[TorchRelease, ...]
    families: tuple[Family, ...]
    sources: tuple[Source, ...]
    wheels: tuple[WheelGroup, ...]
    wheel_pythons: tuple[WheelPythons, ...]
    gates: tuple[Gate, ...]
    breaks: tuple[Break, ...]
    toolkit_drivers: tuple[ToolkitDriver, ...]
    minor_compatibility: tuple[MinorCompatibility, ...]
    forward_compatibility: tuple[ForwardCompatibility, ...]
    toolkit_limits: tuple[ToolkitLimits, ...]
    toolkit_wheels: tuple[ToolkitWheels, ...]
    torch_architectures: tuple[TorchArchitectures, ...]
    gpus: tuple[GpuModel, ...]
    targets: Targets
    patches: tuple[Patch, ...] = ()

    def family(self, name: str) -> Family | None:
        """Give the family of that name."""
        return next((family for family in self.families if family.name == name), None)

    def patch(self, name: str) -> Patch | None:
        """Give the patch of that name."""
        return next((patch for patch in self.patches if patch.name == name), None)

    def mending(
        self, found: Break, versions: Mapping[str, Version], asked: Collection[str] = ()
    ) -> tuple[Patch, ...]:
        """Give the patches that mend a break in one of these releases, by distribution.

        There are none where it goes on breaking them. Those that are made only when they are asked for count
        where they are among ``asked``.
        """
        named = (patch for patch in map(self.patch, found.patches) if patch is not None)
        return tuple(
            patch
            for patch in named
            if (not patch.asked or patch.name in asked)
            and any(patch.fits(name, version) for name, version in versions.items())
        )

    def with_patched_gates(self, names: Iterable[str]) -> Catalog:
        """Give the catalogue with the gates as patches of these names leave them."""
        patches = [patch for patch in map(self.patch, names) if patch is not None and patch.admits]
        return replace(self, gates=tuple(_patched(gate, patches) for gate in self.gates)) if patches else self

    def source(self, name: str) -> Source | None:
        """Give the source of that name."""
        return next((source for source in self.sources if source.name == name), None)

    def gates_of(self, distribution: str, version: Version) -> tuple[Gate, ...]:
        """Give what a release asserts of others."""
        wanted = (distribution, str(version))
        return tuple(gate for gate in self.gates if (gate.distribution, gate.version) == wanted)

    def driver_floor(self, cuda: Version, *, windows: bool = False) -> tuple[Version, str] | None:
        """Give the lowest driver that runs a CUDA version, and the source of that, where known.

        Since CUDA 11 a driver runs every minor version of its major one; before, each needs the driver it
        shipped with. The driver under WSL is that of Windows.
        """
        for floor in self.minor_compatibility:
            if floor.major == cuda.major:
                return (floor.windows_minimum if windows else floor.linux_minimum), floor.source
        shipped = [
            (row.windows_minimum if windows else row.linux_minimum, row.source)
            for row in self.toolkit_drivers
            if parsed(row.cuda).release[:2] == cuda.release[:2]
        ]
        known = [(minimum, source) for minimum, source in shipped if minimum is not None]
        return min(known, default=None)
