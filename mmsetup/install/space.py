"""Find out before a download whether there is room for it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from mmsetup import uv
from mmsetup.errors import DiskSpaceError, MmsetupError
from mmsetup.lock import Lock
from mmsetup.lock.model import requirement_lines

__all__ = ["disk_needed", "ensure_space", "is_cached"]

# uv unpacks each wheel once, into its cache; torch 1.13.1 with its CUDA libraries takes twice its size.
_UNPACKED = 2.5
_MARGIN_BYTES = 512 * 1024**2


def disk_needed(lock: Lock) -> int:
    """Estimate the bytes that an install takes on an empty cache, with room for a build."""
    return int(lock.download_bytes * _UNPACKED) + _MARGIN_BYTES


def ensure_space(
    lock: Lock,
    folders: Sequence[Path],
    *,
    free: Callable[[Path], int] | None = None,
    cached: Callable[[], bool] = lambda: False,
) -> None:
    """Check that each of the file systems has room.

    ``free`` gives the free bytes where a folder is (default: asked of the file system). ``cached`` is asked
    only where there is too little: with all files in uv's cache and on one file system, they are linked from
    there and take no room.

    Raises:
        DiskSpaceError: there is less than :func:`disk_needed`.
    """
    places = [next(parent for parent in (folder, *folder.parents) if parent.exists()) for folder in folders]
    left = {place: (free or _free)(place) for place in places}
    needed = disk_needed(lock)
    if min(left.values()) < needed and len({place.stat().st_dev for place in places}) == 1 and cached():
        needed = _MARGIN_BYTES
    for place, room in left.items():
        if room < needed:
            raise DiskSpaceError(
                f"{place} has {room / 1e9:.1f} GB free, the install needs about {needed / 1e9:.1f} GB",
                remedy="uv cache prune  # or another disk: --env DIR and UV_CACHE_DIR",
            )


def is_cached(lock: Lock, interpreter: Path) -> bool:
    """Tell whether uv could install all but the built ops without a download."""
    built = lock.build.name if lock.build else ""
    lines = requirement_lines(package for package in lock.packages if package.name != built)
    with tempfile.TemporaryDirectory(prefix="mmsetup-space-") as made:
        pins = Path(made) / "requirements.txt"
        pins.write_text("\n".join(lines) + "\n", encoding="utf-8")
        where: list[str | Path] = ["--python", interpreter, "--target", Path(made) / "target"]
        try:
            told = uv.call(
                ["pip", "sync", "--dry-run", "--require-hashes", *lock.no_other_builds, *where, pins],
                "look into uv's cache",
                offline=True,
            )
        except MmsetupError:
            return False
    return "Would download" not in told.stderr + told.stdout


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free
