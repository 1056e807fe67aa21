"""What is known of builds, as data: which source files do not compile together, how long GPUs take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from mmsetup.catalog.tables import each, table, text, texts

__all__ = ["FILE", "Apart", "Builds", "Duration", "core_seconds", "keep_apart", "known", "made"]

FILE = "builds.toml"


@dataclass(frozen=True, slots=True)
class Apart:
    """Files of which no two may be compiled together, and why.

    ``distributions`` are normalised names, ``versions`` those of all of them that are meant, ``files`` the
    ends of paths (``cpu/roi_align.cpp``).
    """

    distributions: tuple[str, ...]
    versions: SpecifierSet
    files: tuple[str, ...]
    why: str
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Duration:
    """How long a build for GPUs takes: seconds on one core for one architecture, and for each further one."""

    distributions: tuple[str, ...]
    versions: SpecifierSet
    first: float
    further: float
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Builds:
    """What the data file says."""

    apart: tuple[Apart, ...]
    durations: tuple[Duration, ...]


def core_seconds(
    distribution: str, version: str, architectures: int, file: Path | None = None
) -> float | None:
    """Give how long one core builds for so many architectures of GPUs; nothing where that is not known.

    Raises:
        CatalogError: as :func:`known`.
        packaging.version.InvalidVersion: ``version`` is none.
    """
    name, wanted = canonicalize_name(distribution), Version(version)
    for entry in known(file).durations:
        if name in entry.distributions and entry.versions.contains(wanted, prereleases=True):
            return entry.first + entry.further * (architectures - 1)
    return None


def keep_apart(distribution: str, version: str, file: Path | None = None) -> tuple[tuple[str, ...], ...]:
    """Give the groups of files of which no two may be compiled together, sorted.

    Raises:
        CatalogError: as :func:`known`.
        packaging.version.InvalidVersion: ``version`` is none.
    """
    name, wanted = canonicalize_name(distribution), Version(version)
    return tuple(
        sorted(
            entry.files
            for entry in known(file).apart
            if name in entry.distributions and entry.versions.contains(wanted, prereleases=True)
        )
    )


def known(file: Path | None = None) -> Builds:
    """Read the data: those of the catalogue in use, or of ``file``.

    Raises:
        CatalogError: the file is missing or malformed; ``evidence`` lists every fault.
    """
    from mmsetup.catalog.load import folder_in_use  # noqa: PLC0415 (which proves this file as well)

    return table(file or folder_in_use() / FILE, made)


def made(document: Mapping[str, Any], faults: list[str]) -> Builds:
    """Make the values of a document; what is wrong with it is added to ``faults``."""
    return Builds(
        apart=tuple(each(document, "apart", _apart, faults)),
        durations=tuple(each(document, "durations", _duration, faults)),
    )


def _apart(entry: Mapping[str, Any]) -> Apart:
    files = texts(entry, "files")
    if len(files) < 2:  # noqa: PLR2004 (one file is apart from nothing)
        raise ValueError("files names fewer than two")
    return Apart(
        distributions=tuple(canonicalize_name(name) for name in texts(entry, "distributions")),
        versions=SpecifierSet(text(entry, "versions")),
        files=files,
        why=text(entry, "why"),
        source=texts(entry, "source"),
    )


def _duration(entry: Mapping[str, Any]) -> Duration:
    first, further = float(entry["first"]), float(entry["further"])
    if not 0 < further <= first:
        raise ValueError("a further architecture takes no time, or more than the first")
    return Duration(
        distributions=tuple(canonicalize_name(name) for name in texts(entry, "distributions")),
        versions=SpecifierSet(text(entry, "versions")),
        first=first,
        further=further,
        source=texts(entry, "source"),
    )
