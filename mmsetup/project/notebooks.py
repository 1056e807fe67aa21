"""Jupyter notebooks: the code cells as one module, the shell lines in them apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mmsetup.project.model import Text

__all__ = ["cells"]

# Who writes notebooks with other escapes than json gets the lines about where they are.
_MISSES = 20


def cells(notebook: Text) -> tuple[Text, Text] | None:
    """Give the code and the shell lines (``!pip install ...``) of a notebook; nothing where it is none."""
    try:
        document = json.loads("\n".join(notebook.lines))
    except (ValueError, RecursionError):
        return None
    code: list[tuple[str, int]] = []
    shell: list[tuple[str, int]] = []
    place = _Place(notebook.lines)
    for line in _lines(document):
        number = place.of(line)
        bare = line.lstrip()
        if bare.startswith(("!", "%")):
            shell.append((bare.lstrip("!%"), number))
            code.append((line[: len(line) - len(bare)] + "pass", number))
        else:
            code.append((line, number))
    return _text(notebook.path, code), _text(notebook.path, shell)


class _Place:
    """Finds the line of the file in which a line of a cell is written: they follow each other."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        self._lines = lines
        self._next = 0
        self._missed = 0

    def of(self, line: str) -> int:
        if self._missed >= _MISSES:
            return self._next or 1
        plain, escaped = (json.dumps(line, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True))
        for number in range(self._next, len(self._lines)):
            if plain in self._lines[number] or escaped in self._lines[number]:
                # A notebook in a single line holds all of its cells there.
                self._next = number if len(self._lines) == 1 else number + 1
                return number + 1
        self._missed += 1
        return self._next or 1


def _lines(document: Any) -> Iterator[str]:
    found = document.get("cells") if isinstance(document, dict) else None
    for cell in found if isinstance(found, list) else ():
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = cell.get("source")
        if isinstance(source, list):
            source = "".join(part for part in source if isinstance(part, str))
        if isinstance(source, str):
            yield from source.split("\n")


def _text(path: str, lines: list[tuple[str, int]]) -> Text:
    return Text(path, tuple(line for line, _ in lines), tuple(number for _, number in lines))
