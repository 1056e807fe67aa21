"""Which source files of an extension do not compile together, as data."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from mmsetup.errors import CatalogError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Apart", "apart", "keep_apart"]

_FILE = Path(__file__).with_name("data") / "builds.toml"


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


def keep_apart(distribution: str, version: str, file: Path = _FILE) -> tuple[tuple[str, ...], ...]:
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


@cache
def apart(file: Path = _FILE) -> tuple[Apart, ...]:
    """Read the data.

    Raises:
        CatalogError: the file is missing or malformed; ``evidence`` lists every fault.
    """
    faults: list[str] = []
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        document, faults = {}, [f"{file.name}: {error}"]
    found = tuple(_each(document, faults))
    if faults:
        raise CatalogError(
            f"{file} has {len(faults)} fault(s)",
            evidence=faults,
            remedy="install mmsetup again: python3 -m pip install --force-reinstall mmsetup",
        )
    return found


def _each(document: Mapping[str, Any], faults: list[str]) -> Iterator[Apart]:
    entries = document.get("apart", [])
    if not isinstance(entries, list):
        faults.append("apart is no list of entries")
        return
    for number, entry in enumerate(entries):
        made = _made(entry, f"apart[{number}]", faults)
        if made is not None:
            yield made


def _made(entry: Mapping[str, Any], place: str, faults: list[str]) -> Apart | None:
    try:
        return _apart(entry)
    except KeyError as error:
        faults.append(f"{place}: {error} is missing")
    except (TypeError, ValueError, InvalidSpecifier) as error:
        faults.append(f"{place}: {error}")
    return None


def _apart(entry: Mapping[str, Any]) -> Apart:
    files = _texts(entry, "files")
    if len(files) < 2:  # noqa: PLR2004 (one file is apart from nothing)
        raise ValueError("files names fewer than two")
    if not isinstance(entry["why"], str) or not entry["why"].strip():
        raise ValueError("why is no text")
    return Apart(
        distributions=tuple(canonicalize_name(name) for name in _texts(entry, "distributions")),
        versions=SpecifierSet(entry["versions"]),
        files=files,
        why=entry["why"],
        source=_texts(entry, "source"),
    )


def _texts(entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = entry[key]
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise ValueError(f"{key} is no list of texts")
    return tuple(value)
