from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from bare_machine import BARE, PAGES, Table, driver, gpus, python, toolkit, wheel

from mmsetup.catalog import Catalog, IndexFile, Page
from mmsetup.errors import InterpreterError, NoPlanError, RequestError
from mmsetup.plan import Plan, Request
from mmsetup.plan.account import requirements
from mmsetup.plan.interpreter import planned as planned_for
from mmsetup.probe.machine import Machine
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
    }
    assert (made.python, made.variant, made.ops.kind) == ("3.10", "cu117", "built")
    assert made.proof
    assert made.interpreter == BARE.interpreters[0]
    assert all(choice.reason and choice.evidence for choice in made.choices)
    assert {bound.package for bound in made.bounds} >= {"numpy", "setuptools"}
    assert {"numpy", "setuptools", "pillow", "opencv-python-headless"} <= set(made.brings)
    assert "opencv-python" not in made.brings
    assert json.loads(dump(document("mmsetup.plan/1", made)))["ops"]["kind"] == "built"


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
    torch = [IndexFile("torch-1.13.1+cpu-cp310-cp310-linux_x86_64.whl", "https://files.test/t")]
    vision = [IndexFile("torchvision-0.14.1+cpu-cp310-cp310-linux_x86_64.whl", "https://files.test/v")]
    pages = {
        "https://download.pytorch.org/whl/cpu/torch/": torch,
        "https://download.pytorch.org/whl/cpu/torchvision/": vision,
    }
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


def test_a_new_gpu_is_refused_with_the_torch_that_would_do_when_asked_for(planned: Planned) -> None:
    with pytest.raises(NoPlanError) as caught:
        planned(gpus=gpus("sm_90"), driver=driver("580.95.05"), toolkits=(toolkit("12.4"),))
    command = caught.value.remedy
    assert command.startswith("mmsetup plan --torch 2.")
    asked = command.removeprefix("mmsetup plan --torch ")
    made = planned(gpus=gpus("sm_90"), driver=driver("580.95.05"), toolkits=(toolkit("12.4"),), torch=asked)
    assert made.cautions
    assert made.ops.architectures == ("sm_90",)


def test_a_gpu_machine_without_nvcc_says_which_it_needs(planned: Planned) -> None:
    with pytest.raises(NoPlanError) as caught:
        planned(gpus=gpus("sm_86"), driver=driver("535.104.05"), torch="1.13.1")
    assert any("needs an nvcc of CUDA 11, here is none" in line for line in caught.value.evidence)


def test_the_variant_that_runs_old_and_new_gpus_together(planned: Planned) -> None:
    both = {"driver": driver("580.95.05"), "toolkits": (toolkit("11.7"), toolkit("12.4"))}
    with pytest.raises(NoPlanError) as caught:
        planned(gpus=gpus("sm_35", "sm_90"), **both)
    assert any("holds no code for GPU sm_35" in line for line in caught.value.evidence)
    assert planned(gpus=gpus("sm_70", "sm_86"), **both).variant == "cu117"


def test_offline_asks_no_page(planned: Planned) -> None:
    table = Table()
    made = planned(ask=table, offline=True)
    assert (table.asked, made.sources) == ([], ())
    assert made.choice("mmcv-full").reason == "built from source: offline"


def test_a_mirror_is_asked_in_place_of_the_source(planned: Planned) -> None:
    address = "http://mirror.test/base/mmcv/dist/cu117/torch1.13.0/index.html"
    table = Table({address: [wheel("1.7.2")]})
    made = planned(ask=table, mirrors={"openmmlab": "http://mirror.test/base/"})
    assert made.ops.kind == "prebuilt"
    assert not any("openmmlab.com" in url for url in table.asked)
    assert next(report for report in made.sources if report.url == address).source == "openmmlab"


