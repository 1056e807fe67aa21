"""What the user asked for, checked as far as it can be without knowing the machine."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from packaging.version import InvalidVersion, Version

from mmsetup.catalog import Catalog, Family
from mmsetup.errors import InterpreterError, RequestError

__all__ = ["Request", "checked"]


@dataclass(frozen=True, slots=True)
class Request:
    """A request; what is empty is free.

    ``python`` is a version (``3.10``, ``3.10.13``) or the path of an interpreter, ``torch`` a version or its
    beginning (``1.13``), ``cuda`` a variant (``cu117``, ``cpu``). ``mirrors`` maps a source's name to the
    base address that replaces its own. ``accepts_cautions``: a set with a known weakness will do, though
    neither its torch nor its Python was asked for.
    """

    family: str = "mmcv-full"
    python: str = ""
    torch: str = ""
    cuda: str = ""
    may_use_prebuilt: bool = True
    may_build: bool = True
    may_fetch_python: bool = True
    offline: bool = False
    mirrors: Mapping[str, str] = field(default_factory=dict)
    accepts_cautions: bool = False

    @property
    def wants_path(self) -> bool:
        """Tell whether ``python`` is a path and not a version."""
        return os.sep in self.python


def checked(request: Request, catalog: Catalog) -> Family:
    """Check a request against the catalogue and give its family.

    Raises:
        RequestError: the family is unknown, a version or variant is malformed or unknown, or a mirror is no
            web address. InterpreterError: no torch of the catalogue has wheels for that Python.
    """
    family = _checked_family(request, catalog)
    if not request.may_build and not request.may_use_prebuilt:
        raise RequestError(
            "with neither a build nor a prebuilt wheel there is nothing to install",
            remedy="mmsetup plan --no-build  # or: --no-prebuilt",
        )
    _check_torch(request, catalog)
    _check_cuda(request, catalog)
    if request.python and not request.wants_path:
        _check_python(request.python, catalog)
    for name, address in request.mirrors.items():
        if not _is_web_address(address):
            raise RequestError(
                f"the mirror of {name} is {address!r}, which is no address of http or https",
                remedy="mmsetup plan --mirror https://HOST/FOLDER",
            )
    return family


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and not any(map(str.isspace, text))


def _checked_family(request: Request, catalog: Catalog) -> Family:
    family = catalog.family(request.family)
    if family is None:
        names = [known.name for known in catalog.families]
        near = difflib.get_close_matches(request.family, names, n=1)
        raise RequestError(
            f"there is no family {request.family!r}; known: {', '.join(names)}",
            remedy=f"mmsetup plan --family {(near or names)[0]}",
        )
    return family


def _check_torch(request: Request, catalog: Catalog) -> None:
    if not request.torch or any(starts(str(release.version), request.torch) for release in catalog.torch):
        return
    # Newest first, which is what is looked for when the text is no version at all.
    known = [release.version for release in catalog.torch]
    asked = _version(request.torch)
    if asked is not None:
        known.sort(key=lambda version: _distance(version, asked))
    problem = "is no version of torch; newest" if asked is None else "is not known; nearest"
    raise RequestError(
        f"torch {request.torch!r} {problem}: {', '.join(map(str, known[:3]))}",
        remedy=f"mmsetup plan --torch {known[0]}",
    )


def _check_cuda(request: Request, catalog: Catalog) -> None:
    known = {
        variant for release in catalog.torch for variant in (release.default_variant, *release.index_variants)
    }
    if not request.cuda or request.cuda in known:
        return
    ordered = sorted(known - {"cpu"}, key=lambda variant: int(variant.removeprefix("cu")))
    near = difflib.get_close_matches(request.cuda, ordered, n=1) or ordered[-1:]
    raise RequestError(
        f"no torch has a CUDA variant {request.cuda!r}; known: cpu, {', '.join(ordered)}",
        remedy=f"mmsetup plan --cuda {near[0]}  # or cpu",
    )


def _check_python(text: str, catalog: Catalog) -> None:
    known = sorted({python for release in catalog.torch for python in release.pythons}, key=Version)
    if any(starts(text, python) or starts(python, text) for python in known):
        return
    if _version(text) is None:
        raise RequestError(
            f"{text!r} is no version of Python; the path of one has a / in it",
            remedy=f"mmsetup plan --python {known[-1]}  # or ./{text}",
        )
    raise InterpreterError(
        f"no torch has wheels for Python {text}; known: {', '.join(known)}",
        remedy="mmsetup plan  # chooses a Python that fits",
    )


def _distance(version: Version, asked: Version) -> tuple[int, ...]:
    numbers = zip((*version.release, 0, 0)[:3], (*asked.release, 0, 0)[:3], strict=True)
    return tuple(abs(one - other) for one, other in numbers)


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def starts(version: str, beginning: str) -> bool:
    """Tell whether ``version`` is ``beginning`` or below it, as 1.13.1 is below 1.13; empty, it fits all."""
    return not beginning or version == beginning or version.startswith(beginning + ".")
