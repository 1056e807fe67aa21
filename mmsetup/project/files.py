"""Which files of a project are read, and how much of them."""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mmsetup.errors import RequestError
from mmsetup.project.model import Text

__all__ = ["Reading", "printable"]

_FILES = 5000
_TOTAL = 20 << 20
_LARGEST = 1 << 20
_ENTRIES = 200_000

_SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages", "wandb", "work_dirs", "checkpoints"})
# Folders of images have these names; so have folders of code or of configurations.
_DATA = frozenset({"data", "datasets", "dataset", "outputs", "results", "runs", "logs", "pretrained"})
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_WANTED = re.compile(
    r"""
    .*\.(py|ipynb|sh)
    | [^/]*(requirement|constraint|mminstall)[^/]*\.(txt|in)
    | setup\.cfg | pyproject\.toml
    | [^/]*(env|conda)[^/]*\.ya?ml
    | [^/]*dockerfile[^/]*
    | (readme|install|installation|get_started|getting_started)[^/]*\.(md|rst|txt)
    | readme | install
    """,
    re.VERBOSE,
)


@dataclass
class Reading:
    """Gives the texts of a project one by one; afterwards it says how many and what was left out.

    ``binaries`` are the paths of those that are no text.
    """

    root: Path
    files_read: int = 0
    bytes_read: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    binaries: list[str] = field(default_factory=list)

    def texts(self) -> Iterator[Text]:
        """Read the files near the top first, so that a limit cuts off what matters least.

        Raises:
            RequestError: there is nothing at the path, or it cannot be read.
        """
        try:
            mode = self.root.stat().st_mode
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise _unreadable(self.root, reason) from error
        if stat.S_ISDIR(mode):
            yield from self._below()
        elif stat.S_ISREG(mode):
            yield from self._file(self.root, self.root.name, explicit=True)
        else:
            raise _unreadable(self.root, "it is neither a file nor a folder")

    def _below(self) -> Iterator[Text]:
        waiting = deque([(self.root, "")])
        entries = 0
        while waiting:
            folder, beginning = waiting.popleft()
            try:
                found = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                if not beginning:
                    raise _unreadable(self.root, error.strerror or str(error)) from error
                self.left_out["folders that cannot be read"] += 1
                continue
            names = {entry.name for entry in found}
            if beginning and _is_left_out(beginning.split("/")[-2], names):
                continue
            entries += len(found)
            for entry in found:
                if _is_searched(entry):
                    waiting.append((Path(entry.path), f"{beginning}{entry.name}/"))
                elif _is_wanted(entry, beginning):
                    yield from self._within_limits(entry, beginning)
            if entries > _ENTRIES:
                self.left_out[f"folders beyond the first {_ENTRIES} entries"] += len(waiting)
                return

    def _within_limits(self, entry: os.DirEntry[str], beginning: str) -> Iterator[Text]:
        if self.files_read >= _FILES or self.bytes_read >= _TOTAL:
            self.left_out[f"files beyond the limit of {_FILES} files and {_TOTAL >> 20} MiB"] += 1
        else:
            yield from self._file(Path(entry.path), beginning + entry.name)

    def _file(self, path: Path, relative: str, *, explicit: bool = False) -> Iterator[Text]:
        try:
            with path.open("rb") as file:
                raw = file.read(_LARGEST + 1)
        except OSError as error:
            if explicit:
                raise _unreadable(path, error.strerror or str(error)) from error
            self.left_out["files that cannot be read"] += 1
            return
        if len(raw) > _LARGEST:
            self.left_out["files of more than 1 MiB"] += 1
            return
        text = _decoded(raw)
        if text is None:
            self.left_out["binary files"] += 1
            self.binaries.append(printable(relative))
            return
        self.files_read += 1
        self.bytes_read += len(raw)
        # Not splitlines(), which also splits at form feeds and other marks that end no line of Python.
        lines = re.split(r"\r\n|\r|\n", text)
        yield Text(printable(relative), tuple(lines))


# Links are not followed: what they lead to is read where it is, or is no part of the project.
def _is_searched(entry: os.DirEntry[str]) -> bool:
    if not entry.is_dir(follow_symlinks=False):
        return False
    return not entry.name.startswith(".git") and entry.name not in _SKIPPED


def _is_wanted(entry: os.DirEntry[str], beginning: str) -> bool:
    if not entry.is_file(follow_symlinks=False):
        return False
    inside = beginning.endswith("requirements/") and entry.name.endswith(".txt")
    return inside or _WANTED.fullmatch(entry.name.lower()) is not None


def _is_left_out(name: str, entries: set[str]) -> bool:
    if "pyvenv.cfg" in entries or "conda-meta" in entries:
        return True
    return name.lower() in _DATA and not any(entry.endswith(".py") for entry in entries)


def _decoded(raw: bytes) -> str | None:
    encoding = next((name for mark, name in _MARKS.items() if raw.startswith(mark)), "")
    if not encoding and b"\0" in raw:
        return None
    return raw.decode(encoding or "utf-8", errors="replace").replace("\0", "")


def printable(path: Path | str) -> str:
    """Give a path as text that can be shown: names on disk need not be in any encoding."""
    return os.fspath(path).encode("utf-8", errors="replace").decode()


def _unreadable(path: Path, reason: str) -> RequestError:
    return RequestError(
        f"cannot read the project {printable(path)!r}: {reason}",
        remedy="mmsetup plan --for FOLDER  # or a file of the project, that can be read",
    )
