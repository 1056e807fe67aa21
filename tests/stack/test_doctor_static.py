"""What shadows, what is loaded and what was compiled for something else, in a real environment that breaks for real."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from uv import find_uv_bin

from mmsetup.catalog import load
from mmsetup.doctor import doctor
from mmsetup.probe import environment, probe

pytestmark = pytest.mark.stack


def linked(source: str, target: str) -> None:
    """Give a file a second name; a copy where the file systems differ."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


@pytest.fixture
def broken(stack_environment: Path, tmp_path: Path) -> Path:
    """A copy that shares its files with the original: nothing in it may be written to, only replaced."""
    shutil.copytree(stack_environment, tmp_path / "env", symlinks=True, copy_function=linked)
    return tmp_path / "env"


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Give the ids of the errors of an environment, seen from a folder and a shell with variables."""
    machine, catalog = replace(probe(), driver=None, gpus=()), load()

    def make(prefix: Path, folder: Path | None = None, **variables: str) -> list[str]:
        described = environment(prefix)
        with monkeypatch.context() as patch:
            patch.chdir(folder or prefix)
            patch.setattr(os, "environ", {**os.environ, **variables})
            diagnosis = doctor(described, machine, catalog)
        return sorted({finding.id for finding in diagnosis.of("error")})

    return make


def importing(prefix: Path, what: str, folder: Path | None = None, **variables: str) -> str:
    """Give the last line with which the code fails, or nothing."""
    done = subprocess.run(
        [prefix / "bin" / "python", "-W", "ignore", "-c", f"import {what}"],
        capture_output=True,
        text=True,
        cwd=folder or prefix,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables},
        check=False,
    )
    return (done.stderr.strip().splitlines() or ["ended"])[-1] if done.returncode else ""


def packages(prefix: Path) -> Path:
    return environment(prefix).site_packages[0]


def uv(*words: str | Path) -> None:
    subprocess.run([find_uv_bin(), "pip", *words, "--quiet"], check=True, capture_output=True, text=True)


@pytest.fixture
def checkout(broken: Path, tmp_path: Path) -> Path:
    """The sources of mmcv as a checkout has them: without the compiled operators."""
    folder = tmp_path / "source"
    shutil.copytree(packages(broken) / "mmcv", folder / "mmcv", ignore=shutil.ignore_patterns("_ext*"))
    return folder


@pytest.fixture
def old_library(tmp_path: Path) -> Path:
    """A folder with a libstdc++ of an old system: it defines nothing but the oldest version."""
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "old.c").write_text("void oldest(void) {}\n")
    (folder / "old.map").write_text("GLIBCXX_3.4 { global: oldest; };\n")
    words = ["gcc", "-shared", "-fPIC", "old.c", "-o", "libstdc++.so.6", "-nostdlib"]
    subprocess.run([*words, "-Wl,-soname,libstdc++.so.6,--version-script,old.map"], check=True, cwd=folder)
    return folder


def test_a_checkout_in_the_current_folder(broken, checkout, errors):
    assert "mmcv._ext" in importing(broken, "mmcv.ops", checkout)
    assert errors(broken, checkout) == ["MM132"]
    assert importing(broken, "mmcv.ops") == ""
    assert errors(broken) == []


def test_a_checkout_in_pythonpath(broken, checkout, errors):
    assert "mmcv._ext" in importing(broken, "mmcv.ops", PYTHONPATH=str(checkout))
    assert errors(broken, PYTHONPATH=str(checkout)) == ["MM131"]


def test_a_numpy_2_in_pythonpath(broken, errors, tmp_path):
    uv("install", "--python", broken / "bin" / "python", "--target", tmp_path / "other", "numpy==2.2.6")
    code = "torch; torch.zeros(1).numpy()"
    assert "Numpy is not available" in importing(broken, code, PYTHONPATH=str(tmp_path / "other"))
    assert errors(broken, PYTHONPATH=str(tmp_path / "other")) == ["MM131"]


def test_an_old_cxx_library_in_ld_library_path(broken, errors, old_library):
    assert "not found" in importing(broken, "torch", LD_LIBRARY_PATH=str(old_library))
    assert errors(broken, LD_LIBRARY_PATH=str(old_library)) == ["MM123"]


def test_operators_from_a_newer_system(broken, errors, tmp_path):
    (extension,) = (packages(broken) / "mmcv").glob("_ext.*so")
    extension.unlink()
    (tmp_path / "stub.c").write_text("void newest(void) {}\n")
    (tmp_path / "stub.map").write_text("GLIBC_2.99 { global: newest; };\n")
    (tmp_path / "module.c").write_text("extern void newest(void); void PyInit__ext(void) { newest(); }\n")
    shared = ["gcc", "-shared", "-fPIC", "-nostdlib"]
    script = "-Wl,-soname,libc.so.6,--version-script,stub.map"
    subprocess.run([*shared, "stub.c", "-o", "libc.so.6", script], check=True, cwd=tmp_path)
    subprocess.run([*shared, "module.c", "-o", str(extension), "./libc.so.6"], check=True, cwd=tmp_path)
    assert "version `GLIBC_2.99' not found" in importing(broken, "torch, mmcv._ext")
    assert errors(broken) == ["MM122"]


def test_an_interpreter_that_was_exchanged_for_another_version(broken, errors):
    here = environment(broken).interpreter
    others = [found for found in probe().interpreters if found.minor != here.minor and found.minor >= "3.9"]
    if not others:
        pytest.skip("there is one Python alone")
    (broken / "lib" / f"python{here.minor}").rename(broken / "lib" / f"python{others[0].minor}")
    for name in ("python", "python3", f"python{here.minor}"):
        (broken / "bin" / name).unlink(missing_ok=True)
        (broken / "bin" / name).symlink_to(others[0].path)
    assert importing(broken, "numpy")
    assert errors(broken) == ["MM121"]


def test_a_wheel_for_another_processor(broken, errors):
    python, version = broken / "bin" / "python", environment(broken).version_of("numpy")
    elsewhere = "aarch64" if os.uname().machine == "x86_64" else "x86_64"
    platform = f"{elsewhere}-unknown-linux-gnu"
    uv(
        "install",
        "--python",
        python,
        "--no-deps",
        "--reinstall",
        "--python-platform",
        platform,
        f"numpy=={version}",
    )
    assert importing(broken, "numpy")
    assert errors(broken) == ["MM121"]


def test_numpy_2_is_told_once_whatever_it_breaks(broken, errors):
    uv("install", "--python", broken / "bin" / "python", "--no-deps", "numpy==2.2.6", "matplotlib==3.7.5")
    assert "numpy.core.multiarray failed to import" in importing(broken, "matplotlib.pyplot")
    assert errors(broken) == ["MM402"]


def test_an_editable_install_without_operators(broken, checkout, errors):
    python = broken / "bin" / "python"
    version = environment(broken).version_of("mmcv-full")
    (checkout / "setup.py").write_text(
        f"from setuptools import setup\nsetup(name='mmcv-full', version='{version}', packages=['mmcv'])\n"
    )
    uv("uninstall", "--python", python, "mmcv-full")
    shutil.rmtree(packages(broken) / "mmcv", ignore_errors=True)
    uv("install", "--python", python, "--no-deps", "--no-build-isolation", "-e", checkout)
    assert "mmcv._ext" in importing(broken, "mmcv.ops")
    assert errors(broken) == ["MM201"]
    shutil.rmtree(checkout)
    assert "No module named 'mmcv'" in importing(broken, "mmcv")
    assert "MM135" in errors(broken)


def test_a_pythonhome_of_another_python(broken, errors, tmp_path):
    assert importing(broken, "os", PYTHONHOME=str(tmp_path))
    assert errors(broken, PYTHONHOME=str(tmp_path)) == ["MM136"]
