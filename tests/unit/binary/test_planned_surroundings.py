"""A wheel against a torch that is not here yet: what is known of it by its version, and of the machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmsetup.binary.judgement import COMPILES, FAILS, RUNS
from mmsetup.binary.surroundings import Surroundings, planned_surroundings
from mmsetup.catalog import load
from mmsetup.errors import IntegrityError
from mmsetup.install.verify import verify_wheel
from mmsetup.probe import probe
from mmsetup.probe.machine import Gpu, Interpreter, Libc

SASS, PTX = 2, 1
MEMBER = "mmcv/_ext.cpython-310-x86_64-linux-gnu.so"
PYTHON = Interpreter(
    Path("/opt/bin/python3.10"), "3.10.13", "cpython", "linux-x86_64", "PATH", True, Path("/opt")
)


@pytest.fixture
def around():
    """Give what a wheel would run with: a torch that is planned, on a machine with these GPUs."""

    def make(*gpus: str, torch="1.13.1", variant="cu117", glibc="2.36", python=PYTHON) -> Surroundings:
        machine = replace(
            probe(),
            gpus=tuple(Gpu(number, f"GPU {name}", name, 0) for number, name in enumerate(gpus)),
            libc=Libc("glibc", glibc) if glibc else None,
        )
        return planned_surroundings(torch, variant, python, machine, load())

    return make


@pytest.fixture
def verdict(wheel, gpu_library, fat_binary, library):
    """Judge a wheel with code of these kinds, or whose extension needs libraries."""

    def make(surroundings, *code, needs=(), name="mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl"):
        if code:
            extension = gpu_library(fat_binary(*code))
        else:
            stubs = [str(library(stub, "", f"-Wl,-soname,{stub}")) for stub in needs]
            extension = library("_ext.so", "int entry;\n", "-Wl,--no-as-needed", *stubs)
        made = wheel({MEMBER: extension.read_bytes()}, name=name)
        return verify_wheel(made, "mmcv-full", "1.7.2", surroundings)

    return make


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (((SASS, 80, 0), (SASS, 86, 0)), RUNS),
        (((SASS, 80, 0),), RUNS),
        (((SASS, 70, 0), (PTX, 70, 0)), COMPILES),
        (((SASS, 90, 0),), FAILS),
        (((SASS, 70, 0),), FAILS),
    ],
    ids=["own", "own major version", "PTX", "newer", "older"],
)
def test_code_for_the_gpu_of_the_machine(around, verdict, code, outcome):
    found = verdict(around("sm_86"), *code)
    assert found.outcome == outcome
    assert [reason.kind for reason in found.reasons] == (["gpu"] if outcome == FAILS else [])


def test_every_gpu_of_the_machine_counts(around, verdict):
    found = verdict(around("sm_75", "sm_86"), (SASS, 75, 0))
    assert [answer.outcome for answer in found.gpus] == [RUNS, FAILS]
    assert not found.is_good


def test_a_gpu_that_torch_cannot_use_does_not_count_beside_one_that_it_can(around):
    assert [gpu.architecture for gpu in around("sm_86", "sm_120").gpus] == ["sm_86"]
    assert [gpu.architecture for gpu in around("sm_120").gpus] == ["sm_120"]


def test_a_torch_without_cuda_leaves_gpus_alone(around, verdict):
    cpu = around("sm_86", variant="cpu")
    assert cpu.gpus == ()
    assert verdict(cpu).is_good
    (reason,) = verdict(cpu, needs=["libcudart.so.11.0"]).reasons
    assert reason.message == "it needs libcudart.so.11.0, and torch 1.13.1 cpu brings no CUDA"


def test_operators_for_the_cpu_alone_do_not_run_on_a_gpu(around, verdict):
    (reason,) = verdict(around("sm_86")).reasons
    assert reason.message == "its operators were compiled for the CPU alone, and not for GPU sm_86 (sm_86)"
    assert verdict(around()).is_good


def test_the_runtime_of_this_torch_and_no_other(around, verdict):
    assert verdict(around(), needs=["libcudart.so.11.0"]).is_good
    (reason,) = verdict(around(), needs=["libcudart.so.12"]).reasons
    assert (reason.kind, reason.message) == (
        "cuda",
        "it needs libcudart.so.12, and torch 1.13.1 cu117 brings libcudart.so.11.0",
    )


def test_symbols_that_this_release_of_torch_is_known_not_to_have(around, wheel, library):
    symbol = "_ZN3c104cuda29c10_cuda_check_implementationERKSsS2_ib"
    extension = library("_ext.so", f"extern int {symbol}(void);\nint entry(void) {{ return {symbol}(); }}\n")
    made = wheel({MEMBER: extension.read_bytes()})
    assert verify_wheel(made, "mmcv-full", "1.7.2", around(torch="1.13.1")).is_good
    (reason,) = verify_wheel(made, "mmcv-full", "1.7.2", around(torch="2.0.1", variant="cu118")).reasons
    assert (reason.kind, reason.evidence[-1]) == ("torch", "its symbols are those of torch 1.13")


def test_the_python_that_is_installed_with(around, verdict):
    (reason,) = verdict(around(python=replace(PYTHON, version="3.11.7"))).reasons
    assert (reason.kind, reason.message) == ("python", "it is for cp310-cp310, and there is Python 3.11")
    (reason,) = verdict(around(python=replace(PYTHON, free_threaded=True))).reasons
    assert reason.kind == "python"


def test_a_tag_for_a_newer_glibc_than_that_of_the_machine(around, verdict):
    named = "mmcv_full-1.7.2-cp310-cp310-manylinux_2_35_x86_64.whl"
    assert verdict(around(glibc="2.36"), name=named).is_good
    (reason,) = verdict(around(glibc="2.31"), name=named).reasons
    assert (reason.kind, reason.message) == ("glibc", "its tag asks for glibc 2.35, and there is 2.31")


def test_a_torch_that_the_catalogue_does_not_know_is_judged_by_its_variant(around, verdict):
    found = around("sm_86", torch="99.0.0+cu130", variant="cu130")
    assert (found.torch, found.sass, found.runtime) == ("99.0.0", (), "libcudart.so.13")
    assert not verdict(found, (SASS, 90, 0)).is_good
    assert verdict(found, (SASS, 86, 0)).is_good


def test_a_wheel_without_operators_is_refused_whatever_is_around(around, wheel):
    with pytest.raises(IntegrityError, match="holds no compiled ops"):
        verify_wheel(wheel({"mmcv/__init__.py": b""}), "mmcv-full", "1.7.2", around())
