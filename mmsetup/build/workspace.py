"""The private folder of one build, which does not outlive the build for long.

A build holds an advisory lock on a file beside its folder. The kernel drops that lock with the process,
however it ends, so a folder whose lock can be had belongs to nobody: the next build removes it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmsetup.files import CACHE_ELSEWHERE, writing

__all__ = ["remove_stale", "workspace"]

_LOCK = ".lock"


@contextmanager
def workspace(root: Path, name: str) -> Iterator[Path]:
    """Give a new folder below ``root`` and remove it afterwards; first remove those of killed builds.

    Raises:
        DiskSpaceError, TargetError: it cannot be made.
    """
    remove_stale(root)
    with writing(root, remedy=CACHE_ELSEWHERE):
        while True:
            folder = root / f"{name}-{secrets.token_hex(4)}"
            lock = folder.with_name(folder.name + _LOCK)
            handle = _locked(lock)
            if handle is not None:
                break
    try:
        with writing(root, remedy=CACHE_ELSEWHERE):
            folder.mkdir(mode=0o700)
        yield folder
    finally:
        _remove(folder, lock, handle)


def remove_stale(root: Path) -> tuple[str, ...]:
    """Remove the folders below ``root`` whose builds are gone; give their names.

    What cannot be removed stays: it is in nobody's way. On Windows nothing is built and nothing removed.
    """
    removed = []
    if sys.platform == "win32":
        return ()
    for folder in sorted({path.with_name(path.name.removesuffix(_LOCK)) for path in _entries(root)}):
        lock = folder.with_name(folder.name + _LOCK)
        try:
            handle = _locked(lock)
        except OSError:
            continue
        if handle is not None:
            _remove(folder, lock, handle)
            removed.append(folder.name)
    return tuple(removed)


def _entries(root: Path) -> list[Path]:
    try:
        return list(root.iterdir())
    except OSError:
        return []


def _locked(lock: Path) -> int | None:
    """Take the lock; give nothing when another has it, or has removed the file in the meantime."""
    import fcntl  # noqa: PLC0415 (absent on Windows, where everything but a build works)

    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if lock.stat().st_ino == os.fstat(handle).st_ino:
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(handle)
    return None


def _remove(folder: Path, lock: Path, handle: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        if not folder.exists():
            lock.unlink(missing_ok=True)
    os.close(handle)
