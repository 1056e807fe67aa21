"""What families say against themselves, their gates, and what they were proven with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmsetup.catalog.model import Catalog, Family, Proven, parsed

if TYPE_CHECKING:
    from packaging.version import Version

__all__ = ["of_families"]


def of_families(catalog: Catalog) -> Iterator[str]:
    """Give contradictions of every family."""
    for family in catalog.families:
        place = f"families.toml: {family.name}"
        yield from (f"{place}: {fault}" for fault in _of_members(family))
        yield from (f"{place}: {fault}" for fault in _of_gates(family, catalog))
        for proof in family.proven:
            proven = f"{place}: the proven set with torch {proof.torch}"
            yield from (f"{proven} {fault}" for fault in _of_proof(proof, family, catalog))
    homes = Counter(
        (part.distribution, version)
        for family in catalog.families
        for part in family.parts
        for version in part.versions
    )
    for (name, version), count in homes.items():
        if count > 1:
            yield f"families.toml: {name} {version} is in {count} families"


def _of_members(family: Family) -> Iterator[str]:
    names = Counter(family.distributions) + Counter(member.role for member in family.members)
    yield from (f"{name} stands there twice" for name, count in names.items() if count > 1)
    versions = _versions(family)
    for member in family.members:
        for name, specifier in member.needed_by.items():
            if name not in versions:
                yield f"{member.distribution} is needed by {name}, which is none of it"
            elif not any(specifier.contains(one, prereleases=True) for one in versions[name]):
                yield f"{member.distribution} is needed by {name} {specifier}, which is no version of it"


def _of_gates(family: Family, catalog: Catalog) -> Iterator[str]:
    listed = {(part.distribution, str(version)) for part in family.parts for version in part.versions}
    modules = {part.module: part for part in family.parts}
    for gate in catalog.gates:
        on = modules.get(gate.on)
        if on is None or (gate.distribution, gate.version) not in listed:
            continue
        if not any(map(gate.admits, on.versions)):
            yield f"{gate.distribution} {gate.version} admits no {on.distribution} that the family has"


def _of_proof(proof: Proven, family: Family, catalog: Catalog) -> Iterator[str]:
    versions = _versions(family)
    release = next((one for one in catalog.torch if one.version == proof.torch), None)
    if release is None:
        yield "names a torch that torch.json lacks"
    else:
        known = {python for offered in release.platforms.values() for python in offered.pythons}
        yield from (
            f"names Python {python}, which that torch has no wheel for"
            for python in proof.pythons
            if python not in known
        )
    if family.ops.distribution not in proof.versions:
        yield f"names no {family.ops.distribution}"
    for name, version in proof.versions.items():
        if version not in versions.get(name, ()):
            yield f"names {name} {version}, which the family lacks"
        for gate in catalog.gates_of(name, version):
            on = family.named(gate.on)
            chosen = proof.versions.get(on.distribution) if on else None
            if chosen is not None and not gate.admits(chosen):
                yield f"does not pass the gate of {gate.distribution} {gate.version}"
    yield from _of_breaks(proof, family, catalog)


def _of_breaks(proof: Proven, family: Family, catalog: Catalog) -> Iterator[str]:
    built = not _has_wheel(proof, family, catalog)
    breaking = [
        found
        for found in catalog.breaks
        if (found.reject or found.caution) and not (built and catalog.mending(found, proof.versions))
    ]
    for python in proof.pythons:
        held = {"torch": proof.torch, "python": parsed(python), **proof.versions}
        for found in breaking:
            if found.concerns(held, built=built):
                yield f"meets the break {found.id} on Python {python}"


def _has_wheel(proof: Proven, family: Family, catalog: Catalog) -> bool:
    series = parsed(f"{proof.torch.major}.{proof.torch.minor}.0")
    version = proof.versions.get(family.ops.distribution)
    return any(
        group.distribution == family.ops.distribution
        and group.torch in {series, proof.torch}
        and version in group.versions
        for group in catalog.wheels
    )


def _versions(family: Family) -> dict[str, tuple[Version, ...]]:
    return {part.distribution: part.versions for part in family.parts}
