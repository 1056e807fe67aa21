"""Make a value of each entry of the data files, or say what is wrong with it.

Raises, all functions here:
    KeyError: a key is not there. TypeError, AttributeError, ValueError: a value is not what it should be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mmsetup.catalog.breaks import SEVERITIES
from mmsetup.catalog.model import (
    PLATFORMS,
    Architectures,
    Break,
    BuildNeeds,
    Family,
    ForwardCompatibility,
    Gate,
    Member,
    MinorCompatibility,
    OpsDistribution,
    Proven,
    Sdist,
    Source,
    Targets,
    ToolkitDriver,
    ToolkitLimits,
    ToolkitWheels,
    TorchArchitectures,
    TorchPlatform,
    TorchRelease,
    WheelGroup,
    WheelPythons,
    parsed,
)

if TYPE_CHECKING:
    from packaging.version import Version

__all__ = [
    "family",
    "forward_compatibility",
    "gate",
    "minor_compatibility",
    "source",
    "targets",
    "toolkit_driver",
    "toolkit_limits",
    "toolkit_wheels",
    "torch_architectures",
    "torch_release",
    "version_break",
    "wheel_group",
    "wheel_pythons",
    "without_gates",
]

_ARCHITECTURE = re.compile(r"sm_\d{2,3}[a-z]?")
_VARIANT = re.compile(r"cpu|cu\d{2,3}")


def torch_release(entry: Mapping[str, Any]) -> TorchRelease:
    """Make a torch release of an entry of ``torch.json``."""
    platforms = {_platform(name): _torch_platform(found) for name, found in entry["platforms"].items()}
    return TorchRelease(
        version=parsed(entry["version"]),
        torchvision=str(parsed(entry["torchvision"])),
        platforms=_not_empty(platforms, "platforms"),
        architectures={
            (_platform(name), variant): _architectures(held)
            for name, variants in entry["architectures"].items()
            for variant, held in variants.items()
        },
        sources={topic: _text(entry["sources"], topic) for topic in _not_empty(entry["sources"], "sources")},
    )


def _torch_platform(entry: Mapping[str, Any]) -> TorchPlatform:
    return TorchPlatform(
        pythons=tuple(_not_empty(entry["pythons"], "pythons")),
        default_variant=_variant(entry["default_variant"]) if entry["default_variant"] else "",
        index_variants=tuple(map(_variant, entry["index_variants"])),
        # Older tags promise less than the libraries inside need.
        glibc=str(parsed(entry["glibc_needed"])) if entry.get("glibc_needed") else _glibc(entry),
    )


def _architectures(entry: Mapping[str, Any]) -> Architectures:
    _check_architectures((*entry["sass"], *entry["ptx"]))
    return Architectures(tuple(entry["sass"]), tuple(entry["ptx"]), _text(entry, "certainty"))


def _check_architectures(names: Iterable[str]) -> None:
    for name in names:
        if not _ARCHITECTURE.fullmatch(name):
            raise ValueError(f"{name!r} is no architecture")


def family(entry: Mapping[str, Any]) -> Family:
    """Make a family of an entry of ``families.toml``."""
    ops, build = entry["ops"], entry["build"]
    return Family(
        name=_text(entry, "name"),
        summary=_text(entry, "summary"),
        ops=OpsDistribution(
            distribution=ops["distribution"],
            module=ops["module"],
            versions=_versions(ops),
            requires=_requirements(ops["requires"]),
            omits=_requirements(ops["omits"]),
            source=_text(ops, "source"),
        ),
        members=tuple(_member(member) for member in entry["members"]),
        proven=tuple(_proven(proof) for proof in entry.get("proven", ())),
        build=BuildNeeds(
            _requirements(build["requires"]), dict(build["environment"]), _text(build, "source")
        ),
        replaces=dict(entry.get("replaces", {})),
    )


def targets(entry: Mapping[str, Any]) -> Targets:
    """Make the Pythons of environments of the table in ``families.toml``."""
    return Targets(SpecifierSet(entry["pythons"]), SpecifierSet(entry["fetched"]))


def _member(entry: Mapping[str, Any]) -> Member:
    sdist = entry.get("sdist")
    return Member(
        role=_text(entry, "role"),
        distribution=_text(entry, "distribution"),
        module=_text(entry, "module"),
        versions=_versions(entry),
        source=_text(entry, "source"),
        optional=bool(entry.get("optional", False)),
        needed_by={name: SpecifierSet(text) for name, text in entry.get("needed_by", {}).items()},
        omits=_requirements(entry.get("omits", ())),
        sdist=Sdist(_requirements(sdist["requires"]), _requirements(sdist["build_requires"]))
        if sdist
        else None,
    )


def _proven(entry: Mapping[str, Any]) -> Proven:
    return Proven(
        pythons=tuple(entry["pythons"]),
        torch=parsed(entry["torch"]),
        versions={name: parsed(version) for name, version in entry["versions"].items()},
        source=_text(entry, "source"),
        platform=_platform(entry.get("platform", "linux-x86_64")),
    )


def _versions(entry: Mapping[str, Any]) -> tuple[Version, ...]:
    versions = tuple(map(parsed, _not_empty(entry["versions"], "versions")))
    if list(versions) != sorted(set(versions), reverse=True):
        raise ValueError("versions do not stand newest first, each once")
    return versions


def source(entry: Mapping[str, Any]) -> Source:
    """Make a source of an entry of ``sources.toml``."""
    if entry["layout"] not in {"find-links", "simple"}:
        raise ValueError(f"layout {entry['layout']!r} is neither find-links nor simple")
    if entry.get("fits", "series") not in {"series", "release"}:
        raise ValueError(f"fits {entry['fits']!r} is neither series nor release")
    for page in _not_empty(entry["pages"], "pages"):
        page.format(base="", variant="", torch="", series="", digits="", release="", distribution="")
    return Source(
        name=_text(entry, "name"),
        layout=entry["layout"],
        base=_text(entry, "base"),
        pages=tuple(entry["pages"]),
        mirror_variables=tuple(entry["mirror_variables"]),
        distributions=tuple(_not_empty(entry["distributions"], "distributions")),
        source=_text(entry, "source"),
        fits=entry.get("fits", "series"),
        local=entry.get("local", ""),
    )


def wheel_group(entry: Mapping[str, Any]) -> WheelGroup:
    """Make a group of wheels of an entry of ``wheels.json``."""
    return WheelGroup(
        index=_text(entry, "index"),
        distribution=_text(entry, "distribution"),
        platform=_platform(entry["platform"]),
        variant=_variant(entry["variant"]),
        torch=parsed(entry["torch"]),
        versions=tuple(map(parsed, _not_empty(entry["versions"], "versions"))),
        certainty=_text(entry, "certainty"),
        source=_text(entry, "source"),
        pythons=tuple(entry.get("pythons", ())),
        glibc=_glibc(entry),
        architectures=_architectures(entry["architectures"]) if "architectures" in entry else None,
    )


def wheel_pythons(entry: Mapping[str, Any]) -> WheelPythons:
    """Make the Pythons of wheels of an entry of ``wheels.json``."""
    return WheelPythons(
        distribution=_text(entry, "distribution"),
        versions=SpecifierSet(entry["versions"]),
        platform=_platform(entry["platform"]),
        pythons=tuple(_not_empty(entry["pythons"], "pythons")),
        certainty=_text(entry, "certainty"),
        source=_text(entry, "source"),
    )


def gate(entry: Mapping[str, Any]) -> Gate:
    """Make a gate of an entry of ``gates.json``."""
    gate = Gate(
        distribution=_text(entry, "distribution"),
        version=str(parsed(entry["version"])),
        on=_text(entry, "on"),
        minimum=entry["minimum"],
        maximum=entry["maximum"] or "",
        maximum_inclusive=bool(entry["maximum_inclusive"]),
        source=_text(entry, "source"),
        comparison=entry["comparison"],
    )
    if gate.comparison not in {"padded", "unpadded"}:
        raise ValueError(f"comparison {gate.comparison!r} is neither padded nor unpadded")
    minimum = parsed(gate.minimum)
    if gate.maximum and minimum > parsed(gate.maximum):
        raise ValueError(f"{gate.distribution} {gate.version} admits no version of {gate.on}")
    return gate


def without_gates(entry: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Make the releases without a gate of an entry of ``gates.json``: a distribution and its versions."""
    _text(entry, "source")
    versions = tuple(str(parsed(version)) for version in _not_empty(entry["versions"], "versions"))
    return _text(entry, "distribution"), versions


