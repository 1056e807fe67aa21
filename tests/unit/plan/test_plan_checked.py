"""Plans that are known beforehand: every documented wheel asked for, the answers that everybody should get, and
a checker that is shown to find what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import pytest
from bare_machine import BARE, driver, gpus, python, toolkit
from checker import faults
from drawn import Answers
from raw_catalog import Entry, pages_of, read_data, runs_on

from mmsetup.catalog import Catalog
from mmsetup.catalog.pages import Page
from mmsetup.errors import NoPlanError
from mmsetup.plan import Bound, Plan, Request
from mmsetup.plan.choose import plan
from mmsetup.plan.elsewhere import machine_elsewhere
from mmsetup.plan.model import PatchChoice
from mmsetup.probe.machine import Driver, Machine, OperatingSystem, Toolkit

DATA = read_data()
SOURCES = {source["name"]: source for source in DATA["sources"]["sources"]}
FAMILIES = {family["ops"]["distribution"]: family["name"] for family in DATA["families"]["families"]}
RELEASES = {release["version"]: release for release in DATA["torch"]["releases"]}
EVERY_PYTHON = tuple(python(f"3.{minor}.1") for minor in range(7, 15))

# Versions of the ops that no mmsegmentation of their family accepts.
WITHOUT_SEGMENTATION = {"mmcv": {"2.0.0rc1", "2.0.0rc2", "2.0.0rc3", "2.2.0"}}
# Which code these builds of torch hold is not known: without a GPU alone can they be planned.
UNKNOWN_CODE = {
    *(("linux-x86_64", torch, "cu118") for torch in ("2.6.0", "2.7.0", "2.7.1")),
    *(
        ("windows-x86_64", torch, cuda)
        for torch in ("1.5.0", "1.6.0", "1.7.0")
        for cuda in ("cu101", "cu102")
    ),
}


def silent(urls: Any) -> dict[str, Page]:
    return {}


def made(catalog: Catalog, machine: Machine = BARE, **wishes: Any) -> Plan:
    """Plan with no page that answers, taking the catalogue at its word, and check the plan."""
    request = Request(**{"trusts_catalog": True, **wishes})
    found = plan(machine, catalog, request, ask=silent)
    assert faults(found, machine, request, DATA) == []
    return found


def on(*architectures: str, version: str = "580.95.05", **facts: Any) -> Machine:
    return replace(BARE, gpus=gpus(*architectures), driver=driver(version), **facts)


# Every documented wheel ------------------------------------------------------------------------------------


def named(group: Entry) -> str:
    return " ".join(group[key] for key in ("index", "distribution", "platform", "variant", "torch"))


def of_series(group: Entry) -> str:
    whole = SOURCES[group["index"]].get("fits") == "release"
    return group["torch"] if whole else ".".join(group["torch"].split(".")[:2])


def architectures(group: Entry) -> list[str]:
    """Give those that both torch and the ops of a group are known to hold code for."""
    held = [
        release["architectures"].get(group["platform"], {}).get(group["variant"], {}).get("sass", [])
        for version, release in RELEASES.items()
        if version.startswith(of_series(group) + ".") or version == group["torch"]
    ]
    ops = group.get("architectures")
    return [name for names in held for name in names if ops is None or runs_on(name, ops["sass"], ops["ptx"])]


def machine_for(group: Entry, catalog: Catalog) -> Machine:
    """Give a machine of the platform with every Python, and with a GPU where there is code for one."""
    machine = replace(BARE, interpreters=EVERY_PYTHON)
    if group["platform"] != "linux-x86_64":
        machine = machine_elsewhere(machine, catalog, platform=group["platform"])
    known = architectures(group)
    return replace(machine, gpus=gpus(known[-1]), driver=driver("999.99")) if known else machine


GROUPS = DATA["wheels"]["groups"]


def asked(group: Entry, version: str) -> dict[str, Any]:
    distribution = group["distribution"]
    left_out = version in WITHOUT_SEGMENTATION.get(distribution, ())
    return {
        "family": FAMILIES[distribution],
        "torch": of_series(group),
        "cuda": group["variant"],
        "wanted": (f"{distribution}=={version}",),
        "without": ("mmsegmentation",) if left_out else (),
        "sources": (group["index"],),
        "may_build": False,
    }


@pytest.mark.parametrize("group", GROUPS, ids=named)
def test_every_documented_wheel_that_is_asked_for_gives_its_page(group: Entry, catalog: Catalog) -> None:
    machine = machine_for(group, catalog)
    page = pages_of(SOURCES[group["index"]], group["torch"], group["variant"], group["distribution"])[0]
    for version in group["versions"]:
        found = made(catalog, machine, **asked(group, version))
        assert (found.ops.kind, found.ops.source, found.ops.page) == ("prebuilt", group["index"], page)
        assert found.choice(group["distribution"]).version == version
        assert group["distribution"] in found.unconfirmed


def test_every_documented_wheel_for_gpus_was_asked_for_with_one_but_for_these() -> None:
    unknown = {
        (group["platform"], group["torch"], group["variant"])
        for group in GROUPS
        if group["variant"] != "cpu" and not architectures(group)
    }
    assert unknown == UNKNOWN_CODE


@pytest.mark.parametrize("version", sorted(WITHOUT_SEGMENTATION["mmcv"]))
def test_these_ops_pass_the_gate_of_no_mmsegmentation(version: str, catalog: Catalog) -> None:
    with pytest.raises(NoPlanError, match=f"mmcv=={version}"):
        made(catalog, family="mmcv", wanted=(f"mmcv=={version}",))


# Known answers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("torch", ["2.2", "2.3", "2.4"])
def test_from_torch_2_2_no_official_wheel_passes_the_gate_of_mmsegmentation(
    torch: str, catalog: Catalog
) -> None:
    wishes = {"family": "mmcv", "torch": torch, "sources": ("openmmlab",), "may_build": False}
    with pytest.raises(NoPlanError) as caught:
        made(catalog, wanted=("mmsegmentation==1.2.2",), **wishes)
    assert "mmsegmentation 1.2.2 asserts mmcv >=2.0.0rc4,<2.2.0" in "\n".join(caught.value.evidence)
    with pytest.raises(NoPlanError):
        made(catalog, **wishes)
    assert made(catalog, without=("mmsegmentation",), **wishes).choice("mmcv").version == "2.2.0"


def each_torch(catalog: Catalog, machine: Machine, family: str, **wishes: Any) -> list[Plan]:
    """Plan for whatever torch is asked for; give the plans that there are."""
    plans = []
    for torch in ("", "1.13", "2.1", "2.4", "2.8", "2.9", "2.12"):
        with suppress(NoPlanError):
            plans.append(made(catalog, machine, family=family, torch=torch, accepts_cautions=True, **wishes))
    return plans


ALL_NVCC = tuple(map(toolkit, ("11.8", "12.4", "12.9", "13.0")))


@pytest.mark.parametrize("family", ["mmcv-full", "mmcv", "onedl"])
@pytest.mark.parametrize("toolkits", [(), ALL_NVCC], ids=["no nvcc", "nvcc"])
def test_an_h100_gets_cuda_11_8_or_newer(
    toolkits: tuple[Toolkit, ...], family: str, catalog: Catalog
) -> None:
    machine = machine_elsewhere(BARE, catalog, gpus=["H100"], driver="580.95.05")
    plans = each_torch(catalog, replace(machine, toolkits=toolkits), family)
    assert plans
    assert all(int(found.variant.removeprefix("cu")) >= 118 for found in plans)


@pytest.mark.parametrize("family", ["mmcv-full", "mmcv", "onedl"])
@pytest.mark.parametrize("toolkits", [(), ALL_NVCC], ids=["no nvcc", "nvcc"])
@pytest.mark.parametrize("version", ["580", "999.99"])
def test_a_v100_never_gets_cuda_13(
    version: str, toolkits: tuple[Toolkit, ...], family: str, catalog: Catalog
) -> None:
    machine = machine_elsewhere(BARE, catalog, gpus=["V100"], driver=version)
    machine = replace(machine, toolkits=toolkits)
    plans = each_torch(catalog, machine, family)
    assert plans
    assert all(int(found.variant.removeprefix("cu")) < 130 for found in plans)
    with pytest.raises(NoPlanError):
        made(catalog, machine, family=family, cuda="cu130", accepts_cautions=True)


def test_an_a100_gets_no_wheel_of_the_fork_without_its_code(catalog: Catalog) -> None:
    machine = machine_elsewhere(BARE, catalog, gpus=["A100"], driver="580.95.05")
    lacking = {
        (of_series(group), group["variant"])
        for group in DATA["wheels"]["groups"]
        if group["index"] == "onedl" and "sm_80" not in group.get("architectures", {}).get("sass", ["sm_80"])
    }
    assert ("2.8", "cu128") in lacking
    plans = each_torch(catalog, machine, "onedl", may_build=False)
    assert plans
    assert all((found.torch.version.rpartition(".")[0], found.variant) not in lacking for found in plans)


def test_an_rtx_5090_has_no_wheel_of_mmcv_full_and_is_told_of_the_fork(catalog: Catalog) -> None:
    machine = machine_elsewhere(BARE, catalog, gpus=["RTX 5090"], driver="580.95.05")
    with pytest.raises(NoPlanError) as caught:
        made(catalog, machine, may_build=False)
    assert "in family onedl this fits" in "\n".join(caught.value.evidence)
    assert made(catalog, machine, family="onedl", may_build=False).ops.kind == "prebuilt"


def test_an_rtx_5090_gets_mmcv_full_built_where_nvcc_is(catalog: Catalog) -> None:
    machine = on("sm_120", toolkits=(toolkit("13.0"),))
    found = made(catalog, machine, torch="2.9")
    assert (found.ops.kind, found.ops.with_cuda, found.ops.architectures) == ("built", True, ("sm_120",))
    assert found.variant.startswith("cu13")
    assert found.ops.nvcc == "nvcc of CUDA 13.0 in /usr/local/cuda-13.0"
    assert found.ops.nvcc_wheels == ()


def test_an_rtx_5090_gets_mmcv_full_built_by_wheels_of_nvcc(catalog: Catalog) -> None:
    found = made(catalog, on("sm_120"), torch="2.9")
    assert (found.ops.kind, found.ops.with_cuda, found.ops.architectures) == ("built", True, ("sm_120",))
    assert "nvidia-cuda-nvcc==13.0.*" in found.ops.nvcc_wheels
    with pytest.raises(NoPlanError):
        made(catalog, on("sm_120"), torch="2.9", cuda="cu128")


def test_torch_1_12_1_reads_the_page_of_1_12_0(catalog: Catalog) -> None:
    found = made(catalog, torch="1.12.1", cuda="cu113")
    assert found.torch.version == "1.12.1"
    assert found.ops.page == "https://download.openmmlab.com/mmcv/dist/cu113/torch1.12.0/index.html"


@pytest.mark.parametrize("version", ["1.3.9", "1.4.8", "1.5.3", "1.6.2", "1.7.0", "1.7.1"])
def test_python_3_11_has_no_wheel_of_an_early_mmcv_full(version: str, catalog: Catalog) -> None:
    wanted = (f"mmcv-full=={version}",)
    with pytest.raises(NoPlanError):
        made(catalog, python="3.11", wanted=wanted, may_build=False)
    assert (
        made(catalog, replace(BARE, interpreters=EVERY_PYTHON), wanted=wanted, may_build=False).python
        != "3.11"
    )


def test_mixed_gpus_are_served_together_or_it_is_said_which_is_left_out(catalog: Catalog) -> None:
    assert made(catalog, on("sm_70", "sm_86"), family="mmcv").left_out == ()
    found = made(catalog, on("sm_61", "sm_120", "sm_86"), family="onedl")
    assert [gpu.architecture for gpu in found.left_out] == ["sm_120"]
    assert any("sm_120" in note and "CUDA_VISIBLE_DEVICES=0,2" in note for note in found.notes)


def test_a_slice_of_a_gpu_is_spoken_of(catalog: Catalog) -> None:
    (whole,) = gpus("sm_80")
    found = made(catalog, replace(on(), gpus=(replace(whole, name="A100", mig="1g.10gb"),)), family="mmcv")
    assert any("MIG" in note for note in found.notes)


@pytest.mark.parametrize(
    ("version", "variant"), [("452.38", None), ("452.39", "cu11"), ("527.40", "cu11"), ("527.41", "cu12")]
)
def test_under_wsl_the_floors_are_those_of_windows(
    version: str, variant: str | None, catalog: Catalog
) -> None:
    machine = on("sm_86", version=version, os=OperatingSystem("linux", "Ubuntu 22.04", "5.15", wsl=True))
    if variant is None:
        with pytest.raises(NoPlanError):
            made(catalog, machine, family="mmcv")
        return
    found = made(catalog, machine, family="mmcv")
    assert found.variant.startswith(variant)
    assert any("WSL" in note for note in found.notes)


def test_a_newer_cuda_runs_with_the_package_for_it_on_a_data_centre_gpu_alone(catalog: Catalog) -> None:
    wishes = {"family": "mmcv", "cuda": "cu121", "forward_compatibility": True}

    def elsewhere(name: str) -> Machine:
        return machine_elsewhere(BARE, catalog, gpus=[name], driver="470.82.01")

    assert made(catalog, elsewhere("A100"), **wishes).variant == "cu121"
    refused = [elsewhere("RTX 3090"), replace(elsewhere("A100"), os=replace(BARE.os, wsl=True))]
    for machine in refused:
        with pytest.raises(NoPlanError):
            made(catalog, machine, **wishes)
    with pytest.raises(NoPlanError):
        made(catalog, elsewhere("A100"), **{**wishes, "forward_compatibility": False})


def test_a_driver_of_which_nothing_is_known_is_not_too_old(catalog: Catalog) -> None:
    found = made(catalog, replace(on("sm_86"), driver=Driver("", "", "override")), family="mmcv")
    assert found.variant == "cu121"


# The checker -----------------------------------------------------------------------------------------------

Change = Callable[[Plan], Plan]


def choosing(name: str, **changes: str) -> Change:
    return lambda found: replace(
        found,
        choices=tuple(replace(one, **changes) if one.name == name else one for one in found.choices),
    )


def telling(**changes: Any) -> Change:
    return lambda found: replace(found, **changes)


def dropping(name: str) -> Change:
    return lambda found: replace(found, choices=tuple(one for one in found.choices if one.name != name))


BOUND = Bound("numpy<1", "unknown", "", "")
WRONG: list[tuple[Change, str]] = [
    (choosing("torch", version="1.12.1"), "torchvision 0.14.1 is not the partner"),
    (choosing("torch", version="1.99"), "there is no torch 1.99"),
    (choosing("torch", version="2.1.2"), "has no torch 2.1.2 of cu117"),
    (choosing("torch", origin="pytorch"), "torch and torchvision come from two indexes"),
    (choosing("torchvision", version="0.15.2"), "is not the partner"),
    (choosing("mmcv-full", version="1.7.3"), "mmcv-full 1.7.3 is not known"),
    (choosing("mmcv-full", version="1.6.0"), "mmcv-full==1.7.1 was asked for"),
    (choosing("mmcv-full", origin="onedl"), "onedl is no source of mmcv-full"),
    (choosing("mmcv-full", origin="sdist"), "prebuilt ops of a source were asked for"),
    (choosing("mmsegmentation", version="0.20.0"), "mmsegmentation 0.20.0 refuses mmcv-full 1.7.1"),
    (choosing("mmsegmentation", version="0.31.0"), "mmsegmentation 0.31.0 is not known"),
    (dropping("mmsegmentation"), "mmsegmentation is missing"),
    (dropping("mmcls"), "mmcls is missing"),
    (telling(python="3.12"), "torch 1.13.1 has no wheels for Python 3.12"),
    (telling(python="3.9"), "does not fit"),
    (telling(variant="cpu"), "there is a GPU and the cpu variant does not use it"),
    (telling(variant="cu102"), "default index has no torch 1.13.1 of cu102"),
    (telling(bounds=()), "the bound numpy<2 of numpy2-torch is missing"),
    (telling(bounds=(BOUND,)), "nothing calls for the bound numpy<1 of unknown"),
    (telling(cautions=("watch out",)), "the cautions are []"),
    (telling(left_out=gpus("sm_35")), "a GPU is left out that is not here"),
    (telling(left_out=gpus("sm_86")), "every GPU is left out"),
    (telling(unconfirmed=()), "unconfirmed are ['mmcv-full']"),
    (telling(platform="linux-aarch64"), "another family or platform"),
    (
        lambda found: replace(found, ops=replace(found.ops, page="https://x.test/")),
        "is not the page of the pair",
    ),
    (lambda found: replace(found, ops=replace(found.ops, kind="built")), "the plan's kind of ops"),
]
ASKED = Request(wanted=("mmcv-full==1.7.1",), sources=("openmmlab",), trusts_catalog=True)


@pytest.mark.parametrize(("change", "words"), WRONG, ids=[words for _, words in WRONG])
def test_the_checker_finds_what_is_wrong_with_a_plan(change: Change, words: str, catalog: Catalog) -> None:
    machine = on("sm_86", version="535.104.05")
    found = plan(machine, catalog, ASKED, ask=silent)
    assert faults(found, machine, ASKED, DATA) == []
    assert any(words in fault for fault in faults(change(found), machine, ASKED, DATA))


MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"gpus": gpus("sm_90")}, "torch 1.13.1 of cu117 holds no code for sm_90"),
    ({"gpus": gpus("sm_35")}, "holds no code for sm_35"),
    ({"driver": driver("450.80.01")}, "the driver does not run cu117"),
    ({"driver": Driver("", "10.2", "override")}, "the driver does not run cu117"),
    ({"libc": replace(BARE.libc, name="musl")}, "has no wheels for this platform"),
    ({"os": OperatingSystem("windows", "", "")}, "another family or platform"),
    ({"interpreters": ()}, "does not fit"),
]


@pytest.mark.parametrize(("facts", "words"), MISFITS, ids=[words for _, words in MISFITS])
def test_the_checker_finds_that_a_plan_is_for_another_machine(
    facts: dict[str, Any], words: str, catalog: Catalog
) -> None:
    machine = on("sm_86", version="535.104.05")
    found = plan(machine, catalog, ASKED, ask=silent)
    assert any(words in fault for fault in faults(found, replace(machine, **facts), ASKED, DATA))


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"torch": "2"}, "torch 2 was asked for"),
        ({"cuda": "cu116"}, "cu116 was asked for"),
        ({"python": "3.9"}, "no Python 3.10 is here that may be used"),
        ({"wanted": ("mmdet",)}, "mmdet is missing"),
        ({"without": ("mmseg",)}, "mmsegmentation was to be left out"),
        ({"may_use_prebuilt": False}, "prebuilt ops were excluded"),
        ({"sources": ("miropsota",)}, "openmmlab was not among the sources"),
        ({"trusts_catalog": False}, "no page confirms mmcv-full 1.7.1"),
        ({"mirrors": {"openmmlab": "http://mirror.test"}}, "is not the page of the pair"),
    ],
)
def test_the_checker_finds_that_a_plan_answers_another_request(
    wishes: dict[str, Any], words: str, catalog: Catalog
) -> None:
    machine = on("sm_86", version="535.104.05")
    found = plan(machine, catalog, ASKED, ask=silent)
    assert any(words in fault for fault in faults(found, machine, replace(ASKED, **wishes), DATA))


def patching(change: Callable[[tuple[PatchChoice, ...]], tuple[PatchChoice, ...]]) -> Change:
    return lambda found: replace(found, patches=change(found.patches))


MENDED = Request(
    family="mmcv", torch="2.15", patches=("load-whole-checkpoints-mmengine",), trusts_catalog=True
)
WRONGLY_PATCHED: list[tuple[Change, str]] = [
    (patching(lambda made_: made_[1:]), "the patch cxx17-to-cxx20 of mmcv is missing"),
    (patching(lambda made_: made_[:1]), "the patch load-whole-checkpoints-mmengine of mmengine is missing"),
    (patching(lambda made_: (*made_, made_[0])), "a patch is applied twice"),
    (
        patching(lambda made_: (replace(made_[0], name="version-read-by-exec"), made_[1])),
        "nothing calls for the patch version-read-by-exec of mmcv",
    ),
    (
        patching(lambda made_: (replace(made_[0], package="mmengine"), made_[1])),
        "nothing calls for the patch cxx17-to-cxx20 of mmengine",
    ),
    (
        patching(lambda made_: (made_[0], replace(made_[1], sha256=made_[0].sha256))),
        "the patch load-whole-checkpoints-mmengine is another edition",
    ),
    (telling(cautions=("watch out",)), "the cautions are []"),
    (
        telling(notes=("the patch load-whole-checkpoints-mmengine has nothing to change in this set",)),
        "it is not true, or not said, that the patch load-whole-checkpoints-mmengine has nothing to change",
    ),
]


@pytest.mark.parametrize(("change", "words"), WRONGLY_PATCHED, ids=[words for _, words in WRONGLY_PATCHED])
def test_the_checker_finds_what_is_wrong_with_patches(change: Change, words: str, catalog: Catalog) -> None:
    found = made(catalog, **{one.name: getattr(MENDED, one.name) for one in fields(MENDED)})
    assert len(found.patches) == 2
    assert any(words in fault for fault in faults(change(found), BARE, MENDED, DATA))


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"may_patch": False}, "cxx20 rejects this set"),
        ({"may_patch": False}, "nothing calls for the patch cxx17-to-cxx20 of mmcv"),
        ({"patches": ()}, "nothing calls for the patch load-whole-checkpoints-mmengine of mmengine"),
        ({"patches": (), "torch": ""}, "weights-only-mmengine is a caution and nothing was asked for"),
        ({"patches": ("mmseg-admits-mmcv22", *MENDED.patches)}, "the patch mmseg-admits-mmcv22 of"),
    ],
)
def test_the_checker_finds_that_patches_answer_another_request(
    wishes: dict[str, Any], words: str, catalog: Catalog
) -> None:
    found = plan(BARE, catalog, MENDED, ask=silent)
    assert faults(found, BARE, MENDED, DATA) == []
    assert any(words in fault for fault in faults(found, BARE, replace(MENDED, **wishes), DATA))


def test_the_checker_knows_gates_as_patches_leave_them(catalog: Catalog) -> None:
    asked = Request(
        family="mmcv", torch="2.4", may_build=False, patches=("mmseg-admits-mmcv22",), trusts_catalog=True
    )
    found = plan(BARE, catalog, asked, ask=silent)
    assert faults(found, BARE, asked, DATA) == []
    unasked = faults(found, BARE, replace(asked, patches=()), DATA)
    assert "mmsegmentation 1.2.2 refuses mmcv 2.2.0" in unasked


@pytest.mark.parametrize(("cuda", "architectures"), [("cu130", ("sm_90",)), ("cu130", ()), ("cpu", ())])
def test_the_checker_knows_the_cuda_that_ops_are_built_with(
    cuda: str, architectures: tuple[str, ...], catalog: Catalog
) -> None:
    machine = on(*architectures) if architectures else BARE
    request = Request(torch="2.13", cuda=cuda, may_use_prebuilt=False, trusts_catalog=True)
    found = plan(machine, catalog, request, ask=silent)
    known = {"id": "nvcc", "when": {"cuda": ">=13", "build": True}, "effect": "", "reject": True}
    data = {**DATA, "breaks": {"breaks": [*DATA["breaks"]["breaks"], known]}}
    rejects = "nvcc rejects this set" in faults(found, machine, request, data)
    assert rejects is bool(architectures)


def test_the_checker_believes_a_page_and_not_the_catalogue(catalog: Catalog) -> None:
    found = plan(BARE, catalog, ASKED, ask=silent)
    empty = {found.ops.page: Page(found.ops.page)}
    assert any("answered and does not list" in fault for fault in faults(found, BARE, ASKED, DATA, empty))
    failed = {found.ops.page: Page(found.ops.page, error="no answer")}
    assert faults(found, BARE, ASKED, DATA, failed) == []
    assert Answers(0)([found.ops.page]) == {}
