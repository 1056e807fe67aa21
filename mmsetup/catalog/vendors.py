"""What NVIDIA makes of its own, as data: Jetson boards, JetPack, and the ops that others build for them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from mmsetup.errors import CatalogError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Chip", "JetPack", "JetsonOps", "Vendors", "vendors"]

_FILE = Path(__file__).with_name("data") / "vendors.toml"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JetPack:
    """What a release of Jetson Linux belongs to: ``linux`` is its first number (``36``), ``jetpack`` (``6``).

    ``container`` is NVIDIA's image that has torch for it, ``certainty`` documented or memory.
    """

    linux: str
    jetpack: str
    container: str
    certainty: str
    source: str


@dataclass(frozen=True, slots=True)
class Chip:
    """A Tegra (``tegra234``) and a GPU of it as the catalogue names it (``Jetson AGX Orin``)."""

    name: str
    gpu: str
    source: str


@dataclass(frozen=True, slots=True)
class JetsonOps:
    """Prebuilt ops for NVIDIA's own torch of a JetPack, by series of torch (``2.8``), and where they are."""

    distribution: str
    jetpack: str
    torch: tuple[str, ...]
    where: str
    source: str


@dataclass(frozen=True, slots=True)
class Vendors:
    """All of it."""

    jetpacks: tuple[JetPack, ...]
    chips: tuple[Chip, ...]
    ops: tuple[JetsonOps, ...]

    def jetpack_of(self, release: str) -> JetPack | None:
        """Give the JetPack of a release of Jetson Linux (``36.3.0``), where known."""
        return next((known for known in self.jetpacks if known.linux == release.partition(".")[0]), None)

    def gpu_of(self, chip: str) -> str:
        """Give the name of a GPU of a chip, or an empty string."""
        return next((known.gpu for known in self.chips if known.name == chip), "")


@cache
def vendors(file: Path = _FILE) -> Vendors:
    """Read the data.

    Raises:
        CatalogError: the file is missing or malformed; ``evidence`` lists every fault.
    """
    faults: list[str] = []
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        document, faults = {}, [f"{file.name}: {error}"]
    found = Vendors(
        jetpacks=tuple(_each(document, "jetpacks", _jetpack, faults)),
        chips=tuple(_each(document, "chips", _chip, faults)),
        ops=tuple(_each(document, "ops", _ops, faults)),
    )
    if faults:
        raise CatalogError(
            f"{file} has {len(faults)} fault(s)",
            evidence=faults,
            remedy="install mmsetup again: python3 -m pip install --force-reinstall mmsetup",
        )
    return found


def _each(
    document: Mapping[str, Any], key: str, make: Callable[[Mapping[str, Any]], T], faults: list[str]
) -> Iterator[T]:
    entries = document.get(key, [])
    if not isinstance(entries, list) or (document and not entries):
        faults.append(f"{key} is no list of entries")
        return
    for number, entry in enumerate(entries):
        made = _made(make, entry, f"{key}[{number}]", faults)
        if made is not None:
            yield made


def _made(
    make: Callable[[Mapping[str, Any]], T], entry: Mapping[str, Any], place: str, faults: list[str]
) -> T | None:
    try:
        return make(entry)
    except KeyError as error:
        faults.append(f"{place}: {error} is missing")
    except (TypeError, ValueError) as error:
        faults.append(f"{place}: {error}")
    return None


def _jetpack(entry: Mapping[str, Any]) -> JetPack:
    return JetPack(*(_text(entry, key) for key in ("linux", "jetpack", "container", "certainty", "source")))


def _chip(entry: Mapping[str, Any]) -> Chip:
    return Chip(*(_text(entry, key) for key in ("name", "gpu", "source")))


def _ops(entry: Mapping[str, Any]) -> JetsonOps:
    torch = entry["torch"]
    if not isinstance(torch, list) or not torch or not all(isinstance(one, str) and one for one in torch):
        raise ValueError("torch is no list of texts")
    return JetsonOps(
        distribution=_text(entry, "distribution"),
        jetpack=_text(entry, "jetpack"),
        torch=tuple(torch),
        where=_text(entry, "where"),
        source=_text(entry, "source"),
    )


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry[key]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key} is no text")
    return value
