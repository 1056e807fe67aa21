"""What is read out of a project, and what its readers hand on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Asserted", "Clue", "Evidence", "ProjectWish", "Text", "gathered"]

_SHOWN = 200
_HOST_CUT = re.compile(r"://(?:[^\s/@]*|[^\s/@]*:[^\s@]*)$")


@dataclass(frozen=True, slots=True)
class Clue:
    """A line that speaks for a family; ``path`` is relative to the project, ``line`` counts from 1.

    ``strong``: what it holds exists in one generation only. ``names_family``: it names a distribution of
    the family, where other lines only fit all families of a generation.
    """

    family: str
    path: str
    line: int
    text: str
    meaning: str
    strong: bool = True
    names_family: bool = False

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}  ({self.meaning})"


@dataclass(frozen=True, slots=True)
class Asserted:
    """A range of a module, ``mmcv`` and ``>=1.1.4,<=1.3.0``, outside of which a package is not imported."""

    module: str
    range: str


@dataclass(frozen=True, slots=True)
class ProjectWish:
    """What a project wants.

    ``packages`` are the modules beyond mmcv and the segmentation package that it imports and does not bring
    itself, such as ``mmdet``. ``requirements`` are the versions of the stack that it asks for, as requirement
    strings, those that weigh most first; ``python`` and ``cuda`` (``cuda==11.3``) stand among them like
    distributions. ``asserted`` are those of them that its own code refuses to be imported without. ``clues``
    speak for ``family``, ``against`` for others.
    """

    path: str
    family: str
    packages: tuple[str, ...]
    requirements: tuple[str, ...]
    clues: tuple[Clue, ...]
    against: tuple[Clue, ...]
    files_read: int
    notes: tuple[str, ...]
    asserted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """A file of the project, decoded; ``numbers`` are the lines of the file where it is only a part of it."""

    path: str
    lines: tuple[str, ...]
    numbers: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Give the file's own name in lower case."""
        return self.path.rpartition("/")[2].lower()

    @property
    def folders(self) -> tuple[str, ...]:
        """Give the names of the folders above it in lower case."""
        return tuple(self.path.lower().split("/")[:-1])

    def clue(
        self, family: str, line: int, meaning: str, *, strong: bool = True, names_family: bool = False
    ) -> Clue:
        """Give the line, counted from 1 within ``lines``, as a clue."""
        inside = 0 < line <= len(self.lines)
        text = self.lines[line - 1].strip() if inside else ""
        number = self.numbers[line - 1] if self.numbers and inside else line
        # What is cut within the address of a host may be a password, and without its @ nobody can tell.
        short = text if len(text) <= _SHOWN else _HOST_CUT.sub("://", text[: _SHOWN - 3]) + "..."
        return Clue(family, self.path, number, short, meaning, strong, names_family)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one file tells.

    ``packages`` are modules that it cannot do without, ``optional`` those that it uses when they are there,
    ``named`` those that only configuration files name; ``copies`` maps a module that the project brings
    itself to its version; ``asserted`` are the ranges that its packages check when they are imported;
    ``unparsed``: a part that is not of this Python, read line by line.
    """

    clues: tuple[Clue, ...] = ()
    packages: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    requirements: tuple[str, ...] = ()
    copies: dict[str, str] = field(default_factory=dict)
    asserted: tuple[Asserted, ...] = ()
    unparsed: tuple[str, ...] = ()


def gathered(parts: Iterable[Evidence]) -> Evidence:
    """Join what several files, or several readers of one file, tell."""
    every = list(parts)
    copies: dict[str, str] = {}
    for part in every:
        copies.update(part.copies)
    return Evidence(
        clues=tuple(dict.fromkeys(clue for part in every for clue in part.clues)),
        packages=frozenset().union(*(part.packages for part in every)),
        optional=frozenset().union(*(part.optional for part in every)),
        named=frozenset().union(*(part.named for part in every)),
        requirements=tuple(dict.fromkeys(line for part in every for line in part.requirements)),
        copies=copies,
        asserted=tuple(dict.fromkeys(one for part in every for one in part.asserted)),
        unparsed=tuple(name for part in every for name in part.unparsed),
    )
