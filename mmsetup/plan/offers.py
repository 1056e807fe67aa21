"""What a source offers for a candidate: the address of its page, and the wheel that the page lists."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from mmsetup.catalog import IndexFile, Page, Source
from mmsetup.probe.machine import Libc

if TYPE_CHECKING:
    from packaging.tags import Tag

__all__ = ["page_address", "wheel_on"]

# PEP 513, PEP 571 and PEP 599 say which glibc the older names stand for; later ones (PEP 600) carry it.
_GLIBC = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_x86_64")


def page_address(
    source: Source, mirrors: Mapping[str, str], *, variant: str, series: str, distribution: str
) -> str:
    """Give the address of the page on which a source, or its mirror, lists a distribution for a pair."""
    base = mirrors.get(source.name, source.base).rstrip("/")
    return source.page.format(base=base, variant=variant, torch=series, distribution=distribution)


def wheel_on(
    page: Page, name: str, version: Version, *, python: str, variant: str, libc: Libc | None
) -> IndexFile | None:
    """Give the wheel for Linux x86-64 that a page lists for a distribution, version, Python and variant.

    A local version part, where a file name has one, must name the variant. A wheel for a newer glibc than
    ``libc`` does not fit.
    """
    interpreter = "cp" + python.replace(".", "")
    text = str(version)
    for file in page.files:
        # Pages list thousands of files, and to parse a name takes fifty times longer than to look into it.
        if interpreter not in file.filename or text not in file.filename:
            continue
        try:
            found, listed, _, tags = parse_wheel_filename(file.filename)
        except InvalidWheelFilename:
            continue
        if found != name or Version(listed.public) != version:
            continue
        if listed.local and variant not in listed.local.split("."):
            continue
        if any(_fits(tag, interpreter, libc) for tag in tags):
            return file
    return None


def _fits(tag: Tag, interpreter: str, libc: Libc | None) -> bool:
    if tag.interpreter != interpreter:
        return False
    if tag.platform == "linux_x86_64":
        return True
    found = _MANYLINUX.fullmatch(tag.platform)
    wanted = (int(found[1]), int(found[2])) if found else _GLIBC.get(tag.platform.removesuffix("_x86_64"))
    if wanted is None:
        return False
    return libc is None or Version(libc.version).release >= wanted
