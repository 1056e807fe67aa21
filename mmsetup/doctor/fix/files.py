"""The files of installed distributions: who owns which, whether they are as recorded, how one goes alone."""

from __future__ import annotations

import base64
import csv
import json
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mmsetup.files import sha256
from mmsetup.probe.machine import Distribution

__all__ = ["different", "has_record", "owned", "remove", "wheel_of"]

_HASHED = "sha256="


def has_record(one: Distribution) -> bool:
    """Tell whether it is known which files a distribution put there."""
    return (one.path / "RECORD").is_file()


def owned(one: Distribution) -> frozenset[Path]:
    """Give the files that a distribution put there, as absolute paths without ``..``."""
    return frozenset(_place(one, name) for name in _rows(one.path / "RECORD"))


def different(one: Distribution) -> tuple[Path, ...]:
    """Give the files that are gone or not as they were recorded; what has no hash only has to be there."""
    wrong = []
    for name, digest in _rows(one.path / "RECORD").items():
        place = _place(one, name)
        if place.suffix == ".pyc":
            continue
        if not place.is_file() or (digest.startswith(_HASHED) and _digest(place) != digest):
            wrong.append(place)
    return tuple(sorted(wrong))


def remove(one: Distribution, others: Iterable[Distribution], *, within: Path) -> None:
    """Remove a distribution, but for the files that one of the others owns too, and all outside ``within``.

    Bytecode goes with its source. Files are unlinked, never written to: they may be shared with a copy.

    Raises:
        OSError: a file cannot be removed.
    """
    shared = frozenset(path for other in others for path in owned(other))
    folders = set()
    for path in owned(one) - shared:
        if not path.is_relative_to(within):
            continue
        path.unlink(missing_ok=True)
        folders.add(path.parent)
        if path.suffix == ".py":
            for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
                compiled.unlink()
    for path in sorted(one.path.glob("*")):
        if path.is_file():
            path.unlink()
    folders.add(one.path)
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        _prune(folder, one.path.parent)


def wheel_of(one: Distribution) -> Path | None:
    """Give the wheel that a distribution was installed from, where it is still there and still the same."""
    try:
        url = urlsplit(json.loads((one.path / "direct_url.json").read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    wheel = Path(unquote(url.path))
    if url.scheme != "file" or wheel.suffix != ".whl":
        return None
    try:
        with zipfile.ZipFile(wheel) as archive:
            listed = archive.read(f"{one.path.name}/RECORD").decode("utf-8", errors="replace")
    except (OSError, KeyError, zipfile.BadZipFile):
        return None
    inside = {row[0]: row[1] for row in csv.reader(listed.splitlines()) if len(row) > 1 and row[1]}
    recorded = _rows(one.path / "RECORD")
    if not inside or any(recorded.get(name, digest) != digest for name, digest in inside.items()):
        return None
    return wheel


def _rows(record: Path) -> dict[str, str]:
    """Read the names and hashes of a RECORD; one that cannot be read has none."""
    try:
        with record.open(encoding="utf-8", errors="replace", newline="") as file:
            return {row[0]: row[1] if len(row) > 1 else "" for row in csv.reader(file) if row}
    except (OSError, csv.Error):
        return {}


def _place(one: Distribution, name: str) -> Path:
    parts: list[str] = []
    for part in (one.path.parent / name).parts:
        if part == ".." and len(parts) > 1:
            parts.pop()
        elif part != "..":
            parts.append(part)
    return Path(*parts)


def _digest(path: Path) -> str:
    """Give the hash as a RECORD writes it: base64 for URLs, without padding (PEP 376)."""
    return _HASHED + base64.urlsafe_b64encode(bytes.fromhex(sha256(path))).rstrip(b"=").decode()


def _prune(folder: Path, stop: Path) -> None:
    """Remove a folder that is empty, or holds empty folders of bytecode, and those above it to ``stop``."""
    while folder != stop and folder.is_relative_to(stop):
        for cache in folder.glob("__pycache__"):
            with suppress(OSError):
                cache.rmdir()
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
