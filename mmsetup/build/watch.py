"""Follow a running build: into its log, to the progress, and for what the compiler is given."""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

from mmsetup.build import log
from mmsetup.build.recipe import Recipe
from mmsetup.errors import BuildError
from mmsetup.files import STATE_ELSEWHERE, writing
from mmsetup.paths import state_folder
from mmsetup.process import Stream
from mmsetup.progress import Progress

__all__ = ["Watch"]

_TAIL_LINES = 4000
_EVIDENCE_LINES = 25
_LOGS_KEPT = 20


class Watch:
    """What is known of one running build; as a context it holds the log open.

    The log lies in the state folder, of which the newest twenty are kept.
    """

    def __init__(self, recipe: Recipe, progress: Progress, expected_seconds: float | None) -> None:
        self._recipe = recipe
        self._progress = progress
        self._expected = expected_seconds
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._began = time.monotonic()
        self.log = _log_path(recipe)
        with writing(self.log, remedy=STATE_ELSEWHERE):
            self._file = self.log.open("w", encoding="utf-8")

    def __enter__(self) -> Watch:  # noqa: PYI034 (Self is in typing from 3.11 on)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with writing(self.log, remedy=STATE_ELSEWHERE):
            self._file.close()

    @property
    def seconds(self) -> float:
        """Give the seconds since the watch began."""
        return time.monotonic() - self._began

    def take(self, _stream: Stream, line: str) -> None:
        """Take a line that the build printed.

        Raises:
            BuildError: the compiler is given other flags than it should; going on would make a wheel that is
                wrong.
            DiskSpaceError, TargetError: the log cannot be written.
        """
        self._tail.append(line)
        with writing(self.log, remedy=STATE_ELSEWHERE):
            self._file.write(line + "\n")
        arguments = log.given_to_compiler(line)
        if arguments and (fault := log.unoptimised(arguments)):
            raise self.failure(f"the compiler was not given what it should: {fault}", search=False)
        if said := log.said_by_build(line):
            self._progress.note(said)
            # Errors printed before it were mended: they are not why a build fails.
            self._tail.clear()
        if step := log.read_step(line):
            self._progress.update(
                f"compiled {step.file}", done=step.done, total=step.total, seconds_left=self._left(step)
            )

    def failure(self, what: str, *, search: bool = True) -> BuildError:
        """Give the error for ``what`` went wrong; with ``search``, the log tells the cause behind it."""
        with writing(self.log, remedy=STATE_ELSEWHERE):
            self._file.flush()
        cause, remedy = log.diagnose(self._tail) if search else ("", "")
        return BuildError(
            f"{self._recipe.distribution} {self._recipe.version} could not be built: {cause or what}",
            remedy=f"{remedy}; the whole log: {self.log}" if remedy else f"less {self.log}  # the whole log",
            evidence=[what, *list(self._tail)[-_EVIDENCE_LINES:]],
        )

    def _left(self, step: log.Step) -> float | None:
        """Trust the expectation at first and the pace of this build more with every file."""
        share = step.done / step.total
        if self._expected is None:
            return (1 - share) / share * self.seconds if step.done else None
        return max(0.0, (1 - share) * (self.seconds + (1 - share) * self._expected))


def _log_path(recipe: Recipe) -> Path:
    folder = state_folder("logs")
    for old in sorted(folder.glob("build-*.log"))[: -_LOGS_KEPT + 1]:
        with suppress(OSError):
            old.unlink()
    now = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    return folder / f"build-{now}-{recipe.distribution}-{recipe.version}-{os.getpid()}.log"