def version_break(entry: Mapping[str, Any]) -> Break:
    """Make a break of an entry of ``breaks.toml``."""
    when = dict(entry["when"])
    found = Break(
        id=_text(entry, "id"),
        only_built=bool(when.pop("build", False)),
        platforms=tuple(map(_platform, when.pop("platforms", ()))),
        when={name: SpecifierSet(specifier) for name, specifier in when.items()},
        effect=_text(entry, "effect"),
        bounds=_requirements(entry.get("bounds", ())),
        reject=bool(entry.get("reject", False)),
        caution=bool(entry.get("caution", False)),
        certainty=_text(entry, "certainty"),
        source=tuple(str(line) for line in _not_empty(entry["source"], "source")),
        severity=entry.get("severity", "warning"),
        patches=tuple(map(str, entry.get("patches", ()))),
        beside=tuple(map(str, entry.get("beside", ()))),
    )
    if found.severity not in SEVERITIES:
        raise ValueError(f"{found.id}: severity {found.severity!r} is none of {', '.join(SEVERITIES)}")
    if bool(found.bounds) + found.reject + found.caution != 1:
        raise ValueError(f"{found.id} must give bounds, or reject, or caution")
    return found


def toolkit_driver(entry: Mapping[str, Any]) -> ToolkitDriver:
    """Make the driver of a toolkit of an entry of ``drivers.json``."""
    windows = entry.get("windows_minimum")
    return ToolkitDriver(
        str(parsed(entry["cuda"])),
        parsed(entry["linux_minimum"]),
        parsed(windows) if windows else None,
        _text(entry, "source"),
    )


