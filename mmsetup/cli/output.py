"""Standard output and standard error, which tell once what keeps them from being written."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from mmsetup.errors import FULL, DiskSpaceError

__all__ = ["CLOSED_PIPE", "told_streams"]

CLOSED_PIPE = 141
"""The exit code when who reads the output wants no more of it, as shells tell it: 128 and SIGPIPE."""


def told_streams() -> None:
    """Have both streams end the program where nobody reads them, and raise where there is no room left."""
    sys.stdout = _told(sys.stdout, "standard output")
    sys.stderr = _told(sys.stderr, "standard error")


def _told(stream: TextIO, name: str) -> TextIO:
    return _Stream(stream, name) if isinstance(stream, io.TextIOWrapper) else stream


class _Stream(io.TextIOWrapper):
    """A standard stream; after a failure it leads nowhere, so that nothing fails a second time."""

    def __init__(self, stream: io.TextIOWrapper, name: str) -> None:
        # A terminal that cannot show a sign gets a question mark, not a crash.
        super().__init__(
            stream.buffer,
            stream.encoding,
            errors="replace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        self._told = name

    def write(self, text: str) -> int:
        # typer tries out with an empty text what a stream takes, and swallows what comes of it.
        if text == "":
            return 0
        with self._failing_once():
            return super().write(text)

    def flush(self) -> None:
        with self._failing_once():
            super().flush()

    @contextmanager
    def _failing_once(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self._lead_nowhere()
            raise SystemExit(CLOSED_PIPE) from None
        except OSError as error:
            if error.errno not in FULL:
                raise
            self._lead_nowhere()
            raise DiskSpaceError(
                f"{self._told} cannot be written: {error.strerror}",
                remedy="df -h  # then send the output to where there is room",
            ) from error

    def _lead_nowhere(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
