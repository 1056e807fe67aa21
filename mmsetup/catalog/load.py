"""Read the data files, check all of them, and report every fault at once."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from packaging.specifiers import SpecifierSet

from mmsetup.catalog import builds, entries, mim, vendors
from mmsetup.catalog.contradictions import contradictions, of_gates
from mmsetup.catalog.copies import WITHOUT_COPY, Copy, kept_copy
from mmsetup.catalog.gpus import gpu_model
from mmsetup.catalog.model import Catalog, Targets
from mmsetup.catalog.patches import patch
from mmsetup.catalog.sums import DATA, FILES
from mmsetup.errors import CatalogError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["bundled_date", "copy_in_use", "folder_in_use", "in_use", "load", "proven"]

_LOG = logging.getLogger(__name__)
_NO_TARGETS = Targets(SpecifierSet(), SpecifierSet())
# Each is read by one stage alone, and no part of the values that all have.
_OF_ONE_STAGE: Mapping[str, Callable[[Mapping[str, Any], list[str]], object]] = {
    vendors.FILE: vendors.made,
    mim.FILE: mim.made,
    builds.FILE: builds.made,
}
T = TypeVar("T")


def load(folder: Path | None = None) -> Catalog:
    """Read the catalogue from ``folder``; without one, the one that is in use, see :func:`in_use`.

    Raises:
        CatalogError: a file is missing, malformed or contradicts another; ``evidence`` lists every fault.
    """
    return in_use()[0] if folder is None else _catalog(folder)


def in_use() -> tuple[Catalog, Copy | None]:
    """Read the copy that ``mmsetup catalog update`` put in place, or the data that mmsetup brings.

    A copy counts that is as it was put in place and newer than what mmsetup brings. Another is left alone,
    with a note in the log: it never keeps mmsetup from working.

    Raises:
        CatalogError: what mmsetup brings has a fault.
    """
    try:
        found = copy_in_use()
    except CatalogError as error:
        _LOG.warning("%s; mmsetup catalog check says more: not used", error)
        found = None
    return found or (_catalog(DATA), None)


def copy_in_use() -> tuple[Catalog, Copy] | None:
    """Read the copy that was put in place; there may be none, or one that what mmsetup brings has overtaken.

    Raises:
        CatalogError: it is not as it was put in place, or has a fault; ``evidence`` lists every fault.
    """
    copy = kept_copy()
    if copy is None:
        return None
    if copy.date <= (bundled := bundled_date()):
        _LOG.warning(
            "the copy of the catalogue in %s (%s) is not newer than what mmsetup brings (%s): not used",
            copy.folder,
            copy.date,
            bundled,
        )
        return None
    return _of_copy(copy), copy


def folder_in_use() -> Path:
    """Give the folder of the catalogue that :func:`in_use` reads, without the note in the log.

    A copy is read once in a process: each has a folder of its own, and the newest is asked for each time.
    """
    try:
        copy = kept_copy()
    except CatalogError:
        return DATA
    return DATA if copy is None else _folder_of(copy)


@lru_cache(maxsize=4)
def _folder_of(copy: Copy) -> Path:
    if copy.date <= bundled_date():
        return DATA
    try:
        _of_copy(copy)
    except CatalogError:
        return DATA
    return copy.folder


def _of_copy(copy: Copy) -> Catalog:
    found = _catalog(copy.folder)
    if (found.digest, found.date) != (copy.digest, copy.date):
        raise CatalogError(
            f"the copy of the catalogue in {copy.folder} was changed",
            evidence=[
                f"put in place: {copy.date}, sha256 {copy.digest}",
                f"found: {found.date}, sha256 {found.digest}",
            ],
            remedy=WITHOUT_COPY,
        )
    return found


def proven(folder: Path) -> Catalog:
    """Read the catalogue from ``folder``, and look for contradictions as thoroughly as can be.

    Raises:
        CatalogError: as :func:`load`, and also where lists that may lack something do not agree.
    """
    return _catalog(folder, thorough=True)


def bundled_date() -> str:
    """Give the date of the data that mmsetup brings."""
    return _newest(_read(DATA)[0])


def _catalog(folder: Path, *, thorough: bool = False) -> Catalog:
    contents, digest, faults = _read(folder)
    reader = _Reader(contents, faults)
    torch = tuple(reader.each("torch.json", "releases", entries.torch_release))
    catalog = Catalog(
        digest=digest,
        date=_newest(contents),
        torch=tuple(sorted(torch, key=lambda release: release.version, reverse=True)),
        families=tuple(reader.each("families.toml", "families", entries.family)),
        sources=tuple(reader.each("sources.toml", "sources", entries.source)),
        wheels=tuple(reader.each("wheels.json", "groups", entries.wheel_group)),
        wheel_pythons=tuple(reader.each("wheels.json", "pythons", entries.wheel_pythons)),
        gates=tuple(reader.each("gates.json", "gates", entries.gate)),
        breaks=tuple(reader.each("breaks.toml", "breaks", entries.version_break)),
        toolkit_drivers=tuple(reader.each("drivers.json", "toolkits", entries.toolkit_driver)),
        minor_compatibility=tuple(
            reader.each("drivers.json", "minor_version_compatibility", entries.minor_compatibility)
        ),
        forward_compatibility=tuple(
            reader.each("drivers.json", "forward_compatibility", entries.forward_compatibility)
        ),
        toolkit_limits=tuple(reader.each("drivers.json", "limits", entries.toolkit_limits)),
        toolkit_wheels=tuple(reader.each("drivers.json", "toolkit_wheels", entries.toolkit_wheels)),
        torch_architectures=tuple(
            reader.each("drivers.json", "torch_architectures", entries.torch_architectures)
        ),
        gpus=tuple(reader.each("gpus.json", "gpus", gpu_model)),
        patches=tuple(reader.each("patches.toml", "patches", patch)),
        targets=reader.one("families.toml", "targets", entries.targets) or _NO_TARGETS,
    )
    without = tuple(reader.each("gates.json", "without", entries.without_gates))
    if len(contents) == len(FILES):
        faults.extend(contradictions(catalog, thorough=True) if thorough else contradictions(catalog))
        faults.extend(of_gates(catalog, without))
    reader.prove(_OF_ONE_STAGE)
    if faults:
        raise CatalogError(
            f"the catalogue in {folder} has {len(faults)} fault(s)",
            evidence=faults,
            remedy="python3 -m pip install --force-reinstall mmsetup" if folder == DATA else WITHOUT_COPY,
        )
    return catalog


def _read(folder: Path) -> tuple[dict[str, dict[str, Any]], str, list[str]]:
    contents: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    digest = hashlib.sha256()
    for name in FILES:
        raw, document = _document(folder / name)
        digest.update(name.encode() + b"\0" + raw)
        if isinstance(document, dict):
            contents[name] = document
            if "date" in document and not _is_date(document["date"]):
                faults.append(f"{name}: date is not written as 2026-01-31")
        else:
            faults.append(f"{name}: {document}")
    return contents, digest.hexdigest(), faults


def _document(path: Path) -> tuple[bytes, dict[str, Any] | str]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        return b"", f"cannot be read: {error.strerror}"
    try:
        document = json.loads(raw) if path.suffix == ".json" else tomllib.loads(raw.decode())
    except ValueError as error:
        return raw, str(error)
    except RecursionError:
        return raw, "it is nested too deep"
    return raw, document if isinstance(document, dict) else "it is no table"


def _newest(contents: Mapping[str, Mapping[str, Any]]) -> str:
    return max((str(document["date"]) for document in contents.values() if "date" in document), default="")


def _is_date(text: object) -> bool:
    try:
        return isinstance(text, str) and dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


class _Reader:
    """Turns the entries of a file into values; one that does not fit becomes a fault that names its place."""

    def __init__(self, contents: Mapping[str, Mapping[str, Any]], faults: list[str]) -> None:
        self._contents = contents
        self._faults = faults

    def each(self, name: str, key: str, make: Callable[[Mapping[str, Any]], T]) -> Iterator[T]:
        if name not in self._contents:
            return
        listed = self._contents[name].get(key)
        if not isinstance(listed, list) or not listed:
            self._faults.append(f"{name}: there is no list of {key}")
            return
        for number, entry in enumerate(listed):
            made = self._made(f"{name}: {key}[{number}]", entry, make)
            if made is not None:
                yield made

    def one(self, name: str, key: str, make: Callable[[Mapping[str, Any]], T]) -> T | None:
        if name not in self._contents:
            return None
        return self._made(f"{name}: {key}", self._contents[name].get(key), make)

    def prove(self, readers: Mapping[str, Callable[[Mapping[str, Any], list[str]], object]]) -> None:
        for name, make in readers.items():
            faults: list[str] = []
            if name in self._contents:
                make(self._contents[name], faults)
            self._faults.extend(f"{name}: {fault}" for fault in faults)

    def _made(self, place: str, entry: Any, make: Callable[[Mapping[str, Any]], T]) -> T | None:
        try:
            return make(entry)
        except KeyError as error:
            self._faults.append(f"{place} lacks {error}")
        # What packaging raises for versions, specifiers and requirements are ValueErrors.
        except (TypeError, AttributeError, ValueError) as error:
            self._faults.append(f"{place}: {error}")
        return None
