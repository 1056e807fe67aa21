"""Answers that hold for as long as the files that they came from stay the same.

They are kept in mmsetup's cache, one small file each. The cache only saves time: where it cannot be read or
written, the answer is found again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmsetup.errors import TargetError
from mmsetup.paths import cache_folder

__all__ = ["Key", "key", "recall", "remember"]

Key = tuple[str, str]


def key(kind: str, form: int, files: Sequence[Path]) -> Key:
    """Make the key of an answer of one ``kind`` about ``files``: their real paths, times of change and sizes.

    ``form`` is raised when the shape of the answer changes.

    Raises:
        OSError: one of the files is not there.
    """
    digest = hashlib.sha256(f"{kind} {form}".encode())
    for file in files:
        state = file.stat()
        digest.update(
            f"\0{os.path.realpath(file)}\0{state.st_mtime_ns}\0{state.st_size}".encode(
                errors="surrogateescape"
            )
        )
    return kind, digest.hexdigest()[:32]


def recall(of: Key) -> dict[str, Any] | None:
    """Give the answer that was remembered; ``None`` when there is none or it cannot be read."""
    try:
        value = json.loads(_file(of).read_text(encoding="utf-8"))
    except (OSError, ValueError, TargetError):
        return None
    return value if isinstance(value, dict) else None


def remember(of: Key, answer: dict[str, Any]) -> None:
    """Keep an answer; another process sees all of it or nothing."""
    with contextlib.suppress(OSError, TargetError):
        place = _file(of)
        handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=".", suffix=".json")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(answer, file)
            Path(temporary).replace(place)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise


def _file(of: Key) -> Path:
    kind, digest = of
    return cache_folder(kind) / f"{digest}.json"
