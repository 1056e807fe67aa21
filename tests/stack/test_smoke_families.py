"""A family other than the first, the whole road: its own engine trains, and what is kept is of use to its tools."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmsetup.smoke.judge import EXPECTED_OPS

pytestmark = pytest.mark.stack

# The torch that all other tests use: a second one would be two more gigabytes to fetch.
CHOICE = ("--family", "mmcv", "--torch", "1.13.1", "--python", "3.10", "--with", "mmdet")
DETECT = """
import os, torch, mmdet
from mmengine import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
configs = os.path.join(os.path.dirname(mmdet.__file__), ".mim", "configs")
config = Config.fromfile(configs + "/dcnv2/faster-rcnn_r50-mdconv-c3-c5_fpn_1x_coco.py")
init_default_scope("mmdet")
config.model.backbone.init_cfg = None
model = MODELS.build(config.model).train()
sizes = dict.fromkeys(("img_shape", "ori_shape", "pad_shape", "batch_input_shape"), (64, 64))
sample = DetDataSample(metainfo={**sizes, "scale_factor": (1.0, 1.0)})
sample.gt_instances = InstanceData(bboxes=torch.tensor([[8.0, 8, 40, 50]]), labels=torch.tensor([1]))
losses = model.loss(torch.randn(1, 3, 64, 64), [sample])
sum(sum(value) if isinstance(value, list) else value for name, value in losses.items() if "loss" in name).backward()
print(float(model.backbone.layer3[0].conv2.weight.grad.abs().sum()) > 0)
"""


@pytest.fixture(scope="module")
def family(mmsetup: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    done = mmsetup("install", "--json", *CHOICE, cwd=tmp_path_factory.mktemp("family"))
    assert done.code == 0, done.err
    return done.document


@pytest.fixture(scope="module")
def python(family: dict[str, Any]) -> Path:
    return Path(family["environment"]) / "bin" / "python"


def _run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def test_it_trains_with_margin(family):
    smoke = family["smoke"]
    assert smoke["passed"]
    assert smoke["mean_iou"] >= 0.83
    assert smoke["chance_mean_iou"] < 0.25
    assert min(smoke["per_class_iou"].values()) > 0.7
    assert smoke["versions"]["mmseg"].startswith("1.")
    assert smoke["versions"]["mmcv"].startswith("2.")
    assert smoke["versions"]["mmengine"]


def test_every_operator_was_compared_or_is_not_there(family):
    ops = {
        check["name"].removesuffix(" on cpu"): check
        for check in family["smoke"]["checks"]
        if check["name"].endswith(" on cpu")
    }
    assert set(ops) == set(EXPECTED_OPS)
    assert {name for name, check in ops.items() if not check["available"]} == {"sigmoid_focal_loss"}
    assert all(check["measured"] < 1e-5 for check in ops.values() if check["available"])


def test_the_mean_iou_is_that_of_the_classes(family):
    classes = family["smoke"]["per_class_iou"].values()
    assert family["smoke"]["mean_iou"] == pytest.approx(sum(classes) / len(classes), abs=1e-4)


def test_mmsegmentations_own_tools_go_on_from_what_is_kept(family, python, tmp_path):
    kept = python.parents[1] / ".mmsetup" / "smoke"
    tools = next(python.parents[1].glob("lib/python3*/site-packages/mmseg/.mim/tools"))
    config, checkpoint = kept / "config.py", kept / "checkpoint.pth"
    _run(python, tools / "test.py", config, checkpoint, "--work-dir", tmp_path / "test", cwd=tmp_path)
    (measured,) = (tmp_path / "test").glob("*/*.json")
    assert json.loads(measured.read_text())["mIoU"] / 100 == pytest.approx(
        family["smoke"]["mean_iou"], abs=1e-3
    )
    shorter = ("--cfg-options", "train_cfg.max_iters=3", "train_cfg.val_interval=3")
    shorter += ("default_hooks.checkpoint.interval=3", "log_level=ERROR")
    _run(python, tools / "train.py", config, "--work-dir", tmp_path / "train", *shorter, cwd=tmp_path)
    assert (tmp_path / "train" / "iter_3.pth").is_file()


def test_a_detector_with_compiled_operators_takes_a_step(python, tmp_path):
    done = _run(python, "-I", "-W", "ignore", "-c", DETECT, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "True"
