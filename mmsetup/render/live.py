"""Show what a stage is doing: a live line on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from rich.console import Console
    from typing_extensions import Self

__all__ = ["LiveProgress", "duration"]

_PLAIN_SECONDS = 10.0


class LiveProgress:
    """A progress for people; use it as a context manager.

    On a terminal the current stage has a spinner, a bar where its steps are counted, and the time left.
    Elsewhere (a log, CI) every note is a line, and the state of a long stage is told every ten seconds.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rich = self._columns()
        self._paused = False
        self._live = console.is_terminal
        self._task: Task | None = None
        self._title = ""
        self._told = 0.0

    def __enter__(self) -> Self:
        if self._live:
            self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._end_stage()
        if self._live:
            if kind is not None and self._task is not None:
                self._rich.remove_task(self._task.id)
            self._rich.stop()

    def stage(self, title: str) -> None:
        """Begin a stage."""
        self._end_stage()
        self._title, self._told = title, time.monotonic()
        if not self._live:
            self._console.print(f"[bold]==>[/] {escape(title)}", soft_wrap=True)
            return
        if self._paused:
            self._paused = False
            self._rich.start()
        number = self._rich.add_task(escape(title), total=None, state="")
        self._task = next(task for task in self._rich.tasks if task.id == number)

    def note(self, text: str) -> None:
        """Say one line that stays."""
        self._console.print(f"    {escape(text)}", highlight=False, soft_wrap=True)

    def update(
        self, text: str, *, done: float = 0, total: float = 0, seconds_left: float | None = None
    ) -> None:
        """Replace the live line."""
        left = "" if seconds_left is None else f", about {duration(seconds_left)} left"
        if self._live and self._task is not None:
            self._rich.update(
                self._task.id, completed=done, total=total or None, state=escape(f"{text}{left}")
            )
        elif not self._live and time.monotonic() - self._told > _PLAIN_SECONDS:
            self._told = time.monotonic()
            count = f"[{done:g}/{total:g}] " if total else ""
            self._console.print(f"    {escape(count + text + left)}", highlight=False, soft_wrap=True)

    def pause(self) -> None:
        """Leave the terminal to a question; the next stage shows itself again."""
        self._end_stage()
        if self._live:
            self._rich.stop()
            self._rich = self._columns()
            self._paused = True

    def _columns(self) -> Progress:
        return Progress(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("[dim]{task.fields[state]}[/]"),
            TimeElapsedColumn(),
            console=self._console,
        )

    def _end_stage(self) -> None:
        if self._live and self._task is not None:
            self._rich.update(self._task.id, completed=1, total=1, state="")
        self._task = None


def duration(seconds: float) -> str:
    """Say a duration: ``0.4 s``, ``45 s``, ``3 min 20 s``."""
    if 0 < seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"  # noqa: PLR2004
