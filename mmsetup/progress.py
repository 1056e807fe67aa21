"""How a stage tells what it is doing, without knowing whether anybody looks."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """What a stage reports to; :mod:`mmsetup.render.live` shows it, :class:`Silent` does not."""

    def stage(self, title: str) -> None:
        """Begin a stage; what follows belongs to it until the next one begins."""

    def note(self, text: str) -> None:
        """Say one line that stays on the screen."""

    def update(
        self, text: str, *, done: float = 0, total: float = 0, seconds_left: float | None = None
    ) -> None:
        """Replace the live line: ``done`` of ``total`` steps (0 of 0: not counted), seconds left."""


class Silent:
    """A progress that nobody sees."""

    def stage(self, title: str) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def update(
        self, text: str, *, done: float = 0, total: float = 0, seconds_left: float | None = None
    ) -> None:
        """Say nothing."""
