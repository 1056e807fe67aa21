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
from mmsetup.probe.machine import Machine

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
