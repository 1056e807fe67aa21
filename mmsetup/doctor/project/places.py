"""Paths that a configuration names: any text may be one, and this user may not look everywhere."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["at", "is_file", "is_folder", "is_there"]


def at(folder: Path, written: str) -> Path:
    """Give where a path that is written in a configuration would be; ``~`` of nobody here stays as it is."""
    try:
        return folder / Path(written).expanduser()
    except RuntimeError:
        return folder / written


def is_there(path: Path) -> bool:
    """Tell whether there is anything; not where the path can be none, or where this user may not look."""
    return os.path.exists(path)  # noqa: PTH110 (pathlib raises for both)


def is_file(path: Path) -> bool:
    """Tell whether it is a file; else as :func:`is_there`."""
    return os.path.isfile(path)  # noqa: PTH113 (as above)


def is_folder(path: Path) -> bool:
    """Tell whether it is a folder; else as :func:`is_there`."""
    return os.path.isdir(path)  # noqa: PTH112 (as above)
