"""Show what became of a farm: the pages that were written, and the wheels that were built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from mmsetup.render.live import duration
from mmsetup.render.machine import size

if TYPE_CHECKING:
    from rich.console import Console

    from mmsetup.farm import FarmWheel, JobResult, Written

__all__ = ["show_pages", "show_results"]

_COLOURS = {"built": "green", "kept": "green", "failed": "red"}


def show_pages(written: Written, console: Console) -> None:
    """Print the wheels by their pair, what was done to the pages, and how they are used."""
    for pair in sorted({one.pair for one in written.wheels}):
        _say(console, f"[bold]{escape(str(pair))}[/]")
        for one in written.wheels:
            if one.pair == pair:
                _say(console, f"  {escape(one.name)}  [dim]{size(one.size)}, {_code(one)}[/]")
    done = [f"pages: {len(written.written)} written", f"{len(written.unchanged)} unchanged"]
    done += [f"{len(written.removed)} removed"] if written.removed else []
    _say(console, f"{', '.join(done)}; wheels: {len(written.wheels)}")
    for caution in written.cautions:
        _say(console, f"[yellow]caution:[/] {escape(caution)}")
    _say(console, "next: serve the folder, then: mmsetup install --mirror https://HOST/FOLDER")


def show_results(results: Sequence[JobResult], console: Console) -> None:
    """Print a table of the jobs: what became of each, how long it took, and for what the wheel is."""
    rows = [("", "took", "pair", "job"), *map(_row, results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        line = "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        colour = "bold" if number == 0 else _COLOURS[results[number - 1].status]
        head, rest = line[: widths[0]], line[widths[0] :]
        _say(console, f"[{colour}]{escape(head)}[/]{escape(rest)}")
    total = sum(result.seconds for result in results)
    count = {status: sum(result.status == status for result in results) for status in _COLOURS}
    told = ", ".join(f"{number} {status}" for status, number in count.items() if number)
    _say(console, f"{told}, in {duration(total)}")


def _row(result: JobResult) -> tuple[str, str, str, str]:
    return result.status, duration(result.seconds), result.pair or "-", str(result.job)


def _code(one: FarmWheel) -> str:
    if one.is_for_cpu:
        return "CPU alone"
    ptx = [f"{name} as PTX" for name in one.architectures.ptx]
    return ", ".join([*one.architectures.sass, *ptx])


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
