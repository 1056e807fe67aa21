"""Tell how the road ended and what to run next."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from mmsetup.render.live import duration

if TYPE_CHECKING:
    from rich.console import Console

    from mmsetup.road import Outcome

__all__ = ["show_outcome"]

_SHOWN = ("torch", "torchvision", "mmcv-full", "mmsegmentation", "numpy")


def show_outcome(outcome: Outcome, console: Console) -> None:
    """Print an outcome for people."""
    where = escape(_short(outcome.environment))
    if outcome.smoke is not None:
        from mmsetup.render.smoke import show_smoke  # noqa: PLC0415 (an unchanged environment has no report to show)

        show_smoke(outcome.smoke, console)
    held = ", ".join(f"{name} {outcome.packages[name]}" for name in _SHOWN if name in outcome.packages)
    if outcome.status == "unchanged":
        console.print(f"[green]nothing to do:[/] {where} is what this plan gives ({held})", highlight=False)
    else:
        took = ", ".join(f"{name} {duration(seconds)}" for name, seconds in outcome.seconds.items())
        proven = "" if outcome.smoke else " It was not trained: run mmsetup smoke."
        console.print(f"[bold green]ready:[/] {where} holds {held}.{proven}", highlight=False)
        console.print(f"[dim]{took}[/]", highlight=False)
    console.print("\nnext:", style="bold")
    console.print(f"  source {where}/bin/activate", highlight=False, soft_wrap=True)
    again = f"  python3 -m mmsetup smoke --env {where}  # trains the small model again"
    console.print(again, highlight=False, soft_wrap=True)


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)
