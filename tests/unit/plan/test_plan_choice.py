from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from bare_machine import (
    BARE,
    PAGES,
    Table,
    driver,
    gpus,
    python,
    toolkit,
    torch_pages,
    wheel,
)
from packaging.version import Version

from mmsetup.catalog import Catalog, load
from mmsetup.catalog.pages import Page
from mmsetup.errors import InterpreterError, NoPlanError, RequestError
from mmsetup.plan import Plan, Request
from mmsetup.plan.account import requirements
from mmsetup.plan.interpreter import planned as planned_for
from mmsetup.plan.request import settled
from mmsetup.probe.machine import Driver, Gpu, Machine, OperatingSystem
from mmsetup.render.document import document, dump

Planned = Callable[..., Plan]
CU117 = f"{PAGES}/cu117/torch1.13.0/index.html"


def versions(made: Plan) -> dict[str, str]:
    return {choice.name: choice.version for choice in made.choices}


def test_a_bare_machine_gets_the_proven_set_built_from_source(planned: Planned) -> None:
    made = planned()
    assert versions(made) == {
        "torch": "1.13.1",
        "torchvision": "0.14.1",
        "mmcv-full": "1.7.2",
        "mmsegmentation": "0.30.0",
        "mmcls": "0.25.0",
    }
    assert (made.python, made.variant, made.ops.kind) == ("3.10", "cu117", "built")
    assert made.proof
    assert made.interpreter == BARE.interpreters[0]
    assert all(choice.reason and choice.evidence for choice in made.choices)
    assert {bound.package for bound in made.bounds} >= {"numpy", "setuptools"}
    assert {"numpy", "setuptools", "pillow", "opencv-python-headless"} <= set(made.brings)
    assert "opencv-python" not in made.brings
    assert json.loads(dump(document("mmsetup.plan/2", made)))["ops"]["kind"] == "built"


def test_a_prebuilt_wheel_that_is_listed_wins_over_a_build(planned: Planned) -> None:
    made = planned(ask=Table({CU117: [wheel("1.7.2")]}))
    assert (made.ops.kind, made.ops.source, made.variant) == ("prebuilt", "openmmlab", "cu117")
    assert made.choice("mmcv-full").requirement == f"mmcv-full @ {wheel('1.7.2').url}"
    follows = {report.source: report.follows for report in made.sources}
    assert follows == {
        "openmmlab": "mmcv-full is taken from openmmlab",
        "pytorch": "torch is taken from the default index",
    }


def test_an_older_prebuilt_release_wins_too_and_is_said_not_to_be_proven(planned: Planned) -> None:
    made = planned(ask=Table({CU117: [wheel("1.7.0"), wheel("1.7.1")]}))
    assert versions(made)["mmcv-full"] == "1.7.1"
    assert made.proof == ""
    assert any("was not trained" in note for note in made.notes)


def test_without_a_gpu_the_cpu_variant_is_taken_where_both_sources_list_it(planned: Planned) -> None:
    pages = torch_pages("cpu", "1.13.1", "0.14.1")
    assert planned(ask=Table(pages)).variant == "cpu"
    half = dict(list(pages.items())[:1])
    assert planned(ask=Table(half)).variant == "cu117"


def test_a_present_interpreter_is_preferred_among_sets_that_are_not_proven(planned: Planned) -> None:
    made = planned(interpreters=(python("3.9.18"),), torch="1.12")
    assert made.interpreter == python("3.9.18")


def test_the_proven_set_is_worth_fetching_a_python(planned: Planned) -> None:
    made = planned(interpreters=(python("3.9.18"),))
    assert (made.python, made.interpreter) == ("3.10", None)
    assert "no Python 3.10 is here: uv fetches one" in made.notes
    kept = planned(interpreters=(python("3.9.18"),), may_fetch_python=False)
    assert kept.interpreter == python("3.9.18")


def test_of_several_patches_the_newest_with_headers_is_taken(planned: Planned) -> None:
    several = (python("3.10.2"), python("3.10.9"), python("3.10.13", headers=False), python("3.10.10"))
    made = planned(interpreters=several)
    assert made.interpreter is not None
    assert made.interpreter.version == "3.10.10"


