"""Tell how the road ended and what to run next."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from mmsetup.paths import manifest_folder
from mmsetup.render.live import duration

if TYPE_CHECKING:
    from rich.console import Console

    from mmsetup.road import Outcome

__all__ = ["show_outcome"]

_FIRST, _LAST = ("torch", "torchvision"), ("numpy",)
_OPENMMLAB = re.compile(r"(onedl-)?mm\w+(-full)?")


def show_outcome(outcome: Outcome, console: Console) -> None:
    """Print an outcome for people."""
    where = _short(outcome.environment)
    if outcome.smoke is not None:
        from mmsetup.render.smoke import show_smoke  # noqa: PLC0415 (an unchanged environment has none)

        show_smoke(outcome.smoke, console)
    names = (*_FIRST, *filter(_OPENMMLAB.fullmatch, outcome.packages), *_LAST)
    held = ", ".join(f"{name} {outcome.packages[name]}" for name in names if name in outcome.packages)
    if outcome.status == "unchanged":
        _say(console, f"[green]nothing to do:[/] {escape(where)} is what this plan gives: {held}")
    else:
        took = ", ".join(f"{name} {duration(seconds)}" for name, seconds in outcome.seconds.items())
        _say(console, f"[bold green]ready:[/] {escape(where)} holds {held}")
        _say(console, f"[dim]it took: {took}[/]")
    if outcome.mim is not None:
        from mmsetup.render.changes import show_mim  # noqa: PLC0415 (only where mim was asked for)

        show_mim(outcome.mim, console)
    _say(console, "\n[bold]next:[/]")
    _say(console, f"  source {escape(where)}/bin/activate")
    script, config = _training(outcome.environment)
    if script and config:
        line = f"python {_short(script)} {_short(config)}"
        _say(console, f"  {escape(line)}  [dim]# trains by mmsegmentation's own script[/]")
    else:
        _say(console, f"  mmsetup smoke --env {escape(where)}  [dim]# proves that it trains[/]")


def _training(environment: Path) -> tuple[Path | None, Path | None]:
    """Give mmsegmentation's training script and the smoke run's config, where the environment has both."""
    script = next(environment.glob("lib/python3*/site-packages/mmseg/.mim/tools/train.py"), None)
    config = manifest_folder(environment) / "smoke" / "config.py"
    return script, config if config.is_file() else None


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return shlex.quote(relative if len(relative) < len(str(path)) else str(path))
