"""The parent's side, against real programs that talk, crash, hang and lie."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmsetup.errors import RequestError, TargetError
from mmsetup.smoke import smoke

GOOD = """
say("stage", name="import")
say("importing", module="torch")
say("versions", versions={"torch": "1.13.1"}, device="cpu", device_name="", threads=job["threads"])
say("stage_end", name="import", seconds=1.5)
say("stage", name="ops")
for op in ("nms", "roi_align", "deform_conv2d", "modulated_deform_conv2d"):
    say("op", op=op, device="cpu", state="measured", errors={"forward": 0.0}, detail="")
say("op", op="sigmoid_focal_loss", device="cpu", state="unavailable", errors={}, detail="not found")
say("stage", name="train")
say("iteration", iteration=1, total=20, loss=1.0, seconds_left=3.0)
say("training", iterations=20, losses=[1.0] * 10 + [0.1] * 10, seconds=3.0)
say("evaluation", images=48, mean_iou=0.9, chance_mean_iou=0.2, per_class_iou={"bench": 0.95, "hammer": 0.85})
say("reload", error=0.0, images=8)
say("inference", images=8, agreement=1.0)
"""
END = """
names = {name: os.path.join(job["output"], name) for name in ("checkpoint.pth", "config.py", "samples.png")}
for name in names.values():
    open(name, "w").close()
