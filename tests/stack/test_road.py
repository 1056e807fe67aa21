"""The main job, end to end: what a newcomer runs, and what comes of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.stack


def test_the_road_ends_with_a_model_that_was_trained(stack) -> None:
    told = stack.document
    assert told["schema"] == "mmsetup.install/1"
    assert told["status"] == "installed"
    assert told["packages"]["torch"] == "1.13.1"
    assert told["packages"]["mmcv-full"] == "1.7.2"
    assert told["packages"]["mmsegmentation"] == "0.30.0"
    assert told["smoke"]["passed"]
    assert told["smoke"]["mean_iou"] >= 0.80


def test_the_index_that_does_not_answer_is_told_and_leads_to_a_build(stack) -> None:
    plan = stack.document["plan"]
    assert plan["ops"]["kind"] == "built"
    assert any(report["source"] == "openmmlab" and not report["answered"] for report in plan["sources"])
    assert max(report["seconds"] for report in plan["sources"]) <= 2.5


def test_the_environment_works_from_where_it_is(stack_environment: Path) -> None:
    python = stack_environment / "bin" / "python"
    code = "import mmcv.ops, mmseg, torch, sys; print(sys.prefix, mmcv.ops.nms is not None)"
    done = subprocess.run([python, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(stack_environment), "True"]
    script = subprocess.run(
        [stack_environment / "bin" / "yapf", "--version"], capture_output=True, text=True, check=True
    )
    assert script.stdout.startswith("yapf")
    assert not stack_environment.with_name(".venv.mmsetup").exists()


def test_the_ops_tell_what_they_were_built_for(stack_environment: Path) -> None:
    (ops,) = stack_environment.glob("lib/python3*/site-packages/mmcv_full-*.dist-info")
    assert ops.name == "mmcv_full-1.7.2+pt1.13.1cu117.dist-info"
    assert (ops / "mmsetup-recipe.json").is_file()


def test_a_second_run_does_nothing(mmsetup: Callable, stack_environment: Path) -> None:
    before = (stack_environment / ".mmsetup" / "manifest.json").stat().st_mtime_ns
    done = mmsetup("install", "--json", cwd=stack_environment.parent)
    assert done.code == 0, done.err
    assert done.document["status"] == "unchanged"
    assert (stack_environment / ".mmsetup" / "manifest.json").stat().st_mtime_ns == before


def test_the_lock_of_the_environment_makes_the_same_again_elsewhere(
    mmsetup: Callable, stack_environment: Path, tmp_path: Path
) -> None:
    pins = stack_environment / ".mmsetup" / "requirements.txt"
    done = mmsetup("install", "--no-smoke", "--offline", "--json", "--lock", pins, cwd=tmp_path)
    assert done.code == 0, done.err
    listed = [
        sorted(path.name for path in folder.glob("lib/python3*/site-packages/*.dist-info"))
        for folder in (stack_environment, tmp_path / ".venv")
    ]
    assert listed[0] == listed[1]


def test_an_environment_of_another_tool_is_only_replaced_when_told_so(
    mmsetup: Callable, stack_environment: Path, tmp_path: Path
) -> None:
    pins = stack_environment / ".mmsetup" / "requirements.txt"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    (tmp_path / ".venv" / "mine.txt").write_text("mine")
    refused = mmsetup("install", "--no-smoke", "--offline", "--lock", pins, cwd=tmp_path)
    assert refused.code == 12
    assert "--yes" in refused.err
    assert (tmp_path / ".venv" / "mine.txt").read_text() == "mine"
    done = mmsetup("install", "--no-smoke", "--offline", "--yes", "--lock", pins, cwd=tmp_path)
    assert done.code == 0, done.err
    assert not (tmp_path / ".venv" / "mine.txt").exists()
    assert not (tmp_path / ".venv.mmsetup").exists()


def test_the_line_that_is_shown_at_the_end_trains_by_mmsegmentation_s_own_script(
    stack_environment: Path, tmp_path: Path
) -> None:
    script = next(stack_environment.glob("lib/python3*/site-packages/mmseg/.mim/tools/train.py"))
    config = stack_environment / ".mmsetup" / "smoke" / "config.py"
    few = ("--cfg-options", "runner.max_iters=12", "evaluation.interval=12", "checkpoint_config.interval=12")
    done = subprocess.run(
        [stack_environment / "bin" / "python", "-W", "ignore", script, config, *few],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "mIoU" in done.stderr + done.stdout
    assert (tmp_path / "work_dirs" / "config" / "iter_12.pth").exists()
