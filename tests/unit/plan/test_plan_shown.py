from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from bare_machine import Table, python
from raw_catalog import read_data, sha256_of
from rich.console import Console

from mmsetup.errors import NoPlanError
from mmsetup.plan import Plan
from mmsetup.render.document import document, dump
from mmsetup.render.failure import as_document, show_failure
from mmsetup.render.plan import show_plan


def shown(made: Plan, *, width: int, terminal: bool = True, explain: bool = False) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system=None)
    show_plan(made, console, explain=explain)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_package_is_one_line_at_any_width(planned: Callable[..., Plan], width: int) -> None:
    lines = shown(planned(), width=width)
    names = ["python", "torch", "torchvision", "mmcv-full", "mmsegmentation"]
    assert [line.split()[0] for line in lines[:5]] == names
    assert all(len(line) <= width for line in lines[:8])
    assert lines[2].split(maxsplit=3) == ["torchvision", "0.14.1", "index", "partner of torch 1.13.1"]


def test_paths_are_shown_where_there_is_room(planned: Callable[..., Plan]) -> None:
    path = str(planned().interpreter.path)
    assert path not in "\n".join(shown(planned(), width=80))
    assert path in shown(planned(), width=120)[0]


def test_a_reason_is_cut_on_a_terminal_alone(planned: Callable[..., Plan]) -> None:
    made = planned()
    setuptools = next(bound.reason for bound in made.bounds if bound.package == "setuptools")
    assert len(setuptools) > 80
    assert setuptools not in "\n".join(shown(made, width=80))
    assert any(line.endswith("…") for line in shown(made, width=80))
    assert setuptools in "\n".join(shown(made, width=80, terminal=False))
    assert setuptools in "\n".join(shown(made, width=80, explain=True))


def test_only_bounds_on_what_comes_with_the_plan_are_shown(planned: Callable[..., Plan]) -> None:
    made = planned()
    assert "opencv-python<4.12" in {bound.requirement for bound in made.bounds}
    text = "\n".join(shown(made, width=200))
    assert "opencv-python-headless<4.12: " in text
    assert "opencv-python<4.12" not in text


def test_each_host_is_named_once_with_what_follows(planned: Callable[..., Plan]) -> None:
    lines = [line for line in shown(planned(ask=Table()), width=200) if " page" in line]
    assert [line.split()[0] for line in lines] == ["download.openmmlab.com", "download.pytorch.org"]
    assert lines[0].endswith("no answer → mmcv-full is built from source")
    assert lines[1].endswith("no answer → torch is taken from the default index")


def test_secrets_in_the_address_of_a_mirror_are_not_shown(planned: Callable[..., Plan]) -> None:
    made = planned(mirrors={"openmmlab": "http://user:secret@mirror.test/x"})
    text = "\n".join(shown(made, width=200, explain=True))
    assert "mirror.test" in text
    assert "secret" not in text


def test_a_python_that_uv_fetches_and_its_note(planned: Callable[..., Plan]) -> None:
    lines = shown(planned(interpreters=(python("3.9.18"),)), width=100)
    assert lines[0].split()[:3] == ["python", "3.10", "uv"]
    assert "note: no Python 3.10 is here: uv fetches one" in lines


def test_explain_gives_evidence_and_rejections_with_counts(planned: Callable[..., Plan]) -> None:
    text = "\n".join(shown(planned(), width=100, explain=True))
    assert "mmsegmentation: mmseg/__init__.py of the released wheel" in text
    assert "numpy2-torch, https://" in text
    assert "more)\n    ops page: openmmlab did not give its page" in text


@pytest.mark.parametrize("width", [80, 120, 200])
def test_each_patch_is_a_line_that_says_what_it_changes(planned: Callable[..., Plan], width: int) -> None:
    made = planned(python="3.13")
    lines = [line for line in shown(made, width=width) if line.startswith("patch ")]
    assert [line.partition(": ")[0] for line in lines] == [
        f"patch {patch.name} of mmcv-full" for patch in made.patches
    ]
    assert len(lines) == 4
    assert all(len(line) <= width for line in lines)
    # Where it is not cut, all of it is there.
    for line, patch in zip(shown_patches(made, terminal=False), made.patches, strict=True):
        assert line == f"patch {patch.name} of {patch.package}: {patch.changes}"


def shown_patches(made: Plan, **how: bool) -> list[str]:
    return [line for line in shown(made, width=80, **how) if line.startswith("patch ")]


def test_explain_gives_the_reason_of_each_patch_and_where_it_is_from(planned: Callable[..., Plan]) -> None:
    made = planned(python="3.13")
    text = shown(made, width=80, explain=True)
    for patch in made.patches:
        assert f"patch {patch.name} of mmcv-full: {patch.changes}: {patch.reason}" in text
        assert f"  patch {patch.name}: {patch.evidence}" in text
        assert patch.reason not in "\n".join(shown(made, width=1000))


def test_a_plan_that_needs_none_speaks_of_none(planned: Callable[..., Plan]) -> None:
    assert not [line for line in shown(planned(), width=200, explain=True) if "patch" in line.split(":")[0]]


def test_a_patch_with_nothing_to_change_is_a_note(planned: Callable[..., Plan]) -> None:
    name = "mmdet-admits-mmcv22"
    lines = shown(planned(family="mmcv", patches=(name,)), width=80)
    assert f"note: the patch {name} has nothing to change in this set" in lines
    assert not [line for line in lines if line.startswith("patch ")]


def test_the_document_names_each_patch_with_the_hash_of_its_edits(planned: Callable[..., Plan]) -> None:
    made = planned(family="mmcv", torch="2.15", patches=("load-whole-checkpoints-mmengine",))
    told = json.loads(dump(document("mmsetup.plan/2", made)))["patches"]
    assert [(one["name"], one["package"]) for one in told] == [
        ("cxx17-to-cxx20", "mmcv"),
        ("load-whole-checkpoints-mmengine", "mmengine"),
    ]
    known = {patch["name"]: patch for patch in read_data()["patches"]["patches"]}
    for one in told:
        entry = known[one["name"]]
        assert one["sha256"] == sha256_of(entry)
        assert (one["changes"], one["reason"]) == (entry["changes"], entry["reason"])
        assert one["evidence"] == entry["source"][0]


def test_an_error_shows_what_was_found_and_what_to_try(planned: Callable[..., Plan]) -> None:
    with pytest.raises(NoPlanError) as caught:
        planned(python="3.13", may_patch=False)
    out = io.StringIO()
    show_failure(caught.value, Console(file=out, width=80, color_system=None))
    lines = out.getvalue().splitlines()
    assert lines[0] == "error: no set of versions of family mmcv-full fits this machine with Python 3.13"
    assert lines[-1] == "try:   mmsetup plan --python 3.13 --patches"
    assert len(lines) == len(caught.value.evidence) + 2 < 10
    document = as_document(caught.value)
    assert (document["error"], document["exit_code"]) == ("NoPlanError", 3)
    assert document["evidence"] == list(caught.value.evidence)
