from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from bare_machine import BARE, driver, gpus, python, toolkit
from packaging.version import Version

from mmsetup.catalog import Break, Catalog, IndexFile, Page
from mmsetup.plan import Request
from mmsetup.plan.candidate import DEFAULT_INDEX, SDIST, Candidate, Situation, candidates, cuda_of, runs_on
from mmsetup.plan.offers import wheel_on
from mmsetup.plan.rules import PAGE_RULES, RULES
from mmsetup.probe.machine import Driver, Libc, Machine, OperatingSystem

Judged = Callable[..., str | None]


@pytest.fixture
def judged(catalog: Catalog) -> Judged:
    """Ask one rule about a candidate on a machine; give its reason."""

    def ask(
        rule_name: str,
        *,
        torch: str = "1.13.1",
        machine: Machine = BARE,
        request: Request | None = None,
        pages: dict[str, Page] | None = None,
        **attributes: Any,
    ) -> str | None:
        release = next(found for found in catalog.torch if str(found.version) == torch)
        (rule,) = [rule for rule in (*RULES, *PAGE_RULES) if rule.name == rule_name]
        family = catalog.family("mmcv-full")
        assert family is not None
        candidate = Candidate(
            **{
                "python": "3.10",
                "interpreter": python("3.10.13"),
                "torch": release,
                "variant": release.default_variant,
                "torch_source": DEFAULT_INDEX,
                "ops": Version("1.7.2"),
                "ops_source": SDIST,
                "segmentation": Version("0.30.0"),
                "breaks": (),
                **attributes,
            }
        )
        situation = Situation(machine, catalog, family, request or Request(), pages or {})
        return rule.check(candidate, situation)

    return ask


def on(**changes: Any) -> Machine:
    return replace(BARE, **changes)


def broken(**kind: bool) -> Break:
    flags = {"reject": False, "caution": False, **kind}
    return Break(
        "known", {}, only_built=False, effect="it breaks", bounds=(), certainty="high", source=("x",), **flags
    )


GPU = {"gpus": gpus("sm_86"), "driver": driver("535.104.05"), "toolkits": (toolkit("11.7"),)}

PASS: list[tuple[str, dict[str, Any]]] = [
    ("platform", {}),
    ("cuda", {}),
    ("cuda", {"request": Request(cuda="cu117")}),
    ("cuda", {"machine": on(**GPU)}),
    ("cuda", {"variant": "cpu", "torch_source": "pytorch"}),
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
    ("architectures", {"machine": on(**GPU)}),
    ("architectures", {"machine": on(gpus=gpus("sm_70", "sm_86", ""))}),
    ("architectures", {"variant": "cpu", "machine": on(gpus=gpus("sm_90"))}),
    ("architectures", {"torch": "2.1.2", "variant": "cu121", "machine": on(gpus=gpus("sm_90"))}),
    ("gates", {}),
    ("build", {}),
    ("build", {"machine": on(**GPU)}),
    ("build", {"machine": on(**GPU | {"toolkits": ()}), "variant": "cpu"}),
    ("build", {"ops_source": "openmmlab", "request": Request(may_build=False)}),
    ("breaks", {}),
    ("breaks", {"breaks": (broken(caution=True),), "request": Request(torch="1.13")}),
    ("breaks", {"breaks": (broken(caution=True),), "request": Request(python="3.10")}),
    ("breaks", {"breaks": (broken(caution=True),), "request": Request(accepts_cautions=True)}),
    ("torch page", {}),
    ("ops page", {}),
]

FAIL: list[tuple[str, dict[str, Any], str]] = [
    ("platform", {"machine": on(os=OperatingSystem("darwin", "macOS", "24"))}, "nearest: linux x86_64"),
    ("platform", {"machine": on(cpu=replace(BARE.cpu, architecture="aarch64"))}, "linux aarch64"),
    ("platform", {"machine": on(libc=Libc("musl", "1.2"))}, "no wheels for musl"),
    ("cuda", {"request": Request(cuda="cu116")}, "cu116 was asked for"),
    ("cuda", {"variant": "cpu", "machine": on(**GPU)}, "there is a GPU"),
    ("cuda", {"variant": "cu116", "torch_source": "pytorch"}, "there is no GPU"),
    ("interpreter", {"interpreter": python("3.10.13", implementation="pypy")}, "is pypy"),
    ("interpreter", {"interpreter": python("3.13.1", free_threaded=True)}, "free-threaded"),
    ("interpreter", {"interpreter": python("3.10.13", platform="linux-i686")}, "linux-i686"),
    ("python", {"python": "3.12"}, "no wheels for Python 3.12"),
    ("python", {"interpreter": None, "request": Request(may_fetch_python=False)}, "no Python 3.10 is here"),
    (
        "driver",
        {"machine": on(gpus=gpus("sm_86"), driver=driver("450.51.06"))},
        "cu117 needs driver 450.80.02 or newer, here is 450.51.06",
    ),
    (
        "driver",
        {"torch": "2.1.2", "variant": "cu121", "machine": on(gpus=gpus("sm_86"), driver=driver("470.82.01"))},
        "cu121 needs driver 525.60.13",
    ),
    (
        "driver",
        {
            "torch": "2.1.2",
            "variant": "cu121",
            "machine": on(gpus=gpus("sm_86"), driver=Driver("", "11.8", "override")),
        },
        "a driver with CUDA 12, here is one with 11.8",
    ),
    ("architectures", {"machine": on(gpus=gpus("sm_90"))}, "no code for GPU sm_90 (sm_90)"),
    ("architectures", {"machine": on(gpus=gpus("sm_86", "sm_90"))}, "no code for GPU sm_90"),
    ("architectures", {"machine": on(gpus=gpus("sm_35"))}, "no code for GPU sm_35"),
    ("architectures", {"variant": "cu100", "machine": on(gpus=gpus("sm_70"))}, "is not known"),
    ("gates", {"ops": Version("1.8.0")}, "mmsegmentation asserts mmcv >=1.3.13,<1.8.0"),
    ("build", {"request": Request(may_build=False)}, "a build is excluded"),
    (
        "build",
        {"ops_source": "openmmlab", "request": Request(may_use_prebuilt=False)},
        "prebuilt wheels are excluded",
    ),
    ("build", {"machine": on(**GPU | {"toolkits": ()})}, "needs an nvcc of CUDA 11, here is none"),
    ("build", {"machine": on(**GPU | {"toolkits": (toolkit("12.4"),)})}, "here is CUDA 12"),
    ("build", {"machine": on(**GPU | {"toolkits": (toolkit("11.7", nvcc=False),)})}, "here is none"),
    ("breaks", {"breaks": (broken(reject=True),), "request": Request(torch="1.13")}, "it breaks (known)"),
    ("breaks", {"breaks": (broken(caution=True),)}, "chosen only when"),
    ("torch page", {"torch_source": "pytorch"}, "is not known to have torch"),
    (
        "torch page",
        {"torch_source": "pytorch", "request": Request(offline=True)},
        "offline: pytorch was not asked",
    ),
    ("ops page", {"ops_source": "openmmlab"}, "is not known to have mmcv-full"),
    ("ops page", {"ops_source": "nobody"}, "there is no source nobody"),
]


