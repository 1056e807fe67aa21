"""What is known of names, keys and versions: ``known.toml`` and the generated ``registered.toml``."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from mmsetup.project.rules import rules

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Release", "Tables", "tables"]

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Release:
    """A release of a package and the names that it registers; ``family`` is that which it belongs to."""

    distribution: str
    version: str
    module: str
    family: str
    names: frozenset[str]


@dataclass(frozen=True)
class Tables:
    """Both files; the second is read when a name is in no registry."""

    known: Mapping[str, Any]

    @cached_property
    def config_key(self) -> re.Pattern[str]:
        """Match a line that sets what a configuration sets."""
        names = "|".join(self.known["config"]["keys"])
        return re.compile(rf"^(?:{names})\s*=|^with read_base\(\)", re.MULTILINE)

    def used(self, generation: int | None) -> frozenset[str]:
        """Give the names at the top of a configuration that the runner of a generation reads; else of any."""
        known = self.known["config"]
        keys = ("used_1", "used_2") if generation is None else (f"used_{generation}",)
        return frozenset(name for key in keys for name in known[key])

    @cached_property
    def free_heads(self) -> frozenset[str]:
        """Give the heads whose number of classes is not that of the data set, and data sets of that kind."""
        known = self.known["free_heads"]
        return frozenset((*known["types"], *known["datasets"]))

    @cached_property
    def moved(self) -> Mapping[tuple[str, int], str]:
        """Give what a name of a generation is called in the other, by both."""
        return {
            (name, entry["generation"]): entry["now"]
            for entry in self.known["moved"]
            for name in entry["was"]
        }

    @cached_property
    def releases(self) -> tuple[Release, ...]:
        """Give the releases whose names are known."""
        found = []
        for entry in tomllib.loads((_FOLDER / "registered.toml").read_text(encoding="utf-8"))["releases"]:
            known = rules().distribution(entry["distribution"])
            family = known.family_of(SpecifierSet(f"=={entry['version']}"))[0] if known else ""
            found.append(
                Release(
                    entry["distribution"],
                    entry["version"],
                    entry["module"],
                    family,
                    frozenset(entry["names"]),
                )
            )
        return tuple(found)

    def without(self, numpy: Version) -> frozenset[str]:
        """Give the names that a numpy lacks and older ones had."""
        gone: set[str] = set()
        for entry in self.known["numpy"]:
            if numpy >= Version(entry["gone"]):
                again = entry.get("again", {})
                gone.update(
                    name for name in entry["names"] if name not in again or numpy < Version(again[name])
                )
        return frozenset(gone)


@cache
def tables() -> Tables:
    """Read the first table, once."""
    return Tables(tomllib.loads((_FOLDER / "known.toml").read_text(encoding="utf-8")))
