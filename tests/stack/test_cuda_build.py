"""A tiny extension with a CUDA kernel, compiled by a real nvcc against a real torch: no GPU is needed for that."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace

import pytest
from packaging.version import Version

from mmsetup.binary import wheel
from mmsetup.build import build
from mmsetup.build.recipe import key
from mmsetup.build.toolkit import GpuBuild, with_nvcc
from mmsetup.catalog import load
from mmsetup.errors import BuildError
from mmsetup.lock import lock
from mmsetup.plan import Request
from mmsetup.plan.choose import plan
from mmsetup.plan.elsewhere import machine_elsewhere
from mmsetup.progress import Silent

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("own_folders")]

CATALOG = load()
TORCH, VARIANT, CUDA = "2.13.0", "cu130", Version("13.0")
ARCHITECTURES = ("sm_90", "sm_120", "compute_120")
SETUP = """
import os
from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CUDAExtension
folder = os.path.dirname(os.environ["TMPDIR"])
assert os.getcwd().startswith(folder + os.sep), "what a killed nvcc leaves must lie with the build"
setup(
    name="mmcv-full", version="0.1", packages=["mmcv"], cmdclass={"build_ext": BuildExtension},
    ext_modules=[CUDAExtension("mmcv._ext", ["ext.c", "kernel.cu"])],
)
"""
# CUDAContext.h includes the headers of cuBLAS, cuSOLVER and cuSPARSE, thrust's are those of the toolkit alone.
KERNEL = """
#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <thrust/device_ptr.h>
__global__ void kernel(float* values, long size) {
  long i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < size) values[i] *= 2;
}
at::Tensor twice(at::Tensor values) {
  auto out = values.clone();
  kernel<<<(out.numel() + 255) / 256, 256, 0, at::cuda::getCurrentCUDAStream()>>>(
      out.data_ptr<float>(), out.numel());
  return out;
}
"""


@pytest.fixture(scope="module")
def nvcc_wheels():
    (row,) = [row for row in CATALOG.toolkit_wheels if row.first <= CUDA <= row.last]
    return row


@pytest.fixture
def for_gpus(tiny, pinned, machine, toolchain, nvcc_wheels):
    """Make the tiny package for GPUs: its recipe, its sdist and the toolchain with an nvcc."""

    def make(*, from_wheels, architectures=ARCHITECTURES, kernel=KERNEL):
        more = nvcc_wheels.requirements(CUDA) if from_wheels else ()
        lines = pinned(f"torch=={TORCH}", "setuptools<81", "wheel", "ninja", "numpy", *more)
        versions = dict(line.split(" ")[0].split("==") for line in lines)
        gpus = GpuBuild(
            VARIANT,
            architectures,
            versions[nvcc_wheels.compiler] if from_wheels else None,
            frozenset(versions),
        )
        chosen = with_nvcc(toolchain, gpus, machine, CATALOG, variables=os.environ)
        recipe, sdist = tiny(setup=SETUP, files={"kernel.cu": kernel})
        recipe = replace(
            recipe,
            torch=TORCH,
            variant=VARIANT,
            requirements=lines,
            environment={"FORCE_CUDA": "1"},
            architectures=architectures,
            toolkit=chosen.nvcc,
            compiler=chosen.compiler,
            flags=(),
        )
        return recipe, sdist, chosen

    return make


def code_in(built):
    facts = wheel.inspect(built.path)
    assert f"libcudart.so.{CUDA.major}" in facts.ops.elf.needed
    return set(facts.ops.architectures.sass), set(facts.ops.architectures.ptx)


def test_the_toolkit_in_wheels_compiles_for_hopper_and_blackwell(for_gpus, monkeypatch):
    monkeypatch.setenv("CUDA_HOME", "/nowhere")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    recipe, sdist, chosen = for_gpus(from_wheels=True)
    assert chosen.toolkit is None
    assert chosen.nvcc.startswith("nvcc 13.0.")
    built = build(recipe, sdist=sdist, toolchain=chosen, progress=Silent())
    assert code_in(built) == ({"sm_90", "sm_120"}, {"sm_120"})
    assert build(recipe, sdist=sdist, toolchain=chosen, progress=Silent()).from_cache
    assert key(replace(recipe, toolkit="nvcc 13.0.1")) != key(recipe)


def test_a_toolkit_of_the_machine_is_completed_by_torchs_packages(for_gpus, machine):
    kits = [kit for kit in machine.toolkits if kit.nvcc and not kit.lacks and Version(kit.version) == CUDA]
    if not kits:
        pytest.skip(f"there is no CUDA {CUDA} on this machine")
    recipe, sdist, chosen = for_gpus(from_wheels=False, architectures=("sm_90",))
    assert chosen.toolkit == kits[0].path
    assert code_in(build(recipe, sdist=sdist, toolchain=chosen, progress=Silent())) == ({"sm_90"}, set())


@pytest.fixture
def ccache(tmp_path, monkeypatch) -> str:
    """Give ccache: that of the machine, else that of Debian 12, which is unpacked and not installed."""
    found = shutil.which("ccache")
    if found:
        return found
    folder = tmp_path / "debian"
    folder.mkdir()
    fetch = ["apt-get", "download", "--quiet", "ccache", "libhiredis0.14"]
    if shutil.which("apt-get") is None or subprocess.run(fetch, cwd=folder, capture_output=True).returncode:
        pytest.skip("ccache is not here and cannot be had as a Debian package")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder], check=True)
    (library,) = folder.glob("usr/lib/*/libhiredis.so.*")
    program = folder / "ccache"
    program.write_text(
        f'#!/bin/sh\nLD_LIBRARY_PATH={library.parent} exec {folder}/usr/bin/ccache "$@"\n', encoding="utf-8"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return str(program)


def test_ccache_knows_code_for_gpus_again(for_gpus, ccache, monkeypatch, tmp_path):
    monkeypatch.setenv("CCACHE_DIR", str(tmp_path / "ccache"))
    recipe, sdist, chosen = for_gpus(from_wheels=True, architectures=("sm_90",))
    made = []
    for number in range(2):
        monkeypatch.setenv("MMSETUP_CACHE_DIR", str(tmp_path / f"cache-{number}"))
        built = build(recipe, sdist=sdist, toolchain=chosen, progress=Silent())
        counted = subprocess.run([ccache, "--print-stats"], capture_output=True, text=True, check=True)
        counts = dict(line.split("\t") for line in counted.stdout.splitlines())
        hits = int(counts["direct_cache_hit"]) + int(counts["preprocessed_cache_hit"])
        made.append((hits, int(counts["cache_miss"]), built.sha256))
    # Two files, ext.c and kernel.cu: compiled by the first build, found by the second.
    (*first, one), (*second, other) = made
    assert (first, second) == ([0, 2], [2, 2])
    assert one == other
    assert code_in(built) == ({"sm_90"}, set())


def test_a_kernel_that_does_not_compile_says_why(for_gpus):
    recipe, sdist, chosen = for_gpus(from_wheels=True, kernel="__global__ void kernel( { }\n")
    with pytest.raises(BuildError, match="could not be built: error: incomplete type"):
        build(recipe, sdist=sdist, toolchain=chosen, progress=Silent())


def test_a_lock_pins_nvcc_where_the_machine_has_none(machine):
    bare = replace(machine, toolkits=())
    gpus = machine_elsewhere(bare, CATALOG, gpus=["H100"], driver="580")
    request = Request(torch="2.13", cuda=VARIANT, may_use_prebuilt=False, trusts_catalog=True)
    made = plan(gpus, CATALOG, request, ask=lambda _: {})
    locked = lock(made, CATALOG.family("mmcv-full"), name="default")
    pins = {package.name: package for package in locked.build.requires}
    assert {pins[name].version[:4] for name in ("nvidia-cuda-nvcc", "nvidia-cuda-crt", "nvidia-nvvm")} == {
        "13.0"
    }
    assert all(file.sha256 for name in pins for file in pins[name].files)
    assert not [package for package in locked.packages if package.name == "nvidia-cuda-nvcc"]
