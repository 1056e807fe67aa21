"""Show what openmim would do to the packages of a lock, before anybody agrees to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

if TYPE_CHECKING:
    from rich.console import Console

    from mmsetup.install.changes import Change
    from mmsetup.install.openmim import Company
    from mmsetup.install.via_mim import MimRun

__all__ = ["show_changes", "show_mim"]

_TITLES = ("package", "lock", "openmim alone", "here")
_WORDS = {
    "changed": "[yellow]changed[/] while mim works, then put back",
    "kept": "[green]stays[/] as locked",
    "new": "new",
    "avoided": "not needed, left out",
}


def show_changes(company: Company, console: Console) -> None:
    """Print the table, one package a row, and below it what to beware of."""
    if company.unknown:
        _say(console, f"[yellow]what openmim alone would change is not known:[/] {escape(company.unknown)}")
    rows = [_row(change, known=not company.unknown) for change in company.changes]
    widths = [max(map(len, column)) for column in zip(_TITLES, *rows, strict=True)]
    _say(console, f"[bold]{_line(_TITLES, widths)}[/]")
    for change, row in zip(company.changes, rows, strict=True):
        _say(console, f"{escape(_line(row, widths))}{_WORDS[change.kind]}")
    for change in company.changes:
        _show_cautions(change, console)


def show_mim(run: MimRun, console: Console) -> None:
    """Print what mim installed, and with what."""
    words = f"openmim {run.openmim} with pip {run.pip} installed {', '.join(run.installed)}"
    _say(console, f"[dim]{escape(words)}[/]")


def _row(change: Change, *, known: bool) -> tuple[str, ...]:
    alone = change.alone or ("-" if known else "?")
    return change.package, change.locked or "-", alone, change.used or change.locked or "-"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"{text:<{width}}  " for text, width in zip(row, widths, strict=True))


def _show_cautions(change: Change, console: Console) -> None:
    if change.kind == "changed":
        words = f"openmim works for this install alone: not with the locked {change.package} {change.locked}"
        _say(console, f"[yellow]caution:[/] {escape(words)}")
    version = change.alone or change.used
    for limit in change.breaks:
        words = f"{change.package} {version} violates {limit.requirement}: {limit.reason}"
        _say(console, f"[yellow]caution:[/] {escape(words)}")


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
