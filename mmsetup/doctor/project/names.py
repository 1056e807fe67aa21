"""Which names the sources of packages define and register, read as text: nothing is imported."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Names", "names_in", "names_of_text"]

# Each begins with a word, as what begins with blanks is looked for ten times as long, and none is longer
# than people write: of a thousand that nothing closes, each would be read to the end of the file.
_CLASS = re.compile(r"class[ \t]+(\w+)[ \t]*[(:]")
_FUNCTION = re.compile(r"def[ \t]+(\w+)[ \t]*\(")
_REGISTERING = re.compile(r"register_module\(((?:[^()]|\([^()]{0,500}\)){0,2000})\)")
_DECORATED = re.compile(
    r"\.register_module\((?:[^()]|\([^()]{0,500}\)){0,2000}\)[ \t]*(?:#[^\n]*)?\n"
    r"(?:[ \t]*@[^\n]*\n)*[ \t]*(?:class|def)[ \t]+(\w+)",
)
_QUOTED = re.compile(r"['\"]([\w.\-/]+)['\"]")
_OF_MODULE = re.compile(r"\bmodule\s*=\s*(?:\w+\.)*(\w+)")
_OF_TORCH = re.compile(r"nn\.([A-Z]\w+)")
_LARGEST = 1 << 20
_MOST_FILES = 5000


@dataclass(frozen=True, slots=True)
class Names:
    """``registered`` are those that a registry is told of, ``own`` the classes and functions.

    ``is_whole``: there is nothing that this user may not read.
    """

    registered: frozenset[str]
    own: frozenset[str]
    is_whole: bool = True

    @property
    def defined(self) -> frozenset[str]:
        """Give all of them."""
        return self.own | self.registered


def names_of_text(source: str) -> Names:
    """Read the names in one file.

    A registration in a loop (``for module in [nn.ReLU, ...]``) registers what the file takes from ``nn``.
    """
    defined = frozenset((*_CLASS.findall(source), *_FUNCTION.findall(source)))
    registered: set[str] = set()
    if "register_module" in source:
        registered.update(_DECORATED.findall(source))
        for arguments in _REGISTERING.findall(source):
            registered.update(_QUOTED.findall(arguments))
            registered.update(_OF_MODULE.findall(arguments))
        registered.update(_OF_TORCH.findall(source))
    return Names(frozenset(registered), defined)


def names_in(folder: Path) -> Names:
    """Read the names in a package; files that cannot be read have none."""
    registered: set[str] = set()
    defined: set[str] = set()
    closed: list[OSError] = []
    for source in _sources(folder, closed):
        found = names_of_text(source)
        registered |= found.registered
        defined |= found.own
    is_whole = not any(isinstance(error, PermissionError) for error in closed)
    return Names(frozenset(registered), frozenset(defined), is_whole)


def _sources(folder: Path, closed: list[OSError]) -> Iterator[str]:
    seen = 0
    for place, folders, files in os.walk(folder, onerror=closed.append):
        folders[:] = sorted(one for one in folders if not one.startswith(".") and one != "site-packages")
        for name in sorted(files):
            if name.startswith(".") or not name.endswith(".py"):
                continue
            seen += 1
            if seen > _MOST_FILES:
                return
            path = Path(place, name)
            try:
                if path.stat().st_size <= _LARGEST:
                    yield path.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                closed.append(error)
