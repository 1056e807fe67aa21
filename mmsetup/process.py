"""The one place that starts programs.

Argument lists, never a shell. A program runs in a session of its own, so that an interrupt or a time limit
ends it with all its children; on Linux it is told by the kernel when mmsetup itself is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from mmsetup.errors import ProcessError

__all__ = ["Completed", "clean_environment", "run", "run_together", "start", "stop", "stream"]

Stream = Literal["stdout", "stderr"]
_GRACE_SECONDS = 5.0
_TAIL_LINES = 400
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that has ended: exit status (negative: ended by that signal), output and seconds."""

    args: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    seconds: float


def run(
    args: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    check: bool = True,
    stdin: str = "",
) -> Completed:
    """Run a program to its end and return what it printed.

    ``timeout`` is in seconds. ``stdin`` is written to the program's standard input, else that is closed.

    Raises:
        ProcessError: it cannot be started, ran past ``timeout``, or (with ``check``) did not exit with 0.
    """
    words = tuple(os.fspath(arg) for arg in args)
    began = time.monotonic()
    process = _start(words, env=env, cwd=cwd, stdin=bool(stdin))
    try:
        out, err = process.communicate(stdin.encode() if stdin else None, timeout=timeout)
    except subprocess.TimeoutExpired:
        _end_group(process)
        raise _over_time(words, timeout) from None
    except BaseException:
        _end_group(process)
        raise
    done = Completed(
        words,
        process.returncode,
        out.decode(errors="replace"),
        err.decode(errors="replace"),
        time.monotonic() - began,
    )
    if check and done.returncode:
        raise _failed(done)
    return done


def run_together(
    commands: Sequence[Sequence[str | os.PathLike[str]]],
    *,
    env: Mapping[str, str] | None = None,
    timeout: float,
    limit: int = 8,
) -> list[Completed | ProcessError]:
    """Run short programs side by side, ``limit`` at a time, and return their outcomes in order.

    ``timeout`` is in seconds and holds for each batch of ``limit``. Nothing is raised for a program that
    cannot be started, runs over time or fails: the error stands in its place.
    """
    outcomes: list[Completed | ProcessError] = []
    for first in range(0, len(commands), limit):
        outcomes += _batch(commands[first : first + limit], env, timeout)
    return outcomes


def stream(
    args: Sequence[str | os.PathLike[str]],
    on_line: Callable[[Stream, str], None],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    silence: float | None = None,
    check: bool = True,
) -> Completed:
    """Run a program and hand over each line as it is printed; the result keeps the last lines of each stream.

    A carriage return ends a line as well, so that progress bars arrive as they are drawn. An exception raised
    by ``on_line`` ends the program. ``timeout`` is in seconds; so is ``silence``, how long it may print
    nothing.

    Raises:
        ProcessError: as :func:`run`, or it printed nothing for ``silence``.
    """
    words = tuple(os.fspath(arg) for arg in args)
    began = time.monotonic()
    tails: dict[str, deque[str]] = {"stdout": deque(maxlen=_TAIL_LINES), "stderr": deque(maxlen=_TAIL_LINES)}
    process = _start(words, env=env, cwd=cwd, stdin=False)

    def take(name: Stream, line: str) -> None:
        tails[name].append(line)
        on_line(name, line)

    try:
        _pump(process, take, None if timeout is None else began + timeout, silence)
        returncode = process.wait(None if timeout is None else max(0.1, began + timeout - time.monotonic()))
        _close_pipes(process)
    except _SilenceError:
        _end_group(process)
        raise ProcessError(
            f"{shlex.join(words)} printed nothing for {silence:g} s", args=words, returncode=None
        ) from None
    except (subprocess.TimeoutExpired, TimeoutError):
        _end_group(process)
        raise _over_time(words, timeout) from None
    except BaseException:
        _end_group(process)
        raise
    done = Completed(
        words,
        returncode,
        "\n".join(tails["stdout"]),
        "\n".join(tails["stderr"]),
        time.monotonic() - began,
    )
    if check and returncode:
        raise _failed(done)
    return done