@pytest.mark.parametrize(("rule", "told"), PASS)
def test_a_rule_lets_pass(judged: Judged, rule: str, told: dict[str, Any]) -> None:
    assert judged(rule, **told) is None


@pytest.mark.parametrize(("rule", "told", "words"), FAIL)
def test_a_rule_excludes_and_says_why(judged: Judged, rule: str, told: dict[str, Any], words: str) -> None:
    assert words in (judged(rule, **told) or "")


def test_every_rule_is_shown_to_let_pass_and_to_exclude() -> None:
    names = {rule.name for rule in (*RULES, *PAGE_RULES)}
    assert {name for name, _ in PASS} == names == {name for name, _, _ in FAIL}


PAGE = "https://download.openmmlab.com/mmcv/dist/cu117/torch1.13.0/index.html"


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (Page(PAGE, error="HTTP 404 Not Found", missing=True), "HTTP 404"),
        (Page(PAGE, error="no answer in time"), "no answer in time"),
        (
            Page(PAGE, (IndexFile("mmcv_full-1.7.1-cp310-cp310-manylinux1_x86_64.whl", "u"),)),
            "lists no wheel",
        ),
        (Page(PAGE, (IndexFile("mmcv_full-1.7.2-cp310-cp310-manylinux1_x86_64.whl", "u"),)), None),
    ],
)
def test_what_a_page_answers_decides_about_prebuilt_ops(
    judged: Judged, page: Page, words: str | None
) -> None:
    reason = judged("ops page", ops_source="openmmlab", pages={PAGE: page})
    assert reason is None if words is None else words in (reason or "")


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
def test_the_wheel_that_fits_is_found_by_its_name(filename: str, fits: bool) -> None:
    page = Page("x", (IndexFile(filename, "u"),))
    found = wheel_on(
        page, "torch", Version("1.13.1"), python="3.10", variant="cu117", libc=Libc("glibc", "2.36")
    )
    assert (found is not None) is fits


@pytest.mark.parametrize(
    ("architecture", "sass", "ptx", "runs"),
    [
        ("sm_86", ("sm_86",), (), True),
        ("sm_86", ("sm_80",), (), True),
        ("sm_80", ("sm_86",), (), False),
        ("sm_90", ("sm_86",), (), False),
        ("sm_90", ("sm_86",), ("sm_86",), True),
        ("sm_75", (), ("sm_86",), False),
        ("sm_120", ("sm_90",), (), False),
        ("sm_90a", ("sm_90",), (), True),
        ("sm_86", (), (), False),
    ],
)
def test_code_runs_on_its_own_major_version_and_portable_code_on_anything_newer(
    architecture: str, sass: tuple[str, ...], ptx: tuple[str, ...], runs: bool
) -> None:
    assert runs_on(architecture, sass, ptx) is runs


def test_the_cuda_of_a_variant() -> None:
    assert [str(cuda_of(variant)) for variant in ("cu92", "cu117", "cu130")] == ["9.2", "11.7", "13.0"]


def test_candidates_meet_exactly_the_breaks_that_concern_them(catalog: Catalog) -> None:
    family = catalog.family("mmcv-full")
    assert family is not None
    for libc in (Libc("glibc", "2.17"), Libc("glibc", "2.36"), Libc("musl", "1.2"), None):
        situation = Situation(on(libc=libc), catalog, family, Request(), {})
        for found in list(candidates(situation))[::97]:
            versions = {
                "torch": found.torch.version,
                "python": Version(found.python),
                "mmcv-full": found.ops,
                "mmsegmentation": found.segmentation,
            }
            if libc is not None and libc.name == "glibc":
                versions["glibc"] = Version(libc.version)
            expected = [
                known.id for known in catalog.breaks if known.concerns(versions, built=found.is_built)
            ]
            assert [known.id for known in found.breaks] == expected
