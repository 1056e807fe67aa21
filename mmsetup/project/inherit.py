"""Configurations with everything that they inherit: ``_base_`` in the project and in installed packages."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmsetup.project.evaluate import BASE, bases, evaluated, readable
from mmsetup.project.files import printable
from mmsetup.project.syntax import parsed
from mmsetup.project.values import UNKNOWN, Place, Value, merged

__all__ = ["Config", "Configs"]

_LARGEST = 1 << 20
_DEEPEST = 20
_SCOPED = re.compile(r"(\w+)::(.+)")


@dataclass(frozen=True, slots=True)
class Config:
    """A configuration and what it inherits, merged.

    ``path`` is as it is shown; ``bases`` are the files that it inherits from, directly or not; ``missing``
    those that are not there, each with the line that names it; ``scoped`` those that are named as files of
    installed packages (``mmseg::...``), wherever they are. ``is_whole``: nothing of what it inherits is
    unknown.
    """

    path: str
    values: dict[str, Value]
    bases: frozenset[Path] = frozenset()
    missing: tuple[tuple[str, Place], ...] = ()
    scoped: tuple[tuple[str, Place], ...] = ()
    is_whole: bool = True

    @property
    def root(self) -> Value:
        """Give all of it as one dict."""
        return Value(self.values, Place(self.path, 1), not self.is_whole)


class Configs:
    """Reads configurations, each file once.

    ``installed`` gives the folder of the configurations that an installed package brings, for bases such as
    ``mmseg::_base_/models/fpn_r50.py``.
    """

    def __init__(self, root: Path, installed: Callable[[str], Path | None]) -> None:
        self._root = root
        self._installed = installed
        self._read: dict[Path, Config | None] = {}

    def read(self, path: Path, lines: Sequence[str] | None = None, depth: int = 0) -> Config | None:
        """Give the configuration in a file; nothing where it cannot be read or is no configuration."""
        where = Path(os.path.normpath(path))
        if where not in self._read:
            # A file that inherits from itself finds nothing there.
            self._read[where] = None
            self._read[where] = self._made(where, lines, depth)
        return self._read[where]

    def _made(self, path: Path, lines: Sequence[str] | None, depth: int) -> Config | None:
        shown = self._shown(path)
        text = lines if lines is not None else _lines(path)
        if text is None or depth > _DEEPEST:
            return None
        if path.suffix == ".json":
            held = _of_json("\n".join(text), shown)
            return self._over(held.pop(BASE, None), path, depth, lambda _: held) if held is not None else None
        tree = parsed(readable(text, _predefined(path)))
        if tree is None:
            return None
        made = self._over(bases(tree, shown), path, depth, lambda below: evaluated(tree, shown, below))
        return replace(made, is_whole=False) if made is not None and _is_lazy(text) else made

    def _over(
        self,
        named: Value | None,
        path: Path,
        depth: int,
        own: Callable[[dict[str, Value]], Mapping[str, Value] | None],
    ) -> Config | None:
        """Put what a file holds, given what it inherits, over what it inherits."""
        below: dict[str, Value] = {}
        files: set[Path] = set()
        missing: list[tuple[str, Place]] = []
        scoped: list[tuple[str, Place]] = []
        whole = True
        for one in named.each() if named is not None else ():
            place = self._base(one.text, path) if one.text else None
            if _SCOPED.fullmatch(one.text):
                scoped.append((one.text, one.place))
            found = self.read(place, depth=depth + 1) if place is not None else None
            if found is None or place is None:
                whole = False
                if one.text and not _is_file(place):
                    missing.append((one.text, one.place))
                continue
            files |= {place, *found.bases}
            missing += found.missing
            scoped += found.scoped
            whole = whole and found.is_whole
            below.update(found.values)
        held = own(below)
        if held is None:
            return None
        values = merged({name: value for name, value in held.items() if not name.startswith("__")}, below)
        # Each once: where several bases share one, what that lacks would double with each level.
        told = (tuple(dict.fromkeys(missing)), tuple(dict.fromkeys(scoped)))
        return Config(self._shown(path), values, frozenset(files), *told, whole)

    def _base(self, name: str, path: Path) -> Path | None:
        scoped = _SCOPED.fullmatch(name)
        if scoped is None:
            return Path(os.path.normpath(path.parent / name))
        folder = self._installed(scoped[1])
        return folder / scoped[2] if folder is not None else None

    def _shown(self, path: Path) -> str:
        inside = path.is_relative_to(self._root)
        return printable(path.relative_to(self._root) if inside else path)


def _lines(path: Path) -> tuple[str, ...] | None:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        text = path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return None
    return tuple(re.split(r"\r\n|\r|\n", text))


def _predefined(path: Path) -> dict[str, str]:
    # mmcv/utils/config.py and mmengine/config/config.py, _substitute_predefined_vars.
    return {
        "fileDirname": str(path.parent),
        "fileBasename": path.name,
        "fileBasenameNoExtension": path.stem,
        "fileExtname": path.suffix,
    }


def _is_lazy(lines: Sequence[str]) -> bool:
    return any("read_base()" in line for line in lines)


def _is_file(path: Path | None) -> bool:
    try:
        return path is not None and path.is_file()
    except (OSError, ValueError):
        return False


def _of_json(text: str, shown: str) -> dict[str, Value] | None:
    try:
        document = json.loads(text)
        if not isinstance(document, dict):
            return None
        return {key: _json_value(value, Place(shown, 1)) for key, value in document.items()}
    except (ValueError, RecursionError):
        return None


def _json_value(value: Any, place: Place) -> Value:
    if isinstance(value, dict):
        return Value({key: _json_value(inner, place) for key, inner in value.items()}, place)
    if isinstance(value, list):
        return Value(tuple(_json_value(inner, place) for inner in value), place)
    is_template = isinstance(value, str) and "{{" in value
    return Value(UNKNOWN if is_template else value, place)
