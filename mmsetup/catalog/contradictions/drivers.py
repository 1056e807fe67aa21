"""What the tables of drivers, of CUDA toolkits and of what torch compiles for say against themselves."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from mmsetup.catalog.contradictions.torch import number_of
from mmsetup.catalog.model import Catalog, ToolkitDriver, parsed

__all__ = ["of_drivers"]


def of_drivers(catalog: Catalog) -> Iterator[str]:
    """Give contradictions among the floors of drivers and the limits of toolkits."""
    rows = sorted(catalog.toolkit_drivers, key=lambda row: parsed(row.cuda))
    for older, newer in pairwise(rows):
        if parsed(older.cuda).major == parsed(newer.cuda).major:
            yield from _backwards(older, newer)
    normal = {floor.major: floor.linux_minimum for floor in catalog.minor_compatibility}
    for floor in catalog.forward_compatibility:
        if floor.major not in normal:
            yield f"drivers.json: CUDA {floor.major} has a forward compatibility and no floor"
        elif floor.linux_minimum >= normal[floor.major]:
            yield (
                f"drivers.json: the forward compatibility of CUDA {floor.major} starts at "
                f"{floor.linux_minimum}, where drivers run it anyhow ({normal[floor.major]})"
            )
    yield from _of_limits(catalog)
    yield from _of_torch(catalog)


def _backwards(older: ToolkitDriver, newer: ToolkitDriver) -> Iterator[str]:
    shipped = [("", older.linux_minimum, newer.linux_minimum)]
    if older.windows_minimum is not None and newer.windows_minimum is not None:
        shipped.append((" on Windows", older.windows_minimum, newer.windows_minimum))
    for where, before, after in shipped:
        if after < before:
            yield (
                f"drivers.json: CUDA {newer.cuda} ships with driver {after}{where}, "
                f"older than {before} of CUDA {older.cuda}"
            )


def _of_limits(catalog: Catalog) -> Iterator[str]:
    rows = sorted(catalog.toolkit_limits, key=lambda row: row.first)
    for row in rows:
        if number_of(row.lowest) > number_of(row.highest):
            yield f"drivers.json: CUDA {row.first} compiles for {row.lowest} to {row.highest}"
        if row.gcc is not None and row.gcc_minimum is not None and row.gcc_minimum > row.gcc:
            yield f"drivers.json: CUDA {row.first} takes gcc {row.gcc_minimum} to {row.gcc}"
    for older, newer in pairwise(rows):
        if newer.first <= older.last:
            yield f"drivers.json: CUDA {newer.first} has limits in two rows"
        for name in ("lowest", "highest"):
            before, after = getattr(older, name), getattr(newer, name)
            if number_of(after) < number_of(before):
                yield f"drivers.json: {name} of CUDA {newer.first} is {after}, before it was {before}"


def _of_torch(catalog: Catalog) -> Iterator[str]:
    rows = catalog.torch_architectures
    held = {row.torch: 0 for row in rows}
    for release in catalog.torch:
        holding = [row for row in rows if row.torch.contains(release.version)]
        if len(holding) != 1:
            yield f"drivers.json: what torch {release.version} compiles for stands in {len(holding)} rows"
        held.update((row.torch, held[row.torch] + 1) for row in holding)
    for row in rows:
        if not held[row.torch]:
            yield f"drivers.json: torch.json has no torch {row.torch} that could compile for anything"
        if list(row.architectures) != sorted(set(row.architectures), key=number_of):
            place = f"drivers.json: what torch {row.torch} compiles for"
            yield f"{place} does not stand in ascending order, each once"
