"""Which file the dynamic loader takes for a library that a module asks for.

The order is that of ld.so(8). What is in the process already counts before all of it and is not told here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmsetup.binary import elf
from mmsetup.binary.elf import Demands
from mmsetup.binary.libraries import Loader
from mmsetup.errors import IntegrityError

__all__ = ["Taken", "loads", "search_path", "taken"]

_MOST_FILES = 400


@dataclass(frozen=True, slots=True)
class Taken:
    """A file, and what made the loader find it.

    ``source`` is ``LD_PRELOAD``, ``LD_LIBRARY_PATH``, ``search path`` (of the module or of the interpreter)
    or ``system``; ``asked_by`` is the module that it was found for first.
    """

    path: Path
    source: str
    asked_by: Path = field(default=Path(), compare=False)


def taken(
    name: str,
    module: Path,
    demands: Demands,
    *,
    variables: Mapping[str, str],
    system: Loader,
    inherited: Iterable[Path] = (),
) -> Taken | None:
    """Give the file that is loaded as ``name`` for a module, or nothing where there is none.

    ``inherited`` are the folders in ``DT_RPATH`` of what loads the module: the interpreter, and the libraries
    on the way. A module with ``DT_RUNPATH`` ignores all ``DT_RPATH``, its own too.
    """
    for word in re.split(r"[:\s]+", variables.get("LD_PRELOAD", "")):
        path = Path(word)
        if os.sep in word and path.name == name and path.is_file():
            return Taken(path, "LD_PRELOAD")
    first = () if demands.runpath else (*search_path(demands.rpath, module), *inherited)
    last = search_path(demands.runpath, module)
    for folders, source in ((first, "search path"), (system.first, "LD_LIBRARY_PATH"), (last, "search path")):
        for folder in folders:
            if (folder / name).is_file():
                return Taken(folder / name, source)
    found = system.find(name)
    return Taken(found, "system") if found is not None else None


def search_path(parts: Iterable[str], module: Path) -> tuple[Path, ...]:
    """Give the folders of a ``DT_RPATH`` or ``DT_RUNPATH``; $ORIGIN is the folder of the module."""
    origin = str(module.parent)
    return tuple(Path(part.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)) for part in parts)


def loads(
    roots: Iterable[Path], *, variables: Mapping[str, str], system: Loader, inherited: tuple[Path, ...] = ()
) -> Mapping[str, Taken]:
    """Give what loading ``roots`` one after another brings into the process, by the name that was asked for.

    The first that is found under a name stays, as in the loader. Libraries of the system are not followed.
    """
    found: dict[str, Taken] = {}
    waiting = [(path, inherited) for path in roots]
    seen: set[Path] = set()
    while waiting and len(seen) < _MOST_FILES:
        path, above = waiting.pop(0)
        if path in seen:
            continue
        seen.add(path)
        try:
            demands = elf.read_demands(path)
        except IntegrityError:
            continue
        passed_on = above if demands.runpath else (*search_path(demands.rpath, path), *above)
        for name in demands.needed:
            if name in found:
                continue
            there = taken(name, path, demands, variables=variables, system=system, inherited=above)
            if there is not None:
                found[name] = replace(there, asked_by=path)
                if there.source != "system":
                    waiting.append((there.path, passed_on))
    return found
