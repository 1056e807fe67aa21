"""Read the data files, check all of them, and report every fault at once."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from mmsetup.catalog.model import (
    Architectures,
    Break,
    BuildNeeds,
    Catalog,
    Family,
    Gate,
    MinorCompatibility,
    OpsDistribution,
    Proven,
    Segmentation,
    Source,
    ToolkitDriver,
    TorchRelease,
    WheelGroup,
)
from mmsetup.errors import CatalogError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["load"]

_DATA = Path(__file__).with_name("data")
_FILES = (
    "torch.json",
    "wheels.json",
    "gates.json",
    "drivers.json",
    "families.toml",
    "sources.toml",
    "breaks.toml",
)
T = TypeVar("T")


def load(folder: Path = _DATA) -> Catalog:
    """Read the catalogue from ``folder``.

    Raises:
        CatalogError: a file is missing, malformed or contradicts another; ``evidence`` lists every fault.
    """
    contents, digest, faults = _read(folder)
    reader = _Reader(contents, faults)
    torch = tuple(reader.each("torch.json", "releases", _torch))
    families = tuple(reader.each("families.toml", "families", _family))
    catalog = Catalog(
        digest=digest,
        date=max((str(document.get("date", "")) for document in contents.values()), default=""),
        torch=tuple(sorted(torch, key=lambda release: release.version, reverse=True)),
        families=families,
        sources=tuple(reader.each("sources.toml", "sources", _source)),
        wheels=tuple(reader.each("wheels.json", "groups", _wheels)),
        gates=tuple(reader.each("gates.json", "gates", _gate)),
        breaks=tuple(reader.each("breaks.toml", "breaks", _break)),
        toolkit_drivers=tuple(reader.each("drivers.json", "toolkits", _toolkit)),
        minor_compatibility=tuple(reader.each("drivers.json", "minor_version_compatibility", _minor)),
    )
    faults.extend(_contradictions(catalog))
    if faults:
        raise CatalogError(
            f"the catalogue in {folder} has {len(faults)} fault(s)",
            evidence=faults,
            remedy="install mmsetup again: python3 -m pip install --force-reinstall mmsetup",
        )
    return catalog


def _read(folder: Path) -> tuple[dict[str, dict[str, Any]], str, list[str]]:
    contents: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    digest = hashlib.sha256()
    for name in _FILES:
        try:
            raw = (folder / name).read_bytes()
            digest.update(name.encode() + b"\0" + raw)
            document = json.loads(raw) if name.endswith(".json") else tomllib.loads(raw.decode())
            contents[name] = document if isinstance(document, dict) else {}
        except (OSError, ValueError) as error:
            faults.append(f"{name}: {error}")
            contents[name] = {}
    return contents, digest.hexdigest(), faults


class _Reader:
    """Turns the entries of a file into values; an entry that does not fit becomes a fault that names its place."""

    def __init__(self, contents: Mapping[str, Mapping[str, Any]], faults: list[str]) -> None:
        self._contents = contents
        self._faults = faults

    def each(self, name: str, key: str, make: Callable[[Mapping[str, Any]], T]) -> Iterator[T]:
        for number, entry in enumerate(self._contents[name].get(key, ())):
            try:
                yield make(entry)
            except KeyError as error:
                self._faults.append(f"{name}: {key}[{number}] lacks {error}")
            except (
                TypeError,
                AttributeError,
                ValueError,
                InvalidVersion,
                InvalidSpecifier,
                InvalidRequirement,
            ) as error:
                self._faults.append(f"{name}: {key}[{number}]: {error}")


def _torch(entry: Mapping[str, Any]) -> TorchRelease:
    return TorchRelease(
        version=Version(entry["version"]),
        torchvision=str(Version(entry["torchvision"])),
        pythons=tuple(entry["pythons"]),
        default_variant=entry["default_variant"],
        index_variants=tuple(entry["index_variants"]),
        architectures={
            variant: Architectures(tuple(held["sass"]), tuple(held["ptx"]), held["certainty"])
            for variant, held in entry["architectures"].items()
        },
        sources=dict(entry["sources"]),
    )


def _family(entry: Mapping[str, Any]) -> Family:
    ops, segmentation, build = entry["ops"], entry["segmentation"], entry["build"]
    return Family(
        name=entry["name"],
        summary=entry["summary"],
        module=entry["module"],
        ops=OpsDistribution(
            distribution=ops["distribution"],
            versions=tuple(Version(version) for version in ops["versions"]),
            requires=_requirements(ops["requires"]),
            omits=_requirements(ops["omits"]),
            source=ops["source"],
        ),
        segmentation=Segmentation(
            distribution=segmentation["distribution"],
            versions=tuple(Version(version) for version in segmentation["versions"]),
            source=segmentation["source"],
        ),
        proven=tuple(
            Proven(
                pythons=tuple(proof["pythons"]),
                torch=Version(proof["torch"]),
                ops=Version(proof["ops"]),
                segmentation=Version(proof["segmentation"]),
                source=proof["source"],
            )
            for proof in entry["proven"]
        ),
        build=BuildNeeds(_requirements(build["requires"]), dict(build["environment"]), build["source"]),
    )


def _source(entry: Mapping[str, Any]) -> Source:
    if entry["layout"] not in {"find-links", "simple"}:
        raise ValueError(f"layout {entry['layout']!r} is neither find-links nor simple")
    return Source(
        name=entry["name"],
        layout=entry["layout"],
        base=entry["base"],
        page=entry["page"],
        mirror_variables=tuple(entry["mirror_variables"]),
        distributions=tuple(entry["distributions"]),
        source=entry["source"],
    )


def _wheels(entry: Mapping[str, Any]) -> WheelGroup:
    return WheelGroup(
        distribution=entry["distribution"],
        variant=entry["variant"],
        torch=Version(entry["torch"]),
        versions=tuple(Version(version) for version in entry["versions"]),
        certainty=entry["certainty"],
        source=entry["source"],
    )


def _gate(entry: Mapping[str, Any]) -> Gate:
    gate = Gate(
        distribution=entry["distribution"],
        version=str(Version(entry["version"])),
        on=entry["on"],
        minimum=Version(entry["minimum"]),
        maximum=Version(entry["maximum"]),
        maximum_inclusive=bool(entry["maximum_inclusive"]),
        source=entry["source"],
    )
    if gate.minimum > gate.maximum:
        raise ValueError(f"{gate.distribution} {gate.version} admits no version of {gate.on}")
    return gate


def _break(entry: Mapping[str, Any]) -> Break:
    when = dict(entry["when"])
    found = Break(
        id=entry["id"],
        only_built=bool(when.pop("build", False)),
        when={name: SpecifierSet(specifier) for name, specifier in when.items()},
        effect=entry["effect"],
        bounds=_requirements(entry.get("bounds", ())),
        reject=bool(entry.get("reject", False)),
        caution=bool(entry.get("caution", False)),
        certainty=entry["certainty"],
        source=tuple(entry["source"]),
        severity=entry.get("severity", "warning"),
    )
    if found.severity not in {"error", "warning"}:
        raise ValueError(f"{found.id}: severity {found.severity!r} is neither error nor warning")
    if bool(found.bounds) + found.reject + found.caution != 1:
        raise ValueError(f"{found.id} must give bounds, or reject, or caution")
    return found


def _toolkit(entry: Mapping[str, Any]) -> ToolkitDriver:
    return ToolkitDriver(entry["cuda"], Version(entry["linux_minimum"]), entry["source"])


def _minor(entry: Mapping[str, Any]) -> MinorCompatibility:
    return MinorCompatibility(int(entry["major"]), Version(entry["linux_minimum"]), entry["source"])


def _requirements(lines: list[str]) -> tuple[str, ...]:
    return tuple(str(Requirement(line)) for line in lines)


def _contradictions(catalog: Catalog) -> Iterator[str]:
    known = {release.version for release in catalog.torch}
    if len(known) != len(catalog.torch):
        yield "torch.json: a release is listed twice"
    for release in catalog.torch:
        if release.default_variant not in (*release.index_variants, "cpu", "cu102"):
            yield f"torch.json: {release.version}: the default variant {release.default_variant} is on no index"
    sources = {source.name for source in catalog.sources}
    if len(sources) != len(catalog.sources):
        yield "sources.toml: a source is listed twice"
    identifiers = [found.id for found in catalog.breaks]
    yield from (f"breaks.toml: {name} stands twice" for name in set(identifiers) if identifiers.count(name) > 1)
    for family in catalog.families:
        for proof in family.proven:
            place = f"families.toml: {family.name}: the proven set with torch {proof.torch}"
            if proof.torch not in known:
                yield f"{place} names a torch that torch.json lacks"
            if proof.ops not in family.ops.versions or proof.segmentation not in family.segmentation.versions:
                yield f"{place} names versions that the family lacks"
            gate = catalog.gate(family.segmentation.distribution, proof.segmentation)
            if gate is not None and not gate.admits(proof.ops):
                yield f"{place} does not pass the gate of {gate.distribution} {gate.version}"
