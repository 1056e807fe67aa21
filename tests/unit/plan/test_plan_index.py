"""Which page has the wheel: what pages list, what the catalogue says instead, and pip's arguments for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bare_machine import BARE, PAGES, TORCH_PAGES, Table, driver, gpus, python, torch_pages, wheel
from packaging.requirements import Requirement

from mmsetup.catalog import Catalog
from mmsetup.catalog.pages import Page
from mmsetup.errors import NoPlanError, RequestError
from mmsetup.plan import Request
from mmsetup.plan.index import WheelIndex, request_beside, wheel_index, without_passwords
from mmsetup.probe.machine import Environment, Machine, TorchFacts

Found = Callable[..., WheelIndex]
CU117 = f"{PAGES}/cu117/torch1.13.0/index.html"
CU117_ALIAS = f"{PAGES}/cu117/torch1.13/index.html"
CU121 = f"{PAGES}/cu121/torch2.1.0/index.html"
BUILDER = "https://miropsota.github.io/torch_packages_builder/mmcv/"
ONEDL = "https://mmwheels.onedl.ai/cu128-torch280/simple/onedl-mmcv/"
PAIR = {"torch": "1.13.1", "cuda": "cu117", "python": "3.10"}
NEW_PAIR = {"family": "mmcv", "torch": "2.1.2", "cuda": "cu121", "python": "3.10"}


@pytest.fixture
def found(catalog: Catalog) -> Found:
    """Find the page for the bare machine with changes."""

    def make(
        *, ask: Any = None, has_torch: bool = False, machine: Machine = BARE, **wishes: Any
    ) -> WheelIndex:
        facts = {name: wishes.pop(name) for name in list(wishes) if name in Machine.__dataclass_fields__}
        request = Request(**wishes)
        return wheel_index(
            replace(machine, **facts), catalog, request, has_torch=has_torch, ask=ask or (lambda _: {})
        )

    return make


@pytest.mark.parametrize(
    ("wishes", "url"),
    [
        (PAIR, CU117),
        ({"torch": "1.12.1", "cuda": "cu102", "python": "3.9"}, f"{PAGES}/cu102/torch1.12.0/index.html"),
        ({"torch": "1.13", "cuda": "cpu"}, f"{PAGES}/cpu/torch1.13.0/index.html"),
        (NEW_PAIR, CU121),
        ({"family": "onedl", "torch": "2.8", "cuda": "cu128", "python": "3.10"}, ONEDL),
    ],
)
def test_the_page_of_a_pair_by_the_catalogue_alone(found: Found, wishes: dict[str, str], url: str) -> None:
    answer = found(**wishes)
    assert answer.url == url
    best = answer.candidates[0]
    assert (best.url, best.answered, best.outcome) == (url, None, "not asked")
    assert best.certainty == "documented"
    assert answer.plan.unconfirmed


def test_every_pair_that_openmmlab_documents_gives_its_page(found: Found, catalog: Catalog) -> None:
    documented = [
        group
        for group in catalog.wheels
        if (group.index, group.platform, group.certainty) == ("openmmlab", "linux-x86_64", "documented")
    ]
    assert len(documented) > 50
    wrong = []
    for group in documented:
        family = {"mmcv-full": "mmcv-full", "mmcv": "mmcv"}[group.distribution]
        series = ".".join(str(group.torch).split(".")[:2])
        wish = f"{group.distribution}=={group.versions[-1]}"
        without = ("mmsegmentation", "mmcls") if family == "mmcv-full" else ("mmsegmentation",)
        page = f"{PAGES}/{group.variant}/torch{group.torch}/index.html"
        try:
            answer = found(family=family, torch=series, cuda=group.variant, wanted=(wish,), without=without)
        except NoPlanError as error:
            wrong.append((wish, page, error.evidence[0]))
            continue
        if answer.url != page:
            wrong.append((wish, page, answer.url))
    assert wrong == []


# What a page lists wins ---------------------------------------------------------------------------------------


def test_what_a_page_lists_wins_over_the_catalogue(found: Found) -> None:
    answer = found(ask=Table({CU117: [wheel("1.6.2"), wheel("1.7.2")]}), **PAIR)
    best = answer.candidates[0]
    assert (best.ops, best.answered, best.outcome, best.certainty) == ("1.7.2", True, "answered", "listed")
    assert answer.plan.choice("mmcv-full").file == wheel("1.7.2")
    assert answer.plan.unconfirmed == ()


def test_that_a_page_lists_more_and_less_than_the_catalogue_says_is_told(found: Found) -> None:
    notes = found(ask=Table({CU117: [wheel("1.6.2"), wheel("1.7.1")]}), **PAIR).plan.notes
    told = [note for note in notes if "than the catalogue says" in note]
    assert told == [
        "openmmlab lists more for this pair than the catalogue says: mmcv-full 1.6.2",
        "openmmlab lists less for this pair than the catalogue says: mmcv-full 1.7.0",
    ]
    same = found(ask=Table({CU117: [wheel("1.7.0"), wheel("1.7.1")]}), **PAIR).plan.notes
    assert not any("than the catalogue says" in note for note in same)


def test_a_version_that_a_page_does_not_list_is_not_had_though_the_catalogue_names_it(found: Found) -> None:
    with pytest.raises(NoPlanError) as caught:
        found(ask=Table({CU117: []}, missing=None), **PAIR)
    told = "\n".join(caught.value.evidence)
    assert "torch 1.13.1 cu117, mmcv-full 1.7.1 from openmmlab" not in told
    assert "openmmlab lists no wheel of mmcv-full for Python 3.10" in told


@pytest.mark.parametrize(
    "tag",
    [
        "cp39-cp39-manylinux1_x86_64",
        "cp310-cp310-win_amd64",
        "cp310-cp310-manylinux_2_39_x86_64",
        "cp310-cp310-manylinux2014_aarch64",
    ],
)
def test_a_wheel_for_another_python_or_machine_is_none(found: Found, tag: str) -> None:
    with pytest.raises(NoPlanError):
        found(ask=Table({CU117: [wheel("1.7.2", tag)]}, missing=None), **PAIR)


def test_a_page_that_cannot_be_read_is_taken_at_the_word_of_the_catalogue(found: Found) -> None:
    answer = found(ask=Table(), **PAIR)
    best = answer.candidates[0]
    assert (answer.url, best.answered, best.outcome) == (CU117, False, "no answer")
    assert (best.ops, best.certainty) == ("1.7.1", "documented")
    assert "mmcv-full" in answer.plan.unconfirmed


def test_a_page_that_is_not_there_is_not_taken_at_the_word_of_the_catalogue(found: Found) -> None:
    with pytest.raises(NoPlanError):
        found(ask=Table(missing=None), **PAIR)


def test_where_the_usual_page_is_not_there_its_alias_is_read(found: Found) -> None:
    table = Table({CU117_ALIAS: [wheel("1.7.1")]}, missing=[CU117])
    answer = found(ask=table, **PAIR)
    assert answer.url == CU117_ALIAS
    assert answer.plan.choice("mmcv-full").file == wheel("1.7.1")
    assert CU117 in table.rounds[0]
    assert CU117_ALIAS not in table.rounds[0]
    (report,) = [report for report in answer.plan.sources if report.url == CU117_ALIAS]
    assert (report.source, report.answered) == ("openmmlab", True)


def test_the_alias_is_not_asked_where_the_usual_page_answers_or_is_silent(found: Found) -> None:
    for table in (Table({CU117: [wheel("1.7.1")]}), Table()):
        found(ask=table, **PAIR)
        assert CU117_ALIAS not in table.asked


def test_pages_are_asked_in_the_order_of_what_they_would_confirm(found: Found) -> None:
    table = Table()
    found(ask=table, python="3.10", torch="1.13")
    assert table.rounds[0][0].startswith(PAGES) or table.rounds[0][0].startswith(TORCH_PAGES)
    first = [url for url in table.rounds[0] if url.startswith(PAGES)]
    assert set(first[:2]) <= {CU117, f"{PAGES}/cpu/torch1.13.0/index.html"}


# Local version parts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("local", "fits"),
    [
        ("", True),
        ("pt1.13.1cu117", True),
        ("pt1.13.0cu117", True),
        ("pt1.13cu117", True),
        ("torch1.13.0.cu117", True),
        ("cu117", True),
        ("pt1.13.1cu116", False),
        ("pt1.12.1cu117", False),
        ("cpu", False),
        ("pt2.8.0cu128", False),
        ("something", False),
    ],
)
def test_a_local_version_part_must_name_the_pair(found: Found, local: str, fits: bool) -> None:
    file = wheel("1.7.1" + (f"+{local}" if local else ""))
    table = Table({CU117: [file]}, missing=None)
    if not fits:
        with pytest.raises(NoPlanError):
            found(ask=table, **PAIR)
        return
    answer = found(ask=table, **PAIR)
    assert answer.plan.choice("mmcv-full").file == file
    assert f"mmcv-full==1.7.1{'+' + local if local else ''}" in answer.pip


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_of_wheels_of_one_version_that_for_the_very_release_of_torch_is_chosen(
    found: Found, order: tuple[int, ...]
) -> None:
    files = [wheel(f"1.7.1{local}") for local in ("", "+pt1.13.0cu117", "+pt1.13.1cu117")]
    answer = found(ask=Table({CU117: [files[n] for n in order]}, missing=None), **PAIR)
    assert answer.plan.choice("mmcv-full").file == files[2]


@pytest.mark.parametrize(
    ("torch", "local", "fits"),
    [
        ("2.4.1", "pt2.4.1cu121", True),
        ("2.4.1", "pt2.4.0cu121", False),
        ("2.4.1", "pt2.4.1cu118", False),
        ("2.4.1", "pt2.4.1cpu", False),
        ("2.4.1", "", False),
        ("2.8.0", "pt2.8.0cu128", True),
        ("2.8.0", "pt2.8.0cu126", False),
    ],
)
def test_on_a_page_for_all_pairs_the_local_part_names_torch_s_very_release(
    found: Found, torch: str, local: str, fits: bool
) -> None:
    version = "2.2.0" + (f"+{local}" if local else "")
    file = wheel(version, "cp310-cp310-linux_x86_64", name="mmcv")
    wishes = {
        "family": "mmcv",
        "without": ("mmsegmentation",),
        "sources": ("miropsota",),
        "torch": torch,
        "cuda": {"2.4.1": "cu121", "2.8.0": "cu128"}[torch],
        "python": "3.10",
    }
    table = Table({BUILDER: [file]}, missing=None)
    if not fits:
        with pytest.raises(NoPlanError):
            found(ask=table, **wishes)
        return
    answer = found(ask=table, **wishes)
    assert answer.url == BUILDER
    assert answer.plan.choice("mmcv").file == file
    assert f"mmcv=={version}" in answer.pip
    assert answer.pip[answer.pip.index("--extra-index-url") + 1] == BUILDER.removesuffix("/mmcv/")


# Mirrors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "wishes", "below"),
    [
        ("openmmlab", PAIR, "/mmcv/dist/cu117/torch1.13.0/index.html"),
        (
            "onedl",
            {"family": "onedl", "torch": "2.8", "cuda": "cu128", "python": "3.10"},
            "/cu128-torch280/simple/onedl-mmcv/",
        ),
        (
            "miropsota",
            {
                "family": "mmcv",
                "without": ("mmseg",),
                "sources": ("miropsota",),
                "torch": "2.4.1",
                "cuda": "cu121",
            },
            "/mmcv/",
        ),
    ],
)
def test_each_source_can_be_replaced_by_a_mirror(
    found: Found, name: str, wishes: dict[str, Any], below: str
) -> None:
    for base in ("https://mirror.test/base", "https://mirror.test/base/"):
        answer = found(mirrors={name: base}, **wishes)
        assert answer.url == f"https://mirror.test/base{below}"


def test_a_mirror_of_torch_stands_in_pip_s_arguments(found: Found) -> None:
    wishes = {"torch": "1.13.1", "cuda": "cpu", "python": "3.10"}
    answer = found(mirrors={"pytorch": "https://mirror.test/whl/"}, **wishes)
    assert answer.pip[:4] == (
        "torch==1.13.1+cpu",
        "torchvision==0.14.1+cpu",
        "--extra-index-url",
        "https://mirror.test/whl/cpu",
    )


def test_a_mirror_may_have_pages_that_the_catalogue_does_not_know(found: Found) -> None:
    page = "https://mirror.test/mmcv/dist/cpu/torch2.4.0/index.html"
    file = wheel("2.1.0", "cp311-cp311-linux_x86_64", name="mmcv")
    pages = {page: [file], **torch_pages("cpu", "2.4.1", "0.19.1", "cp311-cp311-linux_x86_64")}
    table = Table(pages, missing=None)
    answer = found(
        ask=table,
        family="mmcv",
        torch="2.4.1",
        cuda="cpu",
        python="3.11",
        mirrors={"openmmlab": "https://mirror.test"},
    )
    assert (answer.url, answer.plan.choice("mmcv").file) == (page, file)


def test_passwords_of_a_mirror_are_pip_s_and_nobody_else_s(found: Found) -> None:
    answer = found(mirrors={"openmmlab": "https://user:secret@mirror.test"}, **PAIR)
    assert answer.url.startswith("https://user:secret@mirror.test/")
    assert any("secret" in word for word in answer.pip)
    assert "secret" not in repr(answer.plan)
    told = without_passwords(answer)
    assert "secret" not in repr(told)
    assert told.url.startswith("https://mirror.test/")


# pip's arguments ----------------------------------------------------------------------------------------------


def test_the_arguments_for_pip_name_every_package_and_the_page(found: Found) -> None:
    words = found(ask=Table({CU117: [wheel("1.7.1")]}), **PAIR).pip
    assert words[:2] == ("torch==1.13.1", "torchvision==0.14.1")
    assert words[words.index("mmcv-full==1.7.1") :][:5] == (
        "mmcv-full==1.7.1",
        "--find-links",
        CU117,
        "--only-binary",
        "mmcv-full",
    )
    assert {"mmsegmentation==0.30.0", "mmcls==0.25.0", "numpy<2", "yapf<0.40.2"} <= set(words)
    assert "opencv-python-headless<4.12" in words
    assert "opencv-python<4.12" not in words
    options = {"--find-links": 1, "--only-binary": 1, "--extra-index-url": 1}
    rest = [
        word
        for before, word in zip(("", *words), words, strict=False)
        if word not in options and before not in options
    ]
    names = [Requirement(word).name for word in rest]
    assert len(set(names)) == len(names)
    assert not any(" " in word for word in words)


def test_where_torch_is_there_it_stays_out_of_the_arguments(found: Found) -> None:
    words = found(has_torch=True, ask=Table({CU117: [wheel("1.7.1")]}), **PAIR).pip
    assert words[0] == "mmcv-full==1.7.1"
    assert not any(word.startswith("torch") for word in words)


def test_without_a_plan_nothing_is_built_instead(found: Found) -> None:
    with pytest.raises(NoPlanError) as caught:
        found(torch="2.5", python="3.11", family="mmcv-full")
    assert any("a build is excluded" in line for line in caught.value.evidence)


def test_every_candidate_is_told_once_the_best_first(found: Found) -> None:
    answer = found(gpus=gpus("sm_86"), driver=driver("535.104.05"))
    assert len(answer.candidates) == len(set(answer.candidates)) > 5
    assert answer.candidates[0].url == answer.url
    assert {page.source for page in answer.candidates} == {"openmmlab"}


# Beside an environment ----------------------------------------------------------------------------------------


def beside(version: str, variant: str, **facts: Any) -> Environment:
    torch = TorchFacts(version, "11.7", variant, None, (), (), Path("/env/torch"), **facts)
    return Environment(Path("/env"), python("3.9.18"), (), (), torch)


def test_the_torch_and_the_python_of_an_environment_are_asked_for() -> None:
    request = request_beside(beside("1.13.1+cu117", "cu117"), Request())
    assert (request.torch, request.cuda, request.python) == ("1.13.1", "cu117", "3.9")


def test_ops_for_another_torch_than_the_environment_has_are_refused() -> None:
    agreeing = Request(torch="1.13", cuda="cu117", python="3.9", family="mmcv")
    assert request_beside(beside("1.13.1+cu117", "cu117"), agreeing) == replace(agreeing, torch="1.13.1")
    for other in (Request(torch="2.0"), Request(cuda="cpu")):
        with pytest.raises(RequestError, match="another one were asked for"):
            request_beside(beside("1.13.1+cu117", "cu117"), other)


def test_an_environment_without_torch_asks_for_nothing() -> None:
    empty = replace(beside("1.13.1", "cu117"), torch=None)
    assert request_beside(empty, Request()) == Request()


@pytest.mark.parametrize(
    ("version", "vendor", "words"),
    [
        ("2.3.0a0+ebedce2", True, "NVIDIA's own build"),
        ("2.4.0.dev20240601+cu121", False, "no release"),
        ("2.3.0a0+git1234", False, "no release"),
    ],
)
def test_a_torch_that_nobody_makes_wheels_for_is_refused(version: str, vendor: bool, words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        request_beside(beside(version, "cu121", is_vendor_build=vendor), Request())
    assert version in str(caught.value)


def test_a_page_from_the_cache_is_told_with_its_age(found: Found) -> None:
    def kept(urls: Any) -> dict[str, Page]:
        return {url: Page(url, (wheel("1.7.1"),), age=90.4) for url in urls if url == CU117}

    answer = found(ask=kept, offline=True, **PAIR)
    assert answer.candidates[0].age_seconds == 90
    (report,) = answer.plan.sources
    assert report.age == 90


def test_what_has_to_be_patched_is_nothing_for_pip(found: Found) -> None:
    wishes = {"family": "mmcv", "torch": "2.8", "wanted": ("mmdet",)}
    patches = ("mmseg-admits-mmcv22", "mmdet-admits-mmcv22")
    answer = found(**wishes, patches=patches)
    assert {patch.package for patch in answer.plan.patches} == {"mmsegmentation", "mmdet"}
    named = {word.partition("==")[0] for word in answer.pip}
    assert {"mmcv", "mmengine", "torch"} <= named
    assert not {"mmsegmentation", "mmdet"} & named
    assert "mmcv==2.2.0" in answer.ops
    with pytest.raises(NoPlanError) as caught:
        found(**wishes)
    assert any(
        line.startswith(f"with --patch {' --patch '.join(patches)} ") for line in caught.value.evidence
    )
