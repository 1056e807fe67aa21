"""MM107: what of an environment this user may not read."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from mmsetup.doctor.context import Context
from mmsetup.doctor.model import Observation, check

__all__ = ["closed_paths", "unreadable"]

_MOST_NAMED = 6
# Below that lies data; a walk of all of it takes three times as long.
_DEPTH = 3
_METADATA = (".dist-info", ".egg-info")
_CODE = (".py", ".so", ".pth")


@check(
    "MM107",
    title="This user may not read the environment",
    cause="Another user installed into it: root with a umask of 077, pip under sudo, or files copied "
    "together with their modes. For the one who installed it, it works.",
    looks_at="Whether this user may open the modules, compiled files and folders in site-packages, to the "
    "third level, and the metadata of each distribution.",
    remedy="Give everybody the right to read it, as the user whom the files belong to: chmod -R a+rX.",
)
def unreadable(context: Context) -> Iterator[Observation]:
    """Observe code that cannot be opened as an error, metadata alone as a warning."""
    closed = closed_paths(context)
    if not closed:
        return
    is_code = any(not path.parent.name.endswith(_METADATA) for path in closed)
    more = (f"… and {len(closed) - _MOST_NAMED} more",) if len(closed) > _MOST_NAMED else ()
    yield Observation(
        "error" if is_code else "warning",
        f"{len(closed)} file(s) and folder(s) cannot be read by this user",
        (*(_described(path) for path in closed[:_MOST_NAMED]), *more),
        _remedy(context.environment.prefix, closed[0]),
    )


def closed_paths(context: Context) -> tuple[Path, ...]:
    """Give the files and folders in site-packages that this user may not open."""
    folders = [folder for folder in context.environment.site_packages if folder.is_dir()]
    return tuple(sorted({path for folder in folders for path in _closed(folder, _DEPTH)}))


def _closed(folder: Path | str, depth: int) -> Iterator[Path]:
    """Give what may not be opened: modules, libraries, metadata, and folders that may not be entered."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if entry.name == "__pycache__":
                continue
            if not os.access(entry.path, os.R_OK | os.X_OK):
                yield Path(entry.path)
            elif depth > 1:
                yield from _closed(entry.path, depth - 1)
        elif _is_read(os.fspath(folder), entry.name) and _is_closed(entry.path):
            yield Path(entry.path)


def _is_read(folder: str, name: str) -> bool:
    return name.endswith(_CODE) or ".so." in name or folder.endswith(_METADATA)


def _is_closed(path: str) -> bool:
    return not os.access(path, os.R_OK) and not _is_dangling(Path(path))


def _is_dangling(path: Path) -> bool:
    """Tell whether it is a link to nothing, or gone by now: no matter of permission."""
    try:
        return not path.exists()
    except PermissionError:
        return False


def _described(path: Path) -> str:
    try:
        about = path.lstat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    return f"{path}: of user {about.st_uid}, mode {about.st_mode & 0o7777:03o}"


def _remedy(prefix: Path, path: Path) -> str:
    """Word the command for who may give the right: this user, else the one whom it belongs to."""
    words = f"chmod -R a+rX {shlex.quote(str(prefix))}"
    try:
        owner = path.lstat().st_uid
    except OSError:
        return words
    return words if owner == os.geteuid() else f"sudo -u '#{owner}' {words}"
