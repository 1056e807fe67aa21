"""The table of what lines mean, read from ``clues.toml``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from packaging.specifiers import Specifier, SpecifierSet

__all__ = ["Distribution", "KeyRule", "Rule", "Rules", "rules"]

_TABLE = Path(__file__).with_name("clues.toml")


@dataclass(frozen=True, slots=True)
class Rule:
    """A name that speaks for a family."""

    name: str
    family: str
    meaning: str
    strong: bool


@dataclass(frozen=True, slots=True)
class KeyRule:
    """An assignment in a configuration file; ``value`` is dict, list, text, number or any."""

    rule: Rule
    value: str
    holds: frozenset[str]
    type: str


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution of the stack; ``second`` is the version that moved to the second generation."""

    name: str
    module: str
    package: bool
    family: str
    second: Version | None

    def family_of(self, asked: SpecifierSet) -> tuple[str, bool]:
        """Tell which family a range is for (empty: it cannot be told), and whether that is certain.

        A range that starts in the first generation and has no end was most likely written before the second.
        """
        if self.family:
            return self.family, True
        if self.second is None:
            return "", False
        starts = [version for version in (_start(specifier) for specifier in asked) if version is not None]
        if any(_ends_before(specifier, self.second) for specifier in asked):
            return _FIRST, True
        if not starts:
            return "", False
        return (_SECOND, True) if max(starts) >= self.second else (_FIRST, False)


_FIRST, _SECOND = "mmcv-full", "mmcv"


@dataclass(frozen=True, slots=True)
class Rules:
    """The whole table, by what it is looked up with.

    ``modules`` are those of the stack, torch aside; ``packages`` those of them that ``--with`` may name.
    """

    generations: Mapping[str, int]
    forks: frozenset[str]
    names: Mapping[str, Rule]
    keys: Mapping[str, tuple[KeyRule, ...]]
    inner_keys: Mapping[str, Rule]
    types: Mapping[str, Rule]
    gates: Mapping[str, Distribution]
    distributions: Mapping[str, Distribution]
    repositories: Mapping[str, Distribution]
    modules: frozenset[str]
    packages: frozenset[str]

    def of_name(self, dotted: str) -> Rule | None:
        """Give the rule for a dotted name: its own, or that of the longest beginning that has one."""
        while dotted:
            rule = self.names.get(dotted)
            if rule is not None:
                return rule
            dotted = dotted.rpartition(".")[0]
        return None

    def fits(self, written_for: str, family: str) -> bool:
        """Tell whether code that was written for a family runs on another: a fork runs the original's."""
        same = self.generations.get(written_for) == self.generations.get(family)
        return written_for == family or (same and written_for not in self.forks)

    def of_module(self, module: str, family: str) -> Distribution | None:
        """Give the distribution that brings a module in a family."""
        having = [
            found
            for found in self.distributions.values()
            if found.module == module and found.family in {"", family}
        ]
        # What a fork calls its own comes before the original.
        own = (found for found in having if found.family == family and family in self.forks)
        return next(own, having[0] if having else None)

    def distribution(self, name: str) -> Distribution | None:
        """Give the distribution of that name in any spelling, conda's included."""
        return self.distributions.get(canonicalize_name(name))


@cache
def rules() -> Rules:
    """Read the table, once."""
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    distributions: dict[str, Distribution] = {}
    repositories: dict[str, Distribution] = {}
    for entry in table["distributions"]:
        made = _distribution(entry)
        for name in (entry["name"], *entry.get("conda", ())):
            distributions[canonicalize_name(name)] = made
        for repository in entry["repositories"]:
            repositories[repository] = made
    keys: dict[str, list[KeyRule]] = {}
    for entry in table["keys"]:
        for rule in _each(entry, "names", strong=False):
            holds = frozenset(entry.get("holds", ()))
            keys.setdefault(rule.name, []).append(KeyRule(rule, entry["value"], holds, entry.get("type", "")))
    inner = table["inner"]
    return Rules(
        generations={entry["name"]: entry["generation"] for entry in table["families"]},
        forks=frozenset(entry["name"] for entry in table["families"] if entry.get("fork")),
        names={rule.name: rule for entry in table["names"] for rule in _each(entry, "names", strong=True)},
        keys={name: tuple(found) for name, found in keys.items()},
        inner_keys={
            entry["key"]: Rule(entry["key"], entry["family"], entry["meaning"], strong=False)
            for entry in inner
            if "key" in entry
        },
        types={rule.name: rule for entry in inner for rule in _each(entry, "types", strong=False)},
        gates=dict.fromkeys(table["gates"]["names"], distributions[table["gates"]["distribution"]]),
        distributions=distributions,
        repositories=repositories,
        modules=frozenset(found.module for found in distributions.values() if found.family or found.second),
        packages=frozenset(found.module for found in distributions.values() if found.package),
    )


def _each(entry: Mapping[str, Any], key: str, *, strong: bool) -> Iterator[Rule]:
    before = f"{entry['within']}." if "within" in entry else ""
    for name in entry.get(key, ()):
        full = before + name
        meaning = entry["meaning"].replace("{name}", full)
        yield Rule(full, entry["family"], meaning, entry.get("strong", strong))


def _distribution(entry: Mapping[str, Any]) -> Distribution:
    return Distribution(
        name=entry["name"],
        module=entry["module"],
        package=entry.get("package", False),
        family=entry.get("family", ""),
        second=Version(entry["second"]) if "second" in entry else None,
    )


def _version(text: str) -> Version | None:
    try:
        return Version(text.removesuffix(".*"))
    except InvalidVersion:
        return None


def _start(specifier: Specifier) -> Version | None:
    return _version(specifier.version) if specifier.operator in {">=", ">", "==", "~=", "==="} else None


def _ends_before(specifier: Specifier, second: Version) -> bool:
    end = _version(specifier.version)
    if end is None or specifier.operator not in {"<=", "<", "==", "~=", "==="}:
        return False
    # "<2.0.0" does not admit 2.0.0rc1 either.
    return end < second or (specifier.operator == "<" and end == Version(second.base_version))
