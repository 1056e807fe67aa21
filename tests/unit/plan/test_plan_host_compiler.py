"""The compiler that a plan judges is the one that the build will use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bare_machine import BARE, compiler, toolkit
from packaging.version import Version

from mmsetup.catalog import Catalog
from mmsetup.plan.toolkits import nvcc_for
from mmsetup.probe.machine import Compiler


def named(variable: str, version: str, kind: str = "g++") -> Compiler:
    return Compiler(kind, Path("/opt/tools/cxx"), version, variable)


@pytest.mark.parametrize(
    ("compilers", "refusal"),
    [
        ((compiler("11.4.0"),), ""),
        ((compiler("12.2.0"),), "put g++ 11 or older first on PATH, or name it in CXX"),
        ((named("CXX", "11.4.0"), compiler("12.2.0")), ""),
        ((named("CXX", "12.2.0"), compiler("11.4.0")), "here is g++ 12.2.0"),
        ((named("CXX", "12.2.0"), named("CUDAHOSTCXX", "11.4.0"), compiler("12.2.0")), ""),
        ((named("CXX", "14.0.0", "clang++"), compiler("12.2.0")), ""),
    ],
    ids=["path", "path, too new", "CXX", "CXX, too new", "CUDAHOSTCXX", "clang"],
)
def test_what_variables_name_is_judged(
    catalog: Catalog, compilers: tuple[Compiler, ...], refusal: str
) -> None:
    machine = replace(BARE, toolkits=(toolkit("11.7"),), compilers=compilers)
    found = nvcc_for(Version("11.7"), ["sm_86"], machine, catalog, platform="linux-x86_64")
    assert refusal in found.refusal
    assert bool(found.refusal) == bool(refusal)
