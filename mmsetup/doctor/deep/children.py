"""Ask an environment in child processes: some side by side, each watched, none of them left behind."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import mmsetup.payload
from mmsetup.doctor.deep import postmortem
from mmsetup.doctor.deep.answers import Answer, Failure
from mmsetup.doctor.deep.hearing import Hearing
from mmsetup.doctor.deep.questions import Question
from mmsetup.errors import ProcessError
from mmsetup.process import start, stop
from mmsetup.progress import Progress

__all__ = ["START", "Target", "ask"]

START = "start"
"""The name of the question whether the interpreter starts, which every child answers first."""
_PAYLOAD = Path(mmsetup.payload.__file__).parent / "doctor"
_TICK_SECONDS = 0.05
_DUMP_SECONDS = 3.0
"""How long faulthandler may take to write its frames, where it cannot be seen that it is done."""
_FRAMES_SECONDS = 0.5
_LATE_SECONDS = 1.5
"""How long after its limit a question is ended: by then the frames of the hang are written."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked and how: the interpreter, its variables, folders to write to, and the limits.

    ``sockets`` is the folder in which workers of a loader meet, ``framework`` what holds configs and
    checkpoints, ``bytecode`` the folder for what is compiled (none: nothing is kept), ``seconds`` how long
    one question may take, ``side_by_side`` how many children there may be at once.
    """

    python: Path
    variables: Mapping[str, str]
    scratch: Path
    sockets: Path
    framework: str
    bytecode: str
    threads: int
    seconds: float
    side_by_side: int


@dataclass(slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    questions: Sequence[Question]
    hearing: Hearing = field(default_factory=Hearing)
    partial: dict[str, bytes] = field(default_factory=lambda: {"stdout": b"", "stderr": b""})
    since: float = field(default_factory=time.monotonic)
    at: str = START
    dying_since: float = 0.0
    late: bool = False
    place: postmortem.Place | None = None


def ask(target: Target, lanes: Sequence[Sequence[Question]], progress: Progress) -> list[Answer]:
    """Ask all questions and give an answer to each, and one to ``START`` first.

    When a child dies or hangs in a question, what is left of its lane goes to a new one, without what needs a
    module that hangs. When none begins at all, nothing more is asked.
    """
    asking = _Asking(target, progress)
    try:
        return asking.run([[], *lanes])
    finally:
        asking.close()


class _Asking:
    def __init__(self, target: Target, progress: Progress) -> None:
        self._target, self._progress = target, progress
        self._answers: list[Answer] = []
        self._running: list[_Child] = []
        self._hanging: set[str] = set()
        self._numbers = count()
        self._selector = selectors.DefaultSelector()

    def run(self, waiting: list[Sequence[Question]]) -> list[Answer]:
        # The first has no question: it alone tells what the interpreter itself prints when it starts.
        self._start(waiting.pop(0))
        while (waiting or self._running) and not self._does_not_start:
            while waiting and len(self._running) < self._target.side_by_side and self._has_started:
                self._start(self._without_hanging(waiting.pop(0)))
            self._read(_TICK_SECONDS)
            for child in list(self._running):
                left = self._watch(child)
                if left is not None:
                    self._running.remove(child)
                    waiting[:0] = [left] if left else []
        return self._answers

    def close(self) -> None:
        """End what still runs."""
        for child in self._running:
            self._end(child)
        self._selector.close()

    @property
    def _has_started(self) -> bool:
        return any(answer.question == START for answer in self._answers)

    @property
    def _does_not_start(self) -> bool:
        return any(answer.question == START and answer.failure for answer in self._answers)

    def _without_hanging(self, lane: Sequence[Question]) -> list[Question]:
        kept = []
        for question in lane:
            hanging = [name for name in question.needs if name in self._hanging]
            if hanging:
                self._answers.append(
                    Answer(question.name, "unasked", reason=f"importing {hanging[0]} does not come to an end")
                )
            else:
                kept.append(question)
        return kept

    def _start(self, questions: Sequence[Question]) -> None:
        if not questions and self._has_started:
            return
        target, number = self._target, next(self._numbers)
        scratch = target.scratch / f"child-{number}"
        scratch.mkdir()
        job = scratch / "job.json"
        document = {
            "questions": [question.job for question in questions],
            "limit": target.seconds,
            "threads": target.threads,
            "framework": target.framework,
            "bytecode": target.bytecode,
            "scratch": str(scratch),
            "sockets": str(target.sockets),
        }
        job.write_text(json.dumps(document), encoding="utf-8")
        try:
            process = start(
                [target.python, "-X", "faulthandler", _PAYLOAD, job], env=target.variables, cwd=scratch
            )
        except ProcessError as error:
            self._answers.append(Answer(START, "failed", failure=Failure("raised", str(error))))
            return
        child = _Child(process, questions)
        self._running.append(child)
        for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, selectors.EVENT_READ, (child, name))

    def _read(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            child, name = key.data
            self._take(child, name, key.fd)

    def _take(self, child: _Child, name: str, descriptor: int) -> bool:
        """Take what there is to read, and tell whether there may be more."""
        try:
            chunk = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return False
        lines = (child.partial[name] + chunk).split(b"\n")
        child.partial[name] = lines.pop() if chunk else b""
        for line in lines:
            child.hearing.take(name, line.decode(errors="replace"))
        if not chunk:
            self._selector.unregister(descriptor)
        return bool(chunk)

    def _watch(self, child: _Child) -> Sequence[Question] | None:
        """Look after a child: nothing while it goes on, else the questions that it left."""
        hearing, now = child.hearing, time.monotonic()
        at = hearing.current or ("" if hearing.greeted else START)
        if at != child.at:
            child.at, child.since = at, now
            about = next((one.about for one in child.questions if one.name == at), "")
            if about:
                self._progress.update(about)
        if _has_ended(child.process):
            return self._conclude(child)
        if hearing.fatal and not child.dying_since:
            child.dying_since = now
        if child.dying_since:
            child.place = postmortem.look(child.process.pid, died=True)
            if child.place is not None or now - child.dying_since >= _DUMP_SECONDS:
                return self._conclude(child)
        if now - child.since >= self._target.seconds + _LATE_SECONDS:
            self._look_at_late(child)
            return self._conclude(child)
        return None

    @staticmethod
    def _look_at_late(child: _Child) -> None:
        """Find where a child stands that should be done by now."""
        child.late = True
        pid = child.process.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(_TICK_SECONDS)
            child.place = postmortem.look(pid, died=False)
            if not child.hearing.greeted:
                # Nothing of the payload was there to watch the time: this is what makes Python write frames.
                os.kill(pid, signal.SIGABRT)
                os.kill(pid, signal.SIGCONT)
                time.sleep(_FRAMES_SECONDS)

    def _conclude(self, child: _Child) -> Sequence[Question]:
        """End a child, keep its answers, and give the questions that are left."""
        hearing = child.hearing
        returncode = self._end(child)
        if not hearing.greeted:
            failure = self._failure(child, returncode)
            self._answers.append(Answer(START, "failed", time.monotonic() - child.since, failure=failure))
            return []
        if not self._has_started:
            self._answers.append(Answer(START, "answered", measured={"printed": tuple(hearing.before)}))
        self._answers += hearing.answers
        told = {answer.question for answer in self._answers}
        left = [question for question in child.questions if question.name not in told]
        if hearing.ended or not left:
            return left
        # It died in the first that it did not answer, whether it came to say that it had begun or not.
        failure = self._failure(child, returncode)
        self._answers.append(Answer(left[0].name, "failed", time.monotonic() - child.since, failure=failure))
        if failure.kind == "hang" and left[0].kind == "import":
            self._hanging.add(left[0].name.removeprefix("import "))
        return left[1:]

    def _end(self, child: _Child) -> int:
        """End a child, read what it had printed, and give its exit status."""
        returncode = stop(child.process)
        for name, pipe in (("stdout", child.process.stdout), ("stderr", child.process.stderr)):
            if pipe is not None:
                while pipe in self._selector.get_map() and self._take(child, name, pipe.fileno()):
                    pass
                if pipe in self._selector.get_map():
                    self._selector.unregister(pipe)
                pipe.close()
        return returncode

    def _failure(self, child: _Child, returncode: int) -> Failure:
        hearing = child.hearing
        told: dict[str, Any] = {
            "frames": hearing.frames,
            "place": child.place,
            "last_lines": hearing.last_lines,
        }
        if hearing.exiting is not None:
            said = hearing.exiting
            told["frames"] = tuple(map(str, said["frames"]))
            told["place"] = postmortem.Place(said["library"], "", ()) if said["library"] else None
            return Failure("exit", f"exit status {said['status']}", **told)
        if child.late:
            return Failure("hang", f"it was not done after {self._target.seconds:g} s", **told)
        if hearing.fatal:
            return Failure("signal", hearing.fatal, **told)
        if returncode < 0:
            return Failure("signal", signal.Signals(-returncode).name, **told)
        return Failure("exit", f"exit status {returncode}", **told)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether a program has ended, and leave its exit status, so that its number stays its own."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
