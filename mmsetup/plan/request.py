"""What the user asked for, checked as far as it can be without knowing the machine."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from packaging.version import InvalidVersion, Version

from mmsetup.catalog import Catalog, Family
from mmsetup.errors import InterpreterError, RequestError

__all__ = ["Request", "checked"]

_VARIANT = re.compile(r"cpu|cu\d{2,3}")


@dataclass(frozen=True, slots=True)
class Request:
    """A request; what is empty is free.

    ``python`` is a version (``3.10``, ``3.10.13``) or the path of an interpreter, ``torch`` a version or its beginning (``1.13``), ``cuda`` a
    variant (``cu117``, ``cpu``). ``mirrors`` maps a source's name to the base address that replaces its own.
    """

    family: str = "mmcv-full"
    python: str = ""
    torch: str = ""
    cuda: str = ""
    may_build: bool = True
    may_fetch_python: bool = True
    offline: bool = False
    mirrors: Mapping[str, str] = field(default_factory=dict)

    @property
    def wants_path(self) -> bool:
        """Tell whether ``python`` is a path and not a version."""
        return os.sep in self.python


def checked(request: Request, catalog: Catalog) -> Family:
    """Check a request against the catalogue and give its family.

    Raises:
        RequestError: the family is unknown, or a version or variant is malformed or unknown.
        InterpreterError: no torch of the catalogue has wheels for that Python.
    """
    family = catalog.family(request.family)
    if family is None:
        names = [known.name for known in catalog.families]
        near = difflib.get_close_matches(request.family, names, n=1)
        raise RequestError(
            f"there is no family {request.family!r}; known: {', '.join(names)}",
            remedy=f"mmsetup install --family {(near or names)[0]}",
        )
    _check_torch(request, catalog)
    if request.cuda and not _VARIANT.fullmatch(request.cuda):
        raise RequestError(
            f"{request.cuda!r} is no CUDA variant; write it like cu117, or cpu",
            remedy="mmsetup plan --cuda cu117",
        )
    if request.python and not request.wants_path:
        _check_python(request.python, catalog)
    return family


def _check_torch(request: Request, catalog: Catalog) -> None:
    if not request.torch:
        return
    if not _version(request.torch, "torch"):
        return
    if not any(starts(str(release.version), request.torch) for release in catalog.torch):
        versions = [str(release.version) for release in catalog.torch]
        near = difflib.get_close_matches(request.torch, versions, n=3) or versions[:3]
        raise RequestError(
            f"no torch {request.torch} is known; nearest: {', '.join(near)}",
            remedy=f"mmsetup plan --torch {near[0]}",
        )


def _check_python(text: str, catalog: Catalog) -> None:
    version = _version(text, "Python")
    known = {python for release in catalog.torch for python in release.pythons}
    if f"{version.major}.{version.minor}" not in known:
        ordered = sorted(known, key=Version)
        raise InterpreterError(
            f"no torch has wheels for Python {text}; known: {', '.join(ordered)}",
            remedy="leave --python away and let mmsetup choose",
        )


def _version(text: str, what: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        raise RequestError(
            f"{text!r} is no version of {what}", remedy=f"write it like {'3.10' if what == 'Python' else '1.13.1'}"
        ) from None


def starts(version: str, beginning: str) -> bool:
    """Tell whether ``version`` is ``beginning`` or a release below it: ``1.13.1`` starts ``1.13``."""
    return version == beginning or version.startswith(beginning + ".")
