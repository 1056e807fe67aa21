"""Show the catalogue: a summary, a topic as a table, and what a check compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from mmsetup.catalog import Catalog
from mmsetup.catalog.copies import Copy
from mmsetup.render.catalog_topics import TOPICS, Topic
from mmsetup.render.machine import grid, lines

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["counts", "show_counts", "show_summary", "show_topic", "summary"]


def counts(catalog: Catalog) -> Mapping[str, int]:
    """Give how many entries of each kind there are."""
    return {
        "torch releases": len(catalog.torch),
        "families": len(catalog.families),
        "sources": len(catalog.sources),
        "groups of wheels": len(catalog.wheels),
        "gates": len(catalog.gates),
        "breaks": len(catalog.breaks),
        "CUDA toolkits": len(catalog.toolkit_drivers),
        "GPUs": len(catalog.gpus),
    }


def summary(catalog: Catalog, copy: Copy | None) -> Mapping[str, Any]:
    """Give date, digest, where the catalogue was read from, counts and families."""
    return {
        "date": catalog.date,
        "digest": catalog.digest,
        "copy": copy,
        "counts": {name.replace(" ", "_").lower(): count for name, count in counts(catalog).items()},
        "families": {family.name: family.summary for family in catalog.families},
    }


def show_summary(catalog: Catalog, copy: Copy | None, folder: str, console: Console) -> None:
    """Print the summary for people; ``folder`` is where the catalogue was read from."""
    origin = f"a copy of {copy.origin}" if copy else "what mmsetup brings"
    newest = catalog.torch[0].version
    rows = [
        ("Date", catalog.date),
        ("Digest", catalog.digest[:12]),
        ("From", f"{origin}: {folder}"),
        ("Holds", ", ".join(f"{count} {name}" for name, count in counts(catalog).items())),
        ("torch", f"{catalog.torch[-1].version} to {newest}"),
        *(
            (("Families", "")[number > 0], f"{family.name}: {family.summary}")
            for number, family in enumerate(catalog.families)
        ),
        ("More", f"mmsetup catalog show {'|'.join(TOPICS)} [NAME]"),
    ]
    if console.is_terminal:
        console.print(grid(rows))
    else:
        console.print(Text(lines(rows)), soft_wrap=True, end="")


def show_counts(catalog: Catalog, folder: str, console: Console) -> None:
    """Say of a catalogue without faults what was compared."""
    found = ", ".join(f"{count} {name}" for name, count in counts(catalog).items())
    console.print(
        Text(f"no contradiction in {folder} ({catalog.date}, {catalog.digest[:12]}): compared {found}"),
        soft_wrap=True,
    )


def show_topic(found: Topic, console: Console) -> None:
    """Print a topic for people: its table, and below it the sources that the rows name by number.

    On a terminal wide columns are folded to its width; elsewhere (a log, a pipe) nothing is.
    """
    numbers = {
        source: number for number, source in enumerate(dict.fromkeys(row[-1] for row in found.rows), 1)
    }
    rows = [found.columns, *((*row[:-1], f"[{numbers[row[-1]]}]") for row in found.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if console.is_terminal:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in found.columns:
            table.add_column(column, overflow="fold")
        for row in rows[1:]:
            table.add_row(*map(Text, row))
        console.print(table)
    else:
        for row in rows:
            line = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
            console.print(Text(line.rstrip()), soft_wrap=True)
    console.print()
    for source, number in numbers.items():
        console.print(Text(f"[{number}] {source}", "dim"), soft_wrap=True)
