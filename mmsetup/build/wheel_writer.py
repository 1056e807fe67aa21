"""Write a wheel from the members of another one: the same input gives the same bytes.

Format: the binary distribution format (PEP 427, PEP 376).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mmsetup.binary.archive import damaged

__all__ = ["RECIPE_FILE", "WheelWriter", "members", "opened", "with_version"]

RECIPE_FILE = "mmsetup-recipe.json"
"""The file in ``.dist-info`` that tells what a wheel was made from."""

_CHUNK = 1 << 20
_FIRST_OF_ZIP = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_WRITTEN_ANEW = ("RECORD", "RECORD.jws", "RECORD.p7s", RECIPE_FILE)
_REGULAR = 0o100000
_ANY_MAY_RUN = 0o111


class WheelWriter:
    """Writes members that show nothing of the machine, and remembers them for RECORD."""

    def __init__(self, out: zipfile.ZipFile) -> None:
        self._out = out
        self._rows: list[tuple[str, str, str]] = []

    def text(self, name: str, content: bytes) -> None:
        """Write a member of this content."""
        self._write(_member(name, len(content)), io.BytesIO(content))

    def copy(self, name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        """Write a member of another wheel under a name."""
        may_run = bool(member.external_attr >> 16 & _ANY_MAY_RUN)
        with archive.open(member) as content:
            self._write(_member(name, member.file_size, may_run=may_run), content)

    def record(self, name: str) -> None:
        """Write the list of all that was written before."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*self._rows, (name, "", "")])
        self.text(name, text.getvalue().encode())

    def _write(self, info: zipfile.ZipInfo, content: IO[bytes]) -> None:
        digest = hashlib.sha256()
        size = info.file_size
        with self._out.open(info, "w") as target:
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
        encoded = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
        self._rows.append((info.filename, f"sha256={encoded}", str(size)))


def _member(name: str, size: int, *, may_run: bool = False) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _FIRST_OF_ZIP)
    info.file_size = size
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = _UNIX
    info.external_attr = (_REGULAR | (0o755 if may_run else 0o644)) << 16
    return info


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a wheel to read it.

    Raises:
        IntegrityError: it is no zip file, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise damaged(path, str(error) or type(error).__name__) from error


def members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Give the files in the order of names, the metadata last, without what is written anew."""
    kept = []
    for one in archive.infolist():
        top, _, rest = one.filename.partition("/")
        is_metadata = top.endswith(".dist-info")
        if not one.is_dir() and not (is_metadata and rest in _WRITTEN_ANEW):
            kept.append((is_metadata, one.filename, one))
    return [one for _, _, one in sorted(kept, key=lambda told: told[:2])]


def with_version(metadata: bytes, version: str) -> bytes:
    """Give ``METADATA`` with another version."""
    head, empty, body = metadata.partition(b"\n\n")
    return re.sub(rb"(?mi)^(Version:).*$", rb"\1 " + version.encode(), head, count=1) + empty + body
