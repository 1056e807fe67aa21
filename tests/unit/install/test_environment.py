"""Making an environment: the space it needs, the wheels it is told to take, and what uv says meanwhile."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mmsetup.errors import DiskSpaceError
from mmsetup.install import environment
from mmsetup.install.space import disk_needed, ensure_space
from mmsetup.lock import Lock, LockedFile, LockedPackage

GIGABYTE = 10**9


def locked(*packages: LockedPackage) -> Lock:
    return Lock("default", "mmcv-full", "3.10", "linux-x86_64", "cu117", packages, None, "digest")


TORCH = LockedPackage("torch", "1.13.1", (LockedFile("torch.whl", "aa", size=2 * GIGABYTE),))
OPS = LockedPackage("mmcv-full", "1.7.2", (LockedFile("mmcv-full.tar.gz", "bb"),))


def test_too_little_space_is_found_before_the_download_and_says_how_much(tmp_path: Path) -> None:
    lock = locked(TORCH, OPS)
    assert 5 * GIGABYTE < disk_needed(lock) < 6 * GIGABYTE
    ensure_space(lock, [tmp_path / "not" / "there" / "yet"], free=lambda _: 6 * GIGABYTE)
    asked: list[Path] = []

    def free(folder: Path) -> int:
        asked.append(folder)
        return GIGABYTE

    with pytest.raises(DiskSpaceError, match=r"1\.0 GB free, the install needs about 5\.") as caught:
        ensure_space(lock, [tmp_path / "not" / "there" / "yet"], free=free)
    assert asked == [tmp_path]
    assert "UV_CACHE_DIR" in caught.value.remedy


def test_what_is_in_the_cache_already_takes_no_room(tmp_path: Path) -> None:
    lock = locked(TORCH, OPS)
    ensure_space(lock, [tmp_path], free=lambda _: GIGABYTE, cached=lambda: True)
    with pytest.raises(DiskSpaceError, match=r"needs about 0\.5 GB"):
        ensure_space(lock, [tmp_path], free=lambda _: 10**6, cached=lambda: True)
    with pytest.raises(DiskSpaceError):
        ensure_space(lock, [tmp_path], free=lambda _: GIGABYTE, cached=lambda: False)


def test_the_free_space_is_that_of_the_file_system(tmp_path: Path) -> None:
    ensure_space(locked(OPS), [tmp_path])
    huge = LockedPackage("huge", "1", (LockedFile("huge.whl", "cc", size=10**18),))
    with pytest.raises(DiskSpaceError):
        ensure_space(locked(huge), [tmp_path])


def test_a_wheel_that_was_built_takes_the_place_of_its_source(tmp_path: Path) -> None:
    wheel = tmp_path / "mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl"
    wheel.write_bytes(b"a wheel")
    digest = hashlib.sha256(b"a wheel").hexdigest()
    lines = environment._lines((TORCH, OPS), {"mmcv-full": wheel})
    assert lines == [
        "torch==1.13.1 --hash=sha256:aa",
        f"mmcv-full @ {wheel.as_uri()} --hash=sha256:{digest}",
    ]


def test_what_uv_downloads_is_told_and_counted() -> None:
    told: list[tuple[str, float, float]] = []

    class Told:
        def stage(self, title: str) -> None: ...

        def note(self, text: str) -> None: ...

        def update(
            self, text: str, *, done: float = 0, total: float = 0, seconds_left: float | None = None
        ) -> None:
            told.append((text, done, total))

    watch = environment._Downloads(Told())
    for line in (
        "Resolved 38 packages in 130ms",
        "Downloading torch (846.3MiB)",
        "Downloading numpy (17.4MiB)",
        " Downloaded numpy",
        " Downloaded torch",
        "Prepared 38 packages in 13.15s",
    ):
        watch.take("stderr", line)
    assert told == [
        ("downloading torch (846.3MiB)", 0, 1),
        ("downloading torch (846.3MiB), numpy (17.4MiB)", 0, 2),
        ("downloading torch (846.3MiB)", 1, 2),
    ]
