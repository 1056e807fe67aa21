"""Show what a repair would do, before anybody agrees to it, and what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from mmsetup.render.document import plain

if TYPE_CHECKING:
    from rich.console import Console

    from mmsetup.doctor.fix import Mended, Repair

__all__ = ["as_field", "show_repair"]


def as_field(mended: Mended) -> dict[str, Any]:
    """Give what was done as the field ``repair`` of a document."""
    repair = mended.repair
    told = {
        "mends": repair.mends,
        "commands": mended.commands,
        "removed": repair.remove,
        "installed": [
            {"name": one.name, "version": one.version, "before": one.before} for one in repair.install
        ],
        "deleted": (*repair.delete, *repair.delete_after),
        "left_out": repair.left_out,
    }
    return {name: plain(value) for name, value in told.items()}


def show_repair(repair: Repair, commands: tuple[str, ...], console: Console) -> None:
    """Print the commands, which versions change, and what is left out and why."""
    if commands:
        console.print(Text(f"to mend {', '.join(repair.mends)}, in one step or not at all:", "bold"))
    for command in commands:
        console.print(Text(f"  {command}"), soft_wrap=True)
    for one in repair.install:
        change = f"{one.before} → {one.version}" if one.before else f"new, {one.version}"
        console.print(Text(f"  {one.name}: {change}", "dim"), soft_wrap=True)
    for left in repair.left_out:
        words = f"left to you: {left.id} ({left.message}): {left.reason}"
        console.print(Text(words, "yellow"), soft_wrap=True)
