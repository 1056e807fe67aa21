"""Changes to the source of released packages, as data: what each replaces, where, and why."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mmsetup.catalog.tables import text, texts

if TYPE_CHECKING:
    from packaging.version import Version

__all__ = ["Edit", "Patch", "patch"]

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Edit:
    """One text of a file (path below the root of the source) and what takes its place.

    ``old`` stands in the file ``times`` times, each of which is replaced: another number is a reason to stop.
    """

    file: str
    old: str
    new: str
    times: int = 1


@dataclass(frozen=True, slots=True)
class Patch:
    """A change to the source of some releases.

    ``releases`` are, by distribution, the versions that it fits. A break that names it is mended by it, and
    its condition is that of the break; one that is ``asked`` for by name is applied then alone. ``admits``
    gives, by module, the range that a gate enforces afterwards. ``changes`` says what it changes and
    ``reason`` why, in a line each.
    """

    name: str
    releases: Mapping[str, SpecifierSet]
    changes: str
    reason: str
    source: tuple[str, ...]
    edits: tuple[Edit, ...]
    asked: bool = False
    admits: Mapping[str, SpecifierSet] = field(default_factory=dict)

    def fits(self, distribution: str, version: Version) -> bool:
        """Tell whether it was written for a release."""
        versions = self.releases.get(distribution)
        return versions is not None and versions.contains(version, prereleases=True)

    @property
    def sha256(self) -> str:
        """Give the sha256 of what it does, whatever is said about it."""
        edits = [[edit.file, edit.old, edit.new, edit.times] for edit in self.edits]
        return hashlib.sha256(json.dumps(edits, ensure_ascii=False).encode()).hexdigest()


def patch(entry: Mapping[str, Any]) -> Patch:
    """Make a patch of an entry of ``patches.toml``.

    Raises:
        KeyError: a key is not there. ValueError: a value is not what it should be.
    """
    name = text(entry, "name")
    if not _NAME.fullmatch(name):
        raise ValueError(f"name {name!r} is not written as one-two-3")
    edits = tuple(map(_edit, entry["edits"]))
    if not edits:
        raise ValueError(f"{name} has no edits")
    releases = {
        str(canonicalize_name(one)): SpecifierSet(range_) for one, range_ in entry["releases"].items()
    }
    if not releases:
        raise ValueError(f"{name} names no releases")
    admits = entry.get("admits", {})
    found = Patch(
        name=name,
        releases=releases,
        changes=text(entry, "changes"),
        reason=text(entry, "reason"),
        source=texts(entry, "source"),
        edits=edits,
        asked=bool(entry.get("asked", False)),
        admits={module: SpecifierSet(range_) for module, range_ in admits.items()},
    )
    if found.admits and not found.asked:
        raise ValueError(f"{name} changes a gate, and nobody has to ask for it")
    for range_ in found.admits.values():
        operators = sorted(one.operator for one in range_)
        if operators not in ([">="], ["<", ">="], ["<=", ">="]):
            raise ValueError(f"{name} admits {range_}, which no gate says")
    return found


def _edit(entry: Mapping[str, Any]) -> Edit:
    edit = Edit(text(entry, "file"), text(entry, "old"), entry["new"], entry.get("times", 1))
    place = PurePosixPath(edit.file)
    if place.is_absolute() or ".." in place.parts:
        raise ValueError(f"file {edit.file!r} lies outside the source")
    if not isinstance(edit.new, str) or edit.old == edit.new:
        raise ValueError(f"the edit of {edit.file} changes nothing")
    if type(edit.times) is not int or edit.times < 1:
        raise ValueError(f"times {edit.times!r} is no count")
    return edit