say("files", checkpoint=names["checkpoint.pth"], config=names["config.py"], pictures=[names["samples.png"]])
say("end")
"""


class Recorder:
    def __init__(self):
        self.updates = []

    def stage(self, title):
        raise AssertionError

    def note(self, text):
        raise AssertionError

    def update(self, text, *, done=0, total=0, seconds_left=None):
        self.updates.append((text, done, total, seconds_left))


def test_a_good_run_is_reported(child, tmp_path, hollow):
    child(GOOD + END)
    progress = Recorder()
    report = smoke(hollow, output=tmp_path / "kept", seed=7, progress=progress)
    assert report.passed
    assert report.failure is None
    assert (report.seed, report.device, report.mean_iou, report.chance_mean_iou) == (7, "cpu", 0.9, 0.2)
    assert report.versions == {"torch": "1.13.1"}
    assert report.training is not None
    assert (report.training.iterations, report.training.seconds) == (20, 3.0)
    assert report.per_class_iou == {"bench": 0.95, "hammer": 0.85}
    assert report.seconds == {"import": 1.5}
    assert len(report.checks) == 9
    assert all(path.parent == report.output for path in (*report.pictures, report.checkpoint, report.config))
    assert ("training, loss 1.000", 1, 20, 3.0) in progress.updates
    kept = json.loads((tmp_path / "kept" / "report.json").read_text())
    assert kept["schema"] == "mmsetup.smoke/1"
    assert kept["passed"] is True


def test_without_an_output_nothing_is_kept(child, tmp_path, monkeypatch, hollow):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    child(GOOD + END)
    report = smoke(hollow)
    assert report.passed
    assert (report.output, report.pictures, report.checkpoint, report.config) == (None, (), None, None)
    assert [path.name for path in tmp_path.iterdir()] == ["child.py"]


def test_what_others_print_is_no_harm(child, hollow):
    child("print('hello from a .pth file'); print('{broken'); print('[1, 2]', flush=True)" + GOOD + END)
    assert smoke(hollow).passed


def test_a_low_score_fails_and_says_by_how_much(child, hollow):
    child(GOOD.replace("mean_iou=0.9", "mean_iou=0.61") + END)
    report = smoke(hollow)
    assert not report.passed
    (failed,) = [check for check in report.checks if not check.passed]
    assert (failed.measured, failed.threshold) == (0.61, 0.8)
    assert "0.610" in failed.detail


def test_an_operator_that_nobody_measured_fails(child, hollow):
    child(GOOD.replace('"roi_align", ', "") + END)
    report = smoke(hollow)
    assert [check.name for check in report.checks if not check.passed] == ["roi_align"]


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGILL"])
def test_a_crash_names_the_signal_and_where(child, name, hollow):
    child(
        'say("stage", name="import"); say("importing", module="mmcv.ops")\n'
        'print("the last words", file=sys.stderr, flush=True)\n'
        f"os.kill(os.getpid(), signal.{name})\ntime.sleep(60)\n"
    )
    report = smoke(hollow)
    assert not report.passed
    assert report.failure is not None
    assert report.failure.signal == name
    assert report.failure.stage == "import, mmcv.ops"
    assert "the last words" in report.failure.last_lines
    assert name in report.checks[-1].detail


def test_a_hang_is_ended_when_there_is_no_sign_of_life(child, hollow):
    child('say("stage", name="train")\ntime.sleep(60)\n')
    report = smoke(hollow, silence_limit=0.5)
    assert report.failure is not None
    assert "no sign of life for 0.5 s" in report.failure.message
    assert report.failure.stage == "train"
    assert report.total_seconds < 10


def test_a_chatterer_is_ended_at_the_time_limit(child, hollow):
    child("while True:\n    print('.', flush=True)\n    time.sleep(0.05)\n")
    report = smoke(hollow, time_limit=0.8, silence_limit=0.5)
    assert report.failure is not None
    assert "time limit of 0.8 s" in report.failure.message


def test_an_exception_is_told_without_the_style_of_a_terminal(child, hollow):
    child(
        'print("\\x1b[1mbold\\x1b[0m words", file=sys.stderr, flush=True)\n'
        'say("failure", stage="reload", kind="UnpicklingError", where=[],\n'
        '    message="Weights only load failed, do it \\x1b[1monly if\\x1b[0m you trust it\\nand so on")\n'
    )
    report = smoke(hollow)
    assert report.failure is not None
    assert report.failure.message.endswith("Weights only load failed, do it only if you trust it")
    assert report.failure.last_lines == ("bold words",)


@pytest.mark.parametrize("status", [0, 1, 3])
def test_an_end_without_a_result_fails(child, status, hollow):
    child(GOOD + f"sys.exit({status})\n")
    report = smoke(hollow)
    assert not report.passed
    assert report.failure is not None
    assert f"exit status {status} and no result" in report.failure.message


def test_an_event_that_is_not_understood_fails(child, hollow):
    child('say("iteration", iteration="three", total=9, loss=1.0, seconds_left=1.0)\ntime.sleep(60)\n')
    report = smoke(hollow)
    assert report.failure is not None
    assert "iteration.iteration is 'three'" in report.failure.message


def test_an_environment_without_the_stack_fails_with_the_missing_name(hollow):
    report = smoke(hollow)
    assert not report.passed
    assert report.failure is not None
    assert report.failure.stage == "import, numpy"
    assert report.failure.message == "ModuleNotFoundError: No module named 'numpy'"


def test_mmcv_without_its_compiled_part_is_named(stack_of):
    gone = "raise ModuleNotFoundError(\"No module named 'mmcv._ext'\")"
    names = ("numpy", "cv2", "torch", "torchvision", "mmcv")
    report = smoke(stack_of({**dict.fromkeys(names, ""), "mmcv.ops": gone}))
    assert report.failure is not None
    assert report.failure.stage == "import, mmcv.ops"
    assert "without its compiled operators" in report.failure.message
    assert "No module named 'mmcv._ext'" in report.failure.message


def test_a_library_that_writes_to_the_pipe_itself_is_no_harm(stack_of):
    noise = "import os\nos.write(1, b'{\"event\": \"end\"}\\n')\nprint('noise')\n"
    report = smoke(stack_of({"numpy": noise}))
    assert report.failure is not None
    assert report.failure.stage == "import, cv2"
    assert "noise" in report.failure.last_lines


def test_nothing_is_left_when_mmsetup_is_killed(stack_of, tmp_path):
    marker = tmp_path / "pid"
    environment = stack_of(
        {"numpy": f"import os, time\nopen({str(marker)!r}, 'w').write(str(os.getpid()))\ntime.sleep(120)\n"}
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    program = f"from pathlib import Path; from mmsetup.smoke import smoke; smoke(Path({str(environment)!r}))"
    parent = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(scratch)})
    _until(lambda: marker.exists() and marker.read_text())
    assert list(scratch.iterdir())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _until(lambda: not list(scratch.iterdir()))
    _until(lambda: not _lives(int(marker.read_text())))


def _until(holds, seconds=20.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def _lives(pid):
    with contextlib.suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "", "CPU"])
def test_a_device_that_does_not_exist_is_refused(device, hollow):
    with pytest.raises(RequestError, match="is no device"):
        smoke(hollow, device=device)


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_out_of_range_is_refused(seed, hollow):
    with pytest.raises(RequestError, match="seed"):
        smoke(hollow, seed=seed)


def test_an_environment_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(TargetError, match="does not exist"):
        smoke(tmp_path / "nowhere")


def test_an_output_that_is_a_file_is_refused(child, tmp_path, hollow):
    child(GOOD + END)
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(TargetError, match="cannot hold the results"):
        smoke(hollow, output=tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"
