"""The files that a distribution installed, as its RECORD lists them, and what its compiled ones ask for."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mmsetup.binary import elf
from mmsetup.binary.elf import Demands
from mmsetup.errors import IntegrityError
from mmsetup.probe.machine import Distribution, Interpreter

__all__ = ["Compiled", "Module", "asking", "is_for", "listed", "modules", "strange", "tags_of"]

_LIBRARY = re.compile(r"[^/]+\.so(\.[\d.]+)?$")
_MODULE = re.compile(r"(?P<folder>(?:[^/]+/)*)(?P<name>\w+)\.(?:(?P<tag>[\w.-]+)\.)?so")
_MOST_FILES = 3000
_FEW = 4
_LONGEST_RECORD = 64 << 20
_FULL_ROW = 3  # name, hash, size


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled file of a distribution, and what it asks of others."""

    owner: Distribution
    path: Path
    demands: Demands


@dataclass(frozen=True, slots=True)
class Module:
    """An extension module as its files are named: ``folder`` in site-packages, and a tag for each file.

    The tag is ``cpython-310-x86_64-linux-gnu``, ``abi3``, or empty.
    """

    folder: str
    name: str
    tags: tuple[str, ...]


def listed(one: Distribution) -> tuple[tuple[str, int], ...]:
    """Give the files of a distribution with sizes in bytes, -1 where none is told; nothing without RECORD."""
    path = one.path / "RECORD"
    try:
        if not path.is_file() or path.stat().st_size > _LONGEST_RECORD:
            return ()
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            rows = [row for row in csv.reader(file) if row and row[0]]
    except (OSError, ValueError, csv.Error):
        return ()
    return tuple(
        (row[0], int(row[2]) if len(row) == _FULL_ROW and row[2].isdecimal() else -1) for row in rows
    )


def difference(path: Path, size: int) -> str:
    """Say how a file differs from what was recorded of it: by its size in bytes, -1 where none was told."""
    try:
        found = path.stat().st_size
    except FileNotFoundError:
        return "gone"
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", "") or error)
    return f"{found} bytes instead of {size}" if size not in {-1, found} else ""


def is_held_to(one: Distribution) -> bool:
    """Tell whether the files of a distribution are to be as its RECORD says.

    What names no installer was put there by the system, which strips libraries, and conda changes them too.
    """
    return bool(one.installer) and one.installer != "conda"


def asking(owner: Distribution, names: Iterable[str]) -> Iterator[Compiled]:
    """Give those of the files ``names`` of a distribution that are ELF files and can be read."""
    libraries = (name for name in names if _LIBRARY.search(name))
    for name, _ in zip(libraries, range(_MOST_FILES), strict=False):
        path = owner.path.parent / name
        try:
            if path.is_file():
                yield Compiled(owner, path, elf.read_demands(path))
        except (IntegrityError, OSError, ValueError):
            # What is gone or damaged is told by MM105, MM202 and MM302.
            continue


def modules(names: Iterable[str]) -> tuple[Module, ...]:
    """Give the extension modules among files, each once with all its tags."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in names:
        if (match := _MODULE.fullmatch(name)) and not match["name"].startswith("lib"):
            found.setdefault((match["folder"], match["name"]), []).append(match["tag"] or "")
    return tuple(Module(folder, name, tuple(tags)) for (folder, name), tags in found.items())


def is_for(tag: str, interpreter: Interpreter) -> bool:
    """Tell whether an interpreter looks for extension modules with a tag, processor aside."""
    if (
        interpreter.implementation != "cpython"
        or tag in {"", "abi3"}
        or not tag.startswith(("cpython-", "pypy"))
    ):
        return True
    threading = "t" if interpreter.free_threaded else ""
    named = tag.split("-")
    return named[0] == "cpython" and named[1].rstrip("m") == interpreter.minor.replace(".", "") + threading


def tags_of(one: Distribution) -> tuple[str, ...]:
    """Give the tags of the wheel that a distribution was installed from: ``cp310-cp310-linux_x86_64``."""
    try:
        text = (one.path / "WHEEL").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    pairs = (line.partition(":") for line in text.splitlines())
    return tuple(value.strip() for name, _, value in pairs if name.strip().lower() == "tag")


def strange(
    one: Distribution, names: Iterable[str], interpreter: Interpreter, built_for: Collection[str], here: str
) -> tuple[str, tuple[str, ...]] | None:
    """Say why nothing compiled of a distribution can be loaded, and what shows it; nothing where it can.

    ``names`` are its files, ``built_for`` the processors that they are compiled for; ``here`` is this one.
    """
    unfit = tuple(
        f"{one.path.parent / module.folder / module.name}: {', '.join(module.tags)}"
        for module in modules(names)
        if not any(is_for(tag, interpreter) for tag in module.tags)
    )
    tags = tuple(f"{one.path / 'WHEEL'}: {tag}" for tag in tags_of(one)[:1])
    if unfit:
        what = f"{interpreter.implementation} {interpreter.minor}"
        return f"has {len(unfit)} compiled module(s) of which no file is for {what}", (*unfit[:_FEW], *tags)
    if built_for and here not in built_for:
        return f"is compiled for {', '.join(sorted(built_for))}, this is {here}", tags
    return None
