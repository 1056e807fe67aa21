"""The breaks of the catalogue that hold for versions that are here, and the bounds that these do not keep."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from packaging.version import Version

    from mmsetup.catalog import Break, Catalog

__all__ = ["Outside", "concerning", "outside"]


@dataclass(frozen=True, slots=True)
class Outside:
    """A version that a bound of a break leaves out; ``name`` is normalised."""

    cause: Break
    bound: Requirement
    name: str
    version: Version


def concerning(
    catalog: Catalog, versions: Mapping[str, Version], patches: Collection[str]
) -> Iterator[Break]:
    """Give the breaks whose conditions hold for ``versions`` and that no patch of ``patches`` mended."""
    for found in catalog.breaks:
        if not found.concerns(versions, built=False) or set(found.patches).intersection(patches):
            continue
        if all(name in versions for name in found.beside):
            yield found


def outside(catalog: Catalog, versions: Mapping[str, Version], patches: Collection[str]) -> Iterator[Outside]:
    """Give the versions that a break which holds leaves out."""
    for found in concerning(catalog, versions, patches):
        for bound in map(Requirement, found.bounds):
            name = canonicalize_name(bound.name)
            version = versions.get(name)
            if version is not None and not bound.specifier.contains(version, prereleases=True):
                yield Outside(found, bound, name, version)
