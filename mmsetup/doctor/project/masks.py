"""What a sample of the masks of a data set holds, read once for all checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmsetup.doctor.project.datasets import Named, files_below
from mmsetup.doctor.project.png import labels_of, size_of
from mmsetup.doctor.project.project import Project

__all__ = ["Sample", "sample"]

_MOST_MASKS = 48
_MOST_PIXELS = 6_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """``values`` are the labels, each with a mask that holds it; ``coloured`` the masks that are pictures.

    ``looked`` masks were read of ``total``.
    """

    values: Mapping[int, str]
    coloured: tuple[str, ...]
    looked: int
    total: int


def sample(project: Project, folder: Named, end: str) -> Sample:
    """Read 48 masks at most of a folder, spread over it; those that are no PNG are passed over."""
    kept: dict[tuple[str, str], Sample] = project.kept.setdefault("masks", {})
    key = (str(folder.path), end)
    if key not in kept:
        kept[key] = _sample(folder, end)
    return kept[key]


def _sample(folder: Named, end: str) -> Sample:
    names = [name for name in files_below(folder.path).names if name.endswith(end)]
    values: dict[int, str] = {}
    coloured: list[str] = []
    looked, pixels = 0, 0
    for name in _spread(names):
        path = folder.path / name
        size = size_of(path)
        if not size or (looked and pixels + size > _MOST_PIXELS):
            continue
        found = labels_of(path)
        if found is None:
            continue
        looked, pixels = looked + 1, pixels + size
        if found.is_coloured:
            coloured.append(name)
        for value in found.values:
            values.setdefault(value, name)
    return Sample(values, tuple(coloured), looked, len(names))


def _spread(names: Sequence[str]) -> Sequence[str]:
    step = max(1, -(-len(names) // _MOST_MASKS))
    return names[::step]
