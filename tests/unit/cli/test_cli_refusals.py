"""Machines that lack something: refused early, with the command that mends it, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def install(tmp_path: Path):
    folder = tmp_path / "project"
    folder.mkdir()
    # The family can be planned for this very interpreter, or else for one that is found.
    known = ["--python", sys.executable] if sys.version_info < (3, 12) else []

    def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mmsetup", "install", *known, "--no-smoke", *args],
            cwd=folder,
            env={
                **os.environ,
                "COLUMNS": "200",
                "MMSETUP_CACHE_DIR": str(tmp_path / "cache"),
                "MMSETUP_STATE_DIR": str(tmp_path / "state"),
                "MMSETUP_MIRROR": "http://127.0.0.1:9",
                "MMSETUP_TORCH_MIRROR": "http://127.0.0.1:9",
                **env,
            },
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )

    yield run
    assert list(folder.iterdir()) == []


def test_no_compiler(install, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    done = install(PATH=str(tmp_path / "bin"))
    assert done.returncode == 10, done.stderr
    assert "C++ compiler" in done.stderr
    assert "try:" in done.stderr


def test_no_package_index(install, tmp_path: Path) -> None:
    done = install(
        UV_DEFAULT_INDEX="http://127.0.0.1:9/simple", UV_CACHE_DIR=str(tmp_path / "uv"), UV_HTTP_RETRIES="0"
    )
    assert done.returncode == 4, done.stderr
    assert "UV_DEFAULT_INDEX" in done.stderr


def test_offline_with_empty_caches(install, tmp_path: Path) -> None:
    done = install("--offline", UV_CACHE_DIR=str(tmp_path / "uv"))
    assert done.returncode in {4, 5}, done.stderr
    assert "--offline" in done.stderr


def test_no_build_where_no_wheel_can_be_had(install) -> None:
    done = install("--no-build")
    assert done.returncode == 3, done.stderr
    assert "--no-build" in done.stderr
