"""The report for people: the worst first, and one screen on a terminal."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mmsetup.doctor.model import Diagnosis, Finding, Part
from mmsetup.render.diagnosis import show_diagnosis


def diagnosis(count: int, evidence: int = 4) -> Diagnosis:
    findings = tuple(
        Finding(f"MM{100 + number}", "error", "t", f"message {number}", ("seen",) * evidence, "mend it")
        for number in range(count)
    )
    return Diagnosis(Path("/env"), "3.10.1", "", (Part("torch", "1.13.1"),), ("MM100",), findings)


def shown(what: Diagnosis, *, height: int = 0) -> list[str]:
    out = io.StringIO()
    size = {"height": height, "width": 80, "force_terminal": True, "no_color": True} if height else {}
    show_diagnosis(what, Console(file=out, highlight=False, **size))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("height", [20, 24, 40, 60])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_what_does_not_fit_is_told_without_evidence(height, count):
    lines = shown(diagnosis(count), height=height)
    assert len(lines) < height
    assert all(any(f"message {number}" in line for line in lines) for number in range(count))
    assert sum("seen" in line for line in lines) >= 4


@pytest.mark.parametrize("height", [24, 40])
def test_a_line_longer_than_the_terminal_counts_as_the_rows_it_takes(height):
    told = diagnosis(8)
    long = tuple(replace(one, evidence=("seen " + "x" * 180,) * 2) for one in told.findings)
    lines = shown(replace(told, findings=long), height=height)
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    # Below stand the error and what to try.
    assert sum(-(-len(line) // 80) or 1 for line in plain) + 2 < height
    assert any("seen" in line for line in lines)


def test_what_fits_is_told_in_full():
    lines = shown(diagnosis(3), height=40)
    assert sum("seen" in line for line in lines) == 12
    assert not any("less" in line for line in lines)


def test_a_file_or_a_pipe_gets_everything():
    lines = shown(diagnosis(50))
    assert sum("seen" in line for line in lines) == 200
    assert not any("\x1b" in line for line in lines)