def test_interpreters_that_no_wheel_fits_are_not_taken(planned: Planned) -> None:
    made = planned(
        interpreters=(
            python("3.10.1", implementation="pypy"),
            python("3.10.2", platform="linux-i686"),
            python("3.10.3", free_threaded=True),
        )
    )
    assert made.interpreter is None


def test_the_gpu_machine_builds_cuda_operators_for_its_architectures(planned: Planned) -> None:
    made = planned(gpus=gpus("sm_86", "sm_75"), driver=driver("535.104.05"), toolkits=(toolkit("11.7"),))
    assert (made.variant, made.ops.with_cuda, made.ops.architectures) == ("cu117", True, ("sm_75", "sm_86"))
    assert versions(made)["torch"] == "1.13.1"


def test_a_new_gpu_is_refused_with_the_patch_or_the_torch_that_would_do_when_asked_for(
    planned: Planned,
) -> None:
    facts = {"family": "mmcv", "gpus": gpus("sm_120"), "driver": driver("580.95.05")}
    with pytest.raises(NoPlanError) as caught:
        planned(**facts)
    patch = "load-whole-checkpoints-mmengine"
    assert caught.value.remedy == f"mmsetup plan --family mmcv --patch {patch}"
    made = planned(**facts, patches=(patch,))
    assert made.cautions == ()
    (told,) = (line for line in caught.value.evidence if line.startswith("asked for, this fits"))
    made = planned(**facts, torch=told.partition(" torch ")[2].partition(" ")[0])
    assert made.cautions
    assert made.ops.architectures == ("sm_120",)


def test_a_gpu_machine_without_nvcc_says_which_it_needs(planned: Planned) -> None:
    with pytest.raises(NoPlanError) as caught:
        planned(gpus=gpus("sm_86"), driver=driver("535.104.05"), torch="1.13.1")
    assert any("needs an nvcc of CUDA 11, here is none" in line for line in caught.value.evidence)


def test_the_variant_that_runs_old_and_new_gpus_together(planned: Planned) -> None:
    both = {"driver": driver("580.95.05"), "toolkits": (toolkit("11.7"), toolkit("12.4"))}
    with pytest.raises(NoPlanError) as caught:
        planned(gpus=gpus("sm_35", "sm_90"), may_patch=False, **both)
    assert any("holds no code for GPU sm_35" in line for line in caught.value.evidence)
    made = planned(gpus=gpus("sm_35", "sm_90"), **both)
    assert (made.variant, [gpu.architecture for gpu in made.left_out]) == ("cu130", ["sm_35"])
    assert planned(gpus=gpus("sm_70", "sm_86"), **both).variant == "cu117"


def test_offline_with_nothing_kept_of_any_page_the_ops_are_built(planned: Planned) -> None:
    made = planned(ask=lambda _: {}, offline=True)
    assert made.sources == ()
    assert made.unconfirmed == ()
    assert made.choice("mmcv-full").reason == "built from source: offline"


def test_offline_every_page_that_could_help_is_looked_for_in_the_cache(planned: Planned) -> None:
    page = "https://download.openmmlab.com/mmcv/dist/cu102/torch1.6.0/index.html"
    table = Table({page: [wheel("1.7.0", "cp38-cp38-manylinux1_x86_64")]}, missing=None)
    made = planned(ask=table, offline=True, may_build=False, interpreters=(python("3.8.18"),))
    assert (versions(made)["torch"], made.variant) == ("1.6.0", "cu102")


def test_a_mirror_is_asked_in_place_of_the_source(planned: Planned) -> None:
    address = "http://mirror.test/base/mmcv/dist/cu117/torch1.13.0/index.html"
    table = Table({address: [wheel("1.7.2")]})
    made = planned(ask=table, mirrors={"openmmlab": "http://mirror.test/base/"})
    assert made.ops.kind == "prebuilt"
    assert not any("openmmlab.com" in url for url in table.asked)
    assert next(report for report in made.sources if report.url == address).source == "openmmlab"


def test_the_pages_that_matter_most_are_asked_first_and_not_too_many(planned: Planned) -> None:
    table = Table()
    planned(ask=table)
    assert CU117 in table.rounds[0]
    assert all(len(urls) <= 24 for urls in table.rounds)
    assert len(table.rounds) <= 4
    assert len(set(table.asked)) == len(table.asked)


