"""Which patches a plan makes: those that it needs, those that were asked for, and none where none are allowed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from bare_machine import BARE, PAGES, Table, driver, gpus, python, toolkit, wheel
from checker import faults
from packaging.specifiers import SpecifierSet
from raw_catalog import read_data
from typer.testing import CliRunner

from mmsetup.catalog import Break, Catalog
from mmsetup.cli.arguments import Selectors, wishes
from mmsetup.errors import NoPlanError, RequestError
from mmsetup.plan import Plan, Request
from mmsetup.plan.candidate import Candidate
from mmsetup.plan.choose import plan
from mmsetup.plan.patching import applied
from mmsetup.plan.refusal import command_for
from mmsetup.plan.selection import Selection
from mmsetup.plan.situation import Situation
from mmsetup.probe.machine import Machine

DATA = read_data()
NEW = driver("580.95.05")
SEG, DET = "mmseg-admits-mmcv22", "mmdet-admits-mmcv22"
CHECKPOINTS = "load-whole-checkpoints-mmengine"
DDP = ("copy-stream-of-its-own", "ddp-without-replicated-tensor")


def made(catalog: Catalog, machine: Machine = BARE, **told: Any) -> Plan:
    """Plan with no page that answers, taking the catalogue at its word; the checker finds nothing wrong."""
    request = Request(**{"trusts_catalog": True, **told})
    found = plan(machine, catalog, request, ask=lambda _: {})
    assert faults(found, machine, request, DATA) == []
    return found


def names(found: Plan) -> tuple[str, ...]:
    return tuple(patch.name for patch in found.patches)


# Those that a plan needs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "patches"),
    [
        ({}, ()),
        ({"python": "3.13"}, ("version-read-by-exec", *DDP, "load-whole-checkpoints")),
        ({"torch": "2.1", "cuda": "cpu"}, DDP),
        ({"torch": "2.6"}, (*DDP, "load-whole-checkpoints")),
        ({"torch": "2.15"}, ("cxx17-to-cxx20", *DDP, "load-whole-checkpoints")),
        ({"torch": "2.4", "wanted": ("mmcv-full==1.7.1",)}, ("cxx14-to-cxx17", *DDP)),
        (
            {"torch": "2.15", "wanted": ("mmcv-full==1.7.1",)},
            ("cxx14-to-cxx20", *DDP, "load-whole-checkpoints"),
        ),
        (
            {"torch": "2.4", "wanted": ("mmcv-full==1.5.3",)},
            ("cxx14-to-cxx17", "copy-stream-of-its-own", "ddp-forward-scatters"),
        ),
        (
            {"torch": "1.13", "wanted": ("mmcv-full==1.4.7",)},
            ("ddp-forward-scatters", "ddp-syncs-buffers"),
        ),
        ({"family": "mmcv", "python": "3.13", "torch": "2.6"}, ("version-read-by-exec",)),
        ({"family": "mmcv", "torch": "2.15"}, ("cxx17-to-cxx20",)),
        ({"family": "onedl", "torch": "2.15"}, ("cxx17-to-cxx20",)),
        ({"family": "onedl", "torch": "2.13", "python": "3.13"}, ()),
    ],
)
def test_ops_that_are_built_get_what_they_need_and_nothing_else(
    catalog: Catalog, told: dict[str, Any], patches: tuple[str, ...]
) -> None:
    found = made(catalog, may_use_prebuilt=False, **told)
    assert set(names(found)) == set(patches)
    assert {patch.package for patch in found.patches} <= {catalog.family(found.family).ops.distribution}  # type: ignore[union-attr]
    order = [patch.name for patch in catalog.patches]
    assert list(names(found)) == sorted(names(found), key=order.index)


@pytest.mark.parametrize(
    "told",
    [
        {"torch": "1.13", "wanted": ("mmcv-full==1.4.7",)},
        {"torch": "2.1", "wanted": ("mmcv-full==1.6.0",), "without": ("mmsegmentation",)},
    ],
)
def test_prebuilt_ops_are_never_patched(planned: Callable[..., Plan], told: dict[str, Any]) -> None:
    (version,) = re.findall(r"==(.*)", told["wanted"][0])
    variant = {"1.13": "cu117", "2.1": "cu121"}[told["torch"]]
    page = f"{PAGES}/{variant}/torch{told['torch']}.0/index.html"
    found = planned(ask=Table({page: [wheel(version)]}, missing=None), python="3.10", **told)
    assert found.ops.kind == "prebuilt"
    assert found.patches == ()
    built = planned(may_use_prebuilt=False, python="3.10", **told)
    assert built.patches
    assert set(built.cautions) < set(found.cautions)


def test_each_patch_tells_what_it_changes_why_and_by_which_hash(catalog: Catalog) -> None:
    for patch in made(catalog, python="3.13").patches:
        known = catalog.patch(patch.name)
        assert known is not None
        assert (patch.changes, patch.reason, patch.sha256) == (known.changes, known.reason, known.sha256)
        assert patch.evidence == known.source[0]


# None where none are allowed ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "version"),
    [
        *(("mmcv-full", version) for version in ("3.8", "3.10", "3.11", "3.12")),
        *(("mmcv", version) for version in ("3.8", "3.10", "3.12")),
        *(("onedl", version) for version in ("3.10", "3.12", "3.13", "3.14")),
    ],
)
def test_a_plan_without_patches_has_none(catalog: Catalog, family: str, version: str) -> None:
    told = {"family": family, "python": version, "may_use_prebuilt": False}
    assert made(catalog, may_patch=False, **told).patches == ()


@pytest.mark.parametrize("family", ["mmcv-full", "mmcv"])
@pytest.mark.parametrize("version", ["3.13", "3.14"])
def test_where_every_build_needs_one_there_is_no_plan_without(
    catalog: Catalog, family: str, version: str
) -> None:
    told = {"family": family, "python": version, "may_use_prebuilt": False}
    with pytest.raises(NoPlanError) as caught:
        made(catalog, may_patch=False, **told)
    assert any(line.startswith("without --no-patches this fits") for line in caught.value.evidence)
    assert "version-read-by-exec" in names(made(catalog, **told))


def test_what_was_asked_for_is_patched_even_where_ops_may_not_be(catalog: Catalog) -> None:
    found = made(catalog, family="mmcv", torch="2.8", may_patch=False, patches=(CHECKPOINTS,))
    assert [(patch.name, patch.package) for patch in found.patches] == [(CHECKPOINTS, "mmengine")]
    assert found.cautions == ()


# Fewer of them ------------------------------------------------------------------------------------------------


def possible(catalog: Catalog, request: Request, machine: Machine = BARE) -> tuple[Situation, Selection]:
    family = catalog.family(request.family)
    assert family is not None
    situation = Situation(machine, catalog, family, request, {}, machine.gpus)
    return situation, Selection(situation)


@pytest.mark.parametrize("family", ["mmcv-full", "mmcv", "onedl"])
def test_of_two_sets_that_are_equal_otherwise_the_one_with_fewer_patches_is_better(
    catalog: Catalog, family: str
) -> None:
    request = Request(family=family, trusts_catalog=True, accepts_cautions=True, may_use_prebuilt=False)
    _, selection = possible(catalog, request)
    compared = 0
    for found in selection.sifted().possible:
        for count in range(len(found.mended)):
            fewer = replace(found, mended=found.mended[:count])
            assert selection.rank(fewer) < selection.rank(found)
            compared += 1
    assert compared > 10


@pytest.mark.parametrize(
    ("family", "machine", "told"),
    [
        ("mmcv-full", BARE, {"torch": "2"}),
        ("mmcv-full", replace(BARE, interpreters=(python("3.12.1"),)), {"python": "3.12"}),
        ("mmcv-full", BARE, {"python": "3.13"}),
        ("mmcv-full", replace(BARE, gpus=gpus("sm_90"), driver=NEW), {}),
        ("mmcv-full", replace(BARE, gpus=gpus("sm_90"), driver=NEW, toolkits=(toolkit("12.4"),)), {}),
        ("mmcv-full", BARE, {"wanted": ("mmcv-full<1.7",), "torch": "2"}),
        ("mmcv", BARE, {"python": "3.13"}),
        ("mmcv", BARE, {"torch": "2", "wanted": ("mmcv<2.1",)}),
        ("onedl", BARE, {"python": "3.14"}),
    ],
)
def test_no_set_that_needs_fewer_was_possible(
    catalog: Catalog, family: str, machine: Machine, told: dict[str, Any]
) -> None:
    request = Request(family=family, may_use_prebuilt=False, trusts_catalog=True, **told)
    situation, selection = possible(catalog, request, machine)
    best, *others = selection.sifted().possible

    def preferred(found: Candidate) -> tuple[object, ...]:
        """Give what comes before the number of patches."""
        return (found.proof is None,)

    def count(found: Candidate) -> int:
        return len(list(applied(found, situation)))

    alike = [one for one in others if preferred(one) <= preferred(best)]
    assert len(alike) >= 2
    assert count(best) == min(map(count, alike))


def test_older_ops_that_need_none_come_before_newer_ones_that_need_one(catalog: Catalog) -> None:
    told = {"torch": "1.12", "python": "3.10", "may_use_prebuilt": False}
    assert made(catalog, **told).choice("mmcv-full").version == "1.7.2"
    needing = broken("new", {"mmcv-full": "==1.7.2"}, reject=True, patches=("cxx17-to-cxx20",))
    changed = with_break(catalog, needing)
    found = plan(BARE, changed, Request(trusts_catalog=True, **told), ask=lambda _: {})
    assert (found.choice("mmcv-full").version, found.patches) == ("1.7.1", ())
    newest = Request(trusts_catalog=True, wanted=("mmcv-full==1.7.2",), **told)
    assert names(plan(BARE, changed, newest, ask=lambda _: {})) == ("cxx17-to-cxx20",)


def broken(id_: str, when: dict[str, str], **verdict: Any) -> Break:
    ranges = {name: SpecifierSet(range_) for name, range_ in when.items()}
    told = {"reject": False, "caution": False, **verdict}
    return Break(id_, ranges, "cuda" not in when, "it breaks", (), certainty="x", source=("y",), **told)


def with_break(catalog: Catalog, found: Break) -> Catalog:
    return replace(catalog, breaks=(*catalog.breaks, found))


# Those that were asked for ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "patches", "choices"),
    [
        (
            {"torch": "2.4", "may_build": False, "patches": (SEG,)},
            [(SEG, "mmsegmentation")],
            {"mmcv": "2.2.0"},
        ),
        (
            {"torch": "2.4", "may_build": False, "patches": (DET, SEG), "wanted": ("mmdet",)},
            [(SEG, "mmsegmentation"), (DET, "mmdet")],
            {"mmcv": "2.2.0", "mmdet": "3.3.0", "mmsegmentation": "1.2.2"},
        ),
        (
            {"torch": "2.8", "patches": (SEG, CHECKPOINTS), "may_build": False},
            [(SEG, "mmsegmentation"), (CHECKPOINTS, "mmengine")],
            {"mmcv": "2.2.0"},
        ),
        (
            {"torch": "2.15", "python": "3.13", "patches": (CHECKPOINTS,)},
            [("version-read-by-exec", "mmcv"), ("cxx17-to-cxx20", "mmcv"), (CHECKPOINTS, "mmengine")],
            {"mmcv": "2.1.0"},
        ),
    ],
)
def test_what_is_asked_for_is_made(
    catalog: Catalog, told: dict[str, Any], patches: list[tuple[str, str]], choices: dict[str, str]
) -> None:
    found = made(catalog, family="mmcv", **told)
    assert [(patch.name, patch.package) for patch in found.patches] == patches
    assert {name: found.choice(name).version for name in choices} == choices
    assert found.cautions == ()


def test_a_patched_gate_is_told_as_it_is_then(catalog: Catalog) -> None:
    found = made(catalog, family="mmcv", torch="2.4", may_build=False, patches=(SEG,))
    assert found.choice("mmsegmentation").reason.startswith("accepts mmcv >=2.0.0rc4,<2.3.0, mmengine ")
    assert found.choice("mmsegmentation").evidence == f"patch {SEG}"


def test_what_mends_a_weakness_needs_no_wish_for_a_torch(catalog: Catalog) -> None:
    machine = replace(BARE, gpus=gpus("sm_120"), driver=NEW)
    with pytest.raises(NoPlanError):
        made(catalog, machine, family="mmcv")
    found = made(catalog, machine, family="mmcv", patches=(CHECKPOINTS,))
    assert (found.cautions, names(found)) == ((), (CHECKPOINTS,))


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({"torch": "1.10", "patches": (CHECKPOINTS,)}, CHECKPOINTS),
        ({"torch": "2.5", "patches": (CHECKPOINTS,)}, CHECKPOINTS),
        ({"patches": (DET,)}, DET),
        ({"patches": (SEG,), "without": ("mmsegmentation",)}, SEG),
        ({"patches": (SEG,), "wanted": ("mmsegmentation<1.2",)}, SEG),
    ],
)
def test_one_that_has_nothing_to_change_is_not_made_and_that_is_said(
    catalog: Catalog, told: dict[str, Any], name: str
) -> None:
    found = made(catalog, family="mmcv", **told)
    assert found.patches == ()
    assert f"the patch {name} has nothing to change in this set" in found.notes


@pytest.mark.parametrize(
    ("told", "words", "remedy"),
    [
        (
            {"family": "mmcv", "patches": ("mmsegg-admits-mmcv22",)},
            "--patch mmsegg-admits-mmcv22: family mmcv has no such patch; to be asked for: mmseg-",
            f"mmsetup plan --family mmcv --patch {SEG}",
        ),
        (
            {"family": "mmcv", "patches": ("mmdett-admits-mmcv2",)},
            "family mmcv has no such patch",
            f"mmsetup plan --family mmcv --patch {DET}",
        ),
        (
            {"family": "mmcv", "patches": ("load-whole-checkpoint",)},
            f"family mmcv has no such patch; to be asked for: {SEG}, {DET}, ",
            f"mmsetup plan --family mmcv --patch {CHECKPOINTS}",
        ),
        (
            {"family": "mmcv", "patches": (SEG, "zzz")},
            "--patch zzz: family mmcv has no such patch",
            f"mmsetup plan --family mmcv --patch {SEG}",
        ),
        (
            {"family": "mmcv", "patches": ("version-read-by-exec",)},
            "--patch version-read-by-exec: it is applied wherever a plan needs it",
            "mmsetup plan --family mmcv",
        ),
        (
            {"patches": ("cxx14-to-cxx17",)},
            "it is applied wherever a plan needs it; to be asked for: none",
            "mmsetup plan --family mmcv-full",
        ),
        (
            {"patches": (SEG,)},
            f"--patch {SEG}: family mmcv-full has no such patch; to be asked for: none",
            "mmsetup plan --family mmcv-full",
        ),
        (
            {"family": "onedl", "patches": (CHECKPOINTS,)},
            "family onedl has no such patch; to be asked for: none",
            "mmsetup plan --family onedl",
        ),
        ({"patches": ("",)}, "family mmcv-full has no such patch", "mmsetup plan --family mmcv-full"),
    ],
)
def test_a_name_that_cannot_be_asked_for(
    catalog: Catalog, told: dict[str, Any], words: str, remedy: str
) -> None:
    with pytest.raises(RequestError) as caught:
        plan(BARE, catalog, Request(**told), ask=Table())
    assert words in str(caught.value)
    assert caught.value.remedy == remedy


# Ways out -----------------------------------------------------------------------------------------------------

REFUSED: list[dict[str, Any]] = [
    {"torch": "2.2", "may_build": False},
    {"torch": "2.4", "may_build": False},
    {"torch": "2.4", "may_build": False, "wanted": ("mmdet",)},
    {"torch": "2.8", "may_build": False},
    {"torch": "2.4", "may_build": False, "wanted": ("mmdet",), "patches": (SEG,)},
    {"wanted": ("mmcv==2.2.0",)},
    {"wanted": ("mmcv==2.2.0", "mmdet"), "may_patch": False},
    {"wanted": ("mmcv==2.2.0",), "torch": "2.8"},
    {"sources": ("miropsota",)},
    {"gpus": gpus("sm_120"), "driver": NEW},
    {"gpus": gpus("sm_120"), "driver": NEW, "may_build": False},
    {"gpus": gpus("sm_90"), "driver": NEW, "may_build": False, "torch": "2.4"},
]


@pytest.fixture
def followed(
    catalog: Catalog, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Machine], Plan]:
    """Give the plan that a command makes, parsed by the command line."""
    monkeypatch.chdir(tmp_path)
    for name in ("MMSETUP_MIRROR", "MMCV_BASE_URL", "MMSETUP_TORCH_MIRROR", "MMSETUP_OVERRIDE_PYTHON"):
        monkeypatch.delenv(name, raising=False)

    def run(command: str, machine: Machine) -> Plan:
        found: list[Plan] = []

        @wishes
        def parsed(selectors: Selectors) -> None:
            request, there, _ = selectors.resolved(catalog, machine, trusts_catalog=True)
            found.append(plan(there, catalog, request, ask=lambda _: {}))
            assert faults(found[0], there, request, DATA) == []

        app = typer.Typer()
        app.command()(parsed)
        done = CliRunner().invoke(app, shlex.split(command, comments=True)[2:], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return found[0]

    return run


def patched_ways(error: NoPlanError) -> Iterable[tuple[list[str], str]]:
    for line in error.evidence:
        if told := re.fullmatch(r"with ((?:--patch \S+ ?)+) this fits: (.*)", line):
            yield re.findall(r"--patch (\S+)", told[1]), told[2]


@pytest.mark.parametrize("told", REFUSED)
def test_the_patches_that_a_refusal_names_give_the_set_that_it_names(
    catalog: Catalog, followed: Callable[[str, Machine], Plan], told: dict[str, Any]
) -> None:
    facts = {name: value for name, value in told.items() if name in Machine.__dataclass_fields__}
    request = Request(
        family="mmcv", trusts_catalog=True, **{name: told[name] for name in told if name not in facts}
    )
    machine = replace(BARE, **facts)
    with pytest.raises(NoPlanError) as caught:
        plan(machine, catalog, request, ask=lambda _: {})
    ((asked, words),) = patched_ways(caught.value)
    found = followed(command_for(replace(request, patches=tuple(asked)), machine), machine)
    assert set(asked) <= {patch.name for patch in found.patches}
    assert f"torch {found.torch.version} {found.variant}" in words
    assert f"mmcv {found.choice('mmcv').version}" in words
    for one in asked:
        fewer = tuple(name for name in asked if name != one)
        without = replace(request, patches=fewer, accepts_cautions=False)
        try:
            less = plan(machine, catalog, without, ask=lambda _: {})
        except NoPlanError:
            continue
        assert less.cautions, f"{one} is not needed"


def test_what_no_patch_mends_names_none(catalog: Catalog) -> None:
    for told in ({"gpus": gpus("sm_30")}, {"gpus": gpus("sm_86"), "driver": driver("390.46")}):
        with pytest.raises(NoPlanError) as caught:
            plan(replace(BARE, **told), catalog, Request(family="mmcv"), ask=lambda _: {})
        assert list(patched_ways(caught.value)) == []


def test_without_no_patches_leads_to_a_plan_with_patches(
    catalog: Catalog, followed: Callable[[str, Machine], Plan]
) -> None:
    with pytest.raises(NoPlanError) as caught:
        plan(BARE, catalog, Request(python="3.13", may_patch=False), ask=lambda _: {})
    assert caught.value.remedy == "mmsetup plan --python 3.13 --patches"
    assert followed(caught.value.remedy, BARE).patches
    stays = [line for line in caught.value.evidence if line.startswith("without --python this fits")]
    assert stays
    assert followed("mmsetup plan --no-patches", BARE).patches == ()


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("patches", {"python": "3.13", "may_patch": False}),
        ("build", {"may_build": False, "torch": "2.5", "python": "3.10"}),
        ("prebuilt", {"wanted": ("mmcv-full==1.4.6",), "may_use_prebuilt": False}),
    ],
)
def test_what_the_projects_table_forbids_is_allowed_by_name(
    catalog: Catalog,
    followed: Callable[[str, Machine], Plan],
    tmp_path: Path,
    table: str,
    told: dict[str, Any],
) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.mmsetup]\n{table} = false\n")
    request = Request(trusts_catalog=table == "prebuilt", **told)
    with pytest.raises(NoPlanError) as caught:
        plan(BARE, catalog, request, ask=lambda _: {})
    assert f"--{table}" in caught.value.remedy.split()
    assert followed(caught.value.remedy, BARE)


def test_other_families_are_looked_at_without_the_patches_of_this_one(catalog: Catalog) -> None:
    machine = replace(BARE, gpus=gpus("sm_120"), driver=NEW)
    with pytest.raises(NoPlanError) as caught:
        plan(machine, catalog, Request(family="mmcv", patches=(SEG,)), ask=lambda _: {})
    told = "\n".join(caught.value.evidence)
    assert "in family mmcv-full this fits" in told
    assert "in family onedl this fits" in told


# Breaks of compilers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("range_", "architectures", "is_met"),
    [(">=13", ("sm_90",), True), ("<13", ("sm_90",), False), (">=13", (), False)],
)
def test_a_condition_on_cuda_is_one_on_ops_that_are_built_for_gpus(
    catalog: Catalog, range_: str, architectures: tuple[str, ...], is_met: bool
) -> None:
    changed = with_break(catalog, broken("nvcc", {"cuda": range_}, caution=True))
    machine = replace(BARE, gpus=gpus(*architectures), driver=NEW)
    told = {"trusts_catalog": True, "may_use_prebuilt": False, "torch": "2.13", "cuda": "cu130"}
    found = plan(machine, changed, Request(**told), ask=lambda _: {})
    assert ("it breaks" in found.cautions) is is_met


def test_a_patch_of_cuda_files_is_made_where_these_are_compiled_alone(catalog: Catalog) -> None:
    told = {"torch": "1.13", "wanted": ("mmcv-full==1.4.5",), "may_use_prebuilt": False}
    gpu = replace(BARE, gpus=gpus("sm_86"), driver=NEW, toolkits=(toolkit("11.7"),))
    assert "psamask-without-thc" in names(made(catalog, gpu, **told))
    assert "psamask-without-thc" not in names(made(catalog, **told))
    assert "psamask-without-thc" not in names(made(catalog, gpu, cuda="cpu", **told))
    with pytest.raises(NoPlanError):
        made(catalog, gpu, may_patch=False, **told)


def test_prebuilt_ops_meet_no_condition_on_cuda(catalog: Catalog) -> None:
    changed = with_break(catalog, broken("nvcc", {"cuda": ">=9"}, reject=True))
    machine = replace(BARE, gpus=gpus("sm_86"), driver=NEW)
    found = plan(machine, changed, Request(trusts_catalog=True), ask=lambda _: {})
    assert (found.ops.kind, found.variant) == ("prebuilt", "cu118")
