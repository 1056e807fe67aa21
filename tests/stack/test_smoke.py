"""The real smoke run in a real environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import mmsetup.payload
from mmsetup.errors import RequestError
from mmsetup.smoke import Recipe, smoke
from mmsetup.smoke.judge import EXPECTED_OPS

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("smoke")


@pytest.fixture(scope="module")
def report(stack_environment: Path, kept: Path):
    return smoke(stack_environment, output=kept, seed=3, device="cpu")


def test_it_passes_with_margin(report):
    assert report.passed, report
    assert report.mean_iou >= 0.83
    assert report.chance_mean_iou < 0.25
    assert min(report.per_class_iou.values()) > 0.7
    assert report.recipe.validation_images >= 32


def test_training_is_the_larger_part(report):
    assert report.training.seconds > report.total_seconds / 2
    assert set(report.seconds) == {"import", "ops", "data", "train", "evaluate", "reload", "infer"}


def test_every_operator_was_compared_or_is_not_there(report):
    ops = {
        check.name.removesuffix(" on cpu"): check for check in report.checks if check.name.endswith(" on cpu")
    }
    assert set(ops) == set(EXPECTED_OPS)
    assert {name for name, check in ops.items() if not check.available} == {"sigmoid_focal_loss"}
    assert all(check.measured < 1e-5 for check in ops.values() if check.available)


def test_what_is_kept_is_of_use(report, kept, stack_environment):
    assert {path.name for path in kept.iterdir()} == {
        "checkpoint.pth",
        "config.py",
        "overlay.png",
        "report.json",
        "samples.png",
        "tools_on_a_bench",
    }
    assert json.loads((kept / "report.json").read_text())["passed"] is True
    program = (
        "import sys, numpy\n"
        "from mmseg.apis import inference_segmentor, init_segmentor\n"
        "model = init_segmentor(sys.argv[1], sys.argv[2], device='cpu')\n"
        "found = inference_segmentor(model, numpy.zeros((96, 96, 3), numpy.uint8))[0]\n"
        "print(model.CLASSES[0], found.shape)\n"
    )
    done = subprocess.run(
        [
            stack_environment / "bin" / "python",
            "-I",
            "-W",
            "ignore",
            "-c",
            program,
            report.config,
            report.checkpoint,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "bench (96, 96)"


def test_a_model_that_hardly_trained_does_not_pass(stack_environment):
    tiny = Recipe(iterations=10, batch=2, train_images=8, validation_images=4)
    report = smoke(stack_environment, recipe=tiny, device="cpu")
    assert not report.passed
    assert report.failure is None
    failed = {check.name for check in report.checks if not check.passed}
    assert "segments unseen images" in failed
    assert "checkpoint loads" not in failed


def test_a_gpu_that_is_not_there_is_a_clear_failure(stack_environment):
    with pytest.raises(RequestError, match="there is no GPU cuda:7 that torch sees") as caught:
        smoke(stack_environment, device="cuda:7")
    assert str(caught.value.remedy).endswith("--device cpu")


def test_the_images_are_the_same_in_the_target(stack_environment):
    payload = Path(mmsetup.payload.__file__).parent / "smoke"
    program = (
        "import hashlib, sys; sys.path.insert(0, sys.argv[1]); sys.dont_write_bytecode = True\n"
        "import smoke_bench\n"
        "digest = hashlib.sha256()\n"
        "for seed in range(8):\n"
        "    image, labels, _ = smoke_bench.draw(seed); digest.update(image.tobytes() + labels.tobytes())\n"
        "print(digest.hexdigest())\n"
    )
    done = subprocess.run(
        [stack_environment / "bin" / "python", "-I", "-c", program, payload],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "e5c014078f3d8609f66da3ef8dc45b963474aea0a8cfa62c15be6032a8fa37f2"