def test_a_page_that_confirms_the_best_set_ends_the_asking(planned: Planned) -> None:
    table = Table({CU117: [wheel("1.7.2")]})
    assert planned(ask=table).ops.kind == "prebuilt"
    assert len(table.rounds) == 1


def test_without_prebuilt_wheels_none_is_taken(planned: Planned) -> None:
    made = planned(ask=Table({CU117: [wheel("1.7.2")]}), may_use_prebuilt=False)
    assert made.ops.kind == "built"
    assert made.choice("mmcv-full").reason == "built from source, as asked"


def test_requirements_name_every_choice_and_what_the_ops_import_undeclared(
    planned: Planned, catalog: Catalog
) -> None:
    family = catalog.family("mmcv-full")
    assert family is not None
    lines = requirements(planned(), family)
    assert lines[:4] == ("torch==1.13.1", "torchvision==0.14.1", "mmcv-full==1.7.2", "mmsegmentation==0.30.0")
    assert "opencv-python-headless" in lines
    assert sum(line.startswith("torchvision") for line in lines) == 1


def test_rejections_are_told_once_each_with_a_count(planned: Planned) -> None:
    made = planned(may_patch=False)
    told = [(found.rule, found.reason) for found in made.rejections]
    assert len(told) == len(set(told)) < 24
    counted = sum(found.others for found in made.rejections)
    assert counted > 1000
    # What a patch mends is no longer rejected.
    assert counted > sum(found.others for found in planned().rejections) > 900


@pytest.mark.parametrize(
    ("wishes", "error", "code", "words", "remedy"),
    [
        ({"family": "foo"}, RequestError, 2, "no family 'foo'", "mmsetup plan --family mmcv-full"),
        ({"torch": "9.9"}, RequestError, 2, "'9.9' is not known; nearest: 2.", "mmsetup plan --torch 2."),
        ({"torch": "1.13.9"}, RequestError, 2, "nearest: 1.13.1", "mmsetup plan --torch 1.13.1"),
        ({"torch": "abc"}, RequestError, 2, "is no version of torch", "mmsetup plan --torch "),
        (
            {"cuda": "cu999"},
            RequestError,
            2,
            "no torch has a CUDA variant 'cu999'; known: cpu, cu",
            "mmsetup plan --cuda cu",
        ),
        (
            {"cuda": "11.9"},
            RequestError,
            2,
            "no torch has a CUDA variant 'cu119'",
            "mmsetup plan --cuda cu118",
        ),
        ({"torch": "1.13.1+cu117", "cuda": "cu116"}, RequestError, 2, "--cuda says cu116", "--cuda cu117"),
        ({"torch": "2.3.0a0+ebedce2"}, RequestError, 2, "NVIDIA's own", "mmsetup plan --torch 2.3"),
        ({"torch": "2.1.0a0+41361538.nv23.06"}, RequestError, 2, "NVIDIA's own", "mmsetup plan --torch 2.1"),
        ({"torch": "2.1.0+mine"}, RequestError, 2, "is a build of its own", "mmsetup plan --torch 2.1.0"),
        ({"torch": "2.1.0a0"}, RequestError, 2, "NVIDIA's own", "mmsetup plan --torch 2.1"),
        ({"python": "abc"}, RequestError, 2, "'abc' is no version of Python", "mmsetup plan --python 3."),
        ({"python": "3.99"}, InterpreterError, 13, "no torch has wheels for Python 3.99", "mmsetup plan "),
        ({"python": "2.7"}, InterpreterError, 13, "no torch has wheels for Python 2.7", "mmsetup plan "),
        ({"python": "/no/python"}, InterpreterError, 13, "not a Python that can be run", "mmsetup probe"),
        ({"mirrors": {"openmmlab": "/tmp/x"}}, RequestError, 2, "is no address", "--mirror https://"),
        ({"mirrors": {"openmmlab": "http://[x"}}, RequestError, 2, "is no address", "--mirror https://"),
        ({"mirrors": {"openmmlab": "http://a b/"}}, RequestError, 2, "is no address", "--mirror https://"),
        ({"may_build": False, "may_use_prebuilt": False}, RequestError, 2, "neither a build", "--no-build"),
        ({"may_build": False}, NoPlanError, 3, "fits this machine", "mmsetup plan"),
        ({"python": "3.13", "may_patch": False}, NoPlanError, 3, "with Python 3.13", "mmsetup plan"),
        (
            {"cuda": "cu117", "torch": "2.4"},
            RequestError,
            2,
            "torch 2.4 was never built for cu117",
            "mmsetup plan --torch 2.4 --cuda cu124  # or: --torch 2.0.1 --cuda cu117",
        ),
        ({"cuda": "cu121", "may_patch": False}, NoPlanError, 3, "with CUDA cu121", "mmsetup plan"),
    ],
)
def test_a_wish_that_cannot_be_fulfilled(
    planned: Planned, *, wishes: dict, error: type, code: int, words: str, remedy: str
) -> None:
    with pytest.raises(error) as caught:
        planned(**wishes)
    assert type(caught.value) is error
    assert caught.value.exit_code == code
    assert words in str(caught.value)
    assert remedy in caught.value.remedy


