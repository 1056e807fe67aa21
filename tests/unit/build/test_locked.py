"""What a lock says is built, without a network."""

from __future__ import annotations

import pytest

from mmsetup.build.locked import build_locked, recipe_of
from mmsetup.catalog import load
from mmsetup.errors import LockError, NetworkError, RequestError
from mmsetup.lock import Lock, LockedBuild, LockedFile, LockedPackage

CATALOG = load()
SOURCE = LockedFile("mmcv-full-1.7.2.tar.gz", "ab" * 32, "https://files.invalid/mmcv-full-1.7.2.tar.gz")
PACKAGES = (
    LockedPackage("torch", "1.13.1", (LockedFile("torch.whl", "cd" * 32),)),
    LockedPackage("mmcv-full", "1.7.2", (SOURCE,)),
)


def lock(build):
    return Lock("default", "mmcv-full", "3.10", "linux-x86_64", "cpu", PACKAGES, build, "digest")


def test_offline_a_source_that_is_not_in_the_cache_is_not_asked_for(python, machine, recorder):
    locked = lock(LockedBuild("mmcv-full", "1.7.2", ()))
    with pytest.raises(NetworkError, match=r"mmcv-full-1\.7\.2\.tar\.gz is not in the cache"):
        build_locked(locked, python, machine, CATALOG, progress=recorder, offline=True)
    assert recorder.updates == []


def test_a_lock_that_builds_nothing_is_refused(python, machine, recorder):
    with pytest.raises(LockError, match="nothing is built"):
        build_locked(lock(None), python, machine, CATALOG, progress=recorder)


@pytest.mark.parametrize(("asked", "local"), [(None, "pt1.13.1cpu"), ("none", ""), ("Site-2", "site.2")])
def test_the_version_names_the_pair_unless_told_otherwise(python, machine, toolchain, asked, local):
    locked = lock(LockedBuild("mmcv-full", "1.7.2", ()))
    assert recipe_of(locked, locked.build, python, machine, toolchain, local=asked).local == local


def test_a_local_version_that_names_another_pair_is_refused_before_the_source_is_fetched(
    python, machine, recorder
):
    locked = lock(LockedBuild("mmcv-full", "1.7.2", ()))
    with pytest.raises(RequestError, match=r"pt2\.0cpu names torch 2\.0 cpu"):
        build_locked(locked, python, machine, CATALOG, progress=recorder, local="pt2.0cpu")
