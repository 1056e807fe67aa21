"""Breaks that can never hold, and bounds of two breaks that no version can keep together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, combinations, product
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mmsetup.catalog.model import Break, Catalog, parsed

if TYPE_CHECKING:
    from packaging.version import Version

__all__ = ["of_breaks"]

_ALWAYS = frozenset({"torch", "python", "glibc", "cuda"})


def of_breaks(catalog: Catalog) -> Iterator[str]:
    """Give contradictions of the breaks.

    Two bounds on a package clash where some torch release, Python and versions of one family meet both
    breaks and no rejecting one. Ranges of versions that overlap two by two overlap all together, so pairs
    are enough.
    """
    known = {*_ALWAYS, *chain.from_iterable(family.distributions for family in catalog.families)}
    for found in catalog.breaks:
        if unknown := found.when.keys() - known:
            yield f"breaks.toml: {found.id} speaks of {', '.join(sorted(unknown))}, which no plan holds"
        elif next(_meeting((found,), catalog), None) is None:
            yield f"breaks.toml: {found.id} holds for nothing that the catalogue knows"
    for package, bounds in _bounds(catalog.breaks).items():
        for one, specifier in bounds:
            if specifier.is_unsatisfiable():
                yield f"breaks.toml: {one.id} allows no {package}: {specifier}"
        for (one, specifier), (other, further) in combinations(bounds, 2):
            if one is other or not (specifier & further).is_unsatisfiable():
                continue
            clash = next(_accepted((one, other), catalog), None)
            if clash is not None:
                words = ", ".join(f"{name} {version}" for name, version in clash.items())
                yield (
                    f"breaks.toml: {one.id} wants {package}{specifier}, {other.id} {package}{further}, "
                    f"and both hold for {words}"
                )


def _bounds(breaks: Iterable[Break]) -> Mapping[str, list[tuple[Break, SpecifierSet]]]:
    """Give by package the breaks that bound it; several bounds of one break are one."""
    found: defaultdict[str, dict[str, tuple[Break, SpecifierSet]]] = defaultdict(dict)
    for one in breaks:
        for bound in map(Requirement, one.bounds):
            kept = found[canonicalize_name(bound.name)]
            before = kept[one.id][1] if one.id in kept else SpecifierSet()
            kept[one.id] = one, before & bound.specifier
    return {name: list(kept.values()) for name, kept in found.items()}


def _accepted(breaks: tuple[Break, ...], catalog: Catalog) -> Iterator[Mapping[str, Version]]:
    built = any(one.only_built for one in breaks)
    rejecting = [one for one in catalog.breaks if one.reject and not one.platforms]
    for held in _meeting(breaks, catalog):
        if not any(one.concerns(held, built=built) for one in rejecting):
            yield held


def _meeting(breaks: tuple[Break, ...], catalog: Catalog) -> Iterator[Mapping[str, Version]]:
    """Give what meets the conditions of all breaks: a torch, a Python, and versions of one family.

    A glibc and a CUDA are anything that they ask for.
    """
    platforms = [set(one.platforms) for one in breaks if one.platforms]
    shared = set.intersection(*platforms) if platforms else None
    if shared is not None and not shared:
        return
    named = sorted({name for one in breaks for name in one.when} - _ALWAYS)
    for family in catalog.families:
        versions = {part.distribution: part.versions for part in family.parts}
        if not versions.keys() >= set(named):
            continue
        choices = [
            [version for version in versions[name] if all(one.admits(name, version) for one in breaks)]
            for name in named
        ]
        for torch, python in _runtimes(breaks, shared, catalog):
            for chosen in product(*choices):
                yield {"torch": torch, "python": python, **dict(zip(named, chosen, strict=True))}
        if not named:
            return


def _runtimes(
    breaks: tuple[Break, ...], platforms: set[str] | None, catalog: Catalog
) -> Iterator[tuple[Version, Version]]:
    for release in catalog.torch:
        if not all(one.admits("torch", release.version) for one in breaks):
            continue
        offered = [
            offer for name, offer in release.platforms.items() if platforms is None or name in platforms
        ]
        for python in sorted({parsed(text) for offer in offered for text in offer.pythons}):
            if all(one.admits("python", python) for one in breaks):
                yield release.version, python
