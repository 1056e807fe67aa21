"""What people see while a stage runs: lines in a log, a live line on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mmsetup.render import live
from mmsetup.render.live import LiveProgress, duration


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)


def said(on: Console) -> str:
    return on.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.42, "0.4 s"), (59.4, "59 s"), (60, "1 min 00 s"), (200, "3 min 20 s"), (-3, "0 s")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_log_gets_stages_notes_and_now_and_then_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    on = console(terminal=False)
    now = [0.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    with LiveProgress(on) as progress:
        progress.stage("Building [the] ops")
        progress.update("first.cpp", done=1, total=73, seconds_left=100)
        now[0] = 11
        progress.update("second.cpp", done=2, total=73, seconds_left=90)
        progress.update("third.cpp", done=3, total=73)
        progress.note("kept in [cache]")
    assert said(on).splitlines() == [
        "==> Building [the] ops",
        "    [2/73] second.cpp, about 1 min 30 s left",
        "    kept in [cache]",
    ]


def test_a_terminal_gets_a_live_line_that_ends_with_a_mark() -> None:
    on = console(terminal=True)
    with LiveProgress(on) as progress:
        progress.stage("Training")
        progress.update("iteration 10, loss 0.5", done=10, total=100, seconds_left=20)
        progress.note("a note")
        progress.pause()
        progress.stage("Installing")
    assert "a note" in said(on)
    assert said(on).count("✓") >= 2


def test_an_error_in_a_stage_is_not_marked_as_done() -> None:
    on = console(terminal=True)
    with pytest.raises(ValueError, match="broken"), LiveProgress(on) as progress:
        progress.stage("Training")
        raise ValueError("broken")
    assert "✓" not in said(on)
