"""Which source files of an extension do not compile together, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from mmsetup.catalog.tables import each, table, text, texts

__all__ = ["FILE", "Apart", "apart", "keep_apart", "made"]

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


def keep_apart(distribution: str, version: str, file: Path | None = None) -> tuple[tuple[str, ...], ...]:
    """Give the groups of files of which no two may be compiled together, sorted.

    Raises:
        CatalogError: as :func:`apart`.
        packaging.version.InvalidVersion: ``version`` is none.
    """
    name, wanted = canonicalize_name(distribution), Version(version)
    return tuple(
        sorted(
            entry.files
            for entry in apart(file)
            if name in entry.distributions and entry.versions.contains(wanted, prereleases=True)
        )
    )


def apart(file: Path | None = None) -> tuple[Apart, ...]:
    """Read the data: those of the catalogue in use, or of ``file``.

    Raises:
        CatalogError: the file is missing or malformed; ``evidence`` lists every fault.
    """
    from mmsetup.catalog.load import folder_in_use  # noqa: PLC0415 (which proves this file as well)

    return table(file or folder_in_use() / FILE, made)


def made(document: Mapping[str, Any], faults: list[str]) -> tuple[Apart, ...]:
    """Make the values of a document; what is wrong with it is added to ``faults``."""
    return tuple(each(document, "apart", _apart, faults))


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
