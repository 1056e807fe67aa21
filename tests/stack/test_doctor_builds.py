"""Operators that were really built, for another torch, without torch, without CUDA or for other GPUs, and what stands in for GPUs."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from breaking import (
    copied,
    diagnosed,
    errors,
    extension,
    failing,
    from_source,
    machine,
    uv,
    warnings,
    with_gpus,
)

from mmsetup.probe import environment
from mmsetup.probe.machine import Libc

pytestmark = pytest.mark.stack

PRINT_CONFIG = "from mmcv import Config; Config(dict(a=1)).pretty_text"
KERNEL = """
__global__ void twice(float *x) { x[threadIdx.x] *= 2; }
extern "C" void *PyInit__ext() { twice<<<1, 1>>>(0); return 0; }
"""


@pytest.fixture
def first(stack_environment: Path, tmp_path: Path) -> Path:
    return copied(stack_environment, tmp_path / "env")


@pytest.fixture
def later(later_torch: Path, tmp_path: Path) -> Path:
    return copied(later_torch, tmp_path / "env")


@pytest.fixture
def torch_alone(first: Path) -> Path:
    """torch and torchvision, for what concerns no operators."""
    uv("uninstall", "mmcv-full", "mmcls", "mmsegmentation", into=first)
    assert failing(first, "import torch, torchvision") == ""
    assert errors(first) == []
    return first


@pytest.fixture
def nvcc() -> str:
    found = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin:/usr/local/cuda-13.0/bin")
    if found is None:
        pytest.skip("there is no nvcc")
    return found


def test_operators_that_were_built_for_another_torch(first, later_stack):
    uv("install", "--no-deps", later_stack["wheel"]["path"], into=first)
    assert "undefined symbol" in failing(first, "import mmcv.ops")
    assert errors(first) == ["MM204"]


def test_torch_moved_under_the_operators(later):
    others = ("numpy<2", "opencv-python-headless<4.12", "setuptools<70")
    uv("install", "torch==1.13.1", "torchvision==0.14.1", *others, into=later)
    assert failing(later, "import torch, torchvision") == ""
    assert "undefined symbol" in failing(later, "import mmcv.ops")
    assert errors(later) == ["MM204"]


def test_a_build_that_saw_no_torch_and_the_cache_that_would_bring_it_back(first, monkeypatch):
    uv("uninstall", "mmcv-full", into=first)
    from_source("mmcv-full", "1.7.2", into=first)
    assert "No module named 'mmcv._ext'" in failing(first, "import mmcv.ops")
    assert errors(first) == ["MM201"]
    monkeypatch.setenv("UV_CACHE_DIR", str(first / "cache"))
    (kept,) = [finding for finding in diagnosed(first).of("warning") if finding.id == "MM154"]
    assert "mmcv_full-1.7.2-py2.py3-none-any.whl in a cache has no operators" in kept.message
    assert kept.evidence[0].startswith(str(first / "cache"))
    assert errors(first, with_gpus("sm_86")) == ["MM201"]
    has_toolkit = any(kit.version.startswith("11.") for kit in machine().toolkits)
    assert ("MM212" in warnings(first, with_gpus("sm_86"))) is not has_toolkit


def test_a_source_that_this_torch_has_no_headers_for(first):
    uv("uninstall", "mmcv-full", "mmcls", "mmsegmentation", into=first)
    from_source("mmcv-full", "1.3.18", into=first)
    assert "No module named 'mmcv._ext'" in failing(first, "import mmcv.ops")
    assert "unexpected keyword argument 'verify'" in failing(first, PRINT_CONFIG)
    assert errors(first) == ["MM201", "MM402"]
    uv("install", "yapf==0.40.1", into=first)
    assert failing(first, PRINT_CONFIG) == ""
    assert errors(first) == ["MM201"]
    assert any("THC" in found.message for found in diagnosed(first).of("warning") if found.id == "MM213")


def test_operators_that_were_built_for_the_cpu_on_a_machine_with_a_gpu(stack_environment):
    gives = "import torch, mmcv.ops; box = torch.zeros(1, 4); mmcv.ops.nms(box, box[:, 0], 0.5)"
    assert failing(stack_environment, gives) == ""
    assert environment(stack_environment).torch.cuda
    assert errors(stack_environment) == []
    assert errors(stack_environment, with_gpus("sm_86")) == ["MM504"]
    # Ada runs what was compiled for Ampere.
    assert errors(stack_environment, with_gpus("sm_89")) == ["MM504"]


def test_operators_that_were_built_on_a_newer_system(stack_environment):
    older = replace(machine(), libc=Libc("glibc", "2.28"))
    (found,) = diagnosed(stack_environment, older).of("error")
    assert found.id == "MM122"
    assert found.message.startswith("mmcv-full needs glibc 2.")


def test_what_a_resolver_installs_for_mmsegmentation(torch_alone):
    uv("install", "mmsegmentation==0.30.0", "numpy<2", into=torch_alone)
    assert "No module named 'mmcv'" in failing(torch_alone, "import mmseg")
    assert errors(torch_alone) == ["MM101"]


def test_a_gpu_that_is_newer_than_torch(torch_alone):
    assert errors(torch_alone, with_gpus("sm_86", "sm_89")) == []
    assert errors(torch_alone, with_gpus("sm_86", "sm_120")) == ["MM503"]


def test_a_driver_that_is_older_than_the_cuda_of_torch(torch_alone):
    assert errors(torch_alone, with_gpus("sm_86", driver="450.80.02")) == []
    assert errors(torch_alone, with_gpus("sm_86", driver="418.39")) == ["MM502"]


def test_operators_that_nvcc_compiled_for_another_gpu(later, nvcc, tmp_path):
    place = extension(later)
    place.unlink()
    (tmp_path / "kernel.cu").write_text(KERNEL)
    command = [nvcc, "-shared", "-cudart", "none", "-Xcompiler", "-fPIC"]
    command += ["-gencode", "arch=compute_90,code=sm_90", tmp_path / "kernel.cu", "-o", place]
    subprocess.run(command, check=True)
    assert errors(later, with_gpus("sm_90")) == []
    assert errors(later, with_gpus("sm_80")) == ["MM506"]
    assert errors(later, with_gpus("sm_90", "sm_120")) == ["MM506"]
