"""Listen to one child: what it says in JSON lines, and what faulthandler writes when it dies or hangs."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from mmsetup.doctor.deep.answers import Answer, Failure

__all__ = ["SIGNALS", "Hearing"]

SIGNALS = {
    "Segmentation fault": "SIGSEGV",
    "Aborted": "SIGABRT",
    "Bus error": "SIGBUS",
    "Floating point exception": "SIGFPE",
    "Floating-point exception": "SIGFPE",
    "Illegal instruction": "SIGILL",
}
"""How faulthandler names the signals that it writes frames for."""
_FATAL = re.compile(r"Fatal Python error: ([^:]+?)(:.*)?")
_TIMEOUT = re.compile(r"Timeout \([\d:.]+\)!")
_THREAD = re.compile(r"(Current t|T)hread 0x[0-9a-f]+.* \(most recent call first\):")
_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+|\?\?\?) in (?P<name>.*)')
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_NOT_THEIRS = re.compile(
    r"<frozen |.*/(importlib/__init__|runpy)\.py$|.*/payload/doctor/(deep_\w+|__main__)\.py$"
)
_LAST_LINES = 6
_MOST_FRAMES = 12
_MOST_LINES = 2000
_FIELDS: dict[str, dict[str, Any]] = {
    "hello": {"pid": int},
    "ask": {"question": str},
    "answer": {"question": str, "state": str, "seconds": (int, float)},
    "exiting": {"status": int, "library": str, "frames": list},
    "end": {},
}


class Hearing:
    """What one child has said so far, up to the question that it is at."""

    def __init__(self) -> None:
        self.greeted = False
        self.ended = False
        self.current = ""
        self.answers: list[Answer] = []
        self.exiting: Mapping[str, Any] | None = None
        self.fatal = ""
        """The signal that faulthandler tells of."""
        self.before: deque[str] = deque(maxlen=_LAST_LINES)
        """What was printed before the payload began, on either stream."""
        self._errors: deque[str] = deque(maxlen=_MOST_LINES)

    def take(self, stream: str, line: str) -> None:
        """Take a line of ``stdout`` or ``stderr``; what is no event is something that the target printed."""
        event = _event(line) if stream == "stdout" else None
        if event is not None:
            self._on(event)
            return
        text = _STYLE.sub("", line.rstrip())
        if text and not self.greeted:
            self.before.append(text)
        if stream == "stderr":
            self._errors.append(text)
            told = _FATAL.fullmatch(text)
            if told and not self.fatal:
                self.fatal = SIGNALS.get(told[1], "")

    def _on(self, event: Mapping[str, Any]) -> None:
        name = event["event"]
        if name == "hello":
            self.greeted = True
        elif name == "ask":
            self.current = event["question"]
            # The two streams are read apart: what a process wrote as it died may be here before this.
            if not self.fatal:
                self._errors.clear()
        elif name == "exiting":
            self.exiting = event
        elif name == "end":
            self.ended = True
        elif name == "answer" and event["question"] == self.current:
            self.answers.append(self._answer(event))
            self.current = ""

    def _answer(self, event: Mapping[str, Any]) -> Answer:
        question, seconds = event["question"], float(event["seconds"])
        if event["state"] == "raised" and isinstance(event.get("raised"), dict):
            raised = event["raised"]
            failure = Failure(
                "raised",
                _STYLE.sub("", f"{raised.get('kind')}: {raised.get('message')}"),
                root=_STYLE.sub("", str(raised.get("root", ""))),
                frames=tuple(map(str, raised.get("frames", ()))),
                last_lines=self.last_lines,
            )
            return Answer(question, "failed", seconds, failure=failure)
        if event["state"] == "absent":
            return Answer(question, "absent", seconds, reason=str(event.get("reason", "")))
        measured = event.get("measured")
        return Answer(question, "answered", seconds, measured if isinstance(measured, dict) else {})

    @property
    def frames(self) -> tuple[str, ...]:
        """Give the frames that faulthandler wrote: of the thread that died, or the main one in a hang."""
        blocks = self._blocks()
        for wanted in (_FATAL, _TIMEOUT):
            for heading, threads in blocks:
                if wanted.fullmatch(heading) and threads:
                    current = [frames for title, frames in threads if title.startswith("Current")]
                    # The main thread is the first that was made, and they are told newest first.
                    return tuple((current or [threads[-1][1]])[0][:_MOST_FRAMES])
        return ()

    def _blocks(self) -> list[tuple[str, list[tuple[str, list[str]]]]]:
        blocks: list[tuple[str, list[tuple[str, list[str]]]]] = []
        for line in self._errors:
            frame = _FRAME.fullmatch(line)
            if _FATAL.fullmatch(line) or _TIMEOUT.fullmatch(line):
                blocks.append((line, []))
            elif blocks and _THREAD.fullmatch(line):
                blocks[-1][1].append((line, []))
            elif blocks and blocks[-1][1] and frame and not _NOT_THEIRS.match(frame["file"]):
                blocks[-1][1][-1][1].append(f"{frame['file']}:{frame['line']} in {frame['name']}")
        return blocks

    @property
    def last_lines(self) -> tuple[str, ...]:
        """Give the last lines of standard error since the question was asked, without faulthandler's."""
        own = ("Extension modules:", "  <no Python frame>")
        told = [
            line.strip()
            for line in self._errors
            if line.strip()
            and not line.startswith(own)
            and not any(one.fullmatch(line) for one in (_FATAL, _TIMEOUT, _THREAD, _FRAME))
        ]
        return tuple(told[-_LAST_LINES:])


def _event(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        said = json.loads(line)
    except ValueError:
        return None
    wanted = _FIELDS.get(str(said.get("event"))) if isinstance(said, dict) else None
    if wanted is None or not all(isinstance(said.get(key), kind) for key, kind in wanted.items()):
        return None
    return dict(said)
