"""Another machine in the place of this one: what is said of it holds, the rest is this machine's or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from bare_machine import BARE, driver, gpus, python, toolkit

from mmsetup.catalog import Catalog
from mmsetup.errors import NoPlanError, RequestError
from mmsetup.plan import Request
from mmsetup.plan.choose import plan
from mmsetup.plan.elsewhere import machine_elsewhere
from mmsetup.plan.situation import platform_of
from mmsetup.probe.machine import Libc, Machine

HERE = replace(BARE, gpus=gpus("sm_86"), driver=driver("535.104.05"), toolkits=(toolkit("11.7"),))
There = Callable[..., Machine]


@pytest.fixture
def there(catalog: Catalog) -> There:
    def make(here: Machine = HERE, **said: Any) -> Machine:
        return machine_elsewhere(here, catalog, **said)

    return make


def test_where_nothing_is_said_it_is_this_machine(there: There) -> None:
    assert there() is HERE


@pytest.mark.parametrize(
    ("name", "architecture", "model"),
    [
        ("sm_90", "sm_90", "sm_90"),
        ("9.0", "sm_90", "9.0"),
        ("RTX 4090", "sm_89", "GeForce RTX 4090"),
        ("NVIDIA GeForce RTX 4090", "sm_89", "GeForce RTX 4090"),
        ("rtx4090", "sm_89", "GeForce RTX 4090"),
        ("H100", "sm_90", "H100"),
        ("Tesla V100-SXM2-16GB", "sm_70", "V100"),
        ("RTX 5090", "sm_120", "GeForce RTX 5090"),
    ],
)
def test_a_gpu_by_its_architecture_or_its_name(
    there: There, name: str, architecture: str, model: str
) -> None:
    machine = there(gpus=[name])
    (gpu,) = machine.gpus
    assert gpu.architecture == architecture
    assert model in gpu.name
    assert machine.driver == HERE.driver


def test_several_gpus_are_numbered_in_their_order(there: There) -> None:
    machine = there(gpus=["RTX 3090", "H100", "RTX 3090"])
    assert [(gpu.index, gpu.architecture) for gpu in machine.gpus] == [
        (0, "sm_86"),
        (1, "sm_90"),
        (2, "sm_86"),
    ]


def test_no_gpu_at_all(there: There) -> None:
    assert there(gpus=["none"]).gpus == ()


@pytest.mark.parametrize(
    ("said", "words", "remedy"),
    [
        ({"gpus": ["RTX 4091"]}, "no GPU 'RTX 4091' is known; nearest: ", '--gpu "'),
        ({"gpus": ["none", "H100"]}, "none", "mmsetup plan --gpu"),
        ({"gpus": ["sm_91"]}, "no known GPU has the architecture 'sm_91'", "--gpu sm_90"),
        ({"gpus": [""]}, "GPU", "mmsetup plan --gpu"),
        ({"driver": "new"}, "'new' is no version of an NVIDIA driver", "--driver 535"),
        ({"driver": "5350"}, "'5350' is no version", "--driver 535"),
        ({"driver": "535.104.05.1"}, "is no version", "--driver 535"),
        ({"driver": "535; rm"}, "is no version", "--driver 535"),
        ({"glibc": "two"}, "'two' is no version of glibc", "--glibc 2.31"),
        ({"glibc": "3.1"}, "'3.1' is no version of glibc", "--glibc 2.31"),
        (
            {"platform": "linux"},
            "there is no platform 'linux'; known: linux-x86_64",
            "--platform linux-x86_64",
        ),
        ({"platform": "freebsd-x86_64"}, "there is no platform", "--platform linux-x86_64"),
        ({"platform": "windows-x86_64", "glibc": "2.31"}, "glibc", "mmsetup plan"),
    ],
)
def test_what_is_malformed_or_unknown_is_refused(
    there: There, said: dict[str, Any], words: str, remedy: str
) -> None:
    with pytest.raises(RequestError) as caught:
        there(**said)
    assert words in str(caught.value)
    assert remedy in caught.value.remedy
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["535", "535.104", "535.104.05", "580.95.05"])
def test_a_driver_by_as_much_of_its_version_as_is_known(there: There, text: str) -> None:
    found = there(driver=text).driver
    assert found is not None
    assert (found.version, found.cuda) == (text, "")


def test_on_another_platform_nothing_of_this_machine_holds(there: There) -> None:
    machine = there(platform="windows-x86_64")
    assert platform_of(machine) == "windows-x86_64"
    assert (machine.libc, machine.driver, machine.container) == (None, None, None)
    assert (machine.gpus, machine.toolkits, machine.compilers, machine.interpreters) == ((), (), (), ())
    assert (machine.memory, machine.disk) == (HERE.memory, HERE.disk)


@pytest.mark.parametrize("platform", ["linux-aarch64", "windows-x86_64", "macos-x86_64", "macos-arm64"])
def test_every_platform_by_its_name(there: There, platform: str) -> None:
    assert platform_of(there(platform=platform)) == platform


def test_the_platform_of_this_machine_changes_nothing(there: There) -> None:
    machine = there(platform="linux-x86_64")
    assert (machine.gpus, machine.interpreters, machine.libc) == (HERE.gpus, HERE.interpreters, HERE.libc)


def test_another_platform_with_a_gpu_and_a_driver(there: There) -> None:
    machine = there(platform="windows-x86_64", gpus=["RTX 4090"], driver="551.61")
    assert [gpu.architecture for gpu in machine.gpus] == ["sm_89"]
    assert machine.driver is not None
    assert machine.driver.version == "551.61"


def test_what_was_pretended_is_kept_as_options_that_say_it_again(there: There) -> None:
    machine = there(
        replace(HERE, overrides=("MMSETUP_OVERRIDE_LIBC=2.28",)),
        gpus=["RTX 4090", "H100"],
        driver="535.104.05",
        platform="linux-x86_64",
        glibc="2.31",
    )
    assert machine.overrides == (
        "MMSETUP_OVERRIDE_LIBC=2.28",
        "--platform linux-x86_64",
        "--gpu 'RTX 4090'",
        "--gpu H100",
        "--driver 535.104.05",
        "--glibc 2.31",
    )
    assert machine.libc == Libc("glibc", "2.31")


def test_a_plan_for_another_machine_says_that_it_was_pretended(there: There, catalog: Catalog) -> None:
    machine = there(gpus=["RTX 3090"], driver="470.82.01")
    made = plan(machine, catalog, Request(), ask=lambda _: {})
    assert {"pretended: --gpu 'RTX 3090'", "pretended: --driver 470.82.01"} <= set(made.notes)


@pytest.mark.parametrize(
    ("said", "family", "variant"),
    [
        ({"gpus": ["H100"], "driver": "535.104.05"}, "mmcv", "cu121"),
        ({"gpus": ["V100"], "driver": "580.95.05"}, "mmcv", "cu1"),
        ({"gpus": ["RTX 5090"], "driver": "580.95.05"}, "onedl", "cu128"),
        ({"gpus": ["none"]}, "mmcv-full", "cpu"),
        ({"platform": "macos-arm64"}, "mmcv", "cpu"),
        ({"platform": "windows-x86_64", "gpus": ["RTX 4090"], "driver": "551.61"}, "mmcv", "cu1"),
        ({"platform": "windows-x86_64"}, "mmcv", "cpu"),
    ],
)
def test_the_catalogue_answers_for_machines_that_are_not_here(
    there: There, catalog: Catalog, said: dict[str, Any], family: str, variant: str
) -> None:
    request = Request(family=family, may_build=False, trusts_catalog=True, offline=True)
    made = plan(
        there(replace(BARE, interpreters=(python("3.10.13"),)), **said), catalog, request, ask=lambda _: {}
    )
    assert made.variant.startswith(variant)
    assert made.platform == said.get("platform", "linux-x86_64")


@pytest.mark.parametrize(
    ("platform", "family"),
    [
        ("linux-aarch64", "mmcv-full"),
        ("linux-aarch64", "mmcv"),
        ("linux-aarch64", "onedl"),
        ("macos-arm64", "mmcv-full"),
        ("macos-arm64", "onedl"),
    ],
)
def test_where_nobody_has_wheels_that_is_said(
    there: There, catalog: Catalog, platform: str, family: str
) -> None:
    request = Request(family=family, trusts_catalog=True)
    with pytest.raises(NoPlanError) as caught:
        plan(there(platform=platform), catalog, request, ask=lambda _: {})
    told = "\n".join(caught.value.evidence)
    assert platform in told
    assert ("\nin family mmcv this fits" in told) is (platform == "macos-arm64")
