"""Tell which patches a chosen set needs, and which of those that were asked for have something to change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmsetup.catalog.patches import Patch
from mmsetup.plan.candidate import Candidate
from mmsetup.plan.model import PatchChoice
from mmsetup.plan.situation import Situation

if TYPE_CHECKING:
    from packaging.version import Version

__all__ = ["applied", "idle"]


def applied(best: Candidate, situation: Situation) -> Iterator[PatchChoice]:
    """Give the patches of a set, in the order of the catalogue: first those of the ops that are built."""
    ops = situation.family.ops.distribution
    needed = {
        patch.name
        for found in best.mended
        for patch in situation.catalog.mending(found, {ops: best.code.ops} if best.is_built else {})
    }
    for patch in situation.catalog.patches:
        if patch.name in needed:
            yield _choice(patch, ops)
    for patch, name in _asked(best, situation):
        yield _choice(patch, name)


def idle(best: Candidate, situation: Situation) -> Iterator[str]:
    """Give the patches that were asked for and change nothing of the set."""
    used = {patch.name for patch, _ in _asked(best, situation)}
    yield from (name for name in situation.request.patches if name not in used)


def _asked(best: Candidate, situation: Situation) -> Iterator[tuple[Patch, str]]:
    """Give the patches that were asked for, each with the package that it changes.

    One that mends a break is left alone where that break does not hold: there it may do harm.
    """
    mended = {name for found in best.mended for name in found.patches}
    unmet = {name for found in situation.catalog.breaks for name in found.patches} - mended
    versions: list[tuple[str, Version]] = [*best.code.members]
    if best.is_built:
        versions.insert(0, (situation.family.ops.distribution, best.code.ops))
    for patch in situation.catalog.patches:
        if patch.name in situation.request.patches and (patch.admits or patch.name not in unmet):
            yield from ((patch, name) for name, version in versions if patch.fits(name, version))


def _choice(patch: Patch, name: str) -> PatchChoice:
    return PatchChoice(patch.name, name, patch.changes, patch.reason, patch.source[0], patch.sha256)
