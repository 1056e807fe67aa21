"""Write the pages of a farm beside its wheels, each at once or not at all."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mmsetup.errors import TargetError
from mmsetup.farm.pages import HTML, JSON, cautions, is_ours, pages
from mmsetup.farm.wheels import FarmWheel
from mmsetup.files import writing

__all__ = ["Written", "publish"]

_LOOKED_AT = 4096
_ROOT = re.compile(r"mmcv|simple|(cpu|cu\d+)-torch\d+", re.ASCII)
_ELSEWHERE = "mmsetup index --write DIR  # a folder that can be written to"


@dataclass(frozen=True, slots=True)
class Written:
    """A farm that any web server can serve: its wheels, and its pages by what became of them.

    ``written`` are new or changed, ``unchanged`` were as they should be, ``removed`` were left over from
    wheels that are gone. All are relative to ``folder``.
    """

    folder: Path
    wheels: tuple[FarmWheel, ...]
    written: tuple[PurePosixPath, ...]
    unchanged: tuple[PurePosixPath, ...]
    removed: tuple[PurePosixPath, ...]
    cautions: tuple[str, ...] = ()


def publish(wheels: tuple[FarmWheel, ...], folder: Path) -> Written:
    """Write the pages for ``wheels``, which lie below ``folder``, into it.

    A page that is right already is not touched, one of wheels that are gone is removed, and one that
    somebody else wrote is never replaced. Whoever reads while this writes gets an old page or a new one.

    Raises:
        TargetError: a page of somebody else is in the way, or it cannot be written.
        DiskSpaceError: the disk is full.
    """
    wanted = pages(wheels)
    with writing(folder, remedy=_ELSEWHERE):
        _refuse_foreign(wanted, folder)
        changed = [path for path in wanted if _content(folder / path) != wanted[path]]
        for path in changed:
            _replace(folder / path, wanted[path])
        left_over = sorted(_left_over(folder, wanted))
        for path in left_over:
            _remove(folder, path)
    return Written(
        folder=folder,
        wheels=wheels,
        written=tuple(sorted(changed)),
        unchanged=tuple(sorted(wanted.keys() - set(changed))),
        removed=tuple(left_over),
        cautions=cautions(wheels),
    )


def _refuse_foreign(wanted: Mapping[PurePosixPath, bytes], folder: Path) -> None:
    foreign = [
        str(path)
        for path in wanted
        if (there := _content(folder / path)) is not None and not is_ours(there[:_LOOKED_AT])
    ]
    if foreign:
        first = shlex.quote(str(folder / foreign[0]))
        raise TargetError(
            f"{folder} has pages that something else wrote, such as {foreign[0]}",
            evidence=foreign,
            remedy=f"mv {first} {first}.old  # then run the command again",
        )


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    private = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            # The web server is another user, and mkstemp lets nobody else read.
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            file.flush()
            os.fsync(file.fileno())
        private.replace(path)
    except BaseException:
        private.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _left_over(folder: Path, wanted: Collection[PurePosixPath]) -> Iterator[PurePosixPath]:
    """Give the pages that an earlier run wrote, in the places where it writes alone."""
    for root in sorted(filter(_is_root, folder.iterdir())):
        for place, _, files in os.walk(root):
            for name in {HTML, JSON}.intersection(files):
                path = Path(place, name)
                inside = PurePosixPath(*path.relative_to(folder).parts)
                if inside not in wanted and is_ours((_content(path) or b"")[:_LOOKED_AT]):
                    yield inside


def _is_root(path: Path) -> bool:
    return _ROOT.fullmatch(path.name) is not None and path.is_dir()


def _remove(folder: Path, path: PurePosixPath) -> None:
    """Remove a page, and the folders that it leaves empty."""
    (folder / path).unlink(missing_ok=True)
    with suppress(OSError):
        for parent in list(path.parents)[:-1]:
            (folder / parent).rmdir()
