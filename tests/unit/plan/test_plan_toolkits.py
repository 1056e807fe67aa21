"""What a planned build of CUDA ops needs of nvcc, of g++ and of torch's own list of architectures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from bare_machine import BARE, compiler, driver, gpus, toolkit
from checker import faults, found
from drawn import small_data
from raw_catalog import read_data

from mmsetup.catalog import Catalog
from mmsetup.errors import NoPlanError
from mmsetup.plan import Plan, Request
from mmsetup.probe.machine import Machine, Toolkit

DATA = read_data()
Planned = Callable[..., Plan]


def on(architecture: str, *kits: str, gxx: str = "", version: str = "535.104.05") -> Machine:
    compilers = (compiler("7.5.0", "clang++"), compiler(gxx)) if gxx else ()
    return replace(
        BARE,
        gpus=gpus(architecture),
        driver=driver(version),
        toolkits=tuple(map(toolkit, kits)),
        compilers=compilers,
    )


@pytest.fixture
def built(planned: Planned) -> Planned:
    """Plan a build that the checker finds nothing wrong with."""

    def make(machine: Machine, **wishes: Any) -> Plan:
        request = Request(may_use_prebuilt=False, trusts_catalog=True, **wishes)
        plan = planned(machine=machine, may_use_prebuilt=False, trusts_catalog=True, **wishes)
        assert faults(plan, machine, request, DATA) == []
        assert plan.ops.is_built
        return plan

    return make


def reasons(planned: Planned, machine: Machine, **wishes: Any) -> str:
    with pytest.raises(NoPlanError) as caught:
        planned(machine=machine, may_use_prebuilt=False, trusts_catalog=True, **wishes)
    return "\n".join(caught.value.evidence)


def test_a_torch_that_does_not_know_the_gpu_is_not_built_for(built: Planned, planned: Planned) -> None:
    ada = on("sm_89", "11.8")
    assert built(ada).torch.version.startswith("2.")
    assert "takes no sm_89 in TORCH_CUDA_ARCH_LIST" in reasons(planned, ada, torch="1.13.1")


def test_a_torch_that_knows_the_gpu_is_built_for(built: Planned) -> None:
    assert built(on("sm_86", "11.8")).torch.version == "1.13.1"


@pytest.mark.parametrize(
    ("kit", "gxx", "words"),
    [
        (
            "11.7",
            "12.2.0",
            "CUDA 11.7 takes gcc up to 11, here is g++ 12.2.0: put g++ 11 or older first on PATH",
        ),
        (
            "11.7",
            "5.4.0",
            "CUDA 11.7 takes gcc from 6 on, here is g++ 5.4.0: put g++ 6 or newer first on PATH",
        ),
        ("11.8", "12.2.0", "CUDA 11.8 takes gcc up to 11, here is g++ 12.2.0"),
    ],
)
def test_a_gcc_that_nvcc_does_not_take_is_told_with_the_way_out(
    planned: Planned, kit: str, gxx: str, words: str
) -> None:
    assert words in reasons(planned, on("sm_86", kit, gxx=gxx), torch="1.13.1")


@pytest.mark.parametrize(
    ("kit", "gxx"), [("11.7", "11.4.0"), ("11.7", "6.5.0"), ("11.7", ""), ("11.8", "5.4.0")]
)
def test_a_gcc_within_the_bounds_or_none_is_no_objection(built: Planned, kit: str, gxx: str) -> None:
    assert built(on("sm_86", kit, gxx=gxx)).variant == "cu117"


def test_a_newer_nvcc_takes_the_newer_gcc(built: Planned) -> None:
    machine = on("sm_86", "11.7", "12.4", gxx="13.2.0")
    assert built(machine, family="mmcv").variant.startswith("cu12")


def test_one_nvcc_has_to_do_it_all(planned: Planned, catalog: Catalog) -> None:
    first, last = (row for row in catalog.toolkit_limits if str(row.first) in {"11.1", "11.8"})
    assert (first.gcc, last.gcc) == (10, 11)
    told = reasons(planned, on("sm_89", "11.1", "11.8", gxx="12.2.0"), torch="2.0.1", cuda="cu118")
    assert "CUDA 11.8 takes gcc up to 11" in told


@pytest.mark.parametrize(
    ("machine", "torch"),
    [
        (on("sm_89", "11.8"), "1.13.1"),
        (on("sm_86", "11.7", gxx="12.2.0"), "1.13.1"),
        (on("sm_86", "11.7", gxx="5.4.0"), "1.13.1"),
    ],
)
def test_trying_everything_finds_no_such_build_either(machine: Machine, torch: str) -> None:
    request = Request(may_use_prebuilt=False, trusts_catalog=True, torch=torch)
    data = small_data(DATA)
    assert found(machine, request, data) is None
    able = replace(machine, gpus=gpus("sm_86"), compilers=(compiler("11.4.0"),))
    assert found(able, request, data) is not None


# Which nvcc it is ---------------------------------------------------------------------------------------------

NEW = "580.95.05"


@pytest.mark.parametrize(
    ("kits", "chosen"),
    [
        (("12.4", "13.0", "13.2"), "nvcc of CUDA 13.0 in /usr/local/cuda-13.0"),
        (("13.2", "13.0"), "nvcc of CUDA 13.0 in /usr/local/cuda-13.0"),
        (("13.2",), "nvcc of CUDA 13.0 from the wheels "),
        (("12.9",), "nvcc of CUDA 13.0 from the wheels "),
        ((), "nvcc of CUDA 13.0 from the wheels "),
    ],
)
def test_the_cuda_of_torch_comes_before_what_the_variables_name(
    built: Planned, kits: tuple[str, ...], chosen: str
) -> None:
    plan = built(on("sm_90", *kits, version=NEW), cuda="cu130", torch="2.11", family="onedl")
    assert plan.ops.nvcc.startswith(chosen)
    assert bool(plan.ops.nvcc_wheels) == ("wheels" in chosen)
    assert any(chosen in note for note in plan.notes)


@pytest.mark.parametrize(
    ("kits", "chosen"),
    [
        (("12.9", "12.4"), "12.4"),
        (("12.9", "12.6", "12.2"), "12.2"),
        (("12.9", "12.6"), "12.6"),
    ],
)
def test_where_there_are_no_wheels_the_nearest_older_nvcc_is_taken(
    built: Planned, kits: tuple[str, ...], chosen: str
) -> None:
    plan = built(on("sm_86", *kits, version=NEW), cuda="cu124", torch="2.4", family="mmcv")
    assert plan.ops.nvcc == f"nvcc of CUDA {chosen} in /usr/local/cuda-{chosen}"
    assert plan.ops.nvcc_wheels == ()


@pytest.mark.parametrize("kit", [toolkit("13.0", nvcc=False), replace(toolkit("13.0"), lacks=("cicc",))])
def test_a_toolkit_without_an_nvcc_that_works_is_none(built: Planned, kit: Toolkit) -> None:
    machine = replace(on("sm_90", version=NEW), toolkits=(kit,))
    assert built(machine, cuda="cu130", torch="2.11", family="onedl").ops.nvcc_wheels


def test_wheels_bring_no_gcc_and_are_bound_by_it_too(planned: Planned) -> None:
    told = reasons(
        planned, on("sm_90", gxx="16.1.0", version=NEW), cuda="cu130", torch="2.11", family="onedl"
    )
    assert "the nvcc of CUDA 13.0 takes gcc up to 15, here is g++ 16.1.0" in told


def test_wheels_are_for_no_other_platform(planned: Planned, catalog: Catalog) -> None:
    (row,) = catalog.toolkit_wheels
    assert row.platforms == ("linux-x86_64",)


def test_ptx_on_request_is_that_of_the_newest_gpu(built: Planned) -> None:
    machine = replace(on("sm_120", version=NEW), gpus=gpus("sm_120", "sm_90"))
    wishes = {"cuda": "cu130", "torch": "2.11", "family": "onedl"}
    assert built(machine, **wishes).ops.architectures == ("sm_90", "sm_120")
    assert built(machine, with_ptx=True, **wishes).ops.architectures == ("sm_90", "sm_120", "compute_120")
