"""Choose the family that the clues speak for."""

from __future__ import annotations

from collections.abc import Iterable

from mmsetup.project.model import Clue
from mmsetup.project.rules import Rules

__all__ = ["weigh"]


def weigh(clues: Iterable[Clue], rules: Rules) -> tuple[str, tuple[Clue, ...], tuple[Clue, ...]]:
    """Give the family, the clues for it and those against it, strong ones first; there must be a clue.

    The generation with more strong clues wins, with as many the one with more clues at all, and then the
    first. In it, a fork is meant where the project names it at least as often as the original.
    """
    every = sorted(clues, key=lambda clue: not clue.strong)
    generations = sorted(set(rules.generations.values()))
    generation = max(
        generations,
        key=lambda number: _weight(clue for clue in every if rules.generations[clue.family] == number),
    )
    own = [clue for clue in every if rules.generations[clue.family] == generation]
    family = _within(own, [name for name, number in rules.generations.items() if number == generation], rules)
    agrees = [clue for clue in own if clue.family == family or _fits_both(clue, rules)]
    return family, tuple(agrees), tuple(clue for clue in every if clue not in set(agrees))


def _within(clues: list[Clue], names: list[str], rules: Rules) -> str:
    original = next(name for name in names if name not in rules.forks)
    for fork in (name for name in names if name in rules.forks):
        meant = [clue for clue in clues if clue.family == fork]
        other = [clue for clue in clues if clue.family == original and clue.names_family]
        if meant and _weight(meant) >= _weight(other):
            return fork
    return original


def _fits_both(clue: Clue, rules: Rules) -> bool:
    return clue.family not in rules.forks and not clue.names_family


def _weight(clues: Iterable[Clue]) -> tuple[int, int]:
    counted = list(clues)
    return sum(clue.strong for clue in counted), len(counted)