def test_a_torch_and_a_variant_that_never_met_are_told_with_what_there_is_of_each(planned: Planned) -> None:
    with pytest.raises(RequestError) as caught:
        planned(torch="2.4", cuda="cu117")
    assert caught.value.evidence == (
        "torch 2.4 is there for cpu, cu118, cu121, cu124",
        "cu117 is there for torch 1.13.0, 1.13.1, 2.0.0, 2.0.1",
    )


@pytest.mark.parametrize(
    ("wishes", "torch", "variant"),
    [
        ({"torch": "1.13.1+cu117"}, "1.13.1", "cu117"),
        ({"torch": "1.13.1+cu117", "cuda": "11.7"}, "1.13.1", "cu117"),
        ({"cuda": "11.7"}, "1.13.1", "cu117"),
        ({"cuda": "11.7.1"}, "1.13.1", "cu117"),
        ({"cuda": "CU117"}, "1.13.1", "cu117"),
        ({"cuda": "cuda11.7"}, "1.13.1", "cu117"),
        ({"torch": "1.12", "cuda": "10.2"}, "1.12.1", "cu102"),
    ],
)
def test_a_torch_and_a_cuda_in_the_spellings_of_people(
    planned: Planned, wishes: dict[str, str], torch: str, variant: str
) -> None:
    made = planned(**wishes)
    assert (versions(made)["torch"], made.variant) == (torch, variant)


@pytest.mark.parametrize(
    ("asked", "settled_as"),
    [
        (Request(torch="1.13.1+cu116"), Request(torch="1.13.1", cuda="cu116")),
        (Request(torch="1.13.1+cpu"), Request(torch="1.13.1", cuda="cpu")),
        (Request(torch="2.0", cuda="11.8"), Request(torch="2.0", cuda="cu118")),
        (Request(wanted=("MMDet >= 2.20",)), Request(wanted=("mmdet>=2.20",))),
        (Request(wanted=("mmcv==1.7.1", "mmseg")), Request(wanted=("mmcv-full==1.7.1", "mmsegmentation"))),
        (Request(without=("mmseg",)), Request(without=("mmsegmentation",))),
        (
            Request(family="onedl", wanted=("mmdet==3.5.1",)),
            Request(family="onedl", wanted=("onedl-mmdetection==3.5.1",)),
        ),
    ],
)
def test_a_request_is_settled_in_one_spelling(catalog: Catalog, asked: Request, settled_as: Request) -> None:
    request, family = settled(asked, catalog)
    assert request == settled_as
    assert family.name == asked.family


@pytest.mark.parametrize(
    "wishes", [{"python": "3"}, {"python": "3.10"}, {"python": "3.10.13"}, {"torch": "1"}]
)
def test_the_beginning_of_a_version_is_enough(planned: Planned, wishes: dict) -> None:
    assert versions(planned(**wishes))["torch"] == "1.13.1"


