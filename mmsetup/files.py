"""Files: the sha256 of one, a copy of one, and the words for what cannot be written."""

from __future__ import annotations

import errno
import hashlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmsetup.errors import FULL, DiskSpaceError, TargetError

__all__ = [
    "CACHE_ELSEWHERE",
    "STATE_ELSEWHERE",
    "copy",
    "refuse_unwritable",
    "refuse_unwritable_file",
    "sha256",
    "write_whole",
    "writing",
]

CACHE_ELSEWHERE = "export MMSETUP_CACHE_DIR=DIR  # a folder on a larger disk, that can be written to"
STATE_ELSEWHERE = "export MMSETUP_STATE_DIR=DIR  # a folder on a larger disk, that can be written to"

_CHUNK = 1 << 20


def sha256(path: Path) -> str:
    """Give the sha256 of a file in hexadecimal; a file of any size takes 1 MiB of memory.

    Raises:
        OSError: it cannot be read.
    """
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()


def copy(source: Path, target: Path) -> None:
    """Copy a file at once or not at all, readable as new files are; make the folders that are not there.

    Raises:
        DiskSpaceError, TargetError: as :func:`writing`.
    """
    with writing(target, remedy=f"take it from {shlex.quote(str(source))}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as private:
            whole = Path(private, target.name)
            shutil.copyfile(source, whole)
            whole.replace(target)


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder into which nothing could be written, before work is done for it; nothing is made.

    Raises:
        TargetError: something that is no folder is in its place, or the user may not write there.
    """
    there = next((place for place in (folder, *folder.absolute().parents) if os.path.lexists(place)), folder)
    if not there.is_dir():
        why = f"{there} is no folder"
    elif not os.access(there, os.W_OK | os.X_OK):
        why = f"{there} cannot be written to"
    else:
        return
    raise TargetError(f"nothing can be put into {folder}: {why}", remedy=f"ls -ld {shlex.quote(str(there))}")


def refuse_unwritable_file(place: Path, *, remedy: str) -> None:
    """Refuse a file that could not be written, before work is done for it; nothing is made.

    Raises:
        TargetError: a folder is in its place, its folder is not there, or the user may not write there.
    """
    with writing(place, remedy=remedy):
        folder = place.resolve().parent
        if place.is_dir():
            why = "it is a folder"
        elif not folder.is_dir():
            why = f"there is no folder {place.parent}"
        elif not os.access(folder if _is_replaceable(place) else place, os.W_OK):
            why = os.strerror(errno.EACCES)
        else:
            return
    raise TargetError(f"cannot write to {place}: {why}", remedy=remedy)


def write_whole(place: Path, text: str, *, remedy: str) -> None:
    """Write a file at once or not at all; into what is no plain file (``/dev/stdout``, a pipe) as it comes.

    Raises:
        DiskSpaceError, TargetError: as :func:`writing`; the message names ``place``.
    """
    refuse_unwritable_file(place, remedy=remedy)
    with writing(place, remedy=remedy):
        try:
            if not _is_replaceable(place):
                place.write_text(text, encoding="utf-8")
                return
            whole = place.resolve()
            partial = whole.with_name(f".{whole.name}.{os.getpid()}")
            try:
                partial.write_text(text, encoding="utf-8")
                partial.replace(whole)
            finally:
                partial.unlink(missing_ok=True)
        except OSError as error:
            # The system names the file beside it, which the user knows nothing of.
            raise OSError(error.errno, error.strerror) from error


def _is_replaceable(place: Path) -> bool:
    return place.is_file() or not place.exists()


@contextmanager
def writing(place: Path | str, *, remedy: str) -> Iterator[None]:
    """Turn what the system says about writing to ``place`` into an error with a remedy.

    Where the system names the file itself, the message does too.

    Raises:
        DiskSpaceError: the disk, or the user's share of it, is full.
        TargetError: it cannot be written for another reason: permissions, a read-only disk.
    """
    try:
        yield
    except OSError as error:
        where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else place
        what = error.strerror or str(error)
        kind = DiskSpaceError if error.errno in FULL else TargetError
        raise kind(f"cannot write to {where}: {what}", remedy=remedy) from error
