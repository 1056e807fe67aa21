"""The catalogue as values. Versions are kept parsed: a plan compares thousands of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import Version

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

__all__ = [
    "Architectures",
    "Break",
    "BuildNeeds",
    "Catalog",
    "Family",
    "Gate",
    "MinorCompatibility",
    "OpsDistribution",
    "Proven",
    "Segmentation",
    "Source",
    "ToolkitDriver",
    "TorchRelease",
    "WheelGroup",
]


@dataclass(frozen=True, slots=True)
class Architectures:
    """The GPU architectures that a build holds machine code (``sass``) and portable code (``ptx``) for."""

    sass: tuple[str, ...]
    ptx: tuple[str, ...]
    certainty: str


@dataclass(frozen=True, slots=True)
class TorchRelease:
    """A torch release on Linux x86-64.

    ``pythons`` are those for which both it and its partner torchvision have wheels; ``default_variant`` is
    the CUDA variant of the wheel on the default index; ``index_variants`` those on PyTorch's own.
    """

    version: Version
    torchvision: str
    pythons: tuple[str, ...]
    default_variant: str
    index_variants: tuple[str, ...]
    architectures: Mapping[str, Architectures]
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Gate:
    """The range of mmcv that a release asserts when it is imported.

    Releases compare in two ways of their own, lists of numbers of any length or padded ones; for versions of
    three numbers, and the catalogue has no others of the ops, both agree with the order of PEP 440.
    """

    distribution: str
    version: str
    on: str
    minimum: Version
    maximum: Version
    maximum_inclusive: bool
    source: str

    def admits(self, version: Version) -> bool:
        """Tell whether importing the release beside this mmcv passes its assertion."""
        if version < self.minimum:
            return False
        return version <= self.maximum if self.maximum_inclusive else version < self.maximum

    @property
    def range(self) -> str:
        """Give the assertion as people write it: ``mmcv >=1.3.13,<1.8.0``."""
        return f"{self.on} >={self.minimum},{'<=' if self.maximum_inclusive else '<'}{self.maximum}"


@dataclass(frozen=True, slots=True)
class OpsDistribution:
    """The distribution with the compiled ops, newest version first.

    ``requires`` is what its metadata would say if it could be read; ``omits`` is what it imports all the
    same.
    """

    distribution: str
    versions: tuple[Version, ...]
    requires: tuple[str, ...]
    omits: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The segmentation package of a family, newest version first."""

    distribution: str
    versions: tuple[Version, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Proven:
    """A set that was built, imported and trained; ``source`` says by what."""

    pythons: tuple[str, ...]
    torch: Version
    ops: Version
    segmentation: Version
    source: str


@dataclass(frozen=True, slots=True)
class BuildNeeds:
    """What joins torch in the environment in which the ops are built, and the variables set there."""

    requires: tuple[str, ...]
    environment: Mapping[str, str]
    source: str


@dataclass(frozen=True, slots=True)
class Family:
    """A set of distributions that belong together."""

    name: str
    summary: str
    module: str
    ops: OpsDistribution
    segmentation: Segmentation
    proven: tuple[Proven, ...]
    build: BuildNeeds


@dataclass(frozen=True, slots=True)
class Source:
    """A place that files come from.

    ``layout`` is ``find-links`` (one flat page for a pair) or ``simple`` (PEP 503); ``page`` its address with
    ``{base}``, ``{variant}``, ``{torch}`` and ``{distribution}`` to be filled in; the first of
    ``mirror_variables`` that is set replaces ``base``.
    """

    name: str
    layout: str
    base: str
    page: str
    mirror_variables: tuple[str, ...]
    distributions: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class WheelGroup:
    """Prebuilt wheels of the ops that a source is said to hold for one pair."""

    distribution: str
    variant: str
    torch: Version
    versions: tuple[Version, ...]
    certainty: str
    source: str


@dataclass(frozen=True, slots=True)
class Break:
    """A version boundary at which something breaks.

    ``when`` maps ``torch``, ``python``, ``glibc`` or a distribution to the range in which it does; with
    ``only_built`` it concerns ops built from source alone. A break gives ``bounds`` for the resolver, or
    ``reject`` (no such plan), or ``caution`` (such a plan only when it was asked for). ``severity`` is how
    bad it is in an environment that is there: ``error`` when the stack cannot be imported or trained,
    ``warning`` when a part that not everybody uses fails.
    """

    id: str
    when: Mapping[str, SpecifierSet]
    only_built: bool
    effect: str
    bounds: tuple[str, ...]
    reject: bool
    caution: bool
    certainty: str
    source: tuple[str, ...]
    severity: str = "warning"

    def admits(self, name: str, version: Version) -> bool:
        """Tell whether its condition on ``name``, where it has one, holds for a version."""
        return name not in self.when or self.when[name].contains(version, prereleases=True)

    def concerns(self, versions: Mapping[str, Version], *, built: bool) -> bool:
        """Tell whether all its conditions hold; one on a version that is not given does not."""
        if self.only_built and not built:
            return False
        return all(name in versions and self.admits(name, versions[name]) for name in self.when)


@dataclass(frozen=True, slots=True)
class ToolkitDriver:
    """The Linux driver that a CUDA toolkit ships with."""

    cuda: str
    linux_minimum: Version
    source: str


@dataclass(frozen=True, slots=True)
class MinorCompatibility:
    """The lowest Linux driver that runs every CUDA of a major version."""

    major: int
    linux_minimum: Version
    source: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """All that is known. ``digest`` is the sha256 of the data files, ``date`` the newest of their dates."""

    digest: str
    date: str
    torch: tuple[TorchRelease, ...]
    families: tuple[Family, ...]
    sources: tuple[Source, ...]
    wheels: tuple[WheelGroup, ...]
    gates: tuple[Gate, ...]
    breaks: tuple[Break, ...]
    toolkit_drivers: tuple[ToolkitDriver, ...]
    minor_compatibility: tuple[MinorCompatibility, ...]

    def family(self, name: str) -> Family | None:
        """Give the family of that name."""
        return next((family for family in self.families if family.name == name), None)

    def source(self, name: str) -> Source | None:
        """Give the source of that name."""
        return next((source for source in self.sources if source.name == name), None)

    def gate(self, distribution: str, version: Version) -> Gate | None:
        """Give what a release asserts of mmcv, where it asserts anything."""
        wanted = (distribution, str(version))
        return next((gate for gate in self.gates if (gate.distribution, gate.version) == wanted), None)

    def driver_floor(self, cuda: Version) -> tuple[Version, str] | None:
        """Give the lowest Linux driver that runs a CUDA version, and the source of that, where known.

        Since CUDA 11 a driver runs every minor version of its major one; before, each needs the driver it
        shipped with.
        """
        for floor in self.minor_compatibility:
            if floor.major == cuda.major:
                return floor.linux_minimum, floor.source
        shipped = [row for row in self.toolkit_drivers if Version(row.cuda).release[:2] == cuda.release[:2]]
        lowest = min(shipped, key=lambda row: row.linux_minimum, default=None)
        return (lowest.linux_minimum, lowest.source) if lowest else None
