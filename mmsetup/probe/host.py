"""Where a probe reads from: the root of the file system and the environment variables, both replaceable."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Host"]


@dataclass(frozen=True, slots=True)
class Host:
    """The files below ``root`` and the variables in ``environ``; what cannot be read is empty, no error."""

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def path(self, absolute: str | os.PathLike[str]) -> Path:
        """Give the place of a file that a machine has at ``absolute``."""
        return self.root / os.fspath(absolute).lstrip("/")

    def text(self, absolute: str | os.PathLike[str]) -> str:
        """Read a file, with every byte that is no UTF-8 replaced; empty when it cannot be read."""
        try:
            return self.path(absolute).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def number(self, absolute: str | os.PathLike[str]) -> int | None:
        """Read a file that holds one whole number; ``None`` when it holds anything else (``max``)."""
        text = self.text(absolute).strip()
        return int(text) if text.removeprefix("-").isdecimal() and text.isascii() else None

    def exists(self, absolute: str) -> bool:
        """Say whether the file is there and may be seen."""
        return os.path.exists(self.path(absolute))  # noqa: PTH110 (Path.exists raises where a parent is closed)

    def names(self, absolute: str) -> tuple[str, ...]:
        """List a folder in order; empty when it cannot be listed."""
        try:
            return tuple(sorted(os.listdir(self.path(absolute))))  # noqa: PTH208 (names alone are wanted)
        except OSError:
            return ()

    def search_path(self) -> Iterator[Path]:
        """Give the folders of the search path, each once, without the relative ones."""
        seen = dict.fromkeys(self.environ.get("PATH", "").split(os.pathsep))
        return (Path(entry) for entry in seen if entry and Path(entry).is_absolute())

    def which(self, name: str) -> Path | None:
        """Find a program on the search path."""
        found = shutil.which(name, path=self.environ.get("PATH", ""))
        return Path(found) if found else None

    def home(self) -> Path:
        """Give the user's home folder, or the root where there is none."""
        return Path(self.environ.get("HOME") or self.environ.get("USERPROFILE") or self.root)
