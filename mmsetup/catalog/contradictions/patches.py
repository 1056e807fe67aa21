"""Patches that nothing applies, that fit nothing, or that breaks name and that are not there."""

from __future__ import annotations

from collections.abc import Iterator

from mmsetup.catalog.model import Catalog
from mmsetup.catalog.patches import Patch

__all__ = ["of_patches"]


def of_patches(catalog: Catalog) -> Iterator[str]:
    """Give contradictions of the patches, and of the breaks with them."""
    naming = {name for found in catalog.breaks for name in found.patches}
    for found in catalog.breaks:
        if found.bounds and found.patches:
            yield f"breaks.toml: {found.id} is avoided by bounds, and a patch has nothing to mend"
        for name in found.patches:
            if catalog.patch(name) is None:
                yield f"breaks.toml: {found.id} names the patch {name}, which patches.toml lacks"
    ops = {family.ops.distribution for family in catalog.families}
    for one in catalog.patches:
        place = f"patches.toml: {one.name}"
        if not one.asked and one.name not in naming:
            yield f"{place} is applied by nothing"
        if not one.asked and not ops.issuperset(one.releases):
            yield f"{place} changes what is never built, and nobody has to ask for it"
        yield from (f"{place} {fault}" for fault in _of_releases(one, catalog))
        yield from (f"{place} {fault}" for fault in _of_gates(one, catalog))


def _of_releases(one: Patch, catalog: Catalog) -> Iterator[str]:
    for name in one.releases:
        versions = {
            version
            for family in catalog.families
            for part in family.parts
            if part.distribution == name
            for version in part.versions
        }
        if not versions:
            yield f"changes {name}, which no family has"
        elif not any(one.fits(name, version) for version in versions):
            yield f"fits no release of {name}"


def _of_gates(one: Patch, catalog: Catalog) -> Iterator[str]:
    for module in one.admits:
        changed = [
            gate
            for family in catalog.families
            for part in family.parts
            for version in part.versions
            if one.fits(part.distribution, version)
            for gate in catalog.gates_of(part.distribution, version)
            if gate.on == module
        ]
        if not changed:
            yield f"changes a gate on {module} that no release has"
