from __future__ import annotations

import math

import pytest

from mmsetup.smoke import judge


def op(**changes):
    said = {
        "op": "roi_align",
        "device": "cpu",
        "state": "measured",
        "errors": {"forward": 1e-7},
        "detail": "",
    }
    return judge.judge_op({**said, **changes})


def test_an_operator_that_agrees_passes_with_its_largest_error():
    check = op(errors={"forward": 1e-7, "gradient of input": 3e-7})
    assert check.passed
    assert check.measured == 3e-7
    assert "gradient of input" in check.detail


@pytest.mark.parametrize(
    "changes",
    [
        {"errors": {"forward": 0.0, "gradient of input": 0.02}},
        {"errors": {"forward": math.nan}},
        {"errors": {"forward": 0.0, "gradient of input": math.nan}},
        {"errors": {}},
        {"state": "crashed", "errors": {}, "detail": "RuntimeError: boom"},
    ],
)
def test_an_operator_that_differs_or_crashes_fails(changes):
    assert not op(**changes).passed


def test_not_compiled_is_told_apart_from_wrong():
    missing = {"state": "unavailable", "errors": {}, "detail": "RuntimeError: implementation not found"}
    on_cpu = op(op="sigmoid_focal_loss", device="cpu", **missing)
    assert on_cpu.passed
    assert not on_cpu.available
    on_gpu = op(op="sigmoid_focal_loss", device="cuda:0", **missing)
    assert not on_gpu.passed
    assert "no kernel of it for cuda" in on_gpu.detail
    assert not op(op="nms", device="cpu", **missing).passed


def test_losses_are_summed_up_by_tenths():
    training = judge.training_of([*[1.0] * 10, *[0.5] * 80, *[0.2] * 10], 12.5)
    assert training is not None
    assert (training.iterations, training.seconds) == (100, 12.5)
    assert training.first_loss == pytest.approx(1.0)
    assert training.last_loss == pytest.approx(0.2)
    assert judge.judge_training(training).passed


@pytest.mark.parametrize("losses", [[1.0] * 100, [1.0] * 50 + [0.6] * 50, [1.0] * 99 + [math.nan], [], [0.0]])
def test_a_loss_that_does_not_fall_fails(losses):
    assert not judge.judge_training(judge.training_of(losses, 1.0)).passed


@pytest.mark.parametrize(("value", "passed"), [(0.8, True), (0.79, False), (math.nan, False)])
def test_the_mean_iou_stands_beside_chance(value, passed):
    check = judge.judge_evaluation(value, 0.19, 48)
    assert check.passed is passed
    assert "all background gives 0.190" in check.detail


def test_a_loaded_model_must_say_the_same():
    assert judge.judge_reload(0.0, 8).passed
    assert not judge.judge_reload(1e-3, 8).passed
    assert not judge.judge_reload(math.nan, 8).passed
    assert judge.judge_inference(1.0, 8).passed
    assert not judge.judge_inference(0.9, 8).passed


def test_the_usual_exceptions_are_put_in_plain_words():
    raised = "ImportError: _ext.so: undefined symbol: _ZNK2at6Tensor7is_cudaEv"
    assert judge.explained(raised) == f"the operators were compiled for another torch: {raised}"
    assert judge.explained("OSError: what nobody has seen") == "OSError: what nobody has seen"


def test_of_a_long_exception_that_is_known_the_first_line_is_kept():
    told = judge.explained("UnpicklingError: Weights only load failed. Two options.\n\t(1) and so on")
    assert told.startswith("this torch loads plain weights alone")
    assert told.endswith("UnpicklingError: Weights only load failed. Two options.")
    assert judge.explained("ValueError: one\ntwo") == "ValueError: one\ntwo"
