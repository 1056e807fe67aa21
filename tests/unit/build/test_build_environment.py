"""What a build sees of the variables around it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mmsetup.build.environment import BuildEnvironment, make_environment, variables
from mmsetup.errors import BuildError, NetworkError

ENVIRONMENT = BuildEnvironment(Path("/env/bin/python"), Path("/env/lib/python3.10/site-packages"))
AROUND = {
    "PATH": "/usr/bin",
    "HOME": "/home/me",
    "CFLAGS": "-g0",
    "CPATH": "/opt/include",
    "FORCE_MLU": "1",
    "MMCV_WITH_TRT": "1",
    "CUDA_HOME": "/usr/local/cuda",
    "TORCH_CUDA_ARCH_LIST": "3.5",
    "CCACHE_DIR": "/ccache",
    "NINJA_STATUS": "%p ",
}


def test_nothing_around_shapes_a_build_for_the_cpu(recipe, toolchain):
    seen = variables(recipe, ENVIRONMENT, toolchain, AROUND)
    assert not {"CFLAGS", "CPATH", "FORCE_MLU", "MMCV_WITH_TRT", "CUDA_HOME", "TORCH_CUDA_ARCH_LIST"} & set(
        seen
    )
    assert seen["CUDA_VISIBLE_DEVICES"] == ""
    assert seen["TORCH_NO_COMPILER_WRAPPER"] == "1"
    assert seen["PATH"] == "/env/bin:/usr/bin"
    assert seen["HOME"] == "/home/me"
    assert seen["CCACHE_DIR"] == "/ccache"
    assert seen["NINJA_STATUS"] == "[%f/%t] "
    assert seen["MMCV_WITH_OPS"] == "1"


def test_the_toolchain_decides_compilers_and_jobs(recipe, toolchain):
    seen = variables(recipe, ENVIRONMENT, replace(toolchain, cxx="clang++", jobs=7), AROUND)
    assert (seen["CC"], seen["CXX"], seen["MAX_JOBS"]) == ("gcc", "clang++", "7")


def test_a_build_for_gpus_sees_its_own_toolkit_and_architectures(recipe, toolchain):
    around = {
        **AROUND,
        "CUDA_PATH": "/usr/local/cuda",
        "CUDA_VISIBLE_DEVICES": "0",
        "NVCC_APPEND_FLAGS": "-G",
    }
    seen = variables(
        replace(recipe, architectures=("sm_86", "sm_90a", "sm_120", "compute_120")),
        replace(ENVIRONMENT, additions={"CPATH": "/env/include"}),
        replace(toolchain, cc="gcc-12", toolkit=Path("/usr/local/cuda-13.0")),
        around,
    )
    assert seen["CUDA_HOME"] == "/usr/local/cuda-13.0"
    assert seen["TORCH_CUDA_ARCH_LIST"] == "8.6;9.0a;12.0+PTX"
    assert seen["CUDA_VISIBLE_DEVICES"] == ""
    assert seen["TORCH_NO_COMPILER_WRAPPER"] == "1"
    assert seen["CPATH"] == "/env/include"
    assert (seen["CC"], seen["NVCC_CCBIN"]) == ("gcc-12", "gcc-12")
    assert not {"CUDA_PATH", "NVCC_APPEND_FLAGS"} & set(seen)


def test_an_nvcc_of_wheels_is_found_in_the_build_environment(recipe, toolchain, tmp_path):
    gpus = replace(recipe, architectures=("sm_90",))
    environment = BuildEnvironment(Path("/env/bin/python"), tmp_path)
    with pytest.raises(BuildError, match="no nvcc in the build environment"):
        variables(gpus, environment, toolchain, AROUND)
    (tmp_path / "nvidia" / "cu13" / "bin").mkdir(parents=True)
    (tmp_path / "nvidia" / "cu13" / "bin" / "nvcc").touch()
    assert variables(gpus, environment, toolchain, AROUND)["CUDA_HOME"] == str(tmp_path / "nvidia" / "cu13")


def test_offline_it_is_made_from_the_cache_or_not_at_all(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    here = replace(recipe.python, path=Path(sys.executable))
    pinned = replace(recipe, python=here, requirements=(f"wheel==0.45.0 --hash=sha256:{'0' * 64}",))
    with pytest.raises(NetworkError, match="the network was excluded") as caught:
        make_environment(pinned, tmp_path, offline=True)
    assert "--offline" in caught.value.remedy