def test_a_refusal_says_what_would_fit_and_which_host_is_silent(planned: Planned) -> None:
    with pytest.raises(NoPlanError) as caught:
        planned(may_build=False)
    told = "\n".join(caught.value.evidence)
    assert "download.openmmlab.com did not answer (no answer)" in told
    assert "without --no-build this fits: Python 3.10, torch 1.13.1 cu117, mmcv-full 1.7.2 built" in told
    assert caught.value.remedy == "mmsetup plan --build"
    assert len(caught.value.evidence) < 10


def test_where_nothing_at_all_fits_the_machine_is_shown(planned: Planned) -> None:
    with pytest.raises(NoPlanError) as caught:
        planned(cpu=replace(BARE.cpu, architecture="aarch64"))
    assert caught.value.remedy.startswith("mmsetup probe")
    assert any("built on linux-x86_64 alone, not on linux-aarch64" in line for line in caught.value.evidence)


def test_an_interpreter_named_by_its_path_is_the_only_one(planned: Planned) -> None:
    old = python("3.8.18")
    made = planned(interpreters=(*BARE.interpreters, old), python=str(old.path))
    assert made.interpreter == old
    with pytest.raises(NoPlanError) as caught:
        pypy = python("3.10.1", implementation="pypy")
        planned(interpreters=(*BARE.interpreters, pypy), python=str(pypy.path))
    assert any("pypy" in line for line in caught.value.evidence)


def test_a_path_where_no_python_is(catalog: Catalog, tmp_path) -> None:
    with pytest.raises(InterpreterError, match="does not exist"):
        planned_for(Request(python=f"{tmp_path}/python"), BARE, catalog, fetch_python=False)


def test_a_python_that_cannot_be_fetched_gives_way_to_one_that_is_here(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[list[str]] = []

    def silent(urls, **_):
        asked.append(list(urls))
        return {url: Page(url, error="no answer") for url in asked[-1]}

    monkeypatch.setenv("MMSETUP_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("mmsetup.plan.asking.read_pages", silent)
    monkeypatch.setenv("UV_PYTHON_INSTALL_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", "/nonexistent")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    here: Machine = replace(BARE, interpreters=(python("3.9.18"),))
    made, machine = planned_for(Request(), here, catalog, fetch_python=True)
    assert made.interpreter == python("3.9.18")
    assert machine == here
    assert any("planned for one that is here" in note for note in made.notes)
    first = [url for urls in asked for url in urls]
    assert len(set(first)) == len(first)
    with pytest.raises(InterpreterError, match=r"no Python 3\.10 is here"):
        planned_for(Request(python="3.10"), here, catalog, fetch_python=True)


# What a family is made of -------------------------------------------------------------------------------------


def test_a_package_that_is_asked_for_joins_with_all_gates_kept(planned: Planned, catalog: Catalog) -> None:
    assert "mmdet" not in versions(planned())
    made = planned(wanted=("mmdet",))
    assert versions(made)["mmdet"] == "2.28.2"
    assert made.proof
    older = planned(wanted=("mmdet==2.14.0",))
    (gate,) = [gate for gate in catalog.gates_of("mmdet", Version("2.14.0")) if gate.on == "mmcv"]
    assert gate.admits(Version(versions(older)["mmcv-full"]))
    assert versions(older)["mmcv-full"] != "1.7.2"


@pytest.mark.parametrize("line", ["mmcv-full==1.7.1", "mmcv==1.7.1", "mmcv_full==1.7.1", "MMCV-Full ==1.7.1"])
def test_a_version_is_asked_for_by_distribution_or_module(planned: Planned, line: str) -> None:
    assert versions(planned(wanted=(line,)))["mmcv-full"] == "1.7.1"


def test_two_wishes_for_one_package_both_hold(planned: Planned) -> None:
    made = planned(wanted=("mmdet>=2.20", "mmdet<2.26"))
    assert Version("2.20") <= Version(versions(made)["mmdet"]) < Version("2.26")


def test_what_is_left_out_is_not_there(planned: Planned) -> None:
    made = planned(without=("mmsegmentation",))
    assert not {"mmsegmentation", "mmcls"} & versions(made).keys()
    assert not any(note.startswith("mmsegmentation") for note in made.notes)
    assert "mmsegmentation" not in planned(without=("mmseg",)).brings


def test_a_release_that_needs_what_is_left_out_is_not_chosen(planned: Planned) -> None:
    made = planned(without=("mmcls",), torch="1.13")
    assert "mmcls" not in versions(made)
    assert Version(versions(made)["mmsegmentation"]) < Version("0.22")


@pytest.mark.parametrize(
    ("wishes", "words", "remedy"),
    [
        ({"wanted": ("mmdett",)}, "--with mmdett: family mmcv-full is made of", "--with mmdet"),
        ({"wanted": ("torch==1.13.1",)}, "--with torch: family mmcv-full is made of", "mmsetup plan "),
        (
            {"wanted": ("mmdet==9",)},
            "no such release is known; there is mmdet 2.28.2",
            "--with mmdet==2.28.2",
        ),
        ({"wanted": ("a b",)}, "'a b' is no requirement", "--with mmdet=="),
        ({"wanted": ("mmdet @ https://x.test/y.whl",)}, "says more than a version of mmdet", "--with mmdet"),
        ({"wanted": ("mmdet[all]==2.28.2",)}, "says more than a version of mmdet", "--with mmdet==2.28.2"),
        ({"wanted": ("mmdet==2.28.2", "mmdet==2.25.0")}, "exclude each other", "--with 'mmdet==2."),
        ({"wanted": ("mmdet",), "without": ("mmdet",)}, "mmdet was asked for and", "--with mmdet"),
        ({"without": ("mmsge",)}, "--without mmsge: family", "--without mmsegmentation"),
        ({"without": ("mmcv-full",)}, "what all others need", "mmsetup plan --family mmcv-full"),
        ({"sources": ("onedl",)}, "'onedl' is no source of mmcv-full", "--source openmmlab"),
        ({"family": "onedl", "sources": ("onedll",)}, "'onedll' is no source", "--source onedl"),
        (
            {"sources": ("openmmlab",), "may_use_prebuilt": False},
            "--no-prebuilt excludes",
            "--source openmmlab",
        ),
    ],
)
def test_a_package_or_a_source_that_cannot_be(
    planned: Planned, wishes: dict, words: str, remedy: str
) -> None:
    with pytest.raises(RequestError) as caught:
        planned(**wishes)
    assert words in str(caught.value)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("mmcv", {"torch": "2.1.2", "mmcv": "2.1.0", "mmsegmentation": "1.2.2", "mmengine": "0.10.7"}),
        ("onedl", {"torch": "2.8.0", "onedl-mmcv": "2.3.6"}),
    ],
)
def test_the_other_families_get_their_proven_set(
    planned: Planned, family: str, expected: dict[str, str]
) -> None:
    made = planned(family=family)
    assert made.proof
    assert expected.items() <= versions(made).items()


