"""In which releases of torch a symbol was, for the symbols that extensions use.

torch's C++ interface changes with each release, so that the symbols which an extension leaves undefined tell
which torch it was built for, whatever its name says. The table beside this module holds those that came or
went between the releases that were looked at, and says how it was made; about others nothing is known.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["DATA", "History", "history"]

DATA = Path(__file__).parent / "data" / "torch_history.json"


@dataclass(frozen=True, slots=True)
class History:
    """The ``releases`` (``1.13``) in their order, and for each known symbol the places in it that have it."""

    releases: tuple[str, ...]
    places: dict[str, frozenset[int]]

    def fitting(self, symbols: Iterable[str]) -> tuple[str, ...]:
        """Give the releases that have all of ``symbols`` that are known; nothing where none is known."""
        known = [self.places[name] for name in symbols if name in self.places]
        if not known:
            return ()
        common = frozenset.intersection(*known)
        return tuple(release for place, release in enumerate(self.releases) if place in common)

    def lacking(self, symbols: Iterable[str], release: str) -> tuple[str, ...]:
        """Give those of ``symbols`` that a release is known not to have; ``release`` may be ``1.13.1``."""
        series = ".".join(release.split(".")[:2])
        if series not in self.releases:
            return ()
        place = self.releases.index(series)
        return tuple(sorted(name for name in symbols if place not in self.places.get(name, {place})))

    def told(self, symbol: str) -> str:
        """Say in which releases a symbol is: ``torch 1.8 to 1.12``; empty where that is not known."""
        return self.spelled(self.releases[place] for place in sorted(self.places.get(symbol, ())))

    def spelled(self, releases: Iterable[str]) -> str:
        """Word releases, those that follow each other taken together."""
        rows: list[list[int]] = []
        for place in sorted(self.releases.index(release) for release in releases):
            if rows and rows[-1][-1] == place - 1:
                rows[-1].append(place)
            else:
                rows.append([place])
        return " and ".join(self._row(row) for row in rows)

    def _row(self, row: list[int]) -> str:
        first, last = self.releases[row[0]], self.releases[row[-1]]
        if row[-1] == len(self.releases) - 1:
            return f"torch {first} and newer" if len(row) > 1 else f"torch {first}"
        return f"torch {first} to {last}" if len(row) > 1 else f"torch {first}"


@cache
def history() -> History:
    """Read the table; it is read once."""
    data = json.loads(DATA.read_text(encoding="utf-8"))
    places = {name: _places(spans) for spans, names in data["symbols"].items() for name in names}
    return History(tuple(data["releases"]), places)


def _places(spans: str) -> frozenset[int]:
    """Read ``3-6,9``."""
    found: set[int] = set()
    for span in spans.split(","):
        first, _, last = span.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)
