"""What openmim does to the packages that a lock pins, worked out from versions alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

__all__ = ["Change", "Limit", "changes"]


@dataclass(frozen=True, slots=True)
class Limit:
    """A requirement on one package that must hold, and why."""

    requirement: str
    reason: str

    def admits(self, package: str, version: str) -> bool:
        """Tell whether a version of a package keeps to it; one that is no version does not."""
        wanted = Requirement(self.requirement)
        if canonicalize_name(wanted.name) != package:
            return True
        try:
            return wanted.specifier.contains(Version(version), prereleases=True)
        except InvalidVersion:
            return False


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one package.

    ``locked`` is its version in the lock, ``alone`` the one after a plain ``pip install openmim``, ``used``
    the one that is there while mim works; empty where there is none. ``kind`` is ``new`` (openmim brings it),
    ``changed`` (another version than the lock's while mim works), ``kept`` (a plain install would change
    it, and here it stays) or ``avoided`` (a plain install would bring it, and here it is not needed).
    ``breaks`` are the limits that the plain install, or where it is not known the one here, would violate.
    """

    package: str
    kind: str
    locked: str
    alone: str
    used: str
    breaks: tuple[Limit, ...] = ()


def changes(
    locked: Mapping[str, str],
    alone: Mapping[str, str],
    used: Mapping[str, str],
    limits: Iterable[Limit] = (),
) -> tuple[Change, ...]:
    """Compare three sets of pins: the lock, a plain install of openmim on it, and the one made here.

    Names are normalised; ``alone`` and ``used`` hold openmim and what it needs, not all of the lock, and
    ``alone`` is empty where nobody knows. What stays as it is has no row. Locked packages come first, each
    kind in the order of names.
    """
    known = tuple(limits)
    rows = []
    for package in {*alone, *used}:
        before, plain, here = locked.get(package, ""), alone.get(package, ""), used.get(package, "")
        kind = _kind(before, plain, here)
        if kind:
            told = plain or here
            broken = tuple(limit for limit in known if not limit.admits(package, told))
            rows.append(Change(package, kind, before, plain, here, broken))
    order = ("changed", "kept", "new", "avoided")
    return tuple(sorted(rows, key=lambda row: (order.index(row.kind), row.package)))


def _kind(locked: str, alone: str, used: str) -> str:
    if not locked:
        return "new" if used else "avoided"
    if used not in {"", locked}:
        return "changed"
    return "kept" if alone not in {"", locked} else ""
