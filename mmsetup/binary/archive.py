"""Look into a zip archive that nobody vouches for: its members, with bounds on what it may cost to read them.

An archive says itself how large its list of members is and to what they unpack. Both are compared with what
it weighs before anything is read: a list of millions of members costs gigabytes of memory as soon as it is
opened, and deflate makes 1 KiB out of a byte. The layout is that of PKWARE's APPNOTE, sections 4.3.12 to
4.3.16.
"""

from __future__ import annotations

import shlex
import stat
import struct
import zipfile
from pathlib import Path, PurePosixPath

from mmsetup.errors import IntegrityError

__all__ = ["damaged", "members", "refuse_long_lists"]

_END = struct.Struct("<4sHHHHIIH")
_END_64 = struct.Struct("<4sQHHIIQQQQ")
_END_MARK, _END_64_MARK = b"PK\5\6", b"PK\6\6"
_LOCATOR_BYTES = 20
_BEFORE = _END_64.size + _LOCATOR_BYTES
_IN_OTHER_RECORD = 0xFFFFFFFF
_LONGEST_COMMENT = 0xFFFF

_MOST_BYTES = 8 << 30
_MOST_FILES = 100_000
_MOST_LIST_BYTES = 64 << 20
# Of the wheels of torch, torchvision, numpy and mmcv none unpacks to more than 6 times its size.
_MOST_TIMES = 100
_ALWAYS_ALLOWED = 64 << 20
_ENCRYPTED = 0x1
# The memory that unpacking takes is stated by the archive itself in the other ways: up to 4 GiB for LZMA.
_WAYS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


def refuse_long_lists(path: Path) -> None:
    """Refuse an archive whose list of members is larger than that of any wheel, before it is opened.

    What is no archive at all passes: opening it says so.

    Raises:
        OSError: it cannot be read.
        IntegrityError: the list is too large.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        start = max(0, size - _END.size - _LONGEST_COMMENT - _BEFORE)
        file.seek(start)
        listed = _listed(file.read())
    if listed > _MOST_LIST_BYTES:
        raise damaged(path, f"its list of members fills {listed} bytes")


def _listed(tail: bytes) -> int:
    """Give the largest size that any record in the end of a file states; which one counts is not guessed."""
    largest = 0
    at = tail.find(_END_MARK)
    while at >= 0:
        if at + _END.size <= len(tail):
            stated = int(_END.unpack_from(tail, at)[5])
            largest = max(largest, stated if stated != _IN_OTHER_RECORD else 0)
        at = tail.find(_END_MARK, at + 1)
    at = tail.find(_END_64_MARK)
    while at >= 0:
        if at + _END_64.size <= len(tail):
            largest = max(largest, int(_END_64.unpack_from(tail, at)[8]))
        at = tail.find(_END_64_MARK, at + 1)
    return largest


def members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Give the files of the archive by name, having refused what no wheel holds.

    Raises:
        IntegrityError: it unpacks to more than any wheel, or a member has a name outside the archive, is a
            link, is encrypted or is there twice.
    """
    found: dict[str, zipfile.ZipInfo] = {}
    infos = archive.infolist()
    total = sum(info.file_size for info in infos)
    if len(infos) > _MOST_FILES or total > _MOST_BYTES:
        raise damaged(path, "it unpacks to more than any wheel")
    if total > _ALWAYS_ALLOWED + _MOST_TIMES * path.stat().st_size:
        raise damaged(path, f"it unpacks to {total} bytes, more than {_MOST_TIMES} times its own size")
    for info in infos:
        name = info.filename
        parts = PurePosixPath(name).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in name or ":" in parts[0]:
            raise damaged(path, f"it names a path outside itself: {name!r}")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise damaged(path, f"it holds a link: {name!r}")
        if info.flag_bits & _ENCRYPTED:
            raise damaged(path, f"it holds an encrypted file: {name!r}")
        if info.compress_type not in _WAYS:
            raise damaged(path, f"it holds {name!r} compressed in a way that wheels do not use")
        if name in found:
            raise damaged(path, f"it holds {name!r} twice")
        if not info.is_dir():
            found[name] = info
    return found


def damaged(path: Path, what: str) -> IntegrityError:
    """Word the error for a wheel that cannot be used."""
    return IntegrityError(
        f"{path.name} is not a usable wheel: {what}",
        remedy=f"rm {shlex.quote(str(path))}  # and have it fetched or built again",
        evidence=(str(path),),
    )
