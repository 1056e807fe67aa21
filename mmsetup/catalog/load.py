"""Read the data files, check all of them, and report every fault at once."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from mmsetup.catalog.contradictions import contradictions
from mmsetup.catalog.gpus import gpu_model
from mmsetup.catalog.model import (
    PLATFORMS,
    Architectures,
    Break,
    BuildNeeds,
    Catalog,
    Family,
    ForwardCompatibility,
    Gate,
    Member,
    MinorCompatibility,
    OpsDistribution,
    Proven,
    Sdist,
    Source,
    ToolkitDriver,
    ToolkitLimits,
    TorchPlatform,
    TorchRelease,
    WheelGroup,
    WheelPythons,
    parsed,
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
    "gpus.json",
    "families.toml",
    "sources.toml",
    "breaks.toml",
)
_ARCHITECTURE = re.compile(r"sm_\d{2,3}[a-z]?")
_VARIANT = re.compile(r"cpu|cu\d{2,3}")
T = TypeVar("T")


def load(folder: Path = _DATA) -> Catalog:
    """Read the catalogue from ``folder``.

    Raises:
        CatalogError: a file is missing, malformed or contradicts another; ``evidence`` lists every fault.
    """
    contents, digest, faults = _read(folder)
    reader = _Reader(contents, faults)
    torch = tuple(reader.each("torch.json", "releases", _torch))
    catalog = Catalog(
        digest=digest,
        date=max((str(document.get("date", "")) for document in contents.values()), default=""),
        torch=tuple(sorted(torch, key=lambda release: release.version, reverse=True)),
        families=tuple(reader.each("families.toml", "families", _family)),
        sources=tuple(reader.each("sources.toml", "sources", _source)),
        wheels=tuple(reader.each("wheels.json", "groups", _wheels)),
        wheel_pythons=tuple(reader.each("wheels.json", "pythons", _wheel_pythons)),
        gates=tuple(reader.each("gates.json", "gates", _gate)),
        breaks=tuple(reader.each("breaks.toml", "breaks", _break)),
        toolkit_drivers=tuple(reader.each("drivers.json", "toolkits", _toolkit)),
        minor_compatibility=tuple(reader.each("drivers.json", "minor_version_compatibility", _minor)),
        forward_compatibility=tuple(reader.each("drivers.json", "forward_compatibility", _forward)),
        toolkit_limits=tuple(reader.each("drivers.json", "limits", _limits)),
        gpus=tuple(reader.each("gpus.json", "gpus", gpu_model)),
    )
    if len(contents) == len(_FILES):
        faults.extend(contradictions(catalog))
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
        default_variant=_variant(entry["default_variant"]),
        index_variants=tuple(map(_variant, entry["index_variants"])),
        glibc=_glibc(entry),
    )


def _architectures(entry: Mapping[str, Any]) -> Architectures:
    for name in (*entry["sass"], *entry["ptx"]):
        if not _ARCHITECTURE.fullmatch(name):
            raise ValueError(f"{name!r} is no architecture")
    return Architectures(tuple(entry["sass"]), tuple(entry["ptx"]), _text(entry, "certainty"))


def _family(entry: Mapping[str, Any]) -> Family:
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
    )


def _versions(entry: Mapping[str, Any]) -> tuple[Version, ...]:
    versions = tuple(map(parsed, _not_empty(entry["versions"], "versions")))
    if list(versions) != sorted(set(versions), reverse=True):
        raise ValueError("versions do not stand newest first, each once")
    return versions


def _source(entry: Mapping[str, Any]) -> Source:
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


def _wheels(entry: Mapping[str, Any]) -> WheelGroup:
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


def _wheel_pythons(entry: Mapping[str, Any]) -> WheelPythons:
    return WheelPythons(
        distribution=_text(entry, "distribution"),
        versions=SpecifierSet(entry["versions"]),
        platform=_platform(entry["platform"]),
        pythons=tuple(_not_empty(entry["pythons"], "pythons")),
        certainty=_text(entry, "certainty"),
        source=_text(entry, "source"),
    )


def _gate(entry: Mapping[str, Any]) -> Gate:
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


def _break(entry: Mapping[str, Any]) -> Break:
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
    )
    if found.severity not in {"error", "warning"}:
        raise ValueError(f"{found.id}: severity {found.severity!r} is neither error nor warning")
    if bool(found.bounds) + found.reject + found.caution != 1:
        raise ValueError(f"{found.id} must give bounds, or reject, or caution")
    return found


def _toolkit(entry: Mapping[str, Any]) -> ToolkitDriver:
    windows = entry.get("windows_minimum")
    return ToolkitDriver(
        str(parsed(entry["cuda"])),
        parsed(entry["linux_minimum"]),
        parsed(windows) if windows else None,
        _text(entry, "source"),
    )


def _minor(entry: Mapping[str, Any]) -> MinorCompatibility:
    return MinorCompatibility(
        int(entry["major"]),
        parsed(entry["linux_minimum"]),
        parsed(entry["windows_minimum"]),
        _text(entry, "source"),
    )


def _forward(entry: Mapping[str, Any]) -> ForwardCompatibility:
    return ForwardCompatibility(
        int(entry["major"]),
        parsed(entry["linux_minimum"]),
        _text(entry, "certainty"),
        _text(entry, "source"),
    )


def _limits(entry: Mapping[str, Any]) -> ToolkitLimits:
    found = ToolkitLimits(
        first=parsed(entry["first"]),
        last=parsed(entry["last"]),
        lowest=entry["lowest"],
        highest=entry["highest"],
        gcc=entry.get("gcc"),
        certainty=_text(entry, "certainty"),
        source=_text(entry, "source"),
    )
    if found.first > found.last:
        raise ValueError(f"CUDA {found.first} comes after {found.last}")
    return found


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
