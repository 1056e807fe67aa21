"""The private folder of one build, which does not outlive the build for long.

A build holds an advisory lock on a file beside its folder. The kernel drops that lock with the process,
however it ends, so a folder whose lock can be had belongs to nobody: the next build removes it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["remove_stale", "workspace"]

_LOCK = ".lock"


@contextmanager
def workspace(root: Path, name: str) -> Iterator[Path]:
    """Give a new folder below ``root`` and remove it afterwards; first remove those of killed builds."""
    remove_stale(root)
    while True:
        folder = root / f"{name}-{secrets.token_hex(4)}"
        lock = folder.with_name(folder.name + _LOCK)
        handle = _locked(lock)
        if handle is not None:
            break
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        _remove(folder, lock, handle)


def remove_stale(root: Path) -> tuple[str, ...]:
    """Remove the folders below ``root`` whose builds are gone; give their names."""
    removed = []
    for folder in sorted({path.with_name(path.name.removesuffix(_LOCK)) for path in root.iterdir()}):
        lock = folder.with_name(folder.name + _LOCK)
        handle = _locked(lock)
        if handle is not None:
            _remove(folder, lock, handle)
            removed.append(folder.name)
    return tuple(removed)


def _locked(lock: Path) -> int | None:
    """Take the lock; give nothing when another has it, or has removed the file in the meantime."""
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
    if not folder.exists():
        lock.unlink(missing_ok=True)
    os.close(handle)
