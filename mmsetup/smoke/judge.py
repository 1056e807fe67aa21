"""Decide whether what was measured is good: pure functions from numbers to checks, with their thresholds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mmsetup.smoke.report import SmokeCheck, Training

__all__ = [
    "EXPECTED_OPS",
    "LEAST_AGREEMENT",
    "LEAST_MEAN_IOU",
    "MOST_LOSS_LEFT",
    "MOST_OP_ERROR",
    "MOST_RELOAD_ERROR",
    "explained",
    "judge_evaluation",
    "judge_inference",
    "judge_op",
    "judge_reload",
    "judge_training",
    "training_of",
]

LEAST_MEAN_IOU = 0.80
"""On validation images; all background gives about 0.20."""

MOST_LOSS_LEFT = 0.5
"""Mean loss of the last tenth of the steps over that of the first; about 0.2 in a good run."""

MOST_OP_ERROR = 1e-4
"""Largest difference over the scale of the tensor, in float32; right kernels stay below 1e-6."""

MOST_RELOAD_ERROR = 1e-5
"""Largest difference of a class probability between the trained and the loaded model."""

LEAST_AGREEMENT = 0.999
"""Share of pixels of image files that ``mmseg.apis`` labels alike with the trained and the loaded model."""

EXPECTED_OPS = ("nms", "roi_align", "deform_conv2d", "modulated_deform_conv2d", "sigmoid_focal_loss")

_NOT_FOR = {("sigmoid_focal_loss", "cpu")}
"""mmcv, 1.x and 2.x, has no CPU kernel of these: ``implementation for device cpu not found``."""

_MEANINGS = (
    ("No module named 'mmcv._ext'", "mmcv is installed without its compiled operators"),
    ("No module named 'pkg_resources'", "this setuptools is newer than the stack can use"),
    ("undefined symbol", "the operators were compiled for another torch"),
    ("libcudart", "the operators were compiled for another CUDA than torch brings"),
    ("libGL.so", "opencv wants a desktop's libraries; opencv-python-headless does not"),
    ("unexpected keyword argument 'verify'", "this yapf is newer than mmcv can use"),
    ("is used but incompatible", "these versions of the stack refuse each other"),
    ("No module named 'ftfy'", "mmsegmentation imports ftfy and regex, and does not declare them"),
    (
        "Weights only load failed",
        "this torch loads plain weights alone unless told, and this stack, which saves more, does not tell",
    ),
)


def explained(raised: str) -> str:
    """Put what an exception means in plain words before its first line, where it is one of the usual ones."""
    meaning = next((words for sign, words in _MEANINGS if sign in raised), "")
    return f"{meaning}: {raised.splitlines()[0]}" if meaning else raised


def judge_op(measured: Mapping[str, Any]) -> SmokeCheck:
    """Judge one compiled operator on one device, from the payload's ``op`` event."""
    op, device, state, detail = (str(measured[key]) for key in ("op", "device", "state", "detail"))
    name = f"{op} on {device}"
    if state == "unavailable":
        expected = (op, device.split(":")[0]) in _NOT_FOR
        words = f"mmcv has no kernel of it for {device.split(':')[0]}"
        return SmokeCheck(
            name,
            expected,
            words if expected else f"{words}, but should: {detail}",
            threshold=MOST_OP_ERROR,
            available=False,
        )
    errors = measured["errors"]
    if state != "measured" or not errors:
        words = detail or "nothing was measured"
        return SmokeCheck(name, passed=False, detail=words, threshold=MOST_OP_ERROR)
    worst = max(errors, key=lambda key: errors[key])
    value = float(errors[worst])
    passed = all(error <= MOST_OP_ERROR for error in errors.values())
    words = "agrees with torchvision" if passed else "differs from torchvision"
    return SmokeCheck(name, passed, f"{words}; largest error in {worst}", value, MOST_OP_ERROR)


def training_of(losses: Sequence[float], seconds: float) -> Training | None:
    """Sum a training up; ``None`` when it made no step."""
    if not losses:
        return None
    window = max(1, len(losses) // 10)
    first, last = sum(losses[:window]) / window, sum(losses[-window:]) / window
    return Training(len(losses), first, last, seconds)


def judge_training(training: Training | None) -> SmokeCheck:
    """Judge whether the loss fell; a loss that is not a number did not."""
    if training is None:
        return SmokeCheck("loss falls", passed=False, detail="no step was made", threshold=MOST_LOSS_LEFT)
    left = training.last_loss / training.first_loss if training.first_loss else math.nan
    return SmokeCheck(
        "loss falls",
        left <= MOST_LOSS_LEFT,
        f"from {training.first_loss:.3f} to {training.last_loss:.3f} in {training.iterations} steps",
        left,
        MOST_LOSS_LEFT,
    )


def judge_evaluation(mean_iou: float, chance: float, images: int) -> SmokeCheck:
    """Judge the mean IoU on images that were not trained on."""
    detail = f"mean IoU {mean_iou:.3f} on {images} unseen images; all background gives {chance:.3f}"
    return SmokeCheck("segments unseen images", mean_iou >= LEAST_MEAN_IOU, detail, mean_iou, LEAST_MEAN_IOU)


def judge_reload(error: float, images: int) -> SmokeCheck:
    """Judge whether the checkpoint, loaded into a new model, gives the same probabilities."""
    detail = f"largest difference of a class probability on {images} images after loading it into a new model"
    return SmokeCheck("checkpoint loads", error <= MOST_RELOAD_ERROR, detail, error, MOST_RELOAD_ERROR)


def judge_inference(agreement: float, images: int) -> SmokeCheck:
    """Judge whether ``mmseg.apis`` on image files gives what the trained model gives."""
    detail = f"share of pixels of {images} image files that both models label alike"
    passed = agreement >= LEAST_AGREEMENT
    return SmokeCheck("inference from files", passed, detail, agreement, LEAST_AGREEMENT)