# Machines -----------------------------------------------------------------------------------------------------

NEW = driver("580.95.05")
# For CUDA 12 there are no wheels of nvcc.
BEFORE_WHEELS = driver("570.124.06")


def test_a_gpu_that_no_set_serves_together_with_the_others_is_left_out(planned: Planned) -> None:
    machine = {"gpus": gpus("sm_86", "sm_120", "sm_75"), "toolkits": (toolkit("11.7"),)}
    made = planned(driver=BEFORE_WHEELS, **machine)
    assert [gpu.architecture for gpu in made.left_out] == ["sm_120"]
    assert made.ops.architectures == ("sm_75", "sm_86")
    (note,) = [note for note in made.notes if "left out" in note]
    assert "GPU sm_120 (sm_120)" in note
    assert "CUDA_VISIBLE_DEVICES=0,2 hides it" in note
    assert planned(driver=NEW, may_patch=False, **machine).left_out == made.left_out
    together = planned(driver=NEW, **machine)
    assert together.left_out == ()
    assert (together.variant, together.ops.architectures) == ("cu130", ("sm_75", "sm_86", "sm_120"))


def test_a_gpu_whose_architecture_is_not_known_is_not_left_out_with_another(planned: Planned) -> None:
    odd = Gpu(2, "NVIDIA Odd", "", 1 << 30)
    made = planned(gpus=(*gpus("sm_86", "sm_120"), odd), driver=BEFORE_WHEELS, toolkits=(toolkit("11.7"),))
    assert [gpu.architecture for gpu in made.left_out] == ["sm_120"]
    assert any("architecture of NVIDIA Odd is not known" in note for note in made.notes)


