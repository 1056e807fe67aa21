"""The one place that starts programs: output, limits, interrupts and what becomes of children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmsetup import process
from mmsetup.errors import ProcessError

PYTHON = sys.executable


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_output_and_status_come_back() -> None:
    done = process.run(
        [PYTHON, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"], check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_a_failure_names_the_command_the_status_and_the_last_lines() -> None:
    with pytest.raises(ProcessError, match="exit status 3") as caught:
        process.run([PYTHON, "-c", "import sys; sys.stderr.write('the cause'); sys.exit(3)"])
    assert caught.value.returncode == 3
    assert caught.value.evidence == ("the cause",)


def test_a_signal_is_named() -> None:
    with pytest.raises(ProcessError, match="SIGSEGV") as caught:
        process.run([PYTHON, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"])
    assert caught.value.returncode == -signal.SIGSEGV


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(ProcessError, match="cannot start no-such-program"):
        process.run(["no-such-program"])


def test_standard_input_reaches_the_program_and_is_closed_otherwise() -> None:
    code = "import sys; print(len(sys.stdin.read()))"
    assert process.run([PYTHON, "-c", code], stdin="four").stdout == "4\n"
    assert process.run([PYTHON, "-c", code]).stdout == "0\n"


@pytest.mark.parametrize("streamed", [False, True])
def test_the_time_limit_ends_the_program_with_its_children(tmp_path: Path, streamed: bool) -> None:
    note = tmp_path / "pid"
    code = (
        "import subprocess, sys, time;"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"open({str(note)!r}, 'w').write(str(child.pid)); time.sleep(60)"
    )
    with pytest.raises(ProcessError, match="ran past 1 s") as caught:
        if streamed:
            process.stream([PYTHON, "-c", code], lambda *_: None, timeout=1)
        else:
            process.run([PYTHON, "-c", code], timeout=1)
    assert caught.value.returncode is None
    assert gone(int(note.read_text()))


def test_lines_arrive_while_the_program_runs() -> None:
    arrived: list[tuple[str, str, float]] = []
    code = (
        "import sys, time; print('one', flush=True); time.sleep(0.6);"
        "sys.stderr.write('10%\\r20%\\rdone'); sys.stderr.flush(); print('two')"
    )
    began = time.monotonic()
    done = process.stream(
        [PYTHON, "-c", code], lambda name, line: arrived.append((name, line, time.monotonic() - began))
    )
    assert [(name, line) for name, line, _ in arrived if name == "stdout"] == [
        ("stdout", "one"),
        ("stdout", "two"),
    ]
    assert [line for name, line, _ in arrived if name == "stderr"] == ["10%", "20%", "done"]
    times = {line: at for _, line, at in arrived}
    assert times["two"] - times["one"] > 0.3
    assert done.stdout == "one\ntwo"


def test_what_the_listener_raises_ends_the_program(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def listen(_: str, line: str) -> None:
        (tmp_path / "pid").write_text(line)
        raise StopError

    with pytest.raises(StopError):
        process.stream(
            [PYTHON, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"], listen
        )
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_killed_parent_takes_its_program_along() -> None:
    code = (
        "from mmsetup import process; import sys;"
        "process.stream([sys.executable, '-c', 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'],"
        "lambda name, line: print(line, flush=True))"
    )
    parent = subprocess.Popen([PYTHON, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.stdout.close()
    parent.wait()
    assert gone(child)


def test_what_would_change_a_target_interpreter_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("VIRTUAL_ENV", "/another")
    env = process.clean_environment(EXTRA="1")
    assert "PYTHONPATH" not in env
    assert "VIRTUAL_ENV" not in env
    assert env["EXTRA"] == "1"
    assert env["PATH"] == os.environ["PATH"]
