"""Find what the catalogue says in one place and denies in another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from itertools import chain

from mmsetup.catalog.model import Catalog, Family, parsed

__all__ = ["contradictions"]


def contradictions(catalog: Catalog) -> Iterator[str]:
    """Give every contradiction between entries that are well-formed each for itself."""
    yield from _twice("torch.json", (release.version for release in catalog.torch))
    yield from _twice("sources.toml", (source.name for source in catalog.sources))
    yield from _twice("breaks.toml", (found.id for found in catalog.breaks))
    yield from _twice("families.toml", (family.name for family in catalog.families))
    yield from _twice("gates.json", ((gate.distribution, gate.version, gate.on) for gate in catalog.gates))
    yield from _twice("gpus.json", (gpu.name for gpu in catalog.gpus))
    yield from _of_torch(catalog)
    yield from _of_wheels(catalog)
    yield from _of_breaks(catalog)
    for family in catalog.families:
        yield from (f"families.toml: {family.name}: {fault}" for fault in _of_family(family, catalog))


def _twice(name: str, keys: Iterable[Hashable]) -> Iterator[str]:
    for key, count in Counter(keys).items():
        if count > 1:
            words = " ".join(map(str, key)) if isinstance(key, tuple) else str(key)
            yield f"{name}: {words} stands there twice"


def _of_torch(catalog: Catalog) -> Iterator[str]:
    for release in catalog.torch:
        for platform, variant in release.architectures:
            offered = release.platforms.get(platform)
            known = (offered.default_variant, *offered.index_variants) if offered else ()
            if variant not in known:
                yield f"torch.json: {release.version}: architectures of {variant} on {platform}, which is no build"


def _of_wheels(catalog: Catalog) -> Iterator[str]:
    series = {parsed(release.series) for release in catalog.torch}
    releases = {release.version for release in catalog.torch}
    families = {family.ops.distribution: family for family in catalog.families}
    for group in catalog.wheels:
        place = f"wheels.json: {group.index} {group.distribution} {group.variant} torch {group.torch}"
        source = catalog.source(group.index)
        if source is None:
            yield f"{place}: sources.toml has no {group.index}"
        elif group.distribution not in source.distributions:
            yield f"{place}: {group.index} does not serve it"
        elif group.torch not in (releases if source.fits == "release" else series):
            yield f"{place}: torch.json has no such torch"
        family = families.get(group.distribution)
        if family is None:
            yield f"{place}: no family has these ops"
        elif unknown := set(group.versions) - set(family.ops.versions):
            yield f"{place}: family {family.name} lacks version {', '.join(sorted(map(str, unknown)))}"


def _of_breaks(catalog: Catalog) -> Iterator[str]:
    known = {"torch", "python", "glibc", *chain.from_iterable(f.distributions for f in catalog.families)}
    for found in catalog.breaks:
        if unknown := found.when.keys() - known:
            yield f"breaks.toml: {found.id} speaks of {', '.join(sorted(unknown))}, which no plan holds"


def _of_family(family: Family, catalog: Catalog) -> Iterator[str]:
    releases = {release.version for release in catalog.torch}
    yield from _twice("its members", family.distributions)
    versions = {family.ops.distribution: family.ops.versions} | {
        member.distribution: member.versions for member in family.members
    }
    for member in family.members:
        if unknown := member.needed_by.keys() - versions.keys():
            yield f"{member.distribution} is needed by {', '.join(sorted(unknown))}, which is none of it"
    for proof in family.proven:
        place = f"the proven set with torch {proof.torch}"
        if proof.torch not in releases:
            yield f"{place} names a torch that torch.json lacks"
        for name, version in proof.versions.items():
            if version not in versions.get(name, ()):
                yield f"{place} names {name} {version}, which the family lacks"
            for gate in catalog.gates_of(name, version):
                on = family.named(gate.on)
                chosen = proof.versions.get(on.distribution) if on else None
                if chosen is not None and not gate.admits(chosen):
                    yield f"{place} does not pass the gate of {gate.distribution} {gate.version}"
