"""Wheels that were built and would not work."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from types import MappingProxyType

import pytest

from mmsetup.binary import elf
from mmsetup.binary.fatbin import Architectures
from mmsetup.binary.wheel import ExtensionFacts, WheelFacts
from mmsetup.build.verdict import complaint

TORCH = "namespace at { int empty(long) { return 0; } }\n"
EXTENSION = "namespace at { int empty(long); }\nint use() { return at::empty(1); }\n"


@pytest.fixture
def torch(tmp_path):
    folder = tmp_path / "torch" / "lib"
    folder.mkdir(parents=True)
    compiled(folder, "libtorch.so", TORCH)
    return folder.parent


@pytest.fixture
def facts(tmp_path, torch):
    path = compiled(tmp_path, "_ext.so", EXTENSION, torch / "lib" / "libtorch.so", "-Wl,-soname,_ext.so")
    ops = ExtensionFacts("mmcv._ext", "mmcv/_ext.so", 1, elf.read(path), Architectures(("sm_80",), ()))
    return wheel_with(ops)


def wheel_with(*extensions):
    return WheelFacts("mmcv-full", "1.7.2", (), (), (), "", extensions, "", 1)


def compiled(folder, name, source, *options):
    code = folder / f"{name}.cpp"
    code.write_text(source)
    soname = f"-Wl,-soname,{name}"
    subprocess.run(["g++", "-shared", "-fPIC", code, *options, soname, "-o", folder / name], check=True)
    return folder / name


def test_a_good_wheel(facts, torch):
    assert complaint(facts, ("sm_80",), torch) == ""


def test_no_operators(torch):
    assert "no operators were compiled" in complaint(wheel_with(), (), torch)


def test_a_library_that_is_not_there(facts, torch):
    assert "libraries that are not there: libtorch.so" in complaint(facts, (), None)


def test_another_torch(facts, torch):
    compiled(torch / "lib", "libtorch.so", TORCH.replace("long", "int"))
    found = complaint(facts, (), torch)
    assert found == "torch does not export 1 symbols that mmcv._ext needs, such as _ZN2at5emptyEl"


def test_no_code_for_a_gpu(facts, torch):
    found = complaint(facts, ("sm_80", "sm_90"), torch)
    assert found == "mmcv._ext holds no code for sm_90"


def test_no_ptx_though_it_was_asked_for(facts, torch):
    assert complaint(facts, ("sm_80", "compute_80"), torch) == "mmcv._ext holds no code for compute_80"
    with_ptx = replace(facts.ops, architectures=Architectures(("sm_80",), ("sm_80",)))
    assert complaint(wheel_with(with_ptx), ("sm_80", "compute_80"), torch) == ""


def test_an_older_c_library_than_the_one_that_was_linked_with(facts, torch):
    wanted = MappingProxyType({"libc.so.6": ("GLIBC_2.2.5", "GLIBC_2.32")})
    ops = replace(facts.ops, elf=replace(facts.ops.elf, versions_needed=wanted))
    found = complaint(wheel_with(ops), ("sm_80",), torch, libc="glibc 2.31")
    assert found == "mmcv._ext needs glibc 2.32, and the machine that it is built for has 2.31"
    assert complaint(wheel_with(ops), ("sm_80",), torch, libc="glibc 2.32") == ""
    assert complaint(wheel_with(ops), ("sm_80",), torch, libc="musl 1.2") == ""
