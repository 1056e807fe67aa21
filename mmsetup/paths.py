"""Where mmsetup keeps what it makes: caches, state, and the names inside an environment.

``MMSETUP_CACHE_DIR`` and ``MMSETUP_STATE_DIR`` move the two folders; nothing that is kept in the cache is
ever needed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import platformdirs

from mmsetup.errors import TargetError

__all__ = ["cache_folder", "is_kept_by_mmsetup", "manifest_folder", "state_folder", "target_lock"]


def cache_folder(*parts: str) -> Path:
    """Give the folder ``parts`` below the cache; it is made when it is not there.

    Raises:
        TargetError: it cannot be made.
    """
    return _made(_cache_root().joinpath(*parts), "MMSETUP_CACHE_DIR")


def state_folder(*parts: str) -> Path:
    """Give the folder ``parts`` below the state (locks, logs); it is made when it is not there.

    Raises:
        TargetError: it cannot be made.
    """
    return _made(_state_root().joinpath(*parts), "MMSETUP_STATE_DIR")


def is_kept_by_mmsetup(path: Path) -> bool:
    """Tell whether an absolute path lies in the cache or in the state; nothing is made."""
    return any(path.is_relative_to(root.absolute()) for root in (_cache_root(), _state_root()))


def manifest_folder(environment: Path) -> Path:
    """Give the folder inside an environment in which mmsetup records what it did; it need not exist."""
    return environment / ".mmsetup"


def target_lock(target: Path) -> Path:
    """Give the lock file that guards ``target``, the same for every spelling of its path."""
    digest = hashlib.sha256(os.fsencode(target.resolve())).hexdigest()[:16]
    return state_folder("locks") / f"{target.name}-{digest}.lock"


def _cache_root() -> Path:
    return Path(
        os.environ.get("MMSETUP_CACHE_DIR") or platformdirs.user_cache_dir("mmsetup", appauthor=False)
    )


def _state_root() -> Path:
    return Path(
        os.environ.get("MMSETUP_STATE_DIR") or platformdirs.user_state_dir("mmsetup", appauthor=False)
    )


def _made(folder: Path, variable: str) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(
            f"the folder {folder} cannot be made: {error.strerror}",
            remedy=f"set {variable} to a folder that can be written to",
        ) from error
    return folder
