"""The words in which people read what is inside of compiled files."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from mmsetup.binary.elf import ElfFile
from mmsetup.binary.fatbin import Architectures, GpuCode
from mmsetup.binary.inspection import Inspection, LibraryFacts, WheelLabel
from mmsetup.binary.judgement import COMPILES, FAILS, RUNS, GpuAnswer, Reason, Verdict
from mmsetup.binary.operators import Operators
from mmsetup.errors import IntegrityError
from mmsetup.render.document import dump
from mmsetup.render.inspection import as_document, show_inspection, summary

ELF = ElfFile(
    "x86_64",
    "",
    ("libc10.so", "libc.so.6"),
    ("$ORIGIN/lib",),
    frozenset({"_ZN3c106detail14torchCheckFailEv"}),
    frozenset(),
    {"libc.so.6": ("GLIBC_2.32",), "libstdc++.so.6": ("GLIBCXX_3.4.29",)},
    {},
)
CODE = GpuCode(Architectures(("sm_80",), ("sm_80",), ("sm_70",)), 12, ("7.7",), ("13.0",))
OPS = LibraryFacts("mmcv/_ext.so", None, 2048, ELF, CODE, Operators(("nms",), ("upfirdn2d",), compared=True))
LABEL = WheelLabel("mmcv", "2.1.0", ("cp310-cp310-manylinux2014_x86_64",), ">=3.7", "ab" * 32)
WHEEL = Inspection(Path("mmcv-2.1.0.whl"), "wheel", (OPS,), LABEL)


def shown(found: Inspection, verdict: Verdict | None = None) -> str:
    console = Console(file=io.StringIO(), width=60, highlight=False)
    show_inspection(found, verdict, console)
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


@pytest.mark.parametrize(
    "line",
    [
        "mmcv-2.1.0.whl: wheel of mmcv 2.1.0",
        "  tags      cp310-cp310-manylinux2014_x86_64",
        "  library   mmcv/_ext.so, 2.0 KiB, x86_64",
        "            needs libc10.so, libc.so.6",
        "            looks in $ORIGIN/lib",
        "            GPU code: sm_80; PTX: sm_80",
        "            in fewer than half of its 12 GPU programs: sm_70",
        "            written by the tools of CUDA 13.0; PTX 7.7, that of CUDA 11.7",
        "            1 of the 2 operators that mmcv.ops loads; not upfirdn2d",
        "  at least  glibc 2.32, GLIBCXX 3.4.29",
        (
            "  true tag  manylinux_2_34_x86_64 by its symbols, but for what it does not bring: libc10.so; its name "
            "promises manylinux2014_x86_64, which is not true"
        ),
    ],
)
def test_a_wheel(line):
    assert line in shown(WHEEL).splitlines()


def test_operators_that_could_not_be_compared_and_have_no_gpu_code():
    held = Operators(tuple(f"op_{number}" for number in range(20)), (), compared=False)
    one = LibraryFacts("_ext.so", None, 10, ELF, GpuCode(), held)
    text = shown(Inspection(Path("_ext.so"), "library", (one,)))
    assert "20 operators: op_0, op_1, op_2, op_3, op_4, op_5, op_6, op_7 …" in text
    assert "GPU code: none, it was compiled for the CPU alone" in text


def test_of_many_libraries_the_telling_ones_are_shown():
    plain = [LibraryFacts(f"lib/x{number}.so", None, 1, ELF, GpuCode(), None) for number in range(9)]
    text = shown(Inspection(Path("x.whl"), "wheel", (*plain, OPS), LABEL))
    assert text.index("mmcv/_ext.so") < text.index("lib/x0.so")
    assert "and 4 more libraries (--json tells all)" in text


def test_a_wheel_without_libraries():
    assert "nothing: it holds no library" in shown(Inspection(Path("x.whl"), "wheel", (), LABEL))


def test_a_verdict_with_reasons():
    reason = Reason("torch", "x needs a name that torch 2.0 does not have", ("missing: y",))
    answer = GpuAnswer("H100", "sm_90", FAILS)
    text = shown(WHEEL, Verdict("torch 2.0", FAILS, (reason,), (answer,), "mmsetup plan"))
    assert "  does not run with torch 2.0\n  on H100 (sm_90): does not run\n" in text
    assert (
        "  why   x needs a name that torch 2.0 does not have\n  found  missing: y\n  mend  mmsetup plan\n"
        in text
    )


def test_a_verdict_that_runs_by_ptx():
    answer = GpuAnswer("sm_90", "sm_90", COMPILES)
    text = shown(WHEEL, Verdict("torch 2.0", COMPILES, (), (answer,), ""))
    assert "  runs by PTX with torch 2.0: the driver compiles it when it first starts\n" in text
    assert "  on sm_90: runs by PTX\n" in text


def test_several_are_summed_up():
    bad, good = Verdict("x", FAILS, (), (), ""), Verdict("x", RUNS, (), (), "")
    assert summary([bad, good, bad]) == "2 of 3 do not run"
    assert summary([bad]) == "it does not run"


def test_the_document_says_everything_in_json():
    fault = IntegrityError("x is damaged", remedy="rm x")
    read = json.loads(dump(as_document([(WHEEL, None)], [(Path("x"), fault)])))
    assert read["items"][0]["libraries"][0]["versions_needed"] == {
        "libc.so.6": ["GLIBC_2.32"],
        "libstdc++.so.6": ["GLIBCXX_3.4.29"],
    }
    assert read["items"][0]["manylinux"] == "manylinux_2_34_x86_64"
    assert read["faults"] == [{"path": "x", "message": "x is damaged", "remedy": "rm x"}]
