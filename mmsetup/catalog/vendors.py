"""What NVIDIA makes of its own, as data: Jetson boards, JetPack, and the ops that others build for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mmsetup.catalog.tables import each, table, text, texts

__all__ = ["FILE", "Chip", "JetPack", "JetsonOps", "Vendors", "made", "vendors"]

FILE = "vendors.toml"


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


def vendors(file: Path | None = None) -> Vendors:
    """Read the data: those of the catalogue in use, or of ``file``.

    Raises:
        CatalogError: the file is missing or malformed; ``evidence`` lists every fault.
    """
    from mmsetup.catalog.load import folder_in_use  # noqa: PLC0415 (which proves this file as well)

    return _vendors(file or folder_in_use() / FILE)


@cache
def _vendors(file: Path) -> Vendors:
    return table(file, made)


def made(document: Mapping[str, Any], faults: list[str]) -> Vendors:
    """Make the values of a document; what is wrong with it is added to ``faults``."""
    return Vendors(
        jetpacks=tuple(each(document, "jetpacks", _jetpack, faults)),
        chips=tuple(each(document, "chips", _chip, faults)),
        ops=tuple(each(document, "ops", _ops, faults)),
    )


def _jetpack(entry: Mapping[str, Any]) -> JetPack:
    return JetPack(*(text(entry, key) for key in ("linux", "jetpack", "container", "certainty", "source")))


def _chip(entry: Mapping[str, Any]) -> Chip:
    return Chip(*(text(entry, key) for key in ("name", "gpu", "source")))


def _ops(entry: Mapping[str, Any]) -> JetsonOps:
    torch = texts(entry, "torch")
    return JetsonOps(
        distribution=text(entry, "distribution"),
        jetpack=text(entry, "jetpack"),
        torch=torch,
        where=text(entry, "where"),
        source=text(entry, "source"),
    )
