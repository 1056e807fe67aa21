"""Sift the candidates by the rules, and order those that are left.

Preferred, in this order: prebuilt ops over built ones; the family's proven sets; an interpreter that is here
over one to be fetched; fewer cautions; the proven set that stands first; for a machine without a GPU the
smaller ``cpu`` build where a source lists it; newer over older.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mmsetup.catalog import Family, Proven
from mmsetup.plan.candidate import DEFAULT_INDEX, Candidate, Situation, candidates
from mmsetup.plan.model import Rejection
from mmsetup.plan.rules import PAGE_RULES, RULES, Judge, Rule

if TYPE_CHECKING:
    from packaging.version import Version

__all__ = ["best", "listed", "nearest", "proof_of", "ranked"]


def ranked(situation: Situation) -> tuple[list[Candidate], list[Rejection]]:
    """Give the candidates that pass every rule that needs no page, best first, and why not the others."""
    passed, rejections = _sifted(candidates(situation), RULES, situation)
    passed.sort(key=lambda candidate: _rank(candidate, situation))
    return passed, rejections


def listed(found: Iterable[Candidate], situation: Situation) -> tuple[list[Candidate], list[Rejection]]:
    """Give those of the candidates whose files the pages list, in the same order, and why not the others."""
    return _sifted(found, PAGE_RULES, situation)


def best(situation: Situation) -> Candidate | None:
    """Give the best candidate that passes every rule."""
    passed, _ = ranked(situation)
    return next(iter(listed(passed, situation)[0]), None)


def nearest(situation: Situation) -> list[Rejection]:
    """Tell what excludes the sets that are nearest to possible: those that the fewest rules object to."""
    judge = Judge((*RULES, *PAGE_RULES), situation)
    objections = [(candidate, tuple(judge.objections(candidate))) for candidate in candidates(situation)]
    fewest = min((len(against) for _, against in objections), default=0)
    near = [(candidate, against) for candidate, against in objections if len(against) == fewest]
    near.sort(key=lambda pair: _rank(pair[0], situation))
    return _grouped(near, situation.family)


def proof_of(candidate: Candidate, family: Family) -> Proven | None:
    """Give the proof that a set trains, where there is one."""
    for proof in family.proven:
        if (
            candidate.python in proof.pythons
            and candidate.torch.version == proof.torch
            and candidate.ops == proof.ops
            and candidate.segmentation == proof.segmentation
        ):
            return proof
    return None


def _sifted(
    wanted: Iterable[Candidate], rules: tuple[Rule, ...], situation: Situation
) -> tuple[list[Candidate], list[Rejection]]:
    judge = Judge(rules, situation)
    passed, excluded = [], []
    for candidate in wanted:
        objection = next(judge.objections(candidate), None)
        if objection is None:
            passed.append(candidate)
        else:
            excluded.append((candidate, (objection,)))
    return passed, _grouped(excluded, situation.family)


def _grouped(
    excluded: Iterable[tuple[Candidate, tuple[tuple[str, str], ...]]], family: Family
) -> list[Rejection]:
    groups: defaultdict[tuple[tuple[str, str], ...], list[Candidate]] = defaultdict(list)
    for candidate, objections in excluded:
        groups[objections].append(candidate)
    return [
        Rejection(
            candidate=members[0].described(family),
            rule=", ".join(rule for rule, _ in objections),
            reason="; ".join(reason for _, reason in objections),
            others=len(members) - 1,
        )
        for objections, members in groups.items()
    ]


def _rank(candidate: Candidate, situation: Situation) -> tuple[object, ...]:
    proof = proof_of(candidate, situation.family)
    return (
        candidate.is_built,
        proof is None,
        candidate.interpreter is None,
        sum(found.caution for found in candidate.breaks),
        0 if proof is None else situation.family.proven.index(proof),
        not situation.machine.gpus and candidate.variant != "cpu",
        candidate.torch_source != DEFAULT_INDEX,
        _newest_first(candidate.torch.version),
        _newest_first(candidate.ops),
        _newest_first(candidate.segmentation),
        0 if candidate.variant == "cpu" else -int(candidate.variant.removeprefix("cu")),
        tuple(-int(number) for number in candidate.python.split(".")),
    )


def _newest_first(version: Version) -> tuple[int, ...]:
    return tuple(-number for number in (*version.release, 0, 0, 0)[:4])
