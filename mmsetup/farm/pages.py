"""The pages of a farm, as bytes by path: one input, one output, byte for byte.

Three forms, so that every client finds its own:

- OpenMMLab's flat pages, ``mmcv/dist/cu117/torch1.13.0/index.html``, and the spelling ``torch1.13``, for
  ``pip --find-links``, mim (``MMCV_BASE_URL``) and ``mmsetup --mirror``;
- an index of one pair, ``cu117-torch1130/simple/``, for ``--index-url``: whatever a client chooses there is
  for that torch;
- an index of all, ``simple/``, for clients that name the whole version with its local part.

An index is a simple repository (PEP 503): ``index.html`` for each project and for the list of them, and
beside each ``index.v1_json``, the same for clients that ask for JSON (PEP 691, with the sizes and versions of
PEP 700). A static server cannot look at what a client accepts, so the JSON lies under the name that
bandersnatch gives it, and a server that can is pointed there by a rule of its own. All links are relative.
"""

from __future__ import annotations

import html
import json
import os
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from packaging.version import Version

from mmsetup.farm.pairs import Pair
from mmsetup.farm.wheels import FarmWheel, in_order

__all__ = ["HTML", "JSON", "cautions", "is_ours", "pages", "simple_root"]

HTML, JSON = "index.html", "index.v1_json"
_GENERATOR = "mmsetup index"
_MARK_HTML = f'<meta name="generator" content="{_GENERATOR}">'
_MARK_JSON = f'"_generator": "{_GENERATOR}"'
_SIMPLE = PurePosixPath("simple")

Content = Mapping[PurePosixPath, bytes]


def pages(wheels: Iterable[FarmWheel]) -> Content:
    """Give the content of every page; the order of the wheels does not matter."""
    wheels = in_order(wheels)
    made: dict[PurePosixPath, bytes] = {}
    for pair in sorted({one.pair for one in wheels}):
        of_pair = _once(one for one in wheels if one.pair == pair)
        for spelling in (pair.folder, f"{pair.variant}/torch{pair.series}"):
            folder = PurePosixPath("mmcv/dist", spelling)
            made[folder / HTML] = _flat(of_pair, folder)
        made.update(_simple(of_pair, simple_root(pair)))
    made.update(_simple(_once(_distinct(wheels)), _SIMPLE))
    return made


def simple_root(pair: Pair) -> PurePosixPath:
    """Give where the index of one pair lies: ``cu117-torch1130/simple``."""
    return PurePosixPath(f"{pair.variant}-torch{pair.major}{pair.minor}0", "simple")


def cautions(wheels: Iterable[FarmWheel]) -> tuple[str, ...]:
    """Say what clients of these pages should know."""
    wheels = in_order(wheels)
    told = []
    listed = set(map(id, _distinct(wheels)))
    for name, of_name in groupby(sorted(wheels, key=lambda one: one.name), key=lambda one: one.name):
        several = list(of_name)
        if any(id(one) not in listed for one in several):
            pairs = ", ".join(str(pair) for pair in sorted({one.pair for one in several}))
            told.append(f"{name} is there for {pairs}: simple/ leaves it out, the pages of each pair list it")
    unclear = [one for one in wheels if not one.tells_pair and id(one) in listed]
    if unclear and len({one.pair for one in wheels}) > 1:
        told.append(
            f"in simple/ nothing tells which torch {unclear[0].name} is for{_more(unclear)}; clients of "
            f"{simple_root(unclear[0].pair)} cannot mistake it"
        )
    bare = [one for one in wheels if one.is_for_cpu and one.pair.variant != "cpu"]
    if bare:
        told.append(f"{bare[0].path}{_more(bare)} holds no code for any GPU, and is for {bare[0].pair}")
    return tuple(told)


def is_ours(content: bytes) -> bool:
    """Tell whether a page was written by this module, and so may be replaced or removed."""
    return _MARK_HTML.encode() in content or _MARK_JSON.encode() in content


def _more(wheels: Sequence[FarmWheel]) -> str:
    return f" (and {len(wheels) - 1} more)" if len(wheels) > 1 else ""


def _distinct(wheels: Sequence[FarmWheel]) -> list[FarmWheel]:
    """Give those whose name stands for one content: a client could not tell the others apart."""
    contents: dict[str, set[str]] = {}
    for one in wheels:
        contents.setdefault(one.name, set()).add(one.sha256)
    return [one for one in wheels if len(contents[one.name]) == 1]


def _once(wheels: Iterable[FarmWheel]) -> list[FarmWheel]:
    """Give the first of those that lie in several places."""
    first: dict[str, FarmWheel] = {}
    for one in wheels:
        first.setdefault(one.name, one)
    return list(first.values())


def _flat(wheels: Sequence[FarmWheel], folder: PurePosixPath) -> bytes:
    return _html(f"Links for {folder}", (_anchor(one, folder) for one in wheels))


def _simple(wheels: Sequence[FarmWheel], root: PurePosixPath) -> dict[PurePosixPath, bytes]:
    made: dict[PurePosixPath, bytes] = {}
    names = []
    for name, of_name in groupby(wheels, key=lambda one: one.distribution):
        files, folder = list(of_name), root / name
        names.append(name)
        made[folder / HTML] = _html(f"Links for {name}", (_anchor(one, folder) for one in files))
        versions = sorted({one.version for one in files}, key=Version)
        listed = [_entry(one, folder) for one in files]
        made[folder / JSON] = _json({"name": name, "versions": versions, "files": listed})
    made[root / HTML] = _html("Simple index", (f'<a href="{name}/">{name}</a>' for name in names))
    made[root / JSON] = _json({"projects": [{"name": name} for name in names]})
    return made


def _html(title: str, anchors: Iterable[str]) -> bytes:
    lines = [
        "<!DOCTYPE html>",
        "<html>",
        "<head>",
        '<meta charset="utf-8">',
        _MARK_HTML,
        '<meta name="pypi:repository-version" content="1.1">',
        f"<title>{html.escape(title)}</title>",
        "</head>",
        "<body>",
        *(f"{anchor}<br>" for anchor in anchors),
        "</body>",
        "</html>",
    ]
    return ("\n".join(lines) + "\n").encode()


def _anchor(one: FarmWheel, folder: PurePosixPath) -> str:
    needs = f' data-requires-python="{html.escape(one.requires_python)}"' if one.requires_python else ""
    href = html.escape(f"{_link(one, folder)}#sha256={one.sha256}")
    return f'<a href="{href}"{needs}>{html.escape(one.name)}</a>'


def _json(document: Mapping[str, Any]) -> bytes:
    meta = {"api-version": "1.1", "_generator": _GENERATOR}
    return (json.dumps({"meta": meta, **document}, indent=1) + "\n").encode()


def _entry(one: FarmWheel, folder: PurePosixPath) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "filename": one.name,
        "url": _link(one, folder),
        "hashes": {"sha256": one.sha256},
        "size": one.size,
    }
    return {**entry, "requires-python": one.requires_python} if one.requires_python else entry


def _link(one: FarmWheel, folder: PurePosixPath) -> str:
    # Object stores read a plain + as a space, so that everything is quoted that may be.
    return quote(os.fsencode(posixpath.relpath(one.path, folder)))
