"""Each rule alone: what it lets pass, what it excludes and with which words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from typing import Any

import pytest
from bare_machine import BARE, driver, gpus, python, toolkit
from packaging.version import Version

from mmsetup.catalog import Break, Catalog, WheelGroup
from mmsetup.catalog.links import IndexFile
from mmsetup.catalog.model import Architectures
from mmsetup.catalog.pages import Page
from mmsetup.plan import Request
from mmsetup.plan.builds import DEFAULT_INDEX, TorchBuild, torch_builds
from mmsetup.plan.candidate import Candidate, cuda_of
from mmsetup.plan.code import Code
from mmsetup.plan.offers import Offer, wheel_on
from mmsetup.plan.rules import BUILD_RULES, OPS_RULES, TORCH_PAGE, torch_page
from mmsetup.plan.selection import Selection, torch_addresses
from mmsetup.plan.situation import Situation
from mmsetup.probe.machine import Driver, Gpu, Libc, Machine, OperatingSystem

Judged = Callable[..., str | None]
OPS = dict(OPS_RULES)
NAMES = {*(rule.name for rule in BUILD_RULES), *OPS, TORCH_PAGE}
CODE = Code(Version("1.7.2"), (("mmsegmentation", Version("0.30.0")),), 0, (), ())


def situation_of(
    catalog: Catalog,
    machine: Machine = BARE,
    request: Request | None = None,
    pages: dict[str, Page] | None = None,
    family: str = "mmcv-full",
) -> Situation:
    known = catalog.family(family)
    assert known is not None
    return Situation(machine, catalog, known, request or Request(), pages or {}, machine.gpus)


def build_of(
    catalog: Catalog, torch: str = "1.13.1", platform: str = "linux-x86_64", **changes: Any
) -> TorchBuild:
    release = next(found for found in catalog.torch if str(found.version) == torch)
    wheels = release.platforms.get(platform)
    variant = wheels.default_variant if wheels else "cpu"
    build = TorchBuild(release, wheels, variant, DEFAULT_INDEX, "3.10", python("3.10.13"))
    return replace(build, **changes)


@pytest.fixture
def judged(catalog: Catalog) -> Judged:
    """Ask one rule about a build of torch, or a set with it, on a machine; give its reason."""

    def ask(
        rule: str,
        *,
        torch: str = "1.13.1",
        platform: str = "linux-x86_64",
        machine: Machine = BARE,
        request: Request | None = None,
        pages: dict[str, Page] | None = None,
        offer: Offer | None = None,
        breaks: tuple[Break, ...] = (),
        **attributes: Any,
    ) -> str | None:
        build = build_of(catalog, torch, platform, **attributes)
        situation = situation_of(catalog, machine, request, pages)
        if rule == TORCH_PAGE:
            return torch_page(build, situation, torch_addresses(build, situation))
        if rule in OPS:
            return OPS[rule](Candidate(build, CODE, offer, breaks, None, torch_confirmed=True), situation)
        (found,) = [known for known in BUILD_RULES if known.name == rule]
        return found.check(build, situation)

    return ask


def on(**changes: Any) -> Machine:
    return replace(BARE, **changes)


def broken(**kind: bool) -> Break:
    flags = {"reject": False, "caution": False, **kind}
    return Break(
        "known", {}, only_built=False, effect="it breaks", bounds=(), certainty="high", source=("x",), **flags
    )


def offered(file: str = "", *, sass: tuple[str, ...] | None = None, glibc: str = "") -> Offer:
    held = None if sass is None else Architectures(sass, (), "measured")
    group = WheelGroup(
        "openmmlab",
        "mmcv-full",
        "linux-x86_64",
        "cu117",
        Version("1.13.0"),
        (Version("1.7.2"),),
        "documented",
        "x",
        glibc=glibc,
        architectures=held,
    )
    listed = IndexFile(file, "https://files.test/x") if file else None
    return Offer("openmmlab", Version("1.7.2"), "https://page.test/", listed, group)


GPU = {"gpus": gpus("sm_86"), "driver": driver("535.104.05"), "toolkits": (toolkit("11.7"),)}
OLD = on(gpus=gpus("sm_80"), driver=driver("470.82.01"))
WSL = OperatingSystem("linux", "Ubuntu 22.04", "5.15", wsl=True)
A100 = (Gpu(0, "NVIDIA A100-SXM4-80GB", "sm_80", 80 << 30),)
RTX3090 = (Gpu(0, "NVIDIA GeForce RTX 3090", "sm_86", 24 << 30),)
COMPAT = Request(forward_compatibility=True)
CU121 = {"torch": "2.1.2", "variant": "cu121"}

PASS: list[tuple[str, dict[str, Any]]] = [
    ("platform", {}),
    ("platform", {"platform": "windows-x86_64", "machine": on(libc=None)}),
    ("glibc", {}),
    ("glibc", {"machine": on(libc=None)}),
    ("glibc", {"torch": "2.7.0", "machine": on(libc=Libc("glibc", "2.28"))}),
    ("cuda", {}),
    ("cuda", {"request": Request(cuda="cu117")}),
    ("cuda", {"machine": on(**GPU)}),
    ("cuda", {"variant": "cpu", "source": "pytorch"}),
    ("cuda", {"variant": "cu116", "source": "pytorch"}),
    ("cuda", {"variant": "cpu", "machine": on(**GPU), "request": Request(cuda="cpu")}),
    ("interpreter", {}),
    ("interpreter", {"interpreter": None}),
    ("python", {}),
    ("python", {"interpreter": None}),
    ("driver", {}),
    ("driver", {"machine": on(**GPU)}),
    ("driver", {"machine": on(gpus=gpus("sm_86"))}),
    ("driver", {"machine": on(gpus=gpus("sm_86"), driver=driver("450.80.02"))}),
    ("driver", {"machine": on(gpus=gpus("sm_86"), driver=Driver("", "11.4", "override"))}),
    ("driver", {"variant": "cpu", "machine": on(gpus=gpus("sm_86"), driver=driver("300.1"))}),
    ("driver", {"machine": on(driver=driver("300.1"))}),
    ("driver", {"machine": on(gpus=gpus("sm_86"), driver=driver("452.39"), os=WSL)}),
    ("driver", {**CU121, "machine": replace(OLD, gpus=A100), "request": COMPAT}),
    ("architectures", {"machine": on(**GPU)}),
    ("architectures", {"machine": on(gpus=gpus("sm_70", "sm_86", ""))}),
    ("architectures", {"variant": "cpu", "machine": on(gpus=gpus("sm_90"))}),
    ("architectures", {**CU121, "machine": on(gpus=gpus("sm_90"))}),
    ("prebuilt", {}),
    ("prebuilt", {"request": Request(may_use_prebuilt=False)}),
    ("prebuilt", {"offer": offered(), "request": Request(may_build=False)}),
    ("prebuilt", {"offer": offered(sass=("sm_80",)), "machine": on(**GPU)}),
    ("prebuilt", {"offer": offered(sass=("sm_70",)), "variant": "cpu", "machine": on(**GPU)}),
    ("prebuilt", {"offer": offered(sass=None), "machine": on(**GPU)}),
    ("prebuilt", {"offer": offered("mmcv_full-1.7.2-cp310-cp310-manylinux1_x86_64.whl", glibc="2.39")}),
    ("build", {}),
    ("build", {"machine": on(**GPU)}),
    ("build", {"machine": on(**GPU | {"toolkits": (toolkit("11.0"), toolkit("11.7"))})}),
    ("build", {"machine": on(**GPU | {"toolkits": ()}), "variant": "cpu"}),
    ("build", {"offer": offered(), "request": Request(may_build=False)}),
    ("build", {"offer": offered(), "request": Request(sources=("openmmlab",))}),
    ("breaks", {}),
    ("breaks", {"breaks": (broken(),)}),
    ("breaks", {"breaks": (broken(caution=True),), "request": Request(torch="1.13")}),
    ("breaks", {"breaks": (broken(caution=True),), "request": Request(python="3.10")}),
    ("breaks", {"breaks": (broken(caution=True),), "request": Request(accepts_cautions=True)}),
    (TORCH_PAGE, {"source": "pytorch"}),
]

FAIL: list[tuple[str, dict[str, Any], str]] = [
    ("platform", {"platform": "macos-arm64", "torch": "1.4.0"}, "no wheels for linux-x86_64"),
    ("platform", {"machine": on(libc=Libc("musl", "1.2"))}, "no wheels for musl"),
    ("glibc", {"torch": "2.7.0", "machine": on(libc=Libc("glibc", "2.17"))}, "need glibc 2.28, here is 2.17"),
    ("cuda", {"request": Request(cuda="cu116")}, "cu116 was asked for"),
    ("cuda", {"variant": "cpu", "machine": on(**GPU)}, "there is a GPU"),
    ("interpreter", {"interpreter": python("3.10.13", implementation="pypy")}, "is pypy"),
    ("interpreter", {"interpreter": python("3.13.1", free_threaded=True)}, "free-threaded"),
    ("interpreter", {"interpreter": python("3.10.13", platform="linux-i686")}, "linux-i686"),
    ("python", {"python": "3.12"}, "no wheels for Python 3.12"),
    ("python", {"torch": "1.10.1", "python": "3.6"}, "needs Python >=3.7"),
    ("python", {"interpreter": None, "request": Request(may_fetch_python=False)}, "no Python 3.10 is here"),
    (
        "python",
        {"interpreter": None, "request": Request(may_fetch_python=False, python="3.10.13")},
        "no Python 3.10.13 is here and none may be fetched",
    ),
    (
        "driver",
        {"machine": on(gpus=gpus("sm_86"), driver=driver("450.51.06"))},
        "cu117 needs driver 450.80.02 or newer, here is 450.51.06",
    ),
    ("driver", {**CU121, "machine": OLD}, "cu121 needs driver 525.60.13 or newer, here is 470.82.01"),
    (
        "driver",
        {**CU121, "machine": on(gpus=gpus("sm_86"), driver=Driver("", "11.8", "override"))},
        "a driver with CUDA 12, here is one with 11.8",
    ),
    (
        "driver",
        {"machine": on(gpus=gpus("sm_86"), driver=driver("452.38"), os=WSL)},
        "cu117 needs driver 452.39 or newer, here is 452.38",
    ),
    ("driver", {**CU121, "machine": replace(OLD, gpus=A100)}, "needs driver 525.60.13"),
    ("driver", {**CU121, "machine": replace(OLD, gpus=RTX3090), "request": COMPAT}, "needs driver 525.60.13"),
    (
        "driver",
        {**CU121, "machine": replace(OLD, gpus=A100 + RTX3090), "request": COMPAT},
        "needs driver 525.60.13",
    ),
    (
        "driver",
        {**CU121, "machine": on(gpus=A100, driver=driver("418.40.04")), "request": COMPAT},
        "needs driver 525.60.13",
    ),
    ("architectures", {"machine": on(gpus=gpus("sm_90"))}, "no code for GPU sm_90 (sm_90)"),
    ("architectures", {"machine": on(gpus=gpus("sm_86", "sm_90"))}, "no code for GPU sm_90"),
    ("architectures", {"machine": on(gpus=gpus("sm_35"))}, "no code for GPU sm_35"),
    ("architectures", {"variant": "cu100", "machine": on(gpus=gpus("sm_70"))}, "is not known"),
    ("prebuilt", {"offer": offered(), "request": Request(may_use_prebuilt=False)}, "wheels are excluded"),
    (
        "prebuilt",
        {"offer": offered(sass=("sm_70", "sm_75")), "machine": on(**GPU)},
        "the ops of openmmlab hold no code for GPU sm_86 (sm_86)",
    ),
    ("prebuilt", {"offer": offered(glibc="2.39")}, "need glibc 2.39, here is 2.36"),
    ("build", {"request": Request(may_build=False)}, "a build is excluded"),
    ("build", {"request": Request(sources=("openmmlab",))}, "ops from openmmlab were asked for"),
    ("build", {"machine": on(cpu=replace(BARE.cpu, architecture="aarch64"))}, "linux-x86_64 alone"),
    ("build", {"machine": on(**GPU | {"toolkits": ()})}, "needs an nvcc of CUDA 11, here is none"),
    ("build", {"machine": on(**GPU | {"toolkits": (toolkit("12.4"),)})}, "here is CUDA 12"),
    ("build", {"machine": on(**GPU | {"toolkits": (toolkit("11.7", nvcc=False),)})}, "here is none"),
    (
        "build",
        {"machine": on(**GPU | {"toolkits": (toolkit("11.0"),)})},
        "the nvcc of CUDA 11.0 that is here does not compile for sm_86",
    ),
    ("breaks", {"breaks": (broken(reject=True),), "request": Request(torch="1.13")}, "it breaks (known)"),
    ("breaks", {"breaks": (broken(caution=True),)}, "chosen only when"),
    (
        TORCH_PAGE,
        {
            "source": "pytorch",
            "pages": {
                "https://download.pytorch.org/whl/cu117/torch/": Page("x", error="HTTP 404", missing=True)
            },
        },
        "pytorch did not give its page for this torch and variant: HTTP 404",
    ),
    (
        TORCH_PAGE,
        {
            "source": "pytorch",
            "pages": {"https://download.pytorch.org/whl/cu117/torchvision/": Page("x")},
        },
        "pytorch lists no wheel of this torchvision for Python 3.10",
    ),
]


@pytest.mark.parametrize(("rule", "told"), PASS)
def test_a_rule_lets_pass(judged: Judged, rule: str, told: dict[str, Any]) -> None:
    assert judged(rule, **told) is None


@pytest.mark.parametrize(("rule", "told", "words"), FAIL)
def test_a_rule_excludes_and_says_why(judged: Judged, rule: str, told: dict[str, Any], words: str) -> None:
    assert words in (judged(rule, **told) or "")


def test_every_rule_is_shown_to_let_pass_and_to_exclude() -> None:
    assert {name for name, _ in PASS} == NAMES == {name for name, _, _ in FAIL}


def test_a_page_that_did_not_answer_excludes_a_torch_unless_the_catalogue_is_trusted(judged: Judged) -> None:
    dead = Page("x", error="no answer", unreachable=True)
    pages = {"https://download.pytorch.org/whl/cu117/torch/": dead}
    assert "no answer" in (judged(TORCH_PAGE, source="pytorch", pages=pages) or "")
    assert judged(TORCH_PAGE, source="pytorch", pages=pages, request=Request(trusts_catalog=True)) is None


SITUATIONS = [
    {},
    {"machine": on(**GPU)},
    {"machine": OLD},
    {"machine": on(libc=Libc("glibc", "2.17"), interpreters=())},
    {"machine": on(**GPU), "request": Request(cuda="cpu", may_fetch_python=False)},
    {"machine": on(interpreters=(python("3.9.1", implementation="pypy"), python("3.12.1")))},
]


@pytest.mark.parametrize("rule", BUILD_RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("told", SITUATIONS)
def test_a_rule_looks_at_nothing_but_what_it_names(catalog: Catalog, rule: Any, told: dict[str, Any]) -> None:
    situation = situation_of(catalog, **told)
    verdicts: dict[object, str | None] = {}
    for build in torch_builds(situation):
        key, verdict = attrgetter(*rule.looks_at)(build), rule.check(build, situation)
        assert verdicts.setdefault(key, verdict) == verdict


@pytest.mark.parametrize(
    ("filename", "fits"),
    [
        ("torch-1.13.1+cu117-cp310-cp310-linux_x86_64.whl", True),
        ("torch-1.13.1-cp310-cp310-manylinux2014_x86_64.whl", True),
        ("torch-1.13.1-cp310-cp310-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("torch-1.13.1+cpu-cp310-cp310-linux_x86_64.whl", False),
        ("torch-1.13.1+cu116-cp310-cp310-linux_x86_64.whl", False),
        ("torch-1.13.0+cu117-cp310-cp310-linux_x86_64.whl", False),
        ("torch-1.13.1+cu117-cp311-cp311-linux_x86_64.whl", False),
        ("torch-1.13.1+cu117-cp310-cp310-win_amd64.whl", False),
        ("torch-1.13.1+cu117-cp310-none-macosx_11_0_arm64.whl", False),
        ("torch-1.13.1+cu117-cp310-cp310-manylinux_2_17_aarch64.whl", False),
        ("torch-1.13.1+cu117-cp310-cp310-manylinux_2_39_x86_64.whl", False),
        ("torch-1.13.1+cu117-cp310-cp310-musllinux_1_2_x86_64.whl", False),
        ("torchvision-1.13.1+cu117-cp310-cp310-linux_x86_64.whl", False),
        ("torch-1.13.1-cp310.whl", False),
        ("torch-1.13.1.tar.gz", False),
    ],
)
def test_the_wheel_that_fits_is_found_by_its_name(catalog: Catalog, filename: str, fits: bool) -> None:
    page = Page("x", (IndexFile(filename, "u"),))
    build = build_of(catalog)
    found = wheel_on(page, "torch", Version("1.13.1"), build, situation_of(catalog))
    assert (found is not None) is fits


@pytest.mark.parametrize(
    ("platform", "tag", "fits"),
    [
        ("windows-x86_64", "win_amd64", True),
        ("windows-x86_64", "win32", False),
        ("windows-x86_64", "manylinux1_x86_64", False),
        ("linux-aarch64", "manylinux2014_aarch64", True),
        ("linux-aarch64", "linux_aarch64", True),
        ("linux-aarch64", "manylinux2014_x86_64", False),
        ("macos-arm64", "macosx_11_0_arm64", True),
        ("macos-arm64", "macosx_10_9_universal2", True),
        ("macos-arm64", "macosx_10_9_x86_64", False),
        ("macos-x86_64", "macosx_10_9_x86_64", True),
    ],
)
def test_a_wheel_is_for_its_platform(catalog: Catalog, platform: str, tag: str, fits: bool) -> None:
    system, processor = platform.split("-", 1)
    name = {"macos": "darwin"}.get(system, system)
    machine = on(
        os=OperatingSystem(name, platform, ""), libc=None, cpu=replace(BARE.cpu, architecture=processor)
    )
    page = Page("x", (IndexFile(f"torch-1.13.1-cp310-cp310-{tag}.whl", "u"),))
    build = build_of(catalog, platform=platform)
    found = wheel_on(page, "torch", Version("1.13.1"), build, situation_of(catalog, machine))
    assert (found is not None) is fits


def test_a_yanked_file_is_none(catalog: Catalog) -> None:
    name = "torch-1.13.1-cp310-cp310-manylinux2014_x86_64.whl"
    page = Page("x", (IndexFile(name, "u", yanked=True),))
    assert wheel_on(page, "torch", Version("1.13.1"), build_of(catalog), situation_of(catalog)) is None


def test_the_cuda_of_a_variant() -> None:
    assert [str(cuda_of(variant)) for variant in ("cu92", "cu117", "cu130")] == ["9.2", "11.7", "13.0"]


ASKED = ("mmseg-admits-mmcv22", "load-whole-checkpoints-mmengine")


@pytest.mark.parametrize(
    ("family", "wishes"),
    [
        ("mmcv-full", {}),
        ("mmcv-full", {"may_patch": False}),
        ("mmcv", {}),
        ("mmcv", {"may_patch": False}),
        ("mmcv", {"patches": ASKED}),
        ("mmcv", {"patches": ASKED, "may_patch": False}),
        ("onedl", {}),
    ],
)
def test_candidates_meet_exactly_the_breaks_that_concern_them(
    catalog: Catalog, family: str, wishes: dict[str, Any]
) -> None:
    seen = 0
    for libc in (Libc("glibc", "2.17"), Libc("glibc", "2.36"), None):
        request = Request(family=family, accepts_cautions=True, trusts_catalog=True, **wishes)
        situation = situation_of(catalog, on(libc=libc), request, family=family)
        for found in Selection(situation).sifted().possible:
            seen += 1
            versions = {
                "torch": found.build.release.version,
                "python": Version(found.build.python),
                situation.family.ops.distribution: found.code.ops,
                **found.versions,
            }
            if libc is not None:
                versions["glibc"] = Version(libc.version)
            expected = [
                known
                for known in catalog.breaks
                if known.concerns(versions, built=found.is_built)
                and (not known.platforms or situation.platform in known.platforms)
            ]
            mended = [known for known in expected if is_mended(known, found, situation)]
            assert list(found.mended) == mended
            assert list(found.breaks) == [known for known in expected if known not in mended]
    assert seen > 20


def is_mended(known: Break, found: Candidate, situation: Situation) -> bool:
    """Tell whether a patch of a break is made: of itself in built ops, or in what is chosen when asked for."""
    ops = situation.family.ops.distribution
    for patch in map(situation.catalog.patch, known.patches):
        assert patch is not None
        in_ops = found.is_built and patch.fits(ops, found.code.ops)
        if not patch.asked and in_ops and situation.request.may_patch:
            return True
        in_members = any(patch.fits(*member) for member in found.code.members)
        if patch.name in situation.request.patches and (in_ops or in_members):
            return True
    return False


@pytest.mark.parametrize("family", ["mmcv-full", "mmcv", "onedl"])
def test_the_members_of_every_candidate_accept_each_other(catalog: Catalog, family: str) -> None:
    request = Request(family=family, accepts_cautions=True, trusts_catalog=True)
    situation = situation_of(catalog, request=request, family=family)
    for found in Selection(situation).sifted().possible:
        chosen = {situation.family.ops.distribution: found.code.ops, **found.versions}
        for name, version in chosen.items():
            for gate in catalog.gates_of(name, version):
                on_ = situation.family.named(gate.on)
                if on_ is not None and on_.distribution in chosen:
                    assert gate.admits(chosen[on_.distribution])


def test_versions_of_the_ops_that_nothing_accepts_are_told_with_the_gate(catalog: Catalog) -> None:
    situation = situation_of(catalog, request=Request(family="mmcv"), family="mmcv")
    told = {
        found.reason: found for found in Selection(situation).sifted().rejections if found.rule == "gates"
    }
    (reason,) = [reason for reason in told if "mmsegmentation 1.2.2 asserts mmcv >=2.0.0rc4,<2.2.0" in reason]
    assert told[reason].candidate == "mmcv 2.2.0"
