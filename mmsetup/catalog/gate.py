"""The range of a module that a release asserts, compared as the release itself compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from packaging.version import Version

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

__all__ = ["Gate", "parsed"]


@cache
def parsed(text: str) -> Version:
    """Parse a version; the catalogue names the same ones thousands of times."""
    return Version(text)


@dataclass(frozen=True, slots=True)
class Gate:
    """The range of another module that a release asserts when it is imported.

    Releases compare in one of two ways of their own. ``padded``: tuples filled up to four numbers, which
    agrees with the order of PEP 440. ``unpadded``: lists of the numbers as they are written, so that ``1.2``
    comes before ``1.2.0`` and a maximum of ``1.2`` refuses 1.2.0. Without a maximum, anything newer will do.
    """

    distribution: str
    version: str
    on: str
    minimum: str
    maximum: str
    maximum_inclusive: bool
    source: str
    comparison: str = "padded"

    def admits(self, version: Version) -> bool:
        """Tell whether importing the release beside this version of the module passes its assertion."""
        read: Callable[[str], Any] = _numbers if self.comparison == "unpadded" else parsed
        found = read(str(version))
        if found < read(self.minimum):
            return False
        if not self.maximum:
            return True
        maximum = read(self.maximum)
        return bool(found <= maximum if self.maximum_inclusive else found < maximum)

    @property
    def range(self) -> str:
        """Give the assertion as people write it: ``mmcv >=1.3.13,<1.8.0``."""
        upper = f",{'<=' if self.maximum_inclusive else '<'}{self.maximum}" if self.maximum else ""
        return f"{self.on} >={self.minimum}{upper}"

    def widened(self, admitted: SpecifierSet, source: str) -> Gate:
        """Give the gate with another range, of one lower bound (``>=``) and at most one upper."""
        bounds = {one.operator: one.version for one in admitted}
        upper = "<=" if "<=" in bounds else "<"
        return replace(
            self,
            minimum=bounds[">="],
            maximum=bounds.get(upper, ""),
            maximum_inclusive=upper == "<=",
            source=source,
        )


@cache
def _numbers(version: str) -> tuple[int, ...]:
    """Read a version as mmcv's first ``digit_version`` does: ``1.0rc2`` becomes 1, -1, 2.

    Its loop takes each part of digits as a number and splits one with ``rc`` into the number less one and
    the number of the candidate (open-mmlab/mmcv v1.0.0, mmcv/utils/version_utils.py).
    """
    numbers: list[int] = []
    for part in version.split("."):
        if part.isdigit():
            numbers.append(int(part))
        elif "rc" in part:
            before, _, after = part.partition("rc")
            numbers += [int(before) - 1, int(after)]
    return tuple(numbers)
