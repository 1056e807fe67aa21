"""The folder of an environment: what is there now, who may work on it, and what an earlier run left."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from mmsetup.errors import BusyError, TargetError
from mmsetup.paths import manifest_folder, target_lock

__all__ = ["Target", "examine", "held", "recover", "staged", "staging_folder", "swap"]

_MARK = ".made-by-mmsetup"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@dataclass(frozen=True, slots=True)
class Target:
    """A folder; ``state`` is ``absent`` (nothing, or empty), ``ours`` (mmsetup made it) or ``foreign``."""

    path: Path
    state: str


def examine(path: Path) -> Target:
    """Look at a target before any work is done for it.

    Raises:
        TargetError: it is a file, a folder with something else in it, a mount point, what mmsetup runs from,
            cannot be looked at, or its parent cannot be written to.
    """
    try:
        return _examined(path.expanduser().resolve())
    except (OSError, RuntimeError) as error:
        raise TargetError(
            f"{path} cannot be looked at: {getattr(error, 'strerror', None) or error}",
            remedy="mmsetup install --env DIR",
        ) from error


def _examined(target: Path) -> Target:
    parent = next((folder for folder in target.parents if folder.exists()), target)
    if not parent.is_dir():
        raise TargetError(
            f"{parent} is a file: {target} cannot be made in it", remedy="mmsetup install --env DIR"
        )
    if target == parent or os.path.ismount(target):
        raise TargetError(
            f"{target} is the root of a file system, which cannot be exchanged for another folder",
            remedy=f"mmsetup install --env {target / 'env'}",
        )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise TargetError(
            f"the folder {parent} cannot be written to",
            remedy=f"mmsetup install --env DIR  # or: chmod u+w {parent}",
        )
    if target == Path(sys.prefix).resolve():
        raise TargetError(
            f"mmsetup itself runs from {target}, which would be exchanged under its feet",
            remedy=shlex.join(["mmsetup", "install", "--env", f"{target}-stack"]),
        )
    if not target.exists():
        return Target(target, "absent")
    if not target.is_dir():
        raise TargetError(f"{target} is a file, not a folder", remedy="mmsetup install --env DIR")
    if not os.access(target, os.R_OK | os.W_OK | os.X_OK):
        raise TargetError(f"{target} cannot be read or written", remedy=f"chmod -R u+rwX {target}")
    if not any(target.iterdir()):
        return Target(target, "absent")
    if not (target / "pyvenv.cfg").is_file():
        raise TargetError(
            f"{target} is a folder that holds something else than a virtual environment",
            remedy="mmsetup install --env DIR  # an empty or new folder",
        )
    return Target(target, "ours" if manifest_folder(target).is_dir() else "foreign")


@contextlib.contextmanager
def held(target: Path, *, wait: bool, told: Callable[[str], None]) -> Iterator[None]:
    """Hold the target against other runs; the kernel gives it back when this process dies.

    ``told`` is called once with who holds it when there is something to wait for.

    Raises:
        BusyError: another run holds it and ``wait`` is false.
    """
    path = target_lock(target)
    lock = FileLock(path)
    owner = path.with_suffix(".owner")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = _owner(owner)
        if not wait:
            raise BusyError(
                f"another mmsetup works on {target}: {who}", remedy="wait for it, or leave --no-wait away"
            ) from None
        told(f"another mmsetup works on {target}: {who}; waiting for it")
        lock.acquire()
    try:
        owner.write_text(f"process {os.getpid()}, since {time.strftime('%H:%M:%S')}", encoding="utf-8")
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def _owner(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return "a process that did not say which"


def staging_folder(target: Path) -> Path:
    """Give the folder beside the target in which everything is made."""
    return target.with_name(f"{target.name}.mmsetup")


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Make the staging folder and keep it from others; it is removed in the end, whatever happened.

    When an exchange broke off half way, what was there before is back in its place afterwards.

    Raises:
        OSError: it cannot be made.
    """
    staging = staging_folder(target)
    made = [folder for folder in target.parents if not folder.exists()]
    staging.mkdir(parents=True)
    with _only_ours(staging):
        (staging / _MARK).write_text("mmsetup makes an environment here and removes this folder.\n")
        (staging / ".gitignore").write_text("*\n")
        try:
            yield staging
        finally:
            with contextlib.suppress(OSError):
                _put_back(staging, target)
                _clear(staging)
            if not target.exists():
                for folder in made:
                    with contextlib.suppress(OSError):
                        folder.rmdir()


def recover(target: Path) -> str:
    """Undo what a run that was killed left behind; say in words what was done, or nothing.

    To be called by the holder of the target. The environment that was there before is back afterwards, or
    the new one is in place and whole: the exchange itself is a single step of the kernel.

    Raises:
        TargetError: what has the name of the staging folder was not made by mmsetup.
        BusyError: a run that shares the folder, but not this user's state, is at work in it.
    """
    staging = staging_folder(target)
    if not staging.exists():
        return ""
    if not staging.is_dir() or (any(staging.iterdir()) and not (staging / _MARK).is_file()):
        raise TargetError(
            f"{staging} is in the way, and mmsetup did not make it",
            remedy=f"mmsetup install --env DIR  # or: mv {staging} elsewhere",
        )
    with _only_ours(staging):
        words = "an earlier run was interrupted; what it left was removed"
        if _put_back(staging, target):
            words = "an earlier run was interrupted; the environment from before was put back"
        _clear(staging)
    return words


@contextlib.contextmanager
def _only_ours(staging: Path) -> Iterator[None]:
    """Hold a lock on the folder itself, the one that other users and containers that share it see."""
    if sys.platform == "win32":
        yield
        return
    import fcntl  # noqa: PLC0415 (not on every platform)

    handle = os.open(staging, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BusyError(
            f"another mmsetup works in {staging}", remedy="wait for it, then run the same command again"
        ) from None
    finally:
        os.close(handle)


def _put_back(staging: Path, target: Path) -> bool:
    old = staging / "old"
    if not old.exists() or target.exists():
        return False
    old.rename(target)
    return True


def _clear(staging: Path) -> None:
    """Remove the staging folder, its mark last: killed half way, what is left is still known to be ours."""
    for child in staging.iterdir():
        if child.name != _MARK:
            remove(child)
    remove(staging)


def swap(new: Path, target: Path) -> None:
    """Put the new environment in the target's place.

    What was there before lies in ``new``'s place afterwards, or in ``old`` beside it.
    """
    if not target.exists():
        new.rename(target)
        return
    if not any(target.iterdir()):
        target.rmdir()
        new.rename(target)
        return
    if _exchange(new, target):
        return
    target.rename(new.with_name("old"))
    new.rename(target)


def _exchange(one: Path, other: Path) -> bool:
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    done = libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if done == 0:
        return True
    if ctypes.get_errno() in {errno.EINVAL, errno.ENOSYS}:
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))


def remove(folder: Path) -> None:
    """Remove a folder of mmsetup's own; a folder inside that may not be written to is no obstacle.

    Raises:
        OSError: something in it belongs to another user.
    """
    if not folder.is_dir() or folder.is_symlink():
        folder.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(folder)
    except OSError:
        _open_up(folder)
        shutil.rmtree(folder)


def _open_up(folder: Path) -> None:
    folder.chmod(0o700)
    for child in folder.iterdir():
        if child.is_dir() and not child.is_symlink():
            _open_up(child)
