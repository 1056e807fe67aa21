"""The copy of the catalogue that ``mmsetup catalog update`` put in place, in mmsetup's state folder.

A small record names the folder of the copy. It is written last and replaced in one step, so that a reader
finds the copy before or the one after, and never half of one.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import platformdirs

from mmsetup.catalog.sums import FILES, SUMS
from mmsetup.errors import CatalogError
from mmsetup.files import STATE_ELSEWHERE, writing
from mmsetup.paths import state_folder

__all__ = ["WITHOUT_COPY", "Copy", "forget_copy", "keep_copy", "kept_copy"]

WITHOUT_COPY = "mmsetup catalog update --bundled  # goes back to what mmsetup brings"
"""The command that mends whatever is wrong with a copy."""

_SCHEMA = 1
_RECORD = "copy.json"
_MOST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the catalogue in ``folder``.

    ``date`` is the newest of its files, ``digest`` that of :class:`mmsetup.catalog.Catalog`, ``sums`` the
    sha256 of its ``SHA256SUMS``, ``origin`` where it was taken from.
    """

    folder: Path
    date: str
    digest: str
    sums: str
    origin: str


def kept_copy() -> Copy | None:
    """Give the copy that was put in place.

    Raises:
        CatalogError: its record cannot be read.
    """
    record = _place() / _RECORD
    try:
        return _recorded(record)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CatalogError(
            f"the record of the catalogue's copy, {record}, cannot be read ({error})", remedy=WITHOUT_COPY
        ) from error


def _recorded(record: Path) -> Copy:
    if record.stat().st_size > _MOST_BYTES:
        raise ValueError("it is too large")
    told = json.loads(record.read_bytes())
    if told["schema"] != _SCHEMA:
        raise ValueError(f"schema {told['schema']} is not known")
    name, date, digest, sums, origin = (told[key] for key in ("folder", "date", "digest", "sums", "origin"))
    if not all(isinstance(word, str) for word in (name, date, digest, sums, origin)):
        raise TypeError("it holds something else than words")
    if Path(name).name != name:
        raise ValueError("it names no folder")
    return Copy(record.with_name(name), date, digest, sums, origin)


def keep_copy(copy: Copy) -> Copy:
    """Put what lies in the folder of a copy in place of what was there, and give the copy in its new folder.

    Raises:
        DiskSpaceError, TargetError: the state folder cannot be written.
    """
    from filelock import FileLock  # noqa: PLC0415 (whoever reads a copy needs none)

    place = state_folder("catalog")
    with writing(place, remedy=STATE_ELSEWHERE), FileLock(place / ".lock"):
        folder = Path(tempfile.mkdtemp(prefix=f"{copy.date}-{copy.digest[:12]}-", dir=place))
        try:
            for name in (*FILES, SUMS):
                shutil.copyfile(copy.folder / name, folder / name)
            kept = replace(copy, folder=folder)
            record = json.dumps({"schema": _SCHEMA, **asdict(kept), "folder": folder.name}, indent=1)
            new = folder / _RECORD
            new.write_text(record, encoding="utf-8")
            new.replace(place / _RECORD)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        _clear(place, folder)
    return kept


def forget_copy() -> bool:
    """Remove the copy; tell whether there was one.

    Raises:
        DiskSpaceError, TargetError: it cannot be removed.
    """
    from filelock import FileLock  # noqa: PLC0415 (whoever reads a copy needs none)

    place = _place()
    if not place.is_dir():
        return False
    record = place / _RECORD
    with writing(record, remedy=STATE_ELSEWHERE), FileLock(place / ".lock"):
        was_there = record.is_file()
        record.unlink(missing_ok=True)
        _clear(place, None)
    return was_there


def _clear(place: Path, kept: Path | None) -> None:
    """Remove the folders of other copies; one that cannot be removed is in nobody's way."""
    with suppress(OSError):
        for folder in place.iterdir():
            if folder.is_dir() and folder != kept:
                shutil.rmtree(folder, ignore_errors=True)


def _place() -> Path:
    """Give the folder of copies without making it: to look whether there is one must not write."""
    root = os.environ.get("MMSETUP_STATE_DIR") or platformdirs.user_state_dir("mmsetup", appauthor=False)
    return Path(root) / "catalog"
