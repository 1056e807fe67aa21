"""No false alarm: environments that are as they should be, each of another making, and the doctor finds no error in any.

The sets of the lockfiles are gigabytes each and most have operators that take a minute to build: two of them are
always examined, all where MMSETUP_TEST_LOCKS is set.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from breaking import copied, errors, failing, machine, packages, uv, warnings
from uv import find_uv_bin

from mmsetup.build import fetch
from mmsetup.build.unpack import unpack
from mmsetup.lock import source_distribution
from mmsetup.progress import Silent

pytestmark = pytest.mark.stack


def name_of(lock: Path) -> str:
    return lock.name.removeprefix("requirements.").removesuffix(".txt")


LOCKS = sorted((Path(__file__).parents[2] / "lockfiles").glob("requirements.*.txt"))
ALWAYS = ("mmcv-full-py310", "onedl-py312")
EXAMINED = [lock for lock in LOCKS if os.environ.get("MMSETUP_TEST_LOCKS") or name_of(lock) in ALWAYS]
STACK = "import mmcv.ops, mmseg.apis"
# What the first family's torch needs, as a user would write it.
PLAIN = ("torch==1.13.1", "torchvision==0.14.1", "numpy<2", "setuptools<70")


def python_of(minor: str) -> str:
    """Give a Python that is here, else have uv fetch one."""
    found = next((str(one.path) for one in machine().interpreters if one.minor == minor), None)
    if found is None:
        subprocess.run([find_uv_bin(), "python", "install", "--quiet", minor], check=True)
        asked = [find_uv_bin(), "python", "find", "--managed-python", minor]
        found = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    return found


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """Make a virtual environment by uv, without pip, and install into it."""

    def make(minor: str, *requirements: str | Path, options: tuple[str, ...] = ()) -> Path:
        target = tmp_path / "env"
        command = [find_uv_bin(), "venv", "--quiet", "--python", python_of(minor), *options, target]
        subprocess.run(command, check=True, capture_output=True)
        uv("install", *requirements, into=target)
        return target

    return make


@pytest.fixture
def first(stack_environment: Path, tmp_path: Path) -> Path:
    return copied(stack_environment, tmp_path / "env")


@pytest.mark.parametrize("lock", EXAMINED, ids=name_of)
def test_the_set_of_a_lockfile(lock, mmsetup, tmp_path, request):
    if name_of(lock) == "onedl-py312":
        prefix = request.getfixturevalue("third_family")
    else:
        done = mmsetup("install", "--no-smoke", "--lock", lock, cwd=tmp_path, timeout=7200)
        assert done.code == 0, done.err
        prefix = tmp_path / ".venv"
    assert failing(prefix, STACK) == ""
    assert errors(prefix) == []


@pytest.mark.parametrize("which", ["stack_environment", "second_family", "later_torch"])
def test_what_a_plan_of_today_makes(which, request):
    assert errors(request.getfixturevalue(which)) == []


@pytest.mark.parametrize(
    ("minor", "requirements"),
    [
        ("3.8", PLAIN),
        ("3.13", ("torch==2.13.0", "torchvision==0.28.0")),
        ("3.10", (*PLAIN, "mmengine==0.10.7")),
    ],
    ids=["Python 3.8", "Python 3.13", "mmengine"],
)
def test_torch_without_operators(made, minor, requirements):
    prefix = made(minor, *requirements)
    assert failing(prefix, "import torch, torchvision; torch.zeros(1).numpy()") == ""
    assert errors(prefix) == []


def test_operators_in_an_environment_of_pip(ops_wheel, tmp_path):
    prefix = tmp_path / "env"
    subprocess.run([python_of("3.10"), "-m", "venv", prefix], check=True)
    uv("install", *PLAIN, into=prefix)
    pip = [prefix / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    wanted = (ops_wheel, "opencv-python-headless<4.12", "numpy<2")
    subprocess.run([*pip, *wanted], check=True, capture_output=True)
    assert failing(prefix, "import mmcv.ops") == ""
    assert errors(prefix) == []


def test_a_stack_that_sees_the_packages_of_its_base(made, ops_wheel):
    others = ("mmsegmentation==0.30.0", "opencv-python-headless<4.12")
    prefix = made("3.10", *PLAIN, ops_wheel, *others, options=("--system-site-packages",))
    assert failing(prefix, STACK) == ""
    assert errors(prefix) == []


def test_an_editable_checkout_of_mmsegmentation(first, python, tmp_path):
    file = source_distribution("mmsegmentation", "0.30.0", python.path)
    checkout = unpack(fetch(file.url, file.sha256, progress=Silent()), tmp_path / "source")
    uv("uninstall", "mmsegmentation", into=first)
    uv("install", "--no-deps", "--editable", checkout, into=first)
    assert not (packages(first) / "mmseg").exists()
    assert failing(first, f"import mmseg.apis; assert mmseg.__file__.startswith({str(checkout)!r})") == ""
    assert errors(first) == []


def test_both_editions_of_opencv(first):
    uv("install", "--no-deps", "opencv-python==4.10.0.84", into=first)
    importable = failing(first, "import cv2") == ""
    assert errors(first) == ([] if importable else ["MM501"])
    assert "MM102" in warnings(first)