def test_two_gpus_that_one_set_serves_are_both_served(planned: Planned) -> None:
    made = planned(gpus=gpus("sm_86", "sm_86"), driver=NEW, toolkits=(toolkit("11.7"),))
    assert made.left_out == ()
    assert not any("left out" in note for note in made.notes)


def test_a_mig_slice_is_told(planned: Planned) -> None:
    slices = tuple(Gpu(i, "NVIDIA A100", "sm_80", 10 << 30, mig="1g.10gb") for i in range(2))
    made = planned(gpus=slices, driver=NEW, toolkits=(toolkit("11.7"),))
    (note,) = [note for note in made.notes if "MIG" in note]
    assert "(1g.10gb): a process sees one slice and its memory alone" in note


def test_under_wsl_the_driver_is_that_of_windows(planned: Planned) -> None:
    wsl = OperatingSystem("linux", "Ubuntu 22.04", "5.15", wsl=True)
    facts = {"gpus": gpus("sm_86"), "toolkits": (toolkit("11.7"),), "os": wsl}
    made = planned(driver=driver("452.39"), **facts)
    assert any(note.startswith("under WSL the driver is that of Windows") for note in made.notes)
    with pytest.raises(NoPlanError) as caught:
        planned(driver=driver("452.38"), **facts)
    assert any("with driver 452.39 or newer this fits" in line for line in caught.value.evidence)


A100 = Gpu(0, "NVIDIA A100-SXM4-80GB", "sm_80", 80 << 30)
GEFORCE = Gpu(0, "NVIDIA GeForce RTX 3090", "sm_86", 24 << 30)


@pytest.mark.parametrize(
    ("gpu", "asked", "system", "runs"),
    [
        (A100, True, BARE.os, True),
        (A100, False, BARE.os, False),
        (GEFORCE, True, BARE.os, False),
        (A100, True, OperatingSystem("linux", "Ubuntu", "5.15", wsl=True), False),
    ],
)
def test_forward_compatibility_counts_when_asked_for_and_on_data_centre_gpus_alone(
    planned: Planned, *, gpu: Gpu, asked: bool, system: OperatingSystem, runs: bool
) -> None:
    facts = {"gpus": (gpu,), "driver": driver("470.82.01"), "toolkits": (toolkit("12.4"),), "os": system}
    wishes = {"family": "mmcv", "torch": "2.1", "forward_compatibility": asked}
    if runs:
        assert planned(**facts, **wishes).variant == "cu121"
        return
    with pytest.raises(NoPlanError) as caught:
        planned(**facts, **wishes)
    assert any("cu121 needs driver" in line for line in caught.value.evidence)


def test_a_driver_of_which_only_the_cuda_is_known(planned: Planned) -> None:
    facts = {"gpus": gpus("sm_86"), "toolkits": (toolkit("11.7"),)}
    assert planned(driver=Driver("", "11.4", "override"), **facts).variant == "cu117"
    with pytest.raises(NoPlanError):
        planned(driver=Driver("", "10.2", "override"), **facts)


# Known answers ------------------------------------------------------------------------------------------------


def test_a_v100_on_a_driver_of_today_gets_no_cu130(planned: Planned) -> None:
    kits = tuple(toolkit(version) for version in ("11.8", "12.8", "13.0"))
    for family in ("mmcv-full", "mmcv", "onedl"):
        made = planned(family=family, gpus=gpus("sm_70"), driver=NEW, toolkits=kits)
        assert not made.variant.startswith("cu13")


def test_an_h100_needs_cuda_11_8_or_newer(planned: Planned) -> None:
    made = planned(family="mmcv", gpus=gpus("sm_90"), driver=NEW, trusts_catalog=True, ask=lambda _: {})
    assert int(made.variant.removeprefix("cu")) >= 118
    with pytest.raises(NoPlanError):
        planned(family="mmcv", gpus=gpus("sm_90"), driver=NEW, cuda="cu117", trusts_catalog=True)


DDP = ["copy-stream-of-its-own", "ddp-without-replicated-tensor"]


