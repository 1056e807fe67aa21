"""Read the data files, check all of them, and report every fault at once."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

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
_NUMBERS = 3
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
    if len(contents) == len(_FILES):
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
        raw, document = _document(folder / name)
        digest.update(name.encode() + b"\0" + raw)
        if isinstance(document, dict):
            contents[name] = document
        else:
            faults.append(f"{name}: {document}")
    return contents, digest.hexdigest(), faults


def _document(path: Path) -> tuple[bytes, dict[str, Any] | str]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        return b"", f"cannot be read: {error.strerror}"
    try:
        document = json.loads(raw) if path.suffix == ".json" else tomllib.loads(raw.decode())
    except ValueError as error:
        return raw, str(error)
    return raw, document if isinstance(document, dict) else "it is no table"


class _Reader:
    """Turns the entries of a file into values; one that does not fit becomes a fault that names its place."""

    def __init__(self, contents: Mapping[str, Mapping[str, Any]], faults: list[str]) -> None:
        self._contents = contents
        self._faults = faults

    def each(self, name: str, key: str, make: Callable[[Mapping[str, Any]], T]) -> Iterator[T]:
        if name not in self._contents:
            return
        entries = self._contents[name].get(key)
        if not isinstance(entries, list) or not entries:
            self._faults.append(f"{name}: there is no list of {key}")
            return
        for number, entry in enumerate(entries):
            made = self._made(f"{name}: {key}[{number}]", entry, make)
            if made is not None:
                yield made

    def _made(self, place: str, entry: Any, make: Callable[[Mapping[str, Any]], T]) -> T | None:
        try:
            return make(entry)
        except KeyError as error:
            self._faults.append(f"{place} lacks {error}")
        # What packaging raises for versions, specifiers and requirements are ValueErrors.
        except (TypeError, AttributeError, ValueError) as error:
            self._faults.append(f"{place}: {error}")
        return None


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
        sources={topic: _text(entry["sources"], topic) for topic in _not_empty(entry["sources"], "sources")},
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
            source=_text(ops, "source"),
        ),
        segmentation=Segmentation(
            distribution=segmentation["distribution"],
            versions=tuple(Version(version) for version in segmentation["versions"]),
            source=_text(segmentation, "source"),
        ),
        proven=tuple(
            Proven(
                pythons=tuple(proof["pythons"]),
                torch=Version(proof["torch"]),
                ops=Version(proof["ops"]),
                segmentation=Version(proof["segmentation"]),
                source=_text(proof, "source"),
            )
            for proof in entry["proven"]
        ),
        build=BuildNeeds(
            _requirements(build["requires"]), dict(build["environment"]), _text(build, "source")
        ),
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
        source=_text(entry, "source"),
    )


def _wheels(entry: Mapping[str, Any]) -> WheelGroup:
    return WheelGroup(
        distribution=entry["distribution"],
        variant=entry["variant"],
        torch=Version(entry["torch"]),
        versions=tuple(Version(version) for version in entry["versions"]),
        certainty=entry["certainty"],
        source=_text(entry, "source"),
    )


def _gate(entry: Mapping[str, Any]) -> Gate:
    gate = Gate(
        distribution=entry["distribution"],
        version=str(Version(entry["version"])),
        on=entry["on"],
        minimum=Version(entry["minimum"]),
        maximum=Version(entry["maximum"]),
        maximum_inclusive=bool(entry["maximum_inclusive"]),
        source=_text(entry, "source"),
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
        source=tuple(str(line) for line in _not_empty(entry["source"], "source")),
        severity=entry.get("severity", "warning"),
    )
    if found.severity not in {"error", "warning"}:
        raise ValueError(f"{found.id}: severity {found.severity!r} is neither error nor warning")
    if bool(found.bounds) + found.reject + found.caution != 1:
        raise ValueError(f"{found.id} must give bounds, or reject, or caution")
    return found


def _toolkit(entry: Mapping[str, Any]) -> ToolkitDriver:
    return ToolkitDriver(entry["cuda"], Version(entry["linux_minimum"]), _text(entry, "source"))


def _minor(entry: Mapping[str, Any]) -> MinorCompatibility:
    return MinorCompatibility(int(entry["major"]), Version(entry["linux_minimum"]), _text(entry, "source"))


def _text(entry: Mapping[str, Any], name: str) -> str:
    text = entry[name]
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{name} is empty")
    return text


def _not_empty(found: Any, name: str) -> Any:
    if not found:
        raise ValueError(f"{name} is empty")
    return found


def _requirements(lines: list[str]) -> tuple[str, ...]:
    return tuple(str(Requirement(line)) for line in lines)


def _contradictions(catalog: Catalog) -> Iterator[str]:
    known = [release.version for release in catalog.torch]
    yield from _twice("torch.json", known)
    yield from _twice("sources.toml", [source.name for source in catalog.sources])
    yield from _twice("breaks.toml", [found.id for found in catalog.breaks])
    yield from _twice("families.toml", [family.name for family in catalog.families])
    for release in catalog.torch:
        if release.default_variant not in (*release.index_variants, "cpu", "cu102"):
            yield f"torch.json: {release.version}: its default variant {release.default_variant} is nowhere"
    for family in catalog.families:
        yield from (f"families.toml: {family.name}: {fault}" for fault in _impossible(family, catalog))


def _twice(name: str, keys: list[Any]) -> Iterator[str]:
    return (f"{name}: {key} stands there twice" for key, count in Counter(keys).items() if count > 1)


def _impossible(family: Family, catalog: Catalog) -> Iterator[str]:
    known = {release.version for release in catalog.torch}
    for version in family.ops.versions:
        # Releases compare the numbers of a version in ways of their own (see Gate); three numbers are safe.
        if len(version.release) != _NUMBERS or version.is_prerelease:
            yield f"how gates take {version} is not known: it has not three numbers"
    for proof in family.proven:
        place = f"the proven set with torch {proof.torch}"
        if proof.torch not in known:
            yield f"{place} names a torch that torch.json lacks"
        if proof.ops not in family.ops.versions or proof.segmentation not in family.segmentation.versions:
            yield f"{place} names versions that the family lacks"
        gate = catalog.gate(family.segmentation.distribution, proof.segmentation)
        if gate is not None and not gate.admits(proof.ops):
            yield f"{place} does not pass the gate of {gate.distribution} {gate.version}"
