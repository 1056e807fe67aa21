"""Which known breaks concern a set, told by bit masks: a plan compares thousands of sets."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING

from mmsetup.catalog import Break
from mmsetup.plan.situation import Situation

if TYPE_CHECKING:
    from packaging.version import Version

__all__ = ["BreakTable"]


class BreakTable:
    """The breaks that can concern a situation.

    A mask has a bit for each break. :meth:`of` gives those whose condition on one package holds; a break
    concerns a set when the masks of all that it is made of have its bit in common.
    """

    def __init__(self, situation: Situation) -> None:
        self._distributions = situation.family.distributions
        self._ops = situation.family.ops.distribution
        self._catalog = situation.catalog
        self._may_patch = situation.request.may_patch
        self._asked = situation.request.patches
        known = {"torch", "python", "glibc", "cuda", *self._distributions}
        platform, glibc = situation.platform, situation.glibc
        self.breaks: tuple[Break, ...] = tuple(
            found
            for found in situation.catalog.breaks
            if found.when.keys() <= known and (not found.platforms or platform in found.platforms)
        )
        self._masks: dict[tuple[str, Version | None], int] = {}
        self._outside = self.of("glibc", glibc)
        self.rejecting = self._where(found.reject for found in self.breaks)
        self.cautions = self._where(found.caution for found in self.breaks)
        self._prebuilt = self._where(not found.only_built for found in self.breaks)

    def of(self, name: str, version: Version | None) -> int:
        """Give the breaks whose condition on ``name``, where they have one, holds; absent, none does."""
        key = name, version
        if key not in self._masks:
            self._masks[key] = self._where(
                name not in found.when or (version is not None and found.admits(name, version))
                for found in self.breaks
            )
        return self._masks[key]

    def of_code(self, versions: dict[str, Version]) -> int:
        """Give the breaks whose conditions on all distributions of the family hold."""
        masks = (self.of(name, versions.get(name)) for name in self._distributions)
        return reduce(and_, masks, self._outside)

    def mended(self, versions: dict[str, Version]) -> tuple[int, int]:
        """Give the breaks that patches mend in a set: with its ops prebuilt, and with its ops built."""
        others = {name: version for name, version in versions.items() if name != self._ops}
        prebuilt, built = (
            self._where(bool(self._catalog.mending(found, these, self._asked)) for found in self.breaks)
            for these in (others, versions)
        )
        return prebuilt, built if self._may_patch else prebuilt

    def concerning(self, code: int, others: int, *, built: bool) -> int:
        """Give the breaks that concern a set, from the masks of its parts."""
        mask = code & others
        return mask if built else mask & self._prebuilt

    def named(self, mask: int) -> tuple[Break, ...]:
        """Give the breaks of a mask."""
        return tuple(found for number, found in enumerate(self.breaks) if mask >> number & 1)

    @staticmethod
    def _where(verdicts: Iterable[bool]) -> int:
        return sum(1 << number for number, verdict in enumerate(verdicts) if verdict)
