"""Entries of patches.toml: each fault is told, and so is what breaks and patches say against each other."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from mmsetup.catalog import load, sums
from mmsetup.catalog.patches import patch
from mmsetup.errors import CatalogError

SMALL = Path(__file__).parents[2] / "fixtures" / "catalog"
ENTRY: dict[str, Any] = {
    "name": "wider-gate",
    "releases": {"mmsegmentation": "==0.30.0"},
    "changes": "the gate admits mmcv 1.9 as well",
    "reason": "nothing in it needs an older mmcv",
    "source": ["mmseg/__init__.py"],
    "asked": True,
    "admits": {"mmcv": ">=1.3.13,<=1.9.0"},
    "edits": [{"file": "mmseg/__init__.py", "old": "'1.8.0'", "new": "'1.9.0'"}],
}
EDIT: dict[str, Any] = ENTRY["edits"][0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SMALL, tmp_path / "data"))


def faults(folder: Path) -> tuple[str, ...]:
    with pytest.raises(CatalogError) as caught:
        load(folder)
    return caught.value.evidence


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "Wider gate"}, "name 'Wider gate' is not written as one-two-3"),
        ({"releases": {}}, "wider-gate names no releases"),
        ({"releases": {"mmsegmentation": "new"}}, "Invalid specifier"),
        ({"changes": " "}, "changes is no text"),
        ({"source": []}, "source is no list of texts"),
        ({"edits": []}, "wider-gate has no edits"),
        ({"asked": False}, "wider-gate changes a gate, and nobody has to ask for it"),
        ({"admits": {"mmcv": "<2"}}, "wider-gate admits <2, which no gate says"),
        ({"admits": {"mmcv": ">=1,<2,<3"}}, "which no gate says"),
        ({"edits": [{**EDIT, "file": "/etc/passwd"}]}, "lies outside the source"),
        ({"edits": [{**EDIT, "file": "a/../../b"}]}, "lies outside the source"),
        ({"edits": [{**EDIT, "new": EDIT["old"]}]}, "the edit of mmseg/__init__.py changes nothing"),
        ({"edits": [{**EDIT, "new": 5}]}, "changes nothing"),
        ({"edits": [{**EDIT, "times": 0}]}, "times 0 is no count"),
        ({"edits": [{**EDIT, "times": True}]}, "times True is no count"),
    ],
)
def test_an_entry_that_makes_no_sense(change: dict[str, Any], words: str) -> None:
    assert patch(ENTRY).edits[0].times == 1
    with pytest.raises(ValueError, match=r".") as caught:
        patch({**ENTRY, **change})
    assert words in str(caught.value)


def test_a_patched_gate_admits_what_the_patch_says(folder: Path) -> None:
    catalog = load(folder)
    (before,) = catalog.gates_of("mmsegmentation", Version("0.30.0"))
    (after,) = catalog.with_patched_gates(["wider-gate"]).gates_of("mmsegmentation", Version("0.30.0"))
    wanted = [Version(text) for text in ("1.3.12", "1.7.2", "1.8.0", "1.9.0", "1.9.1")]
    assert [before.admits(version) for version in wanted] == [False, True, False, False, False]
    assert [after.admits(version) for version in wanted] == [False, True, True, True, False]
    assert after.source == "patch wider-gate"
    assert catalog.with_patched_gates(["no-such-patch"]) is catalog


@pytest.mark.parametrize(
    ("name", "old", "new", "fault"),
    [
        (
            "breaks.toml",
            "reject = true",
            'reject = true\npatches = ["none"]',
            "cxx17 names the patch none, which",
        ),
        (
            "breaks.toml",
            'severity = "error"',
            'patches = ["wider-gate"]',
            "is avoided by bounds, and a patch",
        ),
        ("patches.toml", 'asked = true\nadmits = { mmcv = ">=1.3.13,<=1.9.0" }', "", "is applied by nothing"),
        (
            "patches.toml",
            'asked = true\nadmits = { mmcv = ">=1.3.13,<=1.9.0" }',
            "",
            "changes what is never built",
        ),
        ("patches.toml", "==0.30.0", "==0.31.0", "fits no release of mmsegmentation"),
        ("patches.toml", "{ mmsegmentation", "{ mmrotate", "changes mmrotate, which no family has"),
        ("patches.toml", "{ mmcv =", "{ mmdet =", "changes a gate on mmdet that no release has"),
    ],
)
def test_what_patches_and_breaks_say_against_each_other(
    folder: Path, name: str, old: str, new: str, fault: str
) -> None:
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))
    assert any(fault in found for found in faults(folder))


def test_a_proof_may_rest_on_a_patch(folder: Path) -> None:
    """What was proven with a patch is no contradiction to the break that the patch mends."""
    families = (folder / "families.toml").read_text()
    of_an_older_one = families.replace('"1.7.2", mmseg', '"1.7.1", mmseg').replace('"1.13.1"', '"2.1.0"')
    (folder / "families.toml").write_text(of_an_older_one)
    assert any("meets the break cxx17" in fault for fault in faults(folder))
    breaks = (folder / "breaks.toml").read_text()
    mended = breaks.replace("reject = true", 'reject = true\npatches = ["later"]')
    (folder / "breaks.toml").write_text(mended)
    with (folder / "patches.toml").open("a") as file:
        file.write(
            '\n[[patches]]\nname = "later"\nreleases = { mmcv-full = "<1.7.2" }\nchanges = "a"\nreason = "b"\n'
            'source = ["c"]\nedits = [{ file = "setup.py", old = "14", new = "17" }]\n'
        )
    assert load(folder).patch("later") is not None


def test_every_break_that_a_patch_mends_tells_so_in_what_mmsetup_brings() -> None:
    catalog = load(sums.DATA)
    mended = {found.id for found in catalog.breaks if found.patches}
    assert mended >= {"cxx17", "cxx20", "py313-sdist-mmcv1", "mmcv1-ddp", "weights-only"}
    ops = catalog.families[0].ops
    by_id = {found.id: found for found in catalog.breaks}
    assert catalog.mending(by_id["cxx17"], {ops.distribution: Version("1.7.1")})
    assert not catalog.mending(by_id["cxx17"], {ops.distribution: Version("1.3.0")})
