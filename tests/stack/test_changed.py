"""An environment that was changed after mmsetup made it: noticed, and mended by the command that doctor names."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from breaking import copied, diagnosed, extension, packages, uv
from uv import find_uv_bin

pytestmark = pytest.mark.stack


@pytest.fixture
def go(mmsetup: Callable, stack_environment: Path, tmp_path: Path) -> Callable:
    """Run mmsetup where an environment was made from the lock of the one that all share."""

    def run(*words: str | Path):
        return mmsetup(*words, "--json", cwd=tmp_path)

    lock = stack_environment / ".mmsetup" / "requirements.txt"
    assert run("install", "--no-smoke", "--offline", "--lock", lock).document["status"] == "installed"
    return run


def put(path: Path, contents: bytes) -> None:
    """Replace a file, which may be a hard link into a cache."""
    path.unlink()
    path.write_bytes(contents)


def test_damaged_ops_are_mended_by_the_named_command(go: Callable, tmp_path: Path) -> None:
    ops = extension(tmp_path / ".venv")
    whole = ops.read_bytes()
    put(ops, b"x")
    (finding,) = go("doctor", "--env", ".venv").document["findings"]
    assert finding["id"] == "MM202"
    command, *words = shlex.split(finding["remedy"])
    assert (command, words[0]) == ("mmsetup", "install")
    assert go(*words, "--no-smoke").document["status"] == "installed"
    assert ops.read_bytes() == whole
    assert go("doctor", "--env", ".venv").document["findings"] == []


@pytest.mark.parametrize("name", ["mmcv/ops/nms.py", "torch/nn/modules/conv.py", "cv2/cv2.abi3.so"])
def test_a_file_that_is_empty_is_noticed_by_the_next_install(go: Callable, tmp_path: Path, name: str) -> None:
    file = packages(tmp_path / ".venv") / name
    put(file, b"")
    lock = tmp_path / ".venv" / ".mmsetup" / "requirements.txt"
    done = go("install", "--no-smoke", "--offline", "--lock", lock)
    assert f"{name} has 0 bytes instead of " in " ".join(done.err.split())
    assert done.document["status"] == "installed"
    assert file.stat().st_size


def test_the_same_files_asked_for_in_other_words_are_not_installed_again(
    go: Callable, tmp_path: Path
) -> None:
    lock = tmp_path / ".venv" / ".mmsetup" / "requirements.txt"
    module = packages(tmp_path / ".venv") / "mmseg" / "version.py"
    edited = module.read_bytes() + b"# mine\n"
    put(module, edited)
    assert go("install", "--no-smoke").document["status"] == "unchanged"
    assert go("install", "--no-smoke", "--torch", "1.13.1").document["status"] == "unchanged"
    assert go("install", "--no-smoke", "--offline", "--lock", lock).document["status"] == "unchanged"
    assert module.read_bytes() == edited
    again = go("install", "--no-smoke", "--offline", "--lock", lock, "--reinstall")
    assert again.document["status"] == "installed"
    assert module.read_bytes() != edited


ACTS = {
    "MM201": lambda env: extension(env).unlink(),
    "MM101": lambda env: uv("uninstall", "mmcv-full", into=env),
    "MM102": lambda env: uv("install", "--no-deps", "mmcv-lite==2.2.0", into=env),
    "MM204": lambda env: uv("install", "torch==2.0.1", "torchvision==0.15.2", into=env),
    "MM301": lambda env: uv("install", "--no-deps", "torchvision==0.13.1", into=env),
    "MM401": lambda env: uv("install", "--no-deps", "mmsegmentation==0.20.0", into=env),
    "MM402": lambda env: uv("install", "--no-deps", "numpy==2.2.6", into=env),
}


@pytest.mark.parametrize("cause", ACTS)
def test_the_command_that_is_named_mends(stack_environment: Path, tmp_path: Path, cause: str) -> None:
    environment = copied(stack_environment, tmp_path / "with space" / ".venv")
    ACTS[cause](environment)
    (finding,) = diagnosed(environment).of("error")
    assert finding.id == cause
    folders = (Path(sys.executable).parent, Path(find_uv_bin()).parent)
    done = subprocess.run(
        ["bash", "-c", finding.remedy.replace("mmsetup install", "mmsetup install --no-smoke")],
        env={**os.environ, "PATH": os.pathsep.join([*map(str, folders), os.environ["PATH"]])},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert diagnosed(environment).of("error") == ()
