"""Which nvcc a build runs, what it must bring, and what torch's packages of NVIDIA add to it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mmsetup.build.toolkit import GpuBuild, additions, code_flags, gpu_build, kit_of_wheels, with_nvcc
from mmsetup.catalog import load
from mmsetup.errors import ToolchainError
from mmsetup.lock import Lock, LockedBuild, LockedFile, LockedPackage
from mmsetup.probe.machine import Toolkit

CATALOG = load()
DEBIAN = "ID=debian\n"
VARIABLES = {"PATH": os.environ["PATH"]}
HEADERS = ("cuda_runtime.h", "cublas_v2.h", "cusolverDn.h", "cusparse.h")
BROUGHT = frozenset({"nvidia-cuda-runtime", "nvidia-cublas", "nvidia-cusolver", "nvidia-cusparse"})
FOR_H100 = GpuBuild("cu130", ("sm_90",), packages=BROUGHT)


@pytest.fixture
def kit(tmp_path):
    """Lay out a toolkit whose nvcc is a script: what it does with its arguments is told."""

    def make(version="13.0", *, does="exit 0", headers=HEADERS):
        home = tmp_path / f"cuda-{version}"
        for folder in ("bin", "include", "lib64"):
            (home / folder).mkdir(parents=True)
        for header in headers:
            (home / "include" / header).touch()
        (home / "lib64" / "libcudart.so").touch()
        nvcc = home / "bin" / "nvcc"
        words = f"Cuda compilation tools, release {version}, V{version}.88"
        nvcc.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "{words}" && exit 0\n{does}\n')
        nvcc.chmod(0o755)
        return Toolkit(home, version, nvcc)

    return make


def proven(toolchain, build, machine, **more):
    variables = {**VARIABLES, **more}
    return with_nvcc(toolchain, build, machine, CATALOG, variables=variables, identity=DEBIAN)


def test_the_toolkit_of_torchs_cuda_is_taken_and_tried(toolchain, machine, kit, tmp_path):
    kits = (kit("12.9"), kit("13.0", does=f'echo "$@" > {tmp_path}/said'))
    found = proven(toolchain, FOR_H100, replace(machine, toolkits=kits))
    assert (found.toolkit, found.nvcc) == (kits[1].path, "nvcc 13.0.88")
    said = (tmp_path / "said").read_text().split()
    assert "-gencode=arch=compute_90,code=sm_90" in said
    assert said[said.index("-ccbin") + 1] == "gcc"


def test_flags_around_it_do_not_shape_the_trial(toolchain, machine, kit, tmp_path):
    here = replace(machine, toolkits=(kit(does=f"env > {tmp_path}/seen"),))
    proven(toolchain, FOR_H100, here, NVCC_PREPEND_FLAGS="-G")
    assert "NVCC_PREPEND_FLAGS" not in (tmp_path / "seen").read_text()


def test_the_host_compiler_that_is_named_for_nvcc(toolchain, machine, kit, tmp_path):
    host = tmp_path / "g++-11"
    host.write_text("#!/bin/sh\necho 'g++-11 (Debian) 11.4.0'\n")
    host.chmod(0o755)
    here = replace(machine, toolkits=(kit(does=f'echo "$@" > {tmp_path}/said'),))
    found = proven(toolchain, FOR_H100, here, CUDAHOSTCXX=str(host))
    assert found.cc == str(host)
    assert found.compiler == "g++ 12.2.0; nvcc runs g++-11 (Debian) 11.4.0"
    assert f"-ccbin {host}" in (tmp_path / "said").read_text()


@pytest.mark.parametrize("wheel", [None, "13.0.88"])
def test_the_c_compiler_that_is_named_is_the_one_that_nvcc_runs(toolchain, machine, kit, tmp_path, wheel):
    host = tmp_path / "gcc-16"
    host.write_text("#!/bin/sh\necho 'gcc-16 (Debian) 16.1.0'\n")
    host.chmod(0o755)
    here = replace(machine, toolkits=(kit(),))
    named = replace(toolchain, cc=str(host), compiler="g++ 12.2.0; CC is gcc-16 (Debian) 16.1.0")
    with pytest.raises(ToolchainError, match=r"takes gcc up to 15, here is g\+\+ 16\.1\.0"):
        proven(named, replace(FOR_H100, wheel=wheel), here, CC=str(host))
    host.write_text("#!/bin/sh\necho 'gcc-16 (Debian) 14.1.0'\n")
    found = proven(named, replace(FOR_H100, wheel=wheel), here, CC=str(host))
    assert (found.cc, found.compiler) == (str(host), named.compiler)


@pytest.mark.parametrize("wheel", [None, "13.0.88"])
def test_nvcc_runs_no_compiler_with_words_beside_its_name(toolchain, machine, kit, wheel):
    here = replace(machine, toolkits=(kit(),))
    for words in ("ccache gcc", "gcc -m64"):
        with pytest.raises(ToolchainError, match=f"and is to run '{words}'") as caught:
            proven(replace(toolchain, cc=words), replace(FOR_H100, wheel=wheel), here)
        assert caught.value.remedy.startswith("export CUDAHOSTCXX=g++ ")


def test_an_nvcc_that_does_not_compile_says_why(toolchain, machine, kit):
    broken = kit(does="echo 'nvcc fatal : cicc not found' >&2; exit 1")
    with pytest.raises(ToolchainError, match="does not compile a kernel with gcc") as caught:
        proven(toolchain, FOR_H100, replace(machine, toolkits=(broken,)))
    assert any("cicc not found" in line for line in caught.value.evidence)
    assert "CUDAHOSTCXX" in caught.value.remedy


@pytest.mark.parametrize(
    ("version", "words"), [("16.1.0", "takes gcc up to 15, here"), ("5.4.0", "takes gcc from 6 on, here")]
)
def test_a_gcc_that_nvcc_does_not_take(toolchain, machine, kit, version, words):
    here = replace(machine, toolkits=(kit(),))
    other = replace(toolchain, compiler=f"g++ (Debian 9.9.9-1) {version}")
    for build in (FOR_H100, replace(FOR_H100, wheel="13.0.88")):
        with pytest.raises(ToolchainError, match=f"{words} is g.. {version}") as caught:
            proven(other, build, here)
        assert caught.value.remedy.startswith("export CUDAHOSTCXX=g++-15")


def test_another_compiler_is_tried_whatever_its_version(toolchain, machine, kit):
    here = replace(machine, toolkits=(kit(),))
    assert proven(replace(toolchain, compiler="Debian clang version 19.1.7"), FOR_H100, here).nvcc


def test_no_nvcc_of_that_cuda(toolchain, machine, kit):
    here = replace(machine, toolkits=(kit("13.0"),))
    with pytest.raises(ToolchainError, match=r"needs an nvcc of CUDA 12, here is CUDA 13") as caught:
        proven(toolchain, replace(FOR_H100, variant="cu128"), here)
    assert caught.value.remedy.startswith("sudo apt-get install -y cuda-nvcc-12-8 cuda-libraries-dev-12-8")
    with pytest.raises(ToolchainError, match="here is none") as caught:
        proven(toolchain, FOR_H100, machine)
    assert caught.value.remedy.startswith("mmsetup lock  # takes nvcc from wheels")


def test_a_gpu_that_the_toolkit_does_not_know(toolchain, machine, kit):
    here = replace(machine, toolkits=(kit("12.4"),))
    build = GpuBuild("cu124", ("sm_90", "sm_120"), packages=BROUGHT)
    with pytest.raises(ToolchainError, match=r"nvcc of CUDA 12\.4 that is here does not compile for sm_120"):
        proven(toolchain, build, here)


def test_a_gpu_that_is_not_known(toolchain, machine):
    with pytest.raises(ToolchainError, match="not known which architecture") as caught:
        proven(toolchain, replace(FOR_H100, architectures=()), machine)
    assert "--gpu sm_90" in caught.value.remedy


def test_what_torch_includes_comes_from_the_toolkit_or_from_torchs_packages(toolchain, machine, kit):
    here = replace(machine, toolkits=(kit(headers=("cuda_runtime.h",)),))
    assert proven(toolchain, FOR_H100, here).nvcc
    assert proven(toolchain, replace(FOR_H100, packages=None), here).nvcc
    with pytest.raises(ToolchainError, match=r"has no cublas_v2\.h, cusolverDn\.h, cusparse\.h") as caught:
        proven(toolchain, replace(FOR_H100, packages=frozenset({"nvidia-cuda-runtime"})), here)
    assert caught.value.remedy.startswith("sudo apt-get install -y cuda-libraries-dev-13-0")


def test_a_toolkit_in_other_folders_is_whole(toolchain, machine, kit):
    found = kit()
    deeper = found.path / "targets" / "x86_64-linux"
    deeper.mkdir(parents=True)
    (found.path / "include").rename(deeper / "include")
    (found.path / "lib64").rename(deeper / "lib")
    build = replace(FOR_H100, packages=frozenset())
    assert proven(toolchain, build, replace(machine, toolkits=(found,))).nvcc


def test_wheels_are_the_toolkit_where_the_lock_has_them(toolchain, machine, kit):
    here = replace(machine, toolkits=(kit(),))
    found = proven(toolchain, replace(FOR_H100, wheel="13.0.88"), here)
    assert (found.toolkit, found.nvcc) == (None, "nvcc 13.0.88")


def locked(build):
    torch = LockedPackage("torch", "2.13.0", (LockedFile("torch.whl", "cd" * 32),))
    return Lock("default", "mmcv-full", "3.11", "linux-x86_64", "cu130", (torch,), build, "digest")


def test_what_a_lock_compiles_for_gpus():
    packages = tuple(
        LockedPackage(name, version, ())
        for name, version in (("torch", "2.13.0"), ("nvidia-cuda-nvcc", "13.0.88"))
    )
    build = LockedBuild("mmcv-full", "1.7.2", packages, with_cuda=True, architectures=("sm_90",))
    found = gpu_build(locked(build), CATALOG)
    assert found == GpuBuild("cu130", ("sm_90",), "13.0.88", frozenset({"torch", "nvidia-cuda-nvcc"}))
    assert gpu_build(locked(replace(build, requires=packages[:1])), CATALOG).wheel is None
    assert gpu_build(locked(replace(build, with_cuda=False)), CATALOG) is None
    assert gpu_build(locked(None), CATALOG) is None


@pytest.mark.parametrize(
    ("architectures", "torch", "nvcc"),
    [
        (("sm_86",), "8.6", ["arch=compute_86,code=sm_86"]),
        (
            ("sm_90a", "sm_120", "compute_120"),
            "9.0a;12.0+PTX",
            ["arch=compute_90a,code=sm_90a", "arch=compute_120,code=sm_120"],
        ),
    ],
)
def test_architectures_as_torch_and_nvcc_spell_them(architectures, torch, nvcc):
    found = code_flags(architectures)
    assert found.torch == torch
    assert found.nvcc == tuple(f"-gencode={words}" for words in nvcc)


def test_what_torchs_packages_add(tmp_path):
    packages = tmp_path / "site-packages"
    for place in ("nvidia/cu13/include", "nvidia/cu13/lib", "nvidia/cudnn/include", "nvidia/nccl"):
        (packages / place).mkdir(parents=True)
    for name in ("libcudart.so.13", "libcufile.so.0", "libcufile.so", "libcudart_static.a"):
        (packages / "nvidia/cu13/lib" / name).touch()
    found = additions(packages, tmp_path)
    assert found["CPATH"] == f"{packages}/nvidia/cu13/include:{packages}/nvidia/cudnn/include"
    links = Path(found["LIBRARY_PATH"])
    assert [link.name for link in links.iterdir()] == ["libcudart.so"]
    assert (links / "libcudart.so").resolve() == packages / "nvidia/cu13/lib/libcudart.so.13"
    assert kit_of_wheels(packages) is None


def test_a_torch_without_packages_adds_nothing(tmp_path):
    assert additions(tmp_path, tmp_path) == {}
