"""Interrupts and kills, for real: what was there stays, and the next run finishes or undoes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.stack

_LOOKS_WHOLE = "import mmcv.ops, mmseg, torch; print('whole')"


@pytest.fixture
def pins(stack_environment: Path) -> Path:
    return stack_environment / ".mmsetup" / "requirements.txt"


@pytest.fixture
def installed(mmsetup: Callable, pins: Path, tmp_path: Path) -> Path:
    """Give a folder whose .venv mmsetup made from the lock, with a mark inside that a new one would lack."""
    done = mmsetup("install", "--no-smoke", "--offline", "--lock", pins, cwd=tmp_path)
    assert done.code == 0, done.err
    (tmp_path / ".venv" / "before.txt").write_text("before")
    make_another(tmp_path)
    return tmp_path


def make_another(folder: Path) -> None:
    """Make the environment one of another request and other files, so that the next run has to replace it."""
    manifest = folder / ".venv" / ".mmsetup" / "manifest.json"
    known = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**known, "fingerprint": "of another request", "content": "other files"}))


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Give what starts mmsetup and does not wait; what still runs after the test is ended."""
    started: list[subprocess.Popen[str]] = []

    def begin(*args: str | Path, cwd: Path, **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "mmsetup", *map(str, args)],
            cwd=cwd,
            env={**os.environ, "COLUMNS": "200", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.stderr.close()
        process.wait(30)


def until(process: subprocess.Popen[str], words: str) -> str:
    """Read what the process says until ``words`` come; give all of it."""
    said = []
    for line in process.stderr:
        said.append(line)
        if words in line:
            return "".join(said)
    pytest.fail(f"{words!r} never came: {''.join(said)}")


def end(process: subprocess.Popen[str], signum: int) -> int:
    process.send_signal(signum)
    said = process.stderr.read()
    code = process.wait(30)
    assert ("interrupted" in said) == (signum != signal.SIGKILL), said
    return code


def children_of(folder: Path) -> list[str]:
    """Give the command lines of processes that work below ``folder``."""
    found = []
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            command = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in command or str((proc / "cwd").resolve()).startswith(str(folder)):
                found.append(command)
        except OSError:
            continue
    return found


def gone(folder: Path, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while children_of(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def assert_whole(environment: Path) -> None:
    done = subprocess.run(
        [environment / "bin" / "python", "-W", "ignore", "-c", _LOOKS_WHOLE], capture_output=True, text=True
    )
    assert done.stdout == "whole\n", done.stderr
    assert json.loads((environment / ".mmsetup" / "manifest.json").read_text())["packages"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_while_it_downloads(
    mmsetup: Callable, start: Callable, installed: Path, pins: Path, signum: int
) -> None:
    process = start(
        *("install", "--no-smoke", "--lock", pins), cwd=installed, UV_CACHE_DIR=str(installed / "uv")
    )
    until(process, "Installing")
    time.sleep(2)
    code = end(process, signum)
    assert code == (-9 if signum == signal.SIGKILL else 130)
    assert gone(installed / "uv")
    assert (installed / ".venv" / "before.txt").read_text() == "before"
    assert_whole(installed / ".venv")
    if signum != signal.SIGKILL:
        assert not (installed / ".venv.mmsetup").exists()
        return
    finished = mmsetup("install", "--no-smoke", "--offline", "--lock", pins, cwd=installed)
    assert finished.code == 0, finished.err
    assert "interrupted" in finished.err
    assert not (installed / ".venv.mmsetup").exists()
    assert_whole(installed / ".venv")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_ended_while_it_builds(
    mmsetup: Callable, start: Callable, installed: Path, pins: Path, signum: int
) -> None:
    cache = installed / "cache"
    process = start(*("install", "--no-smoke", "--lock", pins), cwd=installed, MMSETUP_CACHE_DIR=str(cache))
    until(process, "] compiled")
    code = end(process, signum)
    assert code == (-9 if signum == signal.SIGKILL else 130)
    assert gone(cache), children_of(cache)
    assert not list(cache.glob("wheels/**/*.whl"))
    assert (installed / ".venv" / "before.txt").read_text() == "before"
    assert not (installed / ".venv.mmsetup").exists()
    finished = mmsetup("install", "--no-smoke", "--offline", "--lock", pins, cwd=installed)
    assert finished.code == 0, finished.err
    assert not (installed / ".venv" / "before.txt").exists()
    assert_whole(installed / ".venv")


def test_killed_at_any_moment_of_an_install(
    mmsetup: Callable, start: Callable, installed: Path, pins: Path
) -> None:
    command = ("install", "--no-smoke", "--offline", "--lock", pins)
    for step in range(12):
        make_another(installed)
        process = start(*command, cwd=installed)
        until(process, "Installing")
        time.sleep(0.08 * step)
        end(process, signal.SIGKILL)
        assert_whole(installed / ".venv")
    finished = mmsetup(*command, cwd=installed)
    assert finished.code == 0, finished.err
    assert_whole(installed / ".venv")
    assert not (installed / ".venv.mmsetup").exists()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_ended_while_it_trains(
    mmsetup: Callable, start: Callable, installed: Path, pins: Path, signum: int
) -> None:
    process = start("install", "--offline", "--lock", pins, cwd=installed)
    until(process, "Training")
    time.sleep(6)
    assert end(process, signum) == (-9 if signum == signal.SIGKILL else 130)
    assert gone(installed), children_of(installed)
    assert (installed / ".venv" / "before.txt").read_text() == "before"
    finished = mmsetup("install", "--no-smoke", "--offline", "--lock", pins, cwd=installed)
    assert finished.code == 0, finished.err
    assert not (installed / ".venv" / "before.txt").exists()
    assert_whole(installed / ".venv")


def test_a_second_run_in_the_same_folder_says_who_holds_it(
    mmsetup: Callable, start: Callable, installed: Path, pins: Path
) -> None:
    holder = start("install", "--offline", "--lock", pins, cwd=installed)
    until(holder, "Training")
    refused = mmsetup(
        *("install", "--no-smoke", "--offline", "--no-wait", "--lock", pins), cwd=installed, timeout=30
    )
    assert refused.code == 11
    assert f"process {holder.pid}" in refused.err
    waiting = start("install", "--no-smoke", "--offline", "--lock", pins, cwd=installed)
    until(waiting, "waiting for it")
    end(holder, signal.SIGTERM)
    waiting.stderr.read()
    assert waiting.wait(60) == 0
    assert_whole(installed / ".venv")
