"""Locks that uv really resolves: what a user gets, and what goes wrong."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.pylock import Pylock

from mmsetup.lock import read, write

try:
    import tomllib
except ModuleNotFoundError:
    import tomli as tomllib

pytestmark = pytest.mark.stack


def test_both_forms_hold_the_same_and_every_file_has_its_hash(mmsetup: Callable, tmp_path: Path) -> None:
    done = mmsetup("lock", "--name", "one", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    first, second = tmp_path / "pylock.one.toml", tmp_path / "requirements.one.txt"
    lock = read(first)
    assert lock.digest == read(second).digest == done.document["digest"]
    versions = {package.name: package.version for package in lock.packages}
    assert (versions["torch"], versions["mmcv-full"], versions["mmsegmentation"]) == (
        "1.13.1",
        "1.7.2",
        "0.30.0",
    )
    assert versions["numpy"].startswith("1.")
    assert {"opencv-python-headless", "torchvision", "yapf"} <= versions.keys()
    assert all(
        re.fullmatch("[0-9a-f]{64}", file.sha256) for package in lock.packages for file in package.files
    )
    # Nothing but the ops may come as a source distribution.
    sources = [p.name for p in lock.packages for file in p.files if not file.filename.endswith(".whl")]
    assert sources == ["mmcv-full"]
    assert lock.build is not None
    built_with = {package.name: package.version for package in lock.build.requires}
    assert built_with["torch"] == versions["torch"]
    assert built_with["numpy"] == versions["numpy"]
    assert int(built_with["setuptools"].split(".")[0]) < 81


def test_the_pylock_form_is_what_the_standard_says(mmsetup: Callable, tmp_path: Path) -> None:
    assert mmsetup("lock", "--name", "one", cwd=tmp_path).code == 0
    path = tmp_path / "pylock.one.toml"
    pylock = Pylock.from_dict(tomllib.loads(path.read_text()))
    pylock.validate()
    assert str(pylock.requires_python) == "==3.10.*"
    again, _ = write(read(path), tmp_path / "again")
    assert again.read_bytes() == path.read_bytes()


def test_the_same_plan_gives_the_same_files(mmsetup: Callable, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        assert mmsetup("lock", "--output", folder, cwd=tmp_path).code == 0
    for name in ("pylock.mmcv-full.toml", "requirements.mmcv-full.txt"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_offline_with_an_empty_cache_says_what_fills_it(mmsetup: Callable, tmp_path: Path) -> None:
    done = mmsetup("lock", "--offline", cwd=tmp_path, UV_CACHE_DIR=str(tmp_path / "empty"))
    assert done.code == 4
    assert "leave --offline away once" in done.err
    assert not list(tmp_path.glob("*lock*"))


def test_an_index_that_does_not_answer_is_an_error_of_the_network(mmsetup: Callable, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = mmsetup(
        "lock",
        cwd=tmp_path,
        UV_DEFAULT_INDEX=f"http://127.0.0.1:{port}/simple",
        UV_CACHE_DIR=str(tmp_path / "empty"),
        UV_HTTP_RETRIES="0",
    )
    assert done.code == 4
    assert f"127.0.0.1:{port}" in done.err


def test_an_interpreter_that_is_not_here_and_may_not_be_fetched(mmsetup: Callable, tmp_path: Path) -> None:
    done = mmsetup("lock", "--offline", "--python", "3.10.99", cwd=tmp_path)
    assert done.code == 3
    assert "no Python 3.10.99 is here" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.b", "../x", "a b", "-x"])
def test_a_name_that_cannot_be_one(mmsetup: Callable, tmp_path: Path, name: str) -> None:
    done = mmsetup("lock", f"--name={name}", cwd=tmp_path)
    assert done.code == 5
    assert "cannot name a lockfile" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(mmsetup: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = mmsetup("lock", "--output", "file", cwd=tmp_path)
    assert done.code == 5
    assert "cannot be written to file" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