def test_the_pages_that_matter_most_are_asked_and_not_too_many(planned: Planned) -> None:
    table = Table()
    planned(ask=table)
    assert len(table.asked) <= 16
    assert CU117 in table.asked
    assert len(set(table.asked)) == len(table.asked)


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
    made = planned()
    told = [(found.rule, found.reason) for found in made.rejections]
    assert len(told) == len(set(told)) < 24
    assert sum(found.others for found in made.rejections) > 1000


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
        ({"cuda": "11.7"}, RequestError, 2, "no torch has a CUDA variant '11.7'", "mmsetup plan --cuda cu"),
        ({"python": "abc"}, RequestError, 2, "'abc' is no version of Python", "mmsetup plan --python 3."),
        ({"python": "3.99"}, InterpreterError, 13, "no torch has wheels for Python 3.99", "mmsetup plan "),
        ({"python": "2.7"}, InterpreterError, 13, "no torch has wheels for Python 2.7", "mmsetup plan "),
        ({"python": "/no/python"}, InterpreterError, 13, "not a Python that can be run", "mmsetup probe"),
        ({"mirrors": {"openmmlab": "/tmp/x"}}, RequestError, 2, "is no address", "--mirror https://"),
        ({"mirrors": {"openmmlab": "http://[x"}}, RequestError, 2, "is no address", "--mirror https://"),
        ({"mirrors": {"openmmlab": "http://a b/"}}, RequestError, 2, "is no address", "--mirror https://"),
        ({"may_build": False, "may_use_prebuilt": False}, RequestError, 2, "neither a build", "--no-build"),
        ({"may_build": False}, NoPlanError, 3, "fits this machine", "mmsetup plan"),
        ({"python": "3.13"}, NoPlanError, 3, "with Python 3.13", "mmsetup plan"),
        (
            {"cuda": "cu117", "torch": "2.4"},
            NoPlanError,
            3,
            "with torch 2.4, CUDA cu117",
            "mmsetup plan --cuda cu117",
        ),
        ({"cuda": "cu121"}, NoPlanError, 3, "with CUDA cu121", "mmsetup plan"),
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
    assert caught.value.remedy == "mmsetup plan"
    assert len(caught.value.evidence) < 10


def test_of_two_wishes_each_is_tried_alone_and_then_both(planned: Planned) -> None:
    with pytest.raises(NoPlanError) as caught:
        planned(may_build=False, python="3.13")
    assert "without --no-build and --python this fits" in caught.value.evidence[-1]
    with pytest.raises(NoPlanError) as caught:
        planned(cuda="cu117", torch="2.4")
    ways = [line for line in caught.value.evidence if line.startswith("without")]
    assert [line.split(" this fits")[0] for line in ways] == ["without --torch", "without --cuda"]


def test_where_nothing_at_all_fits_the_machine_is_shown(planned: Planned) -> None:
    with pytest.raises(NoPlanError) as caught:
        planned(cpu=replace(BARE.cpu, architecture="aarch64"))
    assert caught.value.remedy.startswith("mmsetup probe")
    assert any("linux aarch64; nearest: linux x86_64" in line for line in caught.value.evidence)


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
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def silent(urls, seconds: float):
        asked.append(list(urls))
        return {url: Page(url, error="no answer") for url in asked[-1]}

    monkeypatch.setattr("mmsetup.plan.interpreter.read_pages", silent)
    monkeypatch.setenv("UV_PYTHON_INSTALL_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", "/nonexistent")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    here: Machine = replace(BARE, interpreters=(python("3.9.18"),))
    made, machine = planned_for(Request(), here, catalog, fetch_python=True)
    assert made.interpreter == python("3.9.18")
    assert machine == here
    assert any("planned for one that is here" in note for note in made.notes)
    assert len({url for urls in asked for url in urls}) == sum(map(len, asked))
    with pytest.raises(InterpreterError, match=r"no Python 3\.10 is here"):
        planned_for(Request(python="3.10"), here, catalog, fetch_python=True)
