"""What is told of a project that wants other things than the plan can have."""

from __future__ import annotations

from pathlib import Path

import pytest
from bare_machine import BARE

from mmsetup.catalog import load
from mmsetup.plan import Request
from mmsetup.wishes import ProjectAnswer, for_project

GATE = """import mmcv
from packaging.version import parse
MMCV_MIN = '1.3.7'
MMCV_MAX = '1.4.0'
assert parse(MMCV_MIN) <= parse(mmcv.__version__) <= parse(MMCV_MAX)
"""


def answer(folder: Path, request: Request, *, named: bool) -> ProjectAnswer:
    return for_project(folder, request, BARE, load(), named=named)[1]


@pytest.mark.parametrize(
    ("code", "family", "conflict"),
    [
        ("import mmengine", "mmcv-full", "its code wants family mmcv, family mmcv-full was asked for"),
        ("import mmcv.runner", "onedl", "its code wants family mmcv-full, family onedl was asked for"),
        ("import mmengine", "onedl", ""),
        ("import mmengine", "mmcv", ""),
    ],
)
def test_a_family_that_the_code_was_not_written_for_is_told(
    tmp_path: Path, code: str, family: str, conflict: str
) -> None:
    (tmp_path / "train.py").write_text(code)
    told = answer(tmp_path, Request(family=family), named=True)
    assert told.conflict == conflict
    assert told.notes == ((conflict,) if conflict else ())
    assert not answer(tmp_path, Request(family=family), named=False).conflict


def test_that_the_code_will_refuse_the_plan_is_told(tmp_path: Path) -> None:
    (tmp_path / "mmseg").mkdir()
    (tmp_path / "mmseg" / "__init__.py").write_text(GATE)
    (tmp_path / "train.py").write_text("import mmcv.runner\n")
    assert answer(tmp_path, Request(), named=False).notes == ()
    told = answer(tmp_path, Request(wanted=("mmcv-full==1.7.0",)), named=False)
    assert told.dropped == ("mmcv-full>=1.3.7,<=1.4.0",)
    assert told.notes == (
        "its own code asserts mmcv-full>=1.3.7,<=1.4.0 when it is imported, and will refuse what is planned here",
    )
