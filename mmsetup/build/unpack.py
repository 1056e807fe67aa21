"""Unpack a source distribution without trusting it."""

from __future__ import annotations

import gzip
import lzma
import shlex
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from mmsetup.errors import IntegrityError
from mmsetup.files import CACHE_ELSEWHERE, writing

__all__ = ["unpack"]

_MOST_BYTES = 4 << 30
_MOST_FILES = 200_000


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack the ``.tar.gz`` at ``sdist`` into ``folder`` and give the one folder that it holds.

    Only plain files and folders are accepted, with paths inside the archive's own folder. The filters of
    :mod:`tarfile` would do the same, but not every Python 3.10 has them.

    Raises:
        IntegrityError: it is damaged, holds something else, or unpacks to more than 4 GiB.
        DiskSpaceError, TargetError: ``folder`` cannot be written.
    """
    with writing(folder, remedy=CACHE_ELSEWHERE):
        return _unpack(sdist, folder)


def _unpack(sdist: Path, folder: Path) -> Path:
    tops: set[str] = set()
    left, files = _MOST_BYTES, _MOST_FILES
    try:
        with tarfile.open(sdist) as archive:
            for member in archive:
                parts = PurePosixPath(member.name).parts
                if member.name.startswith("/") or not parts or ".." in parts or "\\" in member.name:
                    raise _bad(sdist, f"it names a path outside itself: {member.name!r}")
                left, files = left - member.size, files - 1
                if left < 0 or files < 0:
                    raise _bad(sdist, "it unpacks to more than any source distribution")
                tops.add(parts[0])
                place = folder.joinpath(*parts)
                if member.isdir():
                    place.mkdir(parents=True, exist_ok=True)
                elif member.isfile():
                    _write(archive, member, place)
                else:
                    raise _bad(sdist, f"it holds a link or a device: {member.name!r}")
    except (tarfile.TarError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError, ValueError) as error:
        raise _bad(sdist, str(error)) from error
    if len(tops) != 1:
        raise _bad(sdist, f"it holds {len(tops)} folders instead of one")
    return folder / tops.pop()


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    source = archive.extractfile(member)
    if source is None:
        raise AssertionError
    place.parent.mkdir(parents=True, exist_ok=True)
    with source, place.open("wb") as target:
        shutil.copyfileobj(source, target)
    place.chmod(0o755 if member.mode & 0o100 else 0o644)


def _bad(sdist: Path, what: str) -> IntegrityError:
    return IntegrityError(
        f"{sdist.name} is not a usable source distribution: {what}",
        remedy=f"rm {shlex.quote(str(sdist))}  # then run the command again: it is fetched anew",
    )
