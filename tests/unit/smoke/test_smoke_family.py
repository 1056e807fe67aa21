"""Which of the payload's trainings an environment gets."""

from __future__ import annotations

import json
import venv
from pathlib import Path

import pytest

import mmsetup.payload
from mmsetup.errors import TargetError
from mmsetup.probe import environment
from mmsetup.smoke import family, smoke
from mmsetup.smoke.family import family_of

PAYLOAD = Path(mmsetup.payload.__file__).parent / "smoke"


@pytest.fixture
def holding(tmp_path, claim):
    def make(**versions):
        folder = tmp_path / "env"
        venv.create(folder, symlinks=True, with_pip=False)
        for name, version in versions.items():
            claim(folder, name.replace("_", "-"), version)
        return environment(folder)

    return make


@pytest.mark.parametrize(
    ("versions", "chosen"),
    [
        ({"mmsegmentation": "0.30.0"}, "mmseg0"),
        ({"mmsegmentation": "1.2.2"}, "mmseg1"),
        ({"mmsegmentation": "1.0.0rc6"}, "mmseg1"),
        ({"onedl_mmsegmentation": "1.4.2"}, "mmseg1"),
        ({"onedl_mmsegmentation": "1.4.2", "mmsegmentation": "1.2.2"}, "mmseg1"),
    ],
)
def test_the_edition_that_is_there_decides(holding, versions, chosen):
    assert family_of(holding(**versions)) == chosen


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ({}, "holds no mmsegmentation"),
        ({"torch": "2.1.2"}, "holds no mmsegmentation"),
        ({"mmsegmentation": "2.0.0"}, "mmsegmentation 2.0.0, which the smoke run does not know"),
        ({"mmsegmentation": "unknown"}, "mmsegmentation unknown, which the smoke run does not know"),
        (
            {"mmsegmentation": "0.30.0", "onedl_mmsegmentation": "1.4.2"},
            "mmsegmentation 0.30.0 and onedl-mmsegmentation 1.4.2",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(holding, versions, words):
    held = holding(**versions)
    with pytest.raises(TargetError, match=words) as raised:
        family_of(held)
    assert str(held.prefix) in raised.value.remedy


def test_an_environment_without_mmsegmentation_is_refused_before_anything_starts(bare, child):
    child("raise AssertionError\n")
    with pytest.raises(TargetError, match="there is nothing to train with"):
        smoke(bare)


def test_the_payload_knows_every_family_that_can_be_chosen():
    text = (PAYLOAD / "__main__.py").read_text(encoding="utf-8")
    for name in family._FAMILIES:
        assert json.dumps(name) in text
        assert (PAYLOAD / f"smoke_{name}.py").is_file()


def test_the_newer_stack_is_imported_in_its_own_order(stack_of):
    names = ("numpy", "cv2", "torch", "torchvision")
    gone = "raise ModuleNotFoundError(\"No module named 'ftfy'\")"
    modules = {**dict.fromkeys((*names, "mmengine", "mmcv", "mmcv.ops", "mmseg"), ""), "mmseg.apis": gone}
    report = smoke(stack_of(modules, segmentation="1.2.2"))
    assert report.failure is not None
    assert report.failure.stage == "import, mmseg.apis"
    assert "does not declare" in report.failure.message