def minor_compatibility(entry: Mapping[str, Any]) -> MinorCompatibility:
    """Make a floor of an entry of ``drivers.json``."""
    return MinorCompatibility(
        int(entry["major"]),
        parsed(entry["linux_minimum"]),
        parsed(entry["windows_minimum"]),
        _text(entry, "source"),
    )


def forward_compatibility(entry: Mapping[str, Any]) -> ForwardCompatibility:
    """Make a floor with ``cuda-compat`` of an entry of ``drivers.json``."""
    return ForwardCompatibility(
        int(entry["major"]),
        parsed(entry["linux_minimum"]),
        _text(entry, "certainty"),
        _text(entry, "source"),
    )


def toolkit_limits(entry: Mapping[str, Any]) -> ToolkitLimits:
    """Make the limits of toolkits of an entry of ``drivers.json``."""
    found = ToolkitLimits(
        first=parsed(entry["first"]),
        last=parsed(entry["last"]),
        lowest=entry["lowest"],
        highest=entry["highest"],
        gcc=entry.get("gcc"),
        certainty=_text(entry, "certainty"),
        source=_text(entry, "source"),
        lacks=tuple(entry.get("lacks", ())),
        gcc_minimum=entry.get("gcc_minimum"),
    )
    if found.first > found.last:
        raise ValueError(f"CUDA {found.first} comes after {found.last}")
    return found


def toolkit_wheels(entry: Mapping[str, Any]) -> ToolkitWheels:
    """Make a toolkit in wheels of an entry of ``drivers.json``."""
    found = ToolkitWheels(
        first=parsed(entry["first"]),
        last=parsed(entry["last"]),
        compiler=_text(entry, "compiler"),
        distributions=tuple(map(canonicalize_name, _not_empty(entry["distributions"], "distributions"))),
        platforms=tuple(map(_platform, _not_empty(entry["platforms"], "platforms"))),
        source=_text(entry, "source"),
    )
    if found.first > found.last:
        raise ValueError(f"CUDA {found.first} comes after {found.last}")
    if found.compiler not in found.distributions:
        raise ValueError(f"{found.compiler} is none of the distributions")
    return found


def torch_architectures(entry: Mapping[str, Any]) -> TorchArchitectures:
    """Make what torch lets extensions be compiled for of an entry of ``drivers.json``."""
    names = tuple(_not_empty(entry["architectures"], "architectures"))
    _check_architectures(names)
    return TorchArchitectures(SpecifierSet(entry["torch"]), names, _text(entry, "source"))


def _platform(name: str) -> str:
    if name not in PLATFORMS:
        raise ValueError(f"{name!r} is none of {', '.join(PLATFORMS)}")
    return name


def _variant(name: str) -> str:
    if not _VARIANT.fullmatch(name):
        raise ValueError(f"{name!r} is neither cpu nor a CUDA variant such as cu117")
    return name


def _glibc(entry: Mapping[str, Any]) -> str:
    return str(parsed(entry["glibc"])) if entry.get("glibc") else ""


def _text(entry: Mapping[str, Any], name: str) -> str:
    text = entry[name]
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{name} is empty")
    return text


def _not_empty(found: Any, name: str) -> Any:
    if not found:
        raise ValueError(f"{name} is empty")
    return found


def _requirements(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(str(Requirement(line)) for line in lines)
