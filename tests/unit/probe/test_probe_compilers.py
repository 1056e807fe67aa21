"""The compilers that variables name, with the machine's own g++ and with programs that print like others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mmsetup.probe import compilers, probe
from mmsetup.probe.host import Host
from mmsetup.probe.machine import Compiler, Machine

Program = Callable[..., Path]
GNU = "echo 'Copyright (C) 2022 Free Software Foundation, Inc.'"


@pytest.fixture
def named(tmp_path: Path) -> Callable[..., tuple[tuple[Compiler, ...], tuple[str, ...]]]:
    """Look for compilers with variables set, on a search path with the machine's own and some others."""

    def read(**variables: str) -> tuple[tuple[Compiler, ...], tuple[str, ...]]:
        path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
        return compilers.read(Host(environ={"PATH": path, **variables}))

    return read


def gxx() -> Path:
    return Path(shutil.which("g++") or pytest.skip("there is no g++"))


def test_without_a_variable_nothing_is_named(named: Callable) -> None:
    found, _ = named()
    assert {tool.named_by for tool in found} == {""}
    assert [tool.path for tool in found if tool.name == "g++"] == [gxx()]


def test_a_compiler_under_another_name_is_known_by_what_it_says(named: Callable, tmp_path: Path) -> None:
    own = tmp_path / "tools" / "our-compiler"
    own.parent.mkdir()
    own.symlink_to(gxx())
    first, *others = named(CXX=str(own))[0]
    assert (first.name, first.path, first.named_by) == ("g++", own, "CXX")
    assert [tool.version for tool in others if tool.name == "g++"] == [first.version]


def test_the_usual_compiler_that_is_named_is_listed_once(named: Callable) -> None:
    found, notes = named(CXX="g++")
    assert [(tool.path, tool.named_by) for tool in found if tool.name == "g++"] == [(gxx(), "CXX")]
    assert notes == named()[1]


def test_options_and_a_launcher_may_stand_before_or_after(
    named: Callable, program: Program, tmp_path: Path
) -> None:
    launcher = program(tmp_path / "bin" / "launcher", 'exec "$@"')
    found, _ = named(CXX="launcher g++ -m64")
    (launched,) = [tool for tool in found if tool.named_by]
    (plain,) = [tool for tool in found if tool.name == "g++" and not tool.named_by]
    assert (launched.name, launched.path, launched.version) == ("g++", launcher, plain.version)


def test_a_c_compiler_that_is_named_is_one_of_c(named: Callable, program: Program, tmp_path: Path) -> None:
    found, _ = named(CC=str(gxx()))
    assert (found[0].name, found[0].path, found[0].named_by) == ("gcc", gxx(), "CC")
    program(tmp_path / "bin" / "cc-of-ours", "echo 'Ubuntu clang version 14.0.0-1ubuntu1.1'")
    found, _ = named(CC="cc-of-ours")
    assert (found[0].name, found[0].version) == ("clang", "14.0.0")


def test_a_clang_is_no_gcc(named: Callable, program: Program, tmp_path: Path) -> None:
    program(tmp_path / "bin" / "cxx", "echo 'Ubuntu clang version 14.0.0-1ubuntu1.1'")
    found, _ = named(CXX="cxx")
    assert (found[0].name, found[0].version) == ("clang++", "14.0.0")


@pytest.mark.parametrize("variable", compilers.NAMING)
def test_what_is_named_and_not_there_or_broken_is_a_note(
    named: Callable, program: Program, tmp_path: Path, variable: str
) -> None:
    found, notes = named(**{variable: "g++-0 -O2"})
    assert {tool.named_by for tool in found} == {""}
    assert f"g++-0, which {variable} names, is not there" in notes
    program(tmp_path / "bin" / "g++-0", "exit 1")
    found, notes = named(**{variable: "g++-0 -O2"})
    assert {tool.named_by for tool in found} == {""}
    assert any(note.startswith("g++-0 is broken") for note in notes)


@pytest.mark.parametrize(
    ("variables", "version", "name"),
    [
        ({}, "12.2.0", "g++"),
        ({"CXX": "g++-9"}, "9.5.0", "g++"),
        ({"CXX": "g++-9", "CUDAHOSTCXX": "g++-8"}, "8.4.0", "g++"),
        ({"CUDAHOSTCXX": "g++-8"}, "8.4.0", "g++"),
        ({"CXX": "g++-9", "CC": "gcc-7"}, "7.5.0", "gcc"),
        ({"CC": "gcc-7", "CUDAHOSTCXX": "g++-8"}, "8.4.0", "g++"),
    ],
    ids=["search path", "CXX", "both", "CUDAHOSTCXX", "CC", "CC and CUDAHOSTCXX"],
)
def test_the_compiler_of_nvcc(
    program: Program, tmp_path: Path, variables: dict[str, str], version: str, name: str
) -> None:
    for name_of, printed in (("g++", "12.2.0"), ("g++-9", "9.5.0"), ("g++-8", "8.4.0"), ("gcc-7", "7.5.0")):
        program(tmp_path / name_of, f"echo '{name_of} (X) {printed}'", GNU)
    found, notes = compilers.read(Host(environ={"PATH": str(tmp_path), **variables}))
    assert notes == ()
    host = replace(probe(), compilers=found).compiler_of_nvcc
    assert host is not None
    assert (host.name, host.version) == (name, version)


def test_a_machine_without_a_compiler_has_none_for_nvcc() -> None:
    here: Machine = replace(probe(), compilers=())
    assert here.compiler_of_nvcc is None
