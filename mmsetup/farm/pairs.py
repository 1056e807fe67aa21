"""The pair that a wheel of the ops was built for: told by its name, by its recipe, or by its folder.

Each of them alone is enough. Where several tell it they must agree: a wheel on the page of another torch is
found by everybody and imported by nobody.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from packaging.utils import parse_wheel_filename

from mmsetup.binary.local_version import VARIANT, labelled_pair
from mmsetup.errors import IntegrityError
from mmsetup.files import sha256

__all__ = ["Pair", "pair_of", "stated_pair"]

_TORCH = r"torch(?P<torch>\d+\.\d+(?:\.\d+)?)"
_LOCAL_VARIANT = re.compile(rf"(?:.*\.)?{VARIANT}", re.ASCII)
_FOLDER = re.compile(rf"{VARIANT}[/-]{_TORCH}", re.ASCII)
_RELEASE = re.compile(r"\d+\.\d+(?:\.\d+)?", re.ASCII)
_ENTRY = "entry.json"
_MOST_RECIPE_BYTES = 1 << 20
_EXACT = 3


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """A series of torch (1 and 13 for 1.13.1) and a CUDA variant: what a page lists wheels for.

    OpenMMLab's pages serve a series: extensions of one release load with the others.
    """

    major: int
    minor: int
    variant: str

    @property
    def series(self) -> str:
        """Give the series as text: ``1.13``."""
        return f"{self.major}.{self.minor}"

    @property
    def folder(self) -> str:
        """Give where OpenMMLab puts its wheels, below ``mmcv/dist``: ``cu117/torch1.13.0``."""
        return f"{self.variant}/torch{self.series}.0"

    def __str__(self) -> str:
        return f"torch {self.series} {self.variant}"


@dataclass(frozen=True, slots=True)
class _Told:
    """What one place says; ``release`` has two numbers where it tells the series alone."""

    place: str
    release: tuple[int, ...]
    variant: str

    @property
    def pair(self) -> Pair:
        return Pair(self.release[0], self.release[1], self.variant)

    def contradicts(self, other: _Told) -> bool:
        if self.pair != other.pair:
            return True
        exact = len(self.release) == len(other.release) == _EXACT
        return exact and self.release != other.release

    def __str__(self) -> str:
        return f"{self.place} says torch {'.'.join(map(str, self.release))} {self.variant}"


def pair_of(path: Path, below: Path | None = None) -> Pair:
    """Give the pair of a wheel that has been found whole.

    It is told by the local version part (``1.7.2+pt1.13.1cu117``), by the recipe in its ``.dist-info``, by
    the entry beside it where it lies in the cache of built wheels, or by the folder below ``below`` that it
    lies in (``cu117/torch1.13.0``, ``cu117-torch1.13.1``).

    Raises:
        IntegrityError: nothing tells it, or what tells it disagrees.
    """
    folder = path.parent.relative_to(below) if below is not None else PurePath()
    told = [*_by_name(path), *_by_recipe(path), *_by_entry(path), *_by_folder(folder)]
    if not told:
        raise IntegrityError(
            f"{path.name}: nothing tells which torch it was built for",
            remedy=f"put it into a folder like cu117/torch2.1.0: mkdir -p cu117/torch2.1.0 && mv {path.name} "
            "cu117/torch2.1.0/",
        )
    first, *others = told
    for other in others:
        if first.contradicts(other):
            raise IntegrityError(f"{path.name}: {first}, {other}", remedy="move it to where it belongs")
    variant = _LOCAL_VARIANT.fullmatch(_local(path))
    if variant is not None and variant["variant"] != first.variant:
        raise IntegrityError(
            f"{path.name}: its version says {variant['variant']}, {first}",
            remedy="move it to where it belongs",
        )
    return first.pair


def stated_pair(torch: str, variant: str) -> Pair | None:
    """Give the pair of a torch (``1.13.1``, ``1.13``) and a variant, where both are told in full."""
    told = _told("a request", torch, variant)
    return told.pair if told is not None else None


def _told(place: str, torch: str, variant: str) -> _Told | None:
    if _RELEASE.fullmatch(torch) and re.fullmatch(VARIANT, variant, re.ASCII):
        return _Told(place, _numbers(torch), variant)
    return None


def _by_name(path: Path) -> Iterator[_Told]:
    if named := labelled_pair(_local(path)):
        yield _Told("its version", _numbers(named[0]), named[1])


def _local(path: Path) -> str:
    _, version, _, _ = parse_wheel_filename(path.name)
    return version.local or ""


def _by_folder(folder: PurePath) -> Iterator[_Told]:
    """Give what the innermost folder of that form says; it stands for a series."""
    parts = folder.parts
    for end in range(len(parts), 0, -1):
        for begin in (end - 1, end - 2):
            if begin >= 0 and (found := _FOLDER.fullmatch("/".join(parts[begin:end]))):
                yield _Told("its folder", _numbers(found["torch"])[:2], found["variant"])
                return


def _by_recipe(path: Path) -> Iterator[_Told]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            folder, _, name = info.filename.rpartition("/")
            if (
                folder.endswith(".dist-info")
                and name.endswith(".json")
                and info.file_size <= _MOST_RECIPE_BYTES
            ):
                yield from _of_recipe("its recipe", archive.read(info))


def _by_entry(path: Path) -> Iterator[_Told]:
    entry = path.parent / _ENTRY
    try:
        content = entry.read_bytes()
        known: Any = json.loads(content)
        is_of_it = known["wheel"] == path.name and known["sha256"] == sha256(path)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return
    if is_of_it:
        yield from _of_recipe("its cache entry", content)


def _of_recipe(place: str, content: bytes) -> Iterator[_Told]:
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError):
        return
    recipe = document.get("recipe", document) if isinstance(document, dict) else None
    if not isinstance(recipe, dict):
        return
    torch, variant = recipe.get("torch"), recipe.get("variant")
    if not (isinstance(torch, str) and isinstance(variant, str)):
        return
    if told := _told(place, torch, variant):
        yield told


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split("."))
