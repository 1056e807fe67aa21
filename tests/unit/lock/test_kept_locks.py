"""The lockfiles that the project keeps: pinned sets that anybody can install."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.version import Version

from mmsetup.catalog import load
from mmsetup.lock import read

FOLDER = Path(__file__).parents[3] / "lockfiles"
KEPT = sorted(FOLDER.iterdir())


def test_there_is_one_for_each_proven_set() -> None:
    sets = {
        (family.name, python, str(proof.torch))
        for family in load().families
        for proof in family.proven
        for python in proof.pythons
    }
    kept = {(lock.family, lock.python, lock.package("torch").version) for lock in map(read, KEPT)}
    assert kept == sets


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_it_holds_versions_and_hashes_and_no_address(path: Path) -> None:
    lock = read(path)
    assert path.name == f"requirements.{lock.name}.txt"
    assert "://" not in path.read_text(encoding="utf-8")
    assert lock.build is not None
    for package in (*lock.packages, *lock.build.requires):
        assert package.files
        assert all(len(file.sha256) == 64 for file in package.files)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_its_versions_belong_together(path: Path) -> None:
    lock, catalog = read(path), load()
    pins = {package.name: Version(package.version) for package in lock.packages}
    torch = next(release for release in catalog.torch if release.version == pins["torch"])
    assert Version(torch.torchvision) == pins["torchvision"]
    assert lock.python in torch.pythons
    gate = catalog.gate("mmsegmentation", pins["mmsegmentation"])
    assert gate is not None
    assert gate.admits(pins["mmcv-full"])
    assert pins["numpy"] < Version("2")
