"""Patches: made exactly as they were recorded, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from packaging.version import Version

from mmsetup.build.patching import apply, locked_patches
from mmsetup.catalog import Catalog, load
from mmsetup.catalog.patches import Edit, Patch, patch
from mmsetup.errors import BuildError, LockError
from mmsetup.lock import Lock, LockedPatch

CATALOG = load()
SETUP = b"version = '1'\r\n# \xff\nstd = 'c++14'\nmore = 'c++14'\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "mmcv").mkdir()
    (tmp_path / "setup.py").write_bytes(SETUP)
    (tmp_path / "mmcv" / "load.py").write_text("torch.load(name)\n")
    return tmp_path


def made(*edits: Edit) -> Patch:
    entry = {
        "name": "made-up",
        "releases": {"mmcv-full": ">=1"},
        "changes": "something",
        "reason": "some reason",
        "source": ["seen"],
        "edits": [
            {"file": edit.file, "old": edit.old, "new": edit.new, "times": edit.times} for edit in edits
        ],
    }
    return patch(entry)


def test_every_edit_is_made_and_all_else_stays_as_it_was(source: Path) -> None:
    one = made(Edit("setup.py", "c++14", "c++17", 2), Edit("mmcv/load.py", "(name)", "(name, safe=False)"))
    other = made(Edit("setup.py", "std = 'c++17'\n", ""))
    apply([one, other], source, "mmcv-full 1.7.1")
    assert (source / "setup.py").read_bytes() == b"version = '1'\r\n# \xff\nmore = 'c++17'\n"
    assert (source / "mmcv" / "load.py").read_text() == "torch.load(name, safe=False)\n"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (Edit("setup.py", "c++14", "c++17"), "setup.py has the text that it replaces 2 times, not 1"),
        (Edit("setup.py", "c++11", "c++17"), "setup.py has the text that it replaces 0 times, not 1"),
        (Edit("setup.cfg", "c++14", "c++17"), "setup.cfg is not there"),
        (Edit("mmcv", "c++14", "c++17"), "mmcv is not there"),
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing(source: Path, edit: Edit, words: str) -> None:
    fitting = made(Edit("mmcv/load.py", "(name)", "()"))
    with pytest.raises(BuildError, match=r"the patch made-up does not fit mmcv-full 1\.7\.1") as caught:
        apply([fitting, made(edit)], source, "mmcv-full 1.7.1")
    assert words in str(caught.value)
    assert "--no-patches" in caught.value.remedy
    assert (source / "setup.py").read_bytes() == SETUP
    assert (source / "mmcv" / "load.py").read_text() == "torch.load(name)\n"


def lock(*patches: LockedPatch) -> Lock:
    return Lock("default", "mmcv-full", "3.13", "linux-x86_64", "cpu", (), None, "digest", patches=patches)


def test_a_lock_gets_the_patches_that_it_names() -> None:
    known = CATALOG.patches[0]
    ours = LockedPatch(known.name, "mmcv-full", known.sha256)
    another = LockedPatch(known.name, "mmdet", known.sha256)
    assert locked_patches(lock(ours, another), "mmcv-full", CATALOG) == (known,)
    assert locked_patches(lock(), "mmcv-full", CATALOG) == ()


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (LockedPatch("no-such-patch", "mmcv-full", "ab" * 32), "is not in the catalogue"),
        (LockedPatch(CATALOG.patches[0].name, "mmcv-full", "ab" * 32), "is another one in the catalogue"),
    ],
)
def test_a_patch_that_is_not_the_locked_one_is_refused(wanted: LockedPatch, words: str) -> None:
    with pytest.raises(LockError, match=words):
        locked_patches(lock(wanted), "mmcv-full", CATALOG)


def test_what_is_said_about_a_patch_is_no_part_of_it() -> None:
    one = CATALOG.patches[0]
    assert replace(one, reason="another", name="another").sha256 == one.sha256
    edit = replace(one.edits[0], new=one.edits[0].new + " ")
    assert replace(one, edits=(edit, *one.edits[1:])).sha256 != one.sha256


def of(catalog: Catalog, name: str, version: str) -> set[str]:
    return {one.name for one in catalog.patches if one.fits(name, Version(version))}


def test_each_release_of_the_ops_has_the_patches_that_were_tried_with_it() -> None:
    assert "version-read-by-exec" in of(CATALOG, "mmcv-full", "1.7.2")
    assert "cxx17-to-cxx20" in of(CATALOG, "mmcv-full", "1.7.2")
    assert "cxx14-to-cxx17" not in of(CATALOG, "mmcv-full", "1.7.2")
    assert "cxx14-to-cxx17" in of(CATALOG, "mmcv-full", "1.7.1")
    assert of(CATALOG, "mmcv-full", "9.9.9") == set()
