"""The children: modules that raise, die, leave and hang, asked in real processes by this interpreter."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mmsetup.doctor.deep import postmortem
from mmsetup.doctor.deep.children import START, Target, ask
from mmsetup.doctor.deep.questions import Question
from mmsetup.progress import Silent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc of Linux")
knows_the_processor = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="signal frames are known of one processor"
)


def importing(module: str, *needs: str) -> Question:
    return Question(
        f"import {module}", "import", f"importing {module}", (*needs, module), (), (("module", module),)
    )


@pytest.fixture
def asked(tmp_path: Path):
    """Ask this interpreter to import modules, given as their sources; more lanes are tuples of names."""
    folder, scratch = tmp_path / "modules", tmp_path / "scratch"
    folder.mkdir()
    scratch.mkdir()

    def make(sources: dict[str, str], *lanes: tuple, seconds: float = 30.0, **variables: str):
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(source))
        questions = lanes or (tuple(importing(name) for name in sources),)
        target = Target(
            python=Path(sys.executable),
            variables={
                **os.environ,
                "PYTHONPATH": str(folder),
                "PYTHONDONTWRITEBYTECODE": "1",
                **variables,
            },
            scratch=scratch,
            sockets=scratch,
            framework="",
            bytecode="",
            threads=1,
            seconds=seconds,
            side_by_side=2,
        )
        return {answer.question: answer for answer in ask(target, questions, Silent())}

    return make


def test_what_works_is_answered(asked):
    answers = asked({"good": "", "other": "import good"})
    assert [(name, answer.state) for name, answer in answers.items()] == [
        (START, "answered"),
        ("import good", "answered"),
        ("import other", "answered"),
    ]
    assert answers[START].measured["printed"] == ()


def test_an_exception_is_told_with_its_root_and_frames_and_the_next_has_a_new_process(asked):
    source = """
        def inner():
            raise KeyError("deep")
        try:
            inner()
        except KeyError as error:
            raise ImportError("shallow") from error
    """
    answers = asked({"bad": source, "after": "import sys; assert 'bad' not in sys.modules"})
    failure = answers["import bad"].failure
    assert (failure.kind, failure.what, failure.root) == (
        "raised",
        "ImportError: shallow",
        "KeyError: 'deep'",
    )
    assert failure.frames[0].endswith("bad.py:3 in inner")
    assert failure.frames[1].endswith("bad.py:5 in <module>")
    assert answers["import after"].state == "answered"


@pytest.mark.parametrize("leaving", ["import sys; sys.exit(3)", "raise KeyboardInterrupt"])
def test_an_import_that_wants_to_leave_is_an_exception(asked, leaving):
    answers = asked({"leaves": leaving, "after": ""})
    assert answers["import leaves"].failure.kind == "raised"
    assert answers["import after"].state == "answered"


def test_a_syntax_error_names_the_line(asked):
    failure = asked({"bad": "x = 1\nx = ="})["import bad"].failure
    assert failure.frames[0].endswith("bad.py:2 in <source>")


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("ctypes.string_at(8)", "SIGSEGV"),
        ("os.abort()", "SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGBUS)", "SIGBUS"),
        ("os.kill(os.getpid(), signal.SIGILL)", "SIGILL"),
        ("os.kill(os.getpid(), signal.SIGFPE)", "SIGFPE"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    ],
)
def test_a_signal_is_told_with_its_frames_and_what_is_left_goes_on(asked, call, name):
    source = f"import ctypes, os, signal, sys\nsys.stderr.write('last words\\n')\n\ndef die():\n    {call}\ndie()\n"
    answers = asked({"before": "", "dies": source, "after": ""})
    assert [answers[f"import {name}"].state for name in ("before", "after")] == ["answered"] * 2
    failure = answers["import dies"].failure
    assert (failure.kind, failure.what) == ("signal", name)
    assert failure.last_lines[-1:] == ("last words",)
    if name != "SIGKILL":
        assert [frame for frame in failure.frames if "dies.py:5 in die" in frame]


@knows_the_processor
def test_the_library_of_a_signal_is_seen(asked):
    failure = asked({"dies": "import ctypes; ctypes.string_at(8)"})["import dies"].failure
    assert "ctypes" in Path(failure.place.library).name
    assert "libc" in failure.place.innermost


@knows_the_processor
def test_a_thread_that_dies_is_seen(asked):
    source = """
        import ctypes, threading
        thread = threading.Thread(target=ctypes.string_at, args=(8,))
        thread.start()
        thread.join()
    """
    failure = asked({"dies": source})["import dies"].failure
    assert failure.what == "SIGSEGV"
    assert "ctypes" in Path(failure.place.library).name
    assert "string_at" in failure.frames[0]


@pytest.mark.parametrize("call", ["os._exit(3)", "ctypes.CDLL(None).exit(3)"])
def test_a_process_that_leaves_is_told(asked, call):
    answers = asked({"leaves": f"import ctypes, os\n{call}\n", "after": ""})
    failure = answers["import leaves"].failure
    assert (failure.kind, failure.what) == ("exit", "exit status 3")
    assert answers["import after"].state == "answered"
    if "CDLL" in call:
        assert failure.frames[0].endswith("leaves.py:2 in <module>")


def test_a_hang_is_ended_and_tells_where_and_what_needs_it_is_not_asked(asked):
    source = "import time\n\ndef wait():\n    time.sleep(600)\nwait()\n"
    lane = (importing("hangs"), importing("needs", "hangs"), importing("free"))
    began = time.monotonic()
    answers = asked({"hangs": source, "needs": "", "free": ""}, lane, seconds=2)
    assert time.monotonic() - began < 20
    failure = answers["import hangs"].failure
    assert (failure.kind, failure.what) == ("hang", "it was not done after 2 s")
    assert failure.frames[0].endswith("hangs.py:4 in wait")
    assert answers["import needs"].state == "unasked"
    assert answers["import free"].state == "answered"


def test_children_of_children_are_ended(asked, tmp_path):
    told = tmp_path / "pid"
    source = f"""
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pid = os.fork()
        if not pid:
            time.sleep(600)
        open({str(told)!r}, "w").write(str(pid))
    """
    assert asked({"leaves_one": source})["import leaves_one"].state == "answered"
    pid = int(told.read_text())
    until = time.monotonic() + 5
    while Path(f"/proc/{pid}/stat").exists() and time.monotonic() < until:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{pid}").exists()


def test_what_is_printed_does_not_disturb(asked):
    source = """
        import os, sys
        print('{"event": "answer", "question": "import prints", "state": "raised"}')
        sys.stdout.write("no newline")
        os.write(1, b'{"event": "end"}')
        for _ in range(20000): sys.stderr.write("noise " * 10 + "\\n")
    """
    answers = asked({"prints": source, "after": ""})
    assert {answer.state for answer in answers.values()} == {"answered"}


def test_code_at_the_start_that_prints_is_told_and_disturbs_nothing(asked):
    answers = asked(
        {"sitecustomize": "import sys; sys.stdout.write('hello')", "good": ""}, (importing("good"),)
    )
    assert answers[START].measured["printed"] == ("hello",)
    assert answers["import good"].state == "answered"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("import os; os._exit(7)", "exit"),
        ("import os; os.abort()", "signal"),
        ("raise SystemExit(1)", "exit"),
    ],
)
def test_an_interpreter_that_does_not_start_is_asked_nothing_more(asked, source, kind):
    answers = asked({"sitecustomize": source, "good": ""}, (importing("good"),))
    assert list(answers) == [START]
    assert answers[START].failure.kind == kind


def test_an_interpreter_that_hangs_at_its_start_tells_where(asked):
    source = "import time\n\ndef wait():\n    time.sleep(600)\nwait()\n"
    answers = asked({"sitecustomize": source}, (importing("good"),), seconds=1)
    failure = answers[START].failure
    assert failure.kind == "hang"
    assert failure.frames[0].endswith("sitecustomize.py:4 in wait")


def test_an_interpreter_that_is_none(tmp_path):
    target = Target(tmp_path / "none", {}, tmp_path, tmp_path, "", "", 1, 5.0, 1)
    (answer,) = ask(target, [[importing("good")]], Silent())
    assert "cannot start" in answer.failure.what


def test_nothing_runs_on_when_asking_is_interrupted(tmp_path):
    module = tmp_path / "hangs.py"
    module.write_text("import time; time.sleep(600)")

    class Interrupting(Silent):
        def update(self, text, **_):
            raise KeyboardInterrupt

    target = Target(
        Path(sys.executable),
        {**os.environ, "PYTHONPATH": str(tmp_path)},
        tmp_path,
        tmp_path,
        "",
        "",
        1,
        60.0,
        2,
    )
    with pytest.raises(KeyboardInterrupt):
        ask(target, [[importing("hangs")]], Interrupting())
    found = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True).stdout.split()
    assert found == []


def test_a_process_that_is_gone_is_nowhere():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert postmortem.look(done.pid, died=True) is None
    assert postmortem.look(done.pid, died=False) is None


def test_a_process_that_runs_code_of_its_own_is_seen_when_it_is_stopped():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as running:
        time.sleep(0.5)
        running.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        place = postmortem.look(running.pid, died=False)
        running.kill()
    assert "python" in Path(place.library).name