@pytest.mark.parametrize(
    ("architecture", "kit", "variant", "patches"),
    [
        ("sm_90", "", "cu130", [*DDP, "load-whole-checkpoints"]),
        ("sm_90", "12.4", "cu130", [*DDP, "load-whole-checkpoints"]),
        ("sm_90", "13.0", "cu130", [*DDP, "load-whole-checkpoints"]),
        ("sm_100", "", "cu130", [*DDP, "load-whole-checkpoints"]),
        ("sm_120", "", "cu130", [*DDP, "load-whole-checkpoints"]),
        ("sm_120", "12.4", "cu130", [*DDP, "load-whole-checkpoints"]),
        ("sm_120", "13.0", "cu130", [*DDP, "load-whole-checkpoints"]),
    ],
)
def test_a_new_gpu_gets_mmcv_full_built_with_patches(
    planned: Planned, *, architecture: str, kit: str, variant: str, patches: list[str]
) -> None:
    kits = (toolkit(kit),) if kit else ()
    made = planned(gpus=gpus(architecture), driver=NEW, toolkits=kits)
    assert (made.variant, made.ops.kind, made.ops.architectures) == (variant, "built", (architecture,))
    # CUDA 13 alone has nvcc in wheels, and a toolkit of that very CUDA is used as it is.
    assert bool(made.ops.nvcc_wheels) is (kit != "13.0")
    assert made.cautions == ()
    assert [(patch.name, patch.package) for patch in made.patches] == [
        (name, "mmcv-full") for name in patches
    ]


def test_an_rtx_5090_on_an_older_driver_is_sent_to_onedl(planned: Planned) -> None:
    with pytest.raises(NoPlanError) as caught:
        planned(gpus=gpus("sm_120"), driver=BEFORE_WHEELS)
    told = "\n".join(caught.value.evidence)
    assert "this torch holds no code for GPU sm_120 (sm_120)" in told
    assert "in family onedl this fits" in told


def test_an_rtx_5090_without_patches_is_sent_to_a_build_that_needs_some(planned: Planned) -> None:
    with pytest.raises(NoPlanError) as caught:
        planned(gpus=gpus("sm_120"), driver=NEW, toolkits=(toolkit("13.0"),), may_patch=False)
    (way,) = [line for line in caught.value.evidence if line.startswith("asked for, this fits")]
    assert "mmcv-full 1.7.2 built from source; but" in way
    (way,) = [line for line in caught.value.evidence if line.startswith("without --no-patches this fits")]
    assert way.endswith("torch 2.13.0 cu130, mmcv-full 1.7.2 built from source")


def test_torch_2_2_and_newer_have_no_wheel_of_mmcv_that_mmsegmentation_accepts(planned: Planned) -> None:
    newer = [
        release.series.removesuffix(".0")
        for release in load().torch
        if Version("2.2") <= release.version < Version("2.5")
    ]
    for torch in dict.fromkeys(newer):
        with pytest.raises(NoPlanError) as caught:
            planned(family="mmcv", torch=torch, sources=("openmmlab",), trusts_catalog=True, ask=lambda _: {})
        told = "\n".join(caught.value.evidence)
        assert "mmsegmentation 1.2.2 asserts mmcv >=2.0.0rc4,<2.2.0" in told


def test_an_early_mmcv_full_has_no_wheel_for_python_3_11(planned: Planned) -> None:
    with pytest.raises(NoPlanError):
        planned(python="3.11", wanted=("mmcv-full==1.4.0",), may_build=False, trusts_catalog=True)


def test_an_a100_does_not_get_the_onedl_wheels_that_hold_no_code_for_it(
    planned: Planned, catalog: Catalog
) -> None:
    without = [
        group
        for group in catalog.wheels
        if group.distribution == "onedl-mmcv"
        and group.architectures is not None
        and not any(code == "sm_80" for code in (*group.architectures.sass, *group.architectures.ptx))
    ]
    assert without
    for group in without:
        with pytest.raises(NoPlanError) as caught:
            planned(
                family="onedl",
                gpus=gpus("sm_80"),
                driver=NEW,
                torch=str(group.torch),
                cuda=group.variant,
                may_build=False,
                trusts_catalog=True,
            )
        assert any("hold no code for GPU sm_80" in line for line in caught.value.evidence)