def start(
    args: Sequence[str | os.PathLike[str]], *, env: Mapping[str, str], cwd: Path
) -> subprocess.Popen[bytes]:
    """Start a program whose output the caller reads and which the caller ends by :func:`stop`.

    Raises:
        ProcessError: it cannot be started.
    """
    return _start(tuple(os.fspath(arg) for arg in args), env=env, cwd=cwd, stdin=False)


def stop(process: subprocess.Popen[bytes]) -> int:
    """End a started program and all its children for good, if they still run, and give its exit status.

    Its pipes stay open: what it printed can be read to the end. Once its exit status was asked for in another
    way it must not be called, as the number of its group could be somebody else's by then.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def clean_environment(**extra: str) -> dict[str, str]:
    """Give this process's environment without what would change a target interpreter, plus ``extra``."""
    unwanted = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    env = {key: value for key, value in os.environ.items() if key not in unwanted}
    return {**env, **extra}


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a program and all its children: politely, then after five seconds for good."""
    for signum, wait in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, _GRACE_SECONDS)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signum)
            else:
                process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait)
    _close_pipes(process)


def _batch(
    commands: Sequence[Sequence[str | os.PathLike[str]]], env: Mapping[str, str] | None, timeout: float
) -> list[Completed | ProcessError]:
    began = time.monotonic()
    running: list[tuple[tuple[str, ...], subprocess.Popen[bytes] | ProcessError]] = []
    try:
        for command in commands:
            words = tuple(os.fspath(arg) for arg in command)
            try:
                running.append((words, _start(words, env=env, cwd=None, stdin=False)))
            except ProcessError as error:
                running.append((words, error))
        return [_outcome(words, started, began, timeout) for words, started in running]
    except BaseException:
        for _, started in running:
            if isinstance(started, subprocess.Popen):
                _end_group(started)
        raise


def _outcome(
    words: tuple[str, ...], started: subprocess.Popen[bytes] | ProcessError, began: float, timeout: float
) -> Completed | ProcessError:
    if isinstance(started, ProcessError):
        return started
    try:
        out, err = started.communicate(timeout=max(0.01, began + timeout - time.monotonic()))
    except subprocess.TimeoutExpired:
        _end_group(started)
        return _over_time(words, timeout)
    done = Completed(
        words,
        started.returncode,
        out.decode(errors="replace"),
        err.decode(errors="replace"),
        time.monotonic() - began,
    )
    return _failed(done) if done.returncode else done


def _start(
    words: tuple[str, ...], *, env: Mapping[str, str] | None, cwd: Path | None, stdin: bool
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            words,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 (one prctl call)
        )
    except OSError as error:
        raise ProcessError(
            f"cannot start {shlex.join(words)}: {error.strerror or error}", args=words, returncode=None
        ) from error


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class _SilenceError(Exception):
    """The program printed nothing for as long as it may."""


def _pump(
    process: subprocess.Popen[bytes],
    take: Callable[[Stream, str], None],
    deadline: float | None,
    silence: float | None,
) -> None:
    partial: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
    with selectors.DefaultSelector() as selector:
        for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
            selector.register(_opened(pipe), selectors.EVENT_READ, name)
        while selector.get_map():
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            ready = selector.select(min((wait for wait in (left, silence) if wait is not None), default=None))
            if not ready and silence is not None and (left is None or silence < left):
                raise _SilenceError
            for key, _ in ready:
                name = key.data
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fileobj)
                lines = (partial[name] + chunk).replace(b"\r", b"\n").split(b"\n")
                partial[name] = lines.pop() if chunk else b""
                for line in lines:
                    if line:
                        take(name, line.decode(errors="replace"))


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _opened(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise AssertionError
    return pipe


def _over_time(words: tuple[str, ...], timeout: float | None) -> ProcessError:
    return ProcessError(f"{shlex.join(words)} ran past {timeout:g} s", args=words, returncode=None)


def _failed(done: Completed) -> ProcessError:
    how = f"exit status {done.returncode}"
    if done.returncode < 0:
        how = f"signal {signal.Signals(-done.returncode).name}"
    return ProcessError(
        f"{shlex.join(done.args)} ended with {how}",
        args=done.args,
        returncode=done.returncode,
        output=done.stderr or done.stdout,
    )
