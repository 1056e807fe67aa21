"""How a build is told to compile files together, and what it tells about it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mmsetup.build.recipe import UNITS
from mmsetup.build.units import clashes, ordered
from mmsetup.catalog.builds import keep_apart


def test_a_plain_build_is_left_alone(recipe, toolchain, tmp_path):
    order = ordered(replace(recipe, flags=("-w",)), toolchain, tmp_path / "report")
    assert order == {"flags": ["-w"], "units": None}


@pytest.mark.parametrize(
    ("compiler", "spared"), [("g++ 12.2.0", True), ("Debian clang version 14.0.6", False)]
)
def test_a_build_in_units_is_told_what_it_needs(recipe, toolchain, tmp_path, compiler, spared):
    asked = replace(recipe, way=UNITS, apart=(("a.cpp", "b.cpp"),), flags=("-w",))
    order = ordered(asked, replace(toolchain, compiler=compiler, jobs=5), tmp_path / "report")
    assert order["units"] == {"jobs": 5, "apart": [["a.cpp", "b.cpp"]], "report": str(tmp_path / "report")}
    assert order["flags"][0] == "-w"
    assert any("ggc-min-heapsize" in flag for flag in order["flags"]) is spared
    assert json.loads(json.dumps(order)) == order


def test_clashes_are_told_in_words(tmp_path):
    report = tmp_path / "units.json"
    assert clashes(report) == ()
    found = [
        {"files": ["b.cpp"], "with": ["a.cpp"], "says": "redefinition of X"},
        {"files": ["c.cpp", "d.cpp"], "with": [], "says": ""},
    ]
    report.write_text(json.dumps({"clashes": found}))
    assert clashes(report) == (
        "b.cpp with a.cpp: redefinition of X",
        "c.cpp, d.cpp: the compiler failed",
    )


@pytest.mark.parametrize("distribution", ["mmcv-full", "mmcv_full", "mmcv", "onedl-mmcv"])
def test_the_catalogue_knows_what_clashes(distribution):
    groups = keep_apart(distribution, "2.2.0")
    assert any(
        {"pytorch/cpu/roi_align.cpp", "pytorch/cpu/roi_align_rotated.cpp"} <= set(group) for group in groups
    )
    assert keep_apart("torchvision", "2.2.0") == ()
