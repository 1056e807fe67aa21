"""The versions of the ops and of the packages around them that accept each other.

Versions that no rule can tell apart stand for each other: of them only the newest is a candidate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from mmsetup.catalog import Gate, Member
from mmsetup.plan.breaks import BreakTable
from mmsetup.plan.model import Rejection
from mmsetup.plan.situation import Situation

__all__ = ["Code", "Codes", "newest_first"]


@dataclass(frozen=True, slots=True)
class Code:
    """One version of the ops and of each member.

    ``mask`` tells the breaks whose conditions on these hold, ``proofs`` the numbers of the family's proven
    sets that have these versions, ``age`` orders codes from new to old. ``mended`` are the breaks that
    patches mend, first where the ops are prebuilt, then where they are built.
    """

    ops: Version
    members: tuple[tuple[str, Version], ...]
    mask: int
    proofs: tuple[int, ...]
    age: tuple[tuple[int, ...], ...]
    mended: tuple[int, int] = (0, 0)

    def version(self, distribution: str) -> Version | None:
        """Give the version of a member that is part of it."""
        return next((version for name, version in self.members if name == distribution), None)


class Codes:
    """The codes of a situation, by the version of the ops."""

    def __init__(self, situation: Situation, table: BreakTable) -> None:
        self._family = situation.family
        self._table = table
        self._gates = _gates(situation.catalog.gates)
        self._gates_on = {
            member.module: tuple(gate for gate in situation.catalog.gates if gate.on == member.module)
            for member in self._family.members
        }
        self._wishes: dict[str, SpecifierSet] = {}
        for found in map(Requirement, situation.request.wanted):
            self._wishes[found.name] = self._wishes.get(found.name, SpecifierSet()) & found.specifier
        self._without = frozenset(situation.request.without)
        asked = map(situation.catalog.patch, situation.request.patches)
        self._patches = [patch for patch in asked if patch is not None]
        required = (Requirement(line) for line in self._family.ops.requires)
        self._required = {one.name: one.specifier for one in required if one.specifier}
        self._known: dict[Version, tuple[Code, ...]] = {}
        self._likenesses: dict[tuple[str, Version], object] = {}
        self._refusals: dict[str, list[str]] = {}
        self._branches: dict[str, None] = {}

    @property
    def ops_versions(self) -> Iterator[Version]:
        """Give the versions of the ops that the request admits, newest first."""
        return (version for version in self._family.ops.versions if self.admits(version))

    def admits(self, ops: Version) -> bool:
        """Tell whether the request admits a version of the ops."""
        wish = self._wishes.get(self._family.ops.distribution)
        return wish is None or wish.contains(ops, prereleases=ops in self._family.ops.versions)

    def of(self, ops: Version) -> tuple[Code, ...]:
        """Give the codes with a version of the ops, newest first; none where nothing accepts it."""
        if ops not in self._known:
            self._branches = {}
            self._known[ops] = tuple(self._made(ops))
            if not self._known[ops]:
                for reason in self._branches:
                    self._refusals.setdefault(reason, []).append(f"{self._family.ops.distribution} {ops}")
        return self._known[ops]

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """Tell which versions of the ops no release of a member accepts, and by which gate."""
        return tuple(
            Rejection(candidates[0], "gates", reason, len(candidates) - 1)
            for reason, candidates in self._refusals.items()
        )

    def _made(self, ops: Version) -> Iterator[Code]:
        family = self._family
        made: dict[object, Code] = {}
        chosen = {family.ops.distribution: ops}
        for versions in self._extended(chosen, family.members):
            mask, mended = self._table.of_code(versions), self._table.mended(versions)
            members = tuple(
                (member.distribution, versions[member.distribution])
                for member in family.members
                if member.distribution in versions
            )
            proofs = tuple(
                number
                for number, proof in enumerate(family.proven)
                if all(versions.get(name) == version for name, version in proof.versions.items())
            )
            age = (newest_first(ops), *(newest_first(version) for _, version in members))
            made.setdefault((mask, mended, proofs), Code(ops, members, mask, proofs, age, mended))
        yield from made.values()

    def _extended(
        self, chosen: dict[str, Version], members: tuple[Member, ...]
    ) -> Iterator[dict[str, Version]]:
        if not members:
            yield chosen
            return
        member, *others = members
        needing = self._needing(member, chosen)
        if needing and member.distribution in self._without:
            self._branches[f"{needing} needs {member.distribution}, which was to be left out"] = None
            return
        if not needing and not self._is_asked_for(member):
            yield from self._extended(chosen, tuple(others))
            return
        seen: set[object] = set()
        refusals: list[str] = []
        for version in self._admitted(member):
            objection = self._objection(member, version, chosen)
            if objection is not None:
                refusals.append(objection)
                continue
            like = self._likeness(member, version)
            if like in seen:
                continue
            seen.add(like)
            yield from self._extended(chosen | {member.distribution: version}, tuple(others))
        if not seen:
            self._refuse(member, refusals)

    def _is_asked_for(self, member: Member) -> bool:
        if member.distribution in self._without:
            return False
        return not member.optional or member.distribution in self._wishes

    @staticmethod
    def _needing(member: Member, chosen: dict[str, Version]) -> str:
        """Give what was chosen that cannot be without a member."""
        for name, versions in member.needed_by.items():
            if name in chosen and versions.contains(chosen[name], prereleases=True):
                return f"{name} {chosen[name]}"
        return ""

    def _admitted(self, member: Member) -> Iterable[Version]:
        wish = self._wishes.get(member.distribution) or SpecifierSet()
        return (version for version in member.versions if wish.contains(version, prereleases=True))

    def _objection(self, member: Member, version: Version, chosen: dict[str, Version]) -> str | None:
        """Say which gate, or requirement of the ops, keeps a version from those chosen before."""
        required = self._required.get(member.distribution)
        if required is not None and not required.contains(version, prereleases=True):
            return f"{self._family.ops.distribution} requires {member.distribution}{required}"
        for gate in self._gates.get((member.distribution, version), ()):
            on = self._family.named(gate.on)
            if on is not None and on.distribution in chosen and not gate.admits(chosen[on.distribution]):
                return _told(gate)
        for name, other in chosen.items():
            for gate in self._gates.get((name, other), ()):
                if self._family.named(gate.on) is member and not gate.admits(version):
                    return _told(gate)
        return None

    def _likeness(self, member: Member, version: Version) -> object:
        """Give all that can tell a version from another one of the same member."""
        key = member.distribution, version
        if key not in self._likenesses:
            self._likenesses[key] = self._told_apart(member, version)
        return self._likenesses[key]

    def _told_apart(self, member: Member, version: Version) -> object:
        name = member.distribution
        asserts = tuple(
            (gate.on, gate.range, gate.comparison)
            for gate in self._gates.get((name, version), ())
            if gate.on != self._family.ops.module
        )
        admitted = tuple(gate.admits(version) for gate in self._gates_on[member.module])
        needs = tuple(
            other.needed_by[name].contains(version, prereleases=True)
            for other in self._family.members
            if name in other.needed_by
        )
        proven = any(proof.versions.get(name) == version for proof in self._family.proven)
        patches = tuple(patch.fits(name, version) for patch in self._patches)
        return self._table.of(name, version), asserts, admitted, needs, patches, version if proven else None

    def _refuse(self, member: Member, refusals: list[str]) -> None:
        if refusals:
            reason = refusals[0]
            if len(refusals) > 1:
                reason += f", and {len(refusals) - 1} other releases refuse it as well"
        else:
            reason = f"no release of {member.distribution} is left by what was asked for"
        self._branches[reason] = None


def _told(gate: Gate) -> str:
    return f"{gate.distribution} {gate.version} asserts {gate.range}"


def newest_first(version: Version) -> tuple[int, ...]:
    """Give a key that orders versions from new to old, candidates before their release."""
    numbers = (*version.release, 0, 0, 0)[:4]
    beside = version.pre[1] - 1000 if version.pre else (version.post or 0)
    return (*(-number for number in numbers), -beside)


@lru_cache(maxsize=4)
def _gates(gates: tuple[Gate, ...]) -> dict[tuple[str, Version], tuple[Gate, ...]]:
    found: dict[tuple[str, Version], tuple[Gate, ...]] = {}
    for gate in gates:
        key = gate.distribution, Version(gate.version)
        found[key] = (*found.get(key, ()), gate)
    return found
