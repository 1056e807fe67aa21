"""What is made of a build that failed: clashes are told from errors, and nothing is tried for ever."""

from __future__ import annotations

import json
import os

import pytest

from mmsetup.build.log import diagnose

NAMES = [f"csrc/f{n}.cpp" for n in range(6)]


@pytest.fixture
def module(payload):
    return payload("unit_build")


@pytest.fixture
def report(tmp_path):
    return tmp_path / "report.json"


@pytest.fixture
def units(module, tmp_path, report, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAX_JOBS", "2")
    (tmp_path / "csrc").mkdir()
    (tmp_path / "plain.c").write_text("int y;\n")
    for name in NAMES:
        (tmp_path / name).write_text("int x;\n" * 40)
    order = {"jobs": 2, "apart": [], "report": str(report)}
    return module.Units([*NAMES, "plain.c"], order, str(tmp_path))


def failure(unit, *files, root, note=""):
    lines = [f"FAILED: [code=1] {root}/build/temp/{unit.rpartition('.')[0]}.o"]
    for file in files:
        lines += [f"In file included from {root}/{unit}:3:"]
        lines += [f"{root}/build/units/../../{file}:12:8: error: redefinition of 'struct X'"]
    if note:
        lines += [f"{root}/build/units/../../{note}:12:8: note: previous definition of 'struct X'"]
    return lines


def members(units, path):
    return [source.path for source in units._units[path]]


def test_what_is_no_unit_is_compiled_as_it_is(units):
    assert units.paths()[-1] == "plain.c"
    assert len(units.paths()) == 3


def test_files_that_clash_become_a_unit_of_their_own(units, tmp_path, report):
    first = units.paths()[0]
    one, *rest = members(units, first)
    assert units.split(failure(first, one, root=tmp_path, note=rest[0]))
    assert first not in units.paths()
    assert sorted(sorted(members(units, path)) for path in units.paths()[1:-1]) == sorted(
        [[one], sorted(rest)]
    )
    assert json.loads(report.read_text())["clashes"] == [
        {"files": [one], "with": [rest[0]], "says": "redefinition of 'struct X'"}
    ]


@pytest.mark.parametrize("which", ["all", "none"])
def test_without_a_culprit_each_file_is_compiled_as_setup_py_meant(units, tmp_path, which):
    first = units.paths()[0]
    files = members(units, first)
    assert units.split(failure(first, *(files if which == "all" else ()), root=tmp_path))
    assert set(files) <= set(units.paths())
    assert first not in units.paths()


def test_a_file_that_fails_alone_ends_the_build(units, tmp_path):
    assert not units.split(failure("plain.cpp", "csrc/f1.cpp", root=tmp_path))
    first = units.paths()[0]
    assert not units.split([*failure(first, root=tmp_path), *failure("csrc/f1.cpp", root=tmp_path)])


def test_every_split_comes_to_an_end(units, tmp_path):
    for _ in range(30):
        broken = next((path for path in units.paths() if path.startswith("./build")), None)
        if broken is None:
            break
        files = members(units, broken)
        assert units.split(failure(broken, *files[: max(1, len(files) // 2)], root=tmp_path))
    assert sorted(units.paths()) == sorted([*NAMES, "plain.c"])


def test_without_ninja_the_compiler_tells_what_failed(units, tmp_path):
    first = units.paths()[0]
    lines = failure(first, members(units, first)[0], root=tmp_path)[1:]
    assert units.split(lines)
    assert first not in units.paths()


@pytest.mark.parametrize(
    "lines", [[], ["ld: x.o: undefined reference to `f'", "collect2: error: ld returned 1"]]
)
def test_what_is_no_error_of_a_compiler_is_not_tried_again(units, lines):
    assert not units.split(lines)


DEATHS = [
    "g++: fatal error: Killed signal terminated program cc1plus",
    "c++: internal compiler error: Killed (program cc1plus)",
    "cc1plus: out of memory allocating 8032 bytes after a total of 13688832 bytes",
    "virtual memory exhausted: Cannot allocate memory",
    "collect2: fatal error: ld terminated with signal 9 [Killed]",
    "nvcc error   : 'cicc' died due to signal 9 (Kill signal)",
    "stl_iterator_base_funcs.h(189): catastrophic error: out of memory",
    "ptxas fatal   : Memory allocation failure",
]


@pytest.mark.parametrize("line", DEATHS)
def test_a_compiler_that_dies_of_memory_lowers_the_jobs_once(module, monkeypatch, line):
    monkeypatch.setenv("MAX_JOBS", "2")
    assert module.lower_jobs(["before", line])
    assert os.environ["MAX_JOBS"] == "1"
    assert not module.lower_jobs(["before", line])
    assert "out of memory" in diagnose([line])[0]


def test_what_does_not_die_of_memory_leaves_the_jobs_alone(module, monkeypatch):
    monkeypatch.setenv("MAX_JOBS", "2")
    assert not module.lower_jobs(["f1.cpp:3:1: error: 'memory' was not declared", "ninja: build stopped"])
    assert os.environ["MAX_JOBS"] == "2"


def test_a_unit_that_takes_too_much_memory_is_no_clash(units, tmp_path, report):
    first = units.paths()[0]
    files = members(units, first)
    assert units.split([*failure(first, root=tmp_path), DEATHS[0]])
    assert set(files) <= set(units.paths())
    assert json.loads(report.read_text())["clashes"] == []
    assert not units.split([*failure("csrc/f1.cpp", root=tmp_path), DEATHS[0]])
