"""Which releases have gates, have none, or are silent about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mmsetup.catalog.model import Catalog

__all__ = ["of_gates"]


def of_gates(catalog: Catalog, without: Iterable[tuple[str, Iterable[str]]]) -> Iterator[str]:
    """Give contradictions among gates, families, and releases ``without`` any (name, versions)."""
    gated = {(gate.distribution, gate.version) for gate in catalog.gates}
    ungated = {(name, version) for name, versions in without for version in versions}
    for name, version in sorted(gated & ungated):
        yield f"gates.json: {name} {version} has a gate and is said to have none"
    listed = {name for family in catalog.families for name in family.distributions}
    for name in sorted({name for name, _ in gated | ungated} - listed):
        yield f"gates.json: no family has {name}"
    modules = {part.module for family in catalog.families for part in family.parts}
    for on in sorted({gate.on for gate in catalog.gates} - modules):
        yield f"gates.json: no family has a module {on}, which gates are on"
    for family in catalog.families:
        for member in family.members:
            named = {(member.distribution, str(version)) for version in member.versions}
            for name, version in sorted(named - gated - ungated):
                yield f"gates.json: nothing says whether {name} {version} has a gate"
