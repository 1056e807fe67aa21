"""What a project wants, as far as the machine can give it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from bare_machine import BARE, driver, gpus, python, toolkit
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from mmsetup.catalog import Catalog
from mmsetup.plan import Request
from mmsetup.plan.choose import plan
from mmsetup.plan.for_project import ProjectRequest, request_for
from mmsetup.project import ProjectWish

Asked = Callable[..., ProjectRequest]


def wish(family: str = "mmcv-full", *requirements: str, packages: tuple[str, ...] = ()) -> ProjectWish:
    return ProjectWish("project", family, packages, requirements, (), (), 1, ())


@pytest.fixture
def asked(catalog: Catalog) -> Asked:
    def make(
        wanted: ProjectWish, request: Request | None = None, *, named: bool = False, **facts: Any
    ) -> ProjectRequest:
        machine = replace(BARE, **facts)
        return request_for(wanted, request or Request(), machine, catalog, named=named)

    return make


def test_the_family_and_the_packages_of_a_project(asked: Asked) -> None:
    made = asked(wish("mmcv", packages=("mmdet",)))
    assert (made.request.family, made.request.wanted) == ("mmcv", ("mmdet",))
    assert (made.kept, made.dropped) == ((), ())


def test_packages_are_named_by_the_distributions_of_the_family(asked: Asked) -> None:
    assert asked(wish("onedl", packages=("mmdet",))).request.wanted == ("onedl-mmdetection",)


def test_a_package_that_is_no_part_of_the_family_is_left_alone(asked: Asked) -> None:
    assert asked(wish(packages=("mmdet", "mmpose_of_somebody"))).request.wanted == ("mmdet",)


def test_a_family_that_was_named_stays(asked: Asked) -> None:
    made = asked(wish("mmcv-full", packages=("mmdet",)), Request(family="onedl"), named=True)
    assert (made.request.family, made.request.wanted) == ("onedl", ("onedl-mmdetection",))


def test_a_family_that_nobody_knows_keeps_nothing(asked: Asked) -> None:
    made = asked(wish("mmcv4", "torch==1.13.1"))
    assert made == ProjectRequest(Request(), (), ("torch==1.13.1",))


@pytest.mark.parametrize(
    ("line", "request_"),
    [
        ("torch==1.12.1", {"torch": "1.12.1"}),
        ("torch==1.12.1+cu113", {"torch": "1.12.1"}),
        ("torch==1.12.*", {"torch": "1.12"}),
        ("python==3.9", {"python": "3.9"}),
        ("cuda==11.3", {"cuda": "11.3"}),
        ("mmcv-full==1.6.0", {"wanted": ("mmcv-full==1.6.0",)}),
        ("mmcv==1.6.0", {"wanted": ("mmcv-full==1.6.0",)}),
        ("mmcv-full>=1.5,<1.7", {"wanted": ("mmcv-full<1.7,>=1.5",)}),
        ("mmseg==0.29.1", {"wanted": ("mmsegmentation==0.29.1",)}),
    ],
)
def test_a_version_that_can_be_had_is_kept(asked: Asked, line: str, request_: dict[str, Any]) -> None:
    made = asked(wish("mmcv-full", line))
    assert (made.kept, made.dropped) == ((line,), ())
    assert made.request == Request(**request_)


@pytest.mark.parametrize(
    "line",
    [
        "torch==9.9.9",
        "cuda==11.2",
        "python==2.7",
        "mmcv-full==9.0",
        "numpy==1.23.5",
        "mmcv-full==1.0.0",
    ],
)
def test_a_version_that_cannot_be_had_is_dropped_and_told(asked: Asked, line: str) -> None:
    made = asked(wish("mmcv-full", line), Request(may_build=True, python="3.11"))
    assert (made.kept, made.dropped) == ((), (line,))
    assert made.request == Request(python="3.11")


def test_a_range_and_a_version_within_it_are_both_kept(asked: Asked, catalog: Catalog) -> None:
    lines = ("mmcv-full>=1.3.7,<=1.4.0", "torch==1.7.1", "mmcv-full==1.3.9", "mmsegmentation==0.16.0")
    made = asked(wish("mmcv-full", *lines))
    assert (made.kept, made.dropped) == (lines, ())
    planned = plan(BARE, catalog, replace(made.request, trusts_catalog=True), ask=lambda _: {})
    assert planned.choice("mmcv-full").version == "1.3.9"
    assert planned.choice("mmsegmentation").version == "0.16.0"


def test_what_code_asserts_beats_what_its_readme_says(asked: Asked, catalog: Catalog) -> None:
    made = asked(wish("mmcv-full", "mmcv-full>=1.1.4,<=1.3.0", "torch==1.13.1", "mmcv-full==1.7.1"))
    assert made.kept == ("mmcv-full>=1.1.4,<=1.3.0",)
    assert made.dropped == ("torch==1.13.1", "mmcv-full==1.7.1")
    planned = plan(BARE, catalog, replace(made.request, trusts_catalog=True), ask=lambda _: {})
    assert Version(planned.choice("mmcv-full").version) <= Version("1.3.0")


def test_a_copy_of_what_was_never_released_is_left_free(asked: Asked) -> None:
    made = asked(wish("mmcv-full", "mmcv-full==1.7.0", "mmsegmentation==0.11.7"))
    assert made.request.wanted == ("mmcv-full==1.7.0",)
    assert made.dropped == ("mmsegmentation==0.11.7",)


@pytest.mark.parametrize(
    ("lines", "torch", "counts"),
    [
        (("torchvision==0.13.1",), "1.12.1", (1, 0)),
        (("torchvision==0.13.1+cu113",), "1.12.1", (1, 0)),
        (("torchvision==0.13.*",), "1.12.1", (1, 0)),
        (("torchvision==0.13.1", "torch==1.12.1"), "1.12.1", (2, 0)),
        (("torch==1.12.*", "torchvision==0.13.1"), "1.12.1", (2, 0)),
        (("torch==1.12.1", "torchvision==0.14.1"), "1.12.1", (1, 1)),
        (("torch==1.12.1", "torchvision>=0.13,<0.14"), "1.12.1", (2, 0)),
        (("torch==1.12.1", "torchvision>=0.14"), "1.12.1", (1, 1)),
        (("torchvision==9.9.9",), "", (0, 1)),
        (("torchvision>=0.1",), "", (1, 0)),
    ],
)
def test_a_torchvision_is_asked_for_by_its_torch(
    asked: Asked, catalog: Catalog, lines: tuple[str, ...], torch: str, counts: tuple[int, int]
) -> None:
    made = asked(wish("mmcv-full", *lines))
    assert made.request.torch == torch
    assert (len(made.kept), len(made.dropped)) == counts
    planned = plan(BARE, catalog, replace(made.request, trusts_catalog=True), ask=lambda _: {})
    told = [
        SpecifierSet(line.removeprefix("torchvision").partition("+")[0]) for line in lines if "vis" in line
    ]
    assert all(one.contains(planned.choice("torchvision").version) for one in told) is (counts[1] == 0)


def test_a_torchvision_that_is_planned_is_not_told_as_dropped(asked: Asked) -> None:
    made = asked(wish("mmcv", "torchvision==0.16.0"), Request(torch="2.1.0", cuda="cu118"))
    assert (made.kept, made.dropped) == (("torchvision==0.16.0",), ())
    assert made.request.torch == "2.1.0"


def test_a_version_that_was_asked_for_in_other_words_is_kept(asked: Asked) -> None:
    request = Request(torch="1.12.1", python="3.9", cuda="cu113", wanted=("mmcv-full==1.6.0",))
    lines = ("torch==1.12.*", "python==3.9", "cuda==11.3", "mmcv==1.6.0")
    made = asked(wish("mmcv-full", *lines), request)
    assert (made.request, made.kept, made.dropped) == (request, lines, ())


def test_of_versions_that_exclude_each_other_the_first_is_kept(asked: Asked, catalog: Catalog) -> None:
    made = asked(wish("mmcv-full", "mmsegmentation==0.30.0", "mmcv-full==1.3.9", "torch==1.13.1"))
    assert made.kept == ("mmsegmentation==0.30.0", "torch==1.13.1")
    assert made.dropped == ("mmcv-full==1.3.9",)
    planned = plan(BARE, catalog, made.request, ask=lambda _: {})
    assert planned.choice("mmsegmentation").version == "0.30.0"
    assert planned.torch.version == "1.13.1"


def test_what_is_kept_depends_on_the_machine(asked: Asked) -> None:
    old = wish("mmcv", "torch==1.13.1")
    assert (
        asked(old, gpus=gpus("sm_86"), driver=driver("535.104.05"), toolkits=(toolkit("11.7"),)).dropped == ()
    )
    new = asked(old, gpus=gpus("sm_90"), driver=driver("535.104.05"), toolkits=(toolkit("12.4"),))
    assert new.dropped == ("torch==1.13.1",)


def test_a_version_that_was_asked_for_beside_the_project_stays(asked: Asked) -> None:
    request = Request(torch="1.12.1", python="3.9", wanted=("mmcv-full==1.7.0",))
    made = asked(wish("mmcv-full", "torch==1.13.1", "python==3.10", "mmcv-full==1.6.0"), request)
    assert made.request == request
    assert made.kept == ()
    assert made.dropped == ("torch==1.13.1", "python==3.10", "mmcv-full==1.6.0")


def test_a_package_that_was_asked_for_is_not_asked_for_twice(asked: Asked) -> None:
    made = asked(wish(packages=("mmdet",)), Request(wanted=("mmdet==2.25.0",)))
    assert made.request.wanted == ("mmdet==2.25.0",)


def test_a_package_that_is_left_out_is_not_asked_for(asked: Asked, catalog: Catalog) -> None:
    made = asked(wish("mmcv-full", "torch==1.13.1", packages=("mmdet",)), Request(without=("mmdet",)))
    assert made.request.wanted == ()
    assert made.kept == ("torch==1.13.1",)
    assert plan(BARE, catalog, made.request, ask=lambda _: {}).torch.version == "1.13.1"


def test_pins_and_packages_meet_in_one_wish(asked: Asked) -> None:
    made = asked(wish("mmcv-full", "mmdet==2.25.0", packages=("mmdet",)))
    assert made.request.wanted == ("mmdet==2.25.0",)
    assert made.kept == ("mmdet==2.25.0",)


def test_an_interpreter_by_its_path_stays_with_a_project(asked: Asked) -> None:
    path = str(python("3.10.13").path)
    made = asked(wish("mmcv-full", "python==3.9", "torch==1.13.1"), Request(python=path))
    assert made.request.python == path
    assert made.dropped == ("python==3.9",)
    assert made.kept == ("torch==1.13.1",)
