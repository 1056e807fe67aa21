"""Where nothing fits: what is nearest, what would have to change, and commands that then give a plan."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from bare_machine import BARE, Table, driver, gpus, python, toolkit
from typer.testing import CliRunner

from mmsetup.catalog import Catalog
from mmsetup.cli.arguments import Selectors, wishes
from mmsetup.errors import NoPlanError
from mmsetup.plan import Plan, Request
from mmsetup.plan.choose import plan
from mmsetup.plan.elsewhere import machine_elsewhere
from mmsetup.probe.machine import Gpu, Libc, Machine

Refused = Callable[..., NoPlanError]
NEW = driver("580.95.05")
BEFORE_WHEELS = driver("570.124.06")
WEAK: dict[str, Any] = {
    "gpus": gpus("sm_90"),
    "driver": NEW,
    "toolkits": (toolkit("12.4"),),
    "may_use_prebuilt": False,
    "may_patch": False,
}
# What mmengine does with checkpoints is mended on request alone.
WEAK_WITH_PATCHES: dict[str, Any] = {"family": "mmcv", "gpus": gpus("sm_120"), "driver": NEW}
A100 = (Gpu(0, "NVIDIA A100-SXM4-80GB", "sm_80", 80 << 30),)
KINDS = {
    "without ": "less",
    "with an nvcc": "nvcc",
    "with driver": "driver",
    "asked for": "weakness",
    "with --patch load-whole-checkpoints-mmengine": "patch",
    "in family": "family",
    "with a newer glibc": "glibc",
    "on the CPU": "cpu",
}


@pytest.fixture
def refused(catalog: Catalog) -> Refused:
    """Have a request refused; nobody answers, and the catalogue is believed."""

    def make(machine: Machine = BARE, **wishes_: Any) -> NoPlanError:
        facts = {name: wishes_.pop(name) for name in list(wishes_) if name in Machine.__dataclass_fields__}
        request = Request(**{"trusts_catalog": True, **wishes_})
        with pytest.raises(NoPlanError) as caught:
            plan(replace(machine, **facts), catalog, request, ask=lambda _: {})
        return caught.value

    return make


def ways(error: NoPlanError) -> list[str]:
    """Give the kinds of ways out that an error names, in their order."""
    found = []
    for line in error.evidence:
        kind = next((kind for words, kind in KINDS.items() if line.startswith(words)), "")
        if kind and "this fits" in line:
            found.append(kind)
    return found


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"family": "onedl", "python": "3.9"}, "less"),
        ({"gpus": gpus("sm_86"), "driver": BEFORE_WHEELS, "may_use_prebuilt": False}, "nvcc"),
        ({"gpus": gpus("sm_86"), "driver": driver("440.33.01"), "toolkits": (toolkit("11.7"),)}, "driver"),
        (WEAK, "less"),
        (WEAK, "weakness"),
        (WEAK, "family"),
        (WEAK_WITH_PATCHES, "weakness"),
        (WEAK_WITH_PATCHES, "patch"),
        ({"libc": Libc("glibc", "2.2")}, "glibc"),
        ({"gpus": gpus("sm_30"), "driver": NEW}, "cpu"),
    ],
)
def test_each_kind_of_way_out(refused: Refused, told: dict[str, Any], kind: str) -> None:
    error = refused(**told)
    assert kind in ways(error)
    assert error.exit_code == 3


@pytest.mark.parametrize(
    "told",
    [
        WEAK,
        WEAK_WITH_PATCHES,
        {"gpus": gpus("sm_120"), "driver": BEFORE_WHEELS},
        {"gpus": gpus("sm_86"), "driver": driver("440.33.01"), "torch": "1.13", "python": "3.10"},
        {"libc": Libc("glibc", "2.2"), "family": "mmcv", "torch": "2.1"},
    ],
)
def test_no_way_out_is_told_twice(refused: Refused, told: dict[str, Any]) -> None:
    error = refused(**told)
    found = [kind for kind in ways(error) if kind not in {"less", "family"}]
    assert found
    assert len(set(found)) == len(found)
    assert len(set(error.evidence)) == len(error.evidence)


def test_wishes_come_first_and_the_cpu_last(refused: Refused) -> None:
    error = refused(gpus=gpus("sm_86"), driver=driver("440.33.01"), torch="2.1", family="mmcv", cuda="cu121")
    found = ways(error)
    order = list(KINDS.values())
    assert found == sorted(found, key=order.index)
    assert found[-1] == "cpu"


@pytest.mark.parametrize(
    ("told", "options"),
    [
        ({"python": "3.13", "may_patch": False}, ["--no-patches", "--python"]),
        (
            {"may_use_prebuilt": False, "python": "3.13", "may_patch": False},
            ["--no-patches", "--python"],
        ),
        ({"python": "3.13", "may_build": False}, ["--no-build", "--python"]),
        ({"may_build": False, "torch": "2.5", "python": "3.10"}, ["--no-build", "--torch"]),
        ({"sources": ("openmmlab",), "torch": "2.5", "python": "3.10"}, ["--source", "--torch"]),
        ({"python": "3.13", "wanted": ("mmdet",)}, ["--python", "--with"]),
        ({"python": "3.13", "wanted": ("mmdet",), "may_patch": False}, ["--python"]),
        ({"wanted": ("mmcv-full==1.3.9",), "torch": "1.13", "python": "3.8"}, ["--torch", "--with"]),
    ],
)
def test_each_wish_that_alone_is_too_much_is_named(
    refused: Refused, told: dict[str, Any], options: list[str]
) -> None:
    named = [line.split()[1] for line in refused(**told).evidence if line.startswith("without -")]
    assert named == options


def test_wishes_that_are_too_much_together_are_named_together(refused: Refused) -> None:
    error = refused(python="3.13", torch="2.6", sources=("openmmlab",), may_patch=False)
    (line,) = [line for line in error.evidence if line.startswith("without -")]
    options = "--source and --no-patches and --python and --torch"
    assert line.startswith(f"without {options} this fits: Python 3.10, torch 1.13.1")


def test_what_was_asked_for_stands_in_the_message(refused: Refused) -> None:
    error = refused(python="3.13", torch="2.6", cuda="cpu", wanted=("mmdet==2.28.2",))
    assert str(error).endswith("with Python 3.13, torch 2.6, CUDA cpu, mmdet==2.28.2")
    assert str(refused(gpus=gpus("sm_120"), driver=BEFORE_WHEELS)).endswith("fits this machine")


def test_the_driver_that_would_do_is_written_as_nvidia_does(refused: Refused) -> None:
    error = refused(gpus=gpus("sm_86"), driver=driver("440.33.01"), toolkits=(toolkit("11.7"),))
    (line,) = [line for line in error.evidence if line.startswith("with driver")]
    assert line.startswith("with driver 450.80.02 or newer this fits: Python 3.10, torch ")


def test_the_nvcc_that_would_do_compiles_for_the_gpu(refused: Refused) -> None:
    error = refused(gpus=gpus("sm_86"), driver=BEFORE_WHEELS, may_use_prebuilt=False)
    (line,) = [line for line in error.evidence if line.startswith("with an nvcc")]
    assert line.startswith(
        "with an nvcc of CUDA 11.7 this fits: Python 3.10, torch 1.13.1 cu117, mmcv-full 1.7.2"
    )
    error = refused(gpus=gpus("sm_120"), driver=BEFORE_WHEELS)
    assert error.remedy.startswith("apt-get install cuda-nvcc-12-8 && mmsetup plan")


def test_a_way_out_that_changes_nothing_is_none(refused: Refused) -> None:
    error = refused(**WEAK)
    assert "weakness" in ways(error)
    assert "glibc" not in ways(error)
    assert "driver" not in ways(error)


@pytest.mark.parametrize(
    ("told", "weakness"), [(WEAK, "mmcv1-ddp"), (WEAK_WITH_PATCHES, "weights-only-mmengine")]
)
def test_a_weakness_is_told_with_what_it_is(
    refused: Refused, catalog: Catalog, told: dict[str, Any], weakness: str
) -> None:
    (line,) = [line for line in refused(**told).evidence if line.startswith("asked for")]
    effects = {known.id: known.effect for known in catalog.breaks if known.caution}
    assert effects[weakness] in line.partition("; but ")[2]
    rest = line.partition("; but ")[2]
    for effect in effects.values():
        rest = rest.replace(effect, "")
    assert rest.replace("; ", "") == ""


def test_hosts_that_did_not_answer_are_told_once_each(catalog: Catalog) -> None:
    with pytest.raises(NoPlanError) as caught:
        plan(BARE, catalog, Request(may_build=False), ask=Table())
    silent = [line for line in caught.value.evidence if "did not answer" in line]
    assert silent == [
        "download.openmmlab.com did not answer (no answer): what it lists is not known",
        "download.pytorch.org did not answer (no answer): what it lists is not known",
    ]
    assert "without --no-build this fits" in "\n".join(caught.value.evidence)


def test_no_password_of_a_mirror_is_told(catalog: Catalog) -> None:
    request = Request(may_build=False, mirrors={"openmmlab": "https://user:secret@mirror.test"})
    with pytest.raises(NoPlanError) as caught:
        plan(BARE, catalog, request, ask=Table())
    told = "\n".join((str(caught.value), caught.value.remedy, *caught.value.evidence))
    assert "mirror.test did not answer" in told
    assert "secret" not in told


# The commands -------------------------------------------------------------------------------------------------


@pytest.fixture
def planned_by(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Machine], Plan]:
    """Parse a command through the command line, and plan what it says."""
    monkeypatch.chdir(tmp_path)
    for name in ("MMSETUP_MIRROR", "MMCV_BASE_URL", "MMSETUP_TORCH_MIRROR", "MMSETUP_OVERRIDE_PYTHON"):
        monkeypatch.delenv(name, raising=False)

    def run(line: str, here: Machine) -> Plan:
        made: list[Plan] = []

        @wishes
        def command(selectors: Selectors) -> None:
            request, machine, _ = selectors.resolved(catalog, here, trusts_catalog=True)
            made.append(plan(machine, catalog, request, ask=lambda _: {}))

        app = typer.Typer()
        app.command()(command)
        preparation, and_then, rest = line.partition(" && ")
        if and_then:
            found = re.fullmatch(r"apt-get install cuda-nvcc-(\d+)-(\d+)", preparation)
            assert found is not None
            here = replace(here, toolkits=(toolkit(f"{found[1]}.{found[2]}"),))
        words = shlex.split(rest if and_then else line, comments=True)
        assert words[:2] == ["mmsetup", "plan"]
        done = CliRunner().invoke(app, words[2:], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return made[0]

    return run


@pytest.mark.parametrize(
    "told",
    [
        {"python": "3.13", "may_patch": False},
        {"python": "3.13", "family": "mmcv", "may_use_prebuilt": False, "may_patch": False},
        {"cuda": "cu121", "python": "3.13"},
        WEAK,
        WEAK_WITH_PATCHES,
        {"gpus": gpus("sm_120"), "driver": BEFORE_WHEELS},
        {"gpus": gpus("sm_30"), "driver": NEW},
        {"gpus": gpus("sm_86"), "driver": driver("440.33.01"), "toolkits": (toolkit("11.7"),)},
        {"gpus": gpus("sm_80"), "driver": driver("470.82.01"), "family": "mmcv", "cuda": "cu121"},
        {"wanted": ("mmdet>=2.28", "mmcv-full==1.3.9")},
        {"wanted": ("mmcv-full==1.4.0",), "python": "3.11", "may_build": False},
        {"sources": ("openmmlab",), "torch": "2.5"},
        {"without": ("mmsegmentation",), "family": "mmcv", "torch": "2.6", "sources": ("openmmlab",)},
        {"family": "onedl", "torch": "2.3", "without": ("onedl-mmdetection",)},
        {
            "python": "/opt/python-3.13.1/bin/python",
            "interpreters": (python("3.13.1"),),
            "may_patch": False,
        },
        {
            "gpus": A100,
            "driver": driver("470.82.01"),
            "family": "mmcv",
            "cuda": "cu121",
            "python": "3.13",
            "forward_compatibility": True,
        },
    ],
)
def test_the_command_that_is_printed_gives_a_plan(
    refused: Refused, planned_by: Callable[[str, Machine], Plan], told: dict[str, Any]
) -> None:
    facts = {name: value for name, value in told.items() if name in Machine.__dataclass_fields__}
    error = refused(**told)
    made = planned_by(error.remedy, replace(BARE, **facts))
    assert made.choices


def test_the_command_says_again_what_was_pretended(
    refused: Refused, catalog: Catalog, planned_by: Callable[[str, Machine], Plan]
) -> None:
    said = {"gpus": ["RTX 3090"], "driver": "440.33.01", "glibc": "2.31"}
    there = machine_elsewhere(BARE, catalog, **said)
    error = refused(there, may_build=False)
    words = shlex.split(error.remedy)[2:]
    assert words.count("--driver") == 1
    assert {"--no-build", "--gpu", "RTX 3090", "--driver", "450.80.02", "--glibc", "2.31"} == set(words)
    assert planned_by(error.remedy, BARE).variant.startswith("cu11")


def test_the_command_names_the_mirrors_again_but_for_their_passwords(refused: Refused) -> None:
    mirrors = {"openmmlab": "https://mirror.test/x", "onedl": "https://user:secret@other.test"}
    words = shlex.split(refused(python="3.13", may_patch=False, mirrors=mirrors).remedy)
    assert "openmmlab=https://mirror.test/x" in words
    assert words[words.index("openmmlab=https://mirror.test/x") - 1] == "--mirror"
    assert not any("secret" in word for word in words)


def test_what_has_no_weakness_need_not_be_asked_for(refused: Refused) -> None:
    error = refused(offline=True, may_build=False, trusts_catalog=False)
    assert "weakness" not in ways(error)
    assert {"less"} <= set(ways(error))


def test_where_there_is_no_way_out_the_machine_is_to_be_looked_at(refused: Refused) -> None:
    error = refused(libc=Libc("musl", "1.2"))
    assert ways(error) == []
    assert error.remedy == "mmsetup probe  # what was found here"


def test_what_is_wrong_with_the_variant_that_was_asked_for_is_told(refused: Refused) -> None:
    wishes_ = {"torch": "1.13.1", "cuda": "cu117", "gpus": (Gpu(0, "sm_90", "sm_90", None),), "driver": NEW}
    (found, *_) = refused(**wishes_).evidence
    assert found.endswith("this torch holds no code for sm_90")
    told = refused(**wishes_, may_use_prebuilt=False).evidence
    assert any("no code for sm_90; building CUDA ops needs an nvcc of CUDA 11" in line for line in told)
    assert not any("was asked for" in line for line in told)
