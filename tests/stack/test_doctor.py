"""Break a real environment for real: the doctor names that cause and no other, and the break is one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from uv import find_uv_bin

from mmsetup.catalog import Catalog, load
from mmsetup.doctor import Diagnosis, doctor
from mmsetup.probe import environment, probe
from mmsetup.probe.machine import Driver, Gpu, Machine

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


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load()


@pytest.fixture(scope="module")
def machine() -> Machine:
    """This machine as it would be without a GPU."""
    return replace(probe(), driver=None, gpus=())


@pytest.fixture
def examine(machine: Machine, catalog: Catalog) -> Callable[..., Diagnosis]:
    def make(prefix: Path, on: Machine | None = None) -> Diagnosis:
        return doctor(prefix, on or machine, catalog)

    return make


@pytest.fixture
def errors(examine: Callable[..., Diagnosis]) -> Callable[..., list[str]]:
    def make(prefix: Path, on: Machine | None = None) -> list[str]:
        return sorted({finding.id for finding in examine(prefix, on).of("error")})

    return make


def packages(prefix: Path) -> Path:
    return environment(prefix).site_packages[0]


def extension(prefix: Path) -> Path:
    (found,) = (packages(prefix) / "mmcv").glob("_ext.*so")
    return found


def uv(prefix: Path, *words: str) -> None:
    subprocess.run(
        [find_uv_bin(), "pip", *words, "--python", str(prefix / "bin" / "python"), "--quiet"],
        check=True,
        capture_output=True,
        text=True,
    )


def importing(prefix: Path, what: str) -> str:
    """Give the last line with which importing it fails, or nothing."""
    done = subprocess.run(
        [prefix / "bin" / "python", "-W", "ignore", "-c", f"import {what}"],
        capture_output=True,
        text=True,
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        check=False,
    )
    return (done.stderr.strip().splitlines() or ["ended"])[-1] if done.returncode else ""


def compiled(target: Path, scratch: Path, *, needs: str = "", calls: str = "") -> None:
    """Put a small extension, which needs a library or calls a function that is nowhere, in place of another."""
    target.unlink()
    scratch.mkdir()
    call = f"extern void {calls}(void); void *held = (void *)&{calls};" if calls else ""
    (scratch / "module.c").write_text(f"{call}\nvoid *PyInit__ext(void) {{ return 0; }}\n")
    (scratch / "empty.c").write_text("")
    stubs = []
    if needs:
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "empty.c", "-o", needs, f"-Wl,-soname,{needs}"],
            check=True,
            cwd=scratch,
        )
        stubs = [f"./{needs}"]
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "module.c", "-o", str(target), "-Wl,--no-as-needed", *stubs],
        check=True,
        cwd=scratch,
    )


def test_a_good_environment_has_no_error(stack_environment, examine):
    assert examine(stack_environment).of("error") == ()
    assert importing(stack_environment, "mmcv.ops, mmseg.apis") == ""


def test_operators_removed(broken, errors):
    extension(broken).unlink()
    assert "mmcv._ext" in importing(broken, "mmcv.ops")
    assert errors(broken) == ["MM201"]


def test_operators_cut_short(broken, errors):
    place = extension(broken)
    half = place.read_bytes()[: place.stat().st_size // 2]
    place.unlink()
    place.write_bytes(half)
    assert importing(broken, "mmcv.ops")
    assert errors(broken) == ["MM202"]


def test_operators_for_another_python(broken, errors):
    place = extension(broken)
    place.rename(place.with_name("_ext.cpython-36m-x86_64-linux-gnu.so"))
    assert "mmcv._ext" in importing(broken, "mmcv.ops")
    assert errors(broken) == ["MM202"]


def test_operators_for_another_cuda(broken, errors, tmp_path):
    compiled(extension(broken), tmp_path / "scratch", needs="libcudart.so.9.0")
    assert "libcudart.so.9.0: cannot open shared object file" in importing(broken, "torch, mmcv._ext")
    assert errors(broken) == ["MM203"]


def test_operators_for_another_torch(broken, errors, tmp_path):
    symbol = "_ZNK3c1010TensorImpl36is_contiguous_nondefault_policy_implENS_12MemoryFormatEi"
    compiled(extension(broken), tmp_path / "scratch", calls=symbol)
    assert f"undefined symbol: {symbol}" in importing(broken, "torch, mmcv._ext")
    assert errors(broken) == ["MM204"]


def test_operators_for_a_torch_with_other_libraries(broken, errors, tmp_path):
    compiled(extension(broken), tmp_path / "scratch", needs="libtorch_of_another_release.so")
    assert "cannot open shared object file" in importing(broken, "torch, mmcv._ext")
    assert errors(broken) == ["MM204"]


def test_a_folder_left_behind(broken, errors):
    (info,) = packages(broken).glob("mmcv_full-*.dist-info")
    shutil.rmtree(info)
    assert errors(broken) == ["MM103"]


def test_numpy_2_beside_an_old_torch(broken, errors, examine):
    uv(broken, "install", "--no-deps", "numpy==2.2.6")
    assert errors(broken) == ["MM402"]
    done = subprocess.run(
        [broken / "bin" / "python", "-W", "ignore", "-c", "import torch; torch.zeros(1).numpy()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Numpy is not available" in done.stderr
    drift = [finding for finding in examine(broken).findings if finding.id == "MM601"]
    assert any(line.startswith("numpy: recorded 1.") for line in drift[0].evidence)


def test_a_torchvision_of_another_release(broken, errors):
    uv(broken, "install", "--no-deps", "torchvision==0.13.1")
    assert importing(broken, "torch, torchvision; torch.ops.torchvision.nms")
    assert errors(broken) == ["MM301"]


def test_opencv_cut_short(broken, errors):
    (place,) = (packages(broken) / "cv2").glob("*.so")
    half = place.read_bytes()[: place.stat().st_size // 2]
    place.unlink()
    place.write_bytes(half)
    assert importing(broken, "cv2")
    assert errors(broken) == ["MM105"]


def test_a_library_of_torch_cut_short(broken, errors):
    place = packages(broken) / "torch" / "lib" / "libtorch_python.so"
    half = place.read_bytes()[: place.stat().st_size // 2]
    place.unlink()
    place.write_bytes(half)
    assert importing(broken, "torch")
    assert errors(broken) == ["MM302"]


def test_a_gate_that_refuses_mmcv(broken, errors):
    uv(broken, "install", "--no-deps", "mmsegmentation==0.20.0")
    assert "is used but incompatible" in importing(broken, "mmseg")
    assert errors(broken) == ["MM401"]


def test_a_requirement_removed(broken, errors):
    uv(broken, "uninstall", "addict")
    assert "addict" in importing(broken, "mmcv")
    assert errors(broken) == ["MM111"]


def test_torchvision_removed(broken, errors):
    uv(broken, "uninstall", "torchvision")
    assert "torchvision" in importing(broken, "mmcv.runner")
    assert errors(broken) == ["MM112"]


def test_a_setuptools_without_pkg_resources(broken, errors):
    uv(broken, "install", "--no-deps", "setuptools==82.0.1")
    assert "pkg_resources" in importing(broken, "mmcv")
    assert errors(broken) == ["MM402"]


def test_mmcv_removed(broken, errors):
    uv(broken, "uninstall", "mmcv-full")
    shutil.rmtree(packages(broken) / "mmcv", ignore_errors=True)
    assert "mmcv" in importing(broken, "mmseg")
    assert errors(broken) == ["MM101"]


def test_opencv_with_windows_is_an_error_exactly_where_it_does_not_import(broken, errors):
    version = environment(broken).version_of("opencv-python-headless")
    uv(broken, "uninstall", "opencv-python-headless")
    uv(broken, "install", "--no-deps", f"opencv-python=={version}")
    fails = importing(broken, "cv2")
    assert errors(broken) == (["MM501"] if "cannot open shared object file" in fails else [])


def with_gpu(machine: Machine, architecture: str, driver: str) -> Machine:
    gpu = Gpu(0, "a GPU", architecture, 24 << 30)
    return replace(machine, driver=Driver(driver, "", "override"), gpus=(gpu,))


def test_operators_without_gpu_code_and_a_driver_too_old(broken, machine, errors, tmp_path):
    compiled(extension(broken), tmp_path / "scratch")
    has_cuda = bool(environment(broken).torch.cuda)
    assert errors(broken, with_gpu(machine, "sm_86", "535.104.05")) == (["MM504"] if has_cuda else ["MM505"])
    too_old = ["MM502", "MM504"] if has_cuda else ["MM505"]
    assert errors(broken, with_gpu(machine, "sm_86", "418.39")) == too_old


def test_a_gpu_that_torch_has_no_code_for(broken, machine, errors, tmp_path):
    compiled(extension(broken), tmp_path / "scratch")
    has_cuda = bool(environment(broken).torch.cuda)
    newest = with_gpu(machine, "sm_120", "580.65.06")
    assert errors(broken, newest) == (["MM503", "MM504"] if has_cuda else ["MM505"])


def test_the_command_finds_a_healthy_environment_healthy(stack_environment, tmp_path):
    command = [sys.executable, "-m", "mmsetup", "doctor", "--env", str(stack_environment), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["is_healthy"] is True
