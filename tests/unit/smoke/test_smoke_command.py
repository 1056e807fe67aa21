from __future__ import annotations

import json
import sys

import pytest
import typer
from rich.console import Console
from test_smoke_run import END, GOOD
from typer.testing import CliRunner

from mmsetup.cli.smoke import command
from mmsetup.errors import CheckFailedError, RequestError
from mmsetup.render.smoke import show_smoke
from mmsetup.smoke import smoke

app = typer.Typer()
app.command()(command)


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_a_good_run_ends_with_0_and_the_numbers(child, tmp_path, hollow):
    child(GOOD + END)
    done = run("--python", hollow / "bin" / "python", "--output", tmp_path / "kept")
    assert done.exit_code == 0
    for words in ("passed in", "hammer", "0.850", "chance (all bench)", "0.200", "samples.png"):
        assert words in done.stdout


def test_json_is_one_document_and_nothing_else(child, hollow):
    child(GOOD + END)
    done = run("--python", hollow / "bin" / "python", "--json")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert document["schema"] == "mmsetup.smoke/1"
    assert document["passed"] is True
    assert document["mean_iou"] == 0.9
    assert document["output"] is None


def test_a_failed_run_is_an_error_with_evidence_and_a_remedy(hollow):
    done = run("--env", hollow)
    assert isinstance(done.exception, CheckFailedError)
    assert any("No module named 'numpy'" in line for line in done.exception.evidence)
    assert done.exception.remedy == f"mmsetup doctor --env {hollow}"


def test_a_failed_run_as_json_is_still_one_document(hollow):
    done = run("--env", hollow, "--json")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["passed"] is False
    assert document["failure"]["stage"] == "import, numpy"


NO_GPU = """
__version__ = "1.13.1"
class version:
    cuda = {cuda!r}
class cuda:
    is_available = staticmethod(lambda: {count} > 0)
    device_count = staticmethod(lambda: {count})
    def init():
        raise RuntimeError("Found no NVIDIA driver on your system. Please check\\nthat")
"""


@pytest.mark.parametrize(
    ("device", "cuda", "count", "why"),
    [
        ("cuda", None, 0, "torch 1.13.1 was built without CUDA"),
        ("cuda", "11.7", 0, "torch 1.13.1 says: Found no NVIDIA driver on your system"),
        ("cuda:2", "11.7", 2, "torch 1.13.1 sees 2, the last one as cuda:1"),
    ],
)
def test_a_gpu_that_torch_does_not_see_is_refused(stack_of, device, cuda, count, why):
    """The stack is a stand-in: what is asked is that nothing behind torch is reached."""
    torch = NO_GPU.format(cuda=cuda, count=count)
    stack = stack_of({"numpy": "", "cv2": "", "torch": torch, "torchvision": "raise SystemError"})
    done = run("--env", stack, "--device", device)
    assert isinstance(done.exception, RequestError)
    assert str(done.exception) == f"there is no GPU {device} that torch sees: {why}"
    assert done.exception.remedy == f"mmsetup smoke --env {stack} --device cpu"
    assert done.stdout == ""


def test_a_gpu_that_is_there_is_no_obstacle(stack_of):
    torch = NO_GPU.format(cuda="11.7", count=2)
    stack = stack_of({"numpy": "", "cv2": "", "torch": torch, "torchvision": "raise SystemError('reached')"})
    done = run("--env", stack, "--device", "cuda:1")
    assert isinstance(done.exception, CheckFailedError)
    assert "reached" in done.exception.evidence[0]


def test_a_run_over_its_time_is_given_more_of_it(child, hollow, monkeypatch):
    child('say("stage", name="train")\ntime.sleep(60)\n')
    monkeypatch.setattr(sys, "argv", ["mmsetup", "smoke", "--time-limit", "1", "--seed", "3"])
    done = run("--env", hollow, "--time-limit", 1)
    assert isinstance(done.exception, CheckFailedError)
    assert "time limit of 1 s" in done.exception.evidence[0]
    assert done.exception.remedy == "mmsetup smoke --seed 3 --time-limit 900"


def test_a_version_is_no_path_of_an_interpreter(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mmsetup", "smoke", "--seed", "1", "--python", "3.10"])
    done = run("--seed", "1", "--python", "3.10")
    assert isinstance(done.exception, RequestError)
    assert str(done.exception) == "--python takes the path of an interpreter, and 3.10 is a version"
    assert done.exception.remedy == "mmsetup smoke --seed 1 --python DIR/bin/python"


def test_two_environments_are_refused(bare):
    done = run("--env", bare, "--python", sys.executable)
    assert isinstance(done.exception, RequestError)


@pytest.mark.parametrize("width", [40, 100])
def test_a_crash_is_told_with_its_stage_and_its_last_lines(child, width, capsys, hollow):
    child('say("stage", name="train")\nprint("[last] words", file=sys.stderr, flush=True)\nos.abort()\n')
    show_smoke(smoke(hollow), Console(width=width))
    told = capsys.readouterr().out
    assert "killed by SIGABRT (in train)" in told
    assert "[last] words" in told
    assert "failed in" in told
