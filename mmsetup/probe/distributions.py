"""The distributions that lie in site-packages, read from their metadata, however damaged that is.

Sources: the packaging specifications "Recording installed projects" and "Core metadata"; for ``.egg-info``
and ``.egg-link`` the formats that setuptools documents as its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from mmsetup.probe.machine import Distribution

__all__ = ["Holdings", "parse_headers", "read"]


@dataclass(frozen=True, slots=True)
class Holdings:
    """The distributions in name order, the ``.pth`` files, and what is wrong."""

    distributions: tuple[Distribution, ...]
    path_files: tuple[Path, ...]
    notes: tuple[str, ...]


def read(site_packages: tuple[Path, ...]) -> Holdings:
    """Read what each folder holds; of two of one name that which Python would import comes first."""
    found: list[Distribution] = []
    path_files: list[Path] = []
    notes: list[str] = []
    for folder in site_packages:
        here: list[Distribution] = []
        for entry in _entries(folder, notes):
            path = Path(entry.path)
            if entry.name.startswith("~"):
                notes.append(f"{path} is what an interrupted pip left behind")
            elif entry.name.endswith(".pth"):
                path_files.append(path)
            else:
                here += _distributions(path, entry, notes)
        found += here
        notes += _doubles(folder, here)
    return Holdings(tuple(sorted(found, key=lambda one: one.name)), tuple(path_files), tuple(notes))


def parse_headers(text: str) -> dict[str, list[str]]:
    """Read the fields above the first empty line: names in lower case, each with its values in order.

    A line of blanks is no empty one: setuptools folds a licence's own text into its field, whose empty lines
    are such.
    """
    fields: dict[str, list[str]] = {}
    values: list[str] = []
    for line in text.splitlines():
        if not line:
            break
        if line[0] in " \t" and values:
            values[-1] += f"\n{line.strip()}"
            continue
        name, colon, value = line.partition(":")
        if colon:
            values = fields.setdefault(name.strip().lower(), [])
            values.append(value.strip())
    return fields


def _entries(folder: Path, notes: list[str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        notes.append(f"{folder} cannot be listed: {error.strerror}")
        return []


def _distributions(path: Path, entry: os.DirEntry[str], notes: list[str]) -> Iterator[Distribution]:
    if entry.name.endswith(".dist-info"):
        yield _distribution(path, "METADATA", notes)
    elif entry.name.endswith(".egg-info"):
        yield _distribution(path, "PKG-INFO" if entry.is_dir() else "", notes)
    elif entry.name.endswith(".egg-link"):
        lines = _text(path, notes).splitlines()
        for info in sorted(Path(lines[0].strip()).glob("*.egg-info")) if lines and lines[0].strip() else ():
            yield _distribution(info, "PKG-INFO", notes)
    elif entry.name.endswith(".egg") and entry.is_dir() and (path / "EGG-INFO").is_dir():
        yield _distribution(path / "EGG-INFO", "PKG-INFO", notes)


def _distribution(folder: Path, metadata: str, notes: list[str]) -> Distribution:
    read = len(notes)
    fields = parse_headers(_text(folder / metadata, notes))
    if metadata and not fields and len(notes) == read:
        notes.append(f"{folder / metadata} is empty")
    named = folder.parent.name if folder.name == "EGG-INFO" else folder.name
    name, _, rest = named.rpartition(".")[0].partition("-")
    requires = tuple(fields.get("requires-dist", ()))
    if not requires and metadata == "PKG-INFO":
        requires = tuple(_egg_requirements(_optional(folder / "requires.txt")))
    return Distribution(
        name=canonicalize_name(_first(fields, "name") or name),
        version=_first(fields, "version") or rest.partition("-")[0],
        path=folder,
        installer=_optional(folder / "INSTALLER").strip(),
        requires=requires,
        top_level=_top_level(folder),
    )


def _first(fields: dict[str, list[str]], name: str) -> str:
    return next(iter(fields.get(name, ())), "")


def _top_level(folder: Path) -> tuple[str, ...]:
    """Give the import names: as its build wrote them down, else the first folders of its list of files."""
    written = _optional(folder / "top_level.txt").split()
    if written:
        return tuple(written)
    names = set()
    for line in _optional(folder / "RECORD").splitlines():
        first, slash, _ = line.lstrip('"').partition("/")
        if slash:
            names.add(first)
        elif module := re.match(r"(\w+)(\.[\w-]+)*\.(?:py|so|pyd),", line):
            names.add(module[1])
    return tuple(sorted(name for name in names if name.isidentifier() and name != "__pycache__"))


def _egg_requirements(text: str) -> Iterator[str]:
    """Turn ``requires.txt``, whose sections are ``[extra:marker]``, into requirements with markers."""
    marker = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("["):
            extra, _, condition = line.strip("[]").partition(":")
            wanted = f'extra == "{extra}"' if extra else ""
            marker = f"({condition}) and {wanted}" if condition and extra else condition or wanted
        else:
            yield f"{line} ; {marker}" if marker else line


def _doubles(folder: Path, found: list[Distribution]) -> Iterator[str]:
    by_name: dict[str, list[Distribution]] = {}
    for one in found:
        by_name.setdefault(one.name, []).append(one)
    for name, several in by_name.items():
        if len(several) > 1:
            versions = ", ".join(one.version for one in several)
            yield f"{folder} holds {name} {len(several)} times: {versions}"


def _text(path: Path, notes: list[str]) -> str:
    """Read metadata, which is UTF-8 but in old distributions may be anything.

    A named pipe is not waited for.
    """
    if path.is_fifo():
        notes.append(f"{path} is no file")
        return ""
    try:
        raw = path.read_bytes()
    except OSError as error:
        notes.append(f"{path} cannot be read: {error.strerror}")
        return ""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        notes.append(f"{path} is not UTF-8")
        return raw.decode("latin-1")


def _optional(path: Path) -> str:
    try:
        return "" if path.is_fifo() else path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
