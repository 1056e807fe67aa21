"""Environments whose compiled ops do, and do not, belong to the torch beside them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mmsetup.errors import IntegrityError
from mmsetup.install.verify import verify_environment
from mmsetup.lock import Lock, LockedFile, LockedPackage

TORCH = "namespace at { int empty(long) { return 0; } }\n"
CUDA = 'extern "C" int cuda() { return 0; }\n'
OPS = (
    'namespace at { int empty(long); }\nextern "C" int cuda();\nint use() { return at::empty(1) + cuda(); }\n'
)
LOCK = Lock(
    "default",
    "mmcv-full",
    "3.10",
    "linux-x86_64",
    "cu117",
    (LockedPackage("torch", "1.13.1", (LockedFile("torch.whl", "aa"),)),),
    None,
    "digest",
)

Compile = Callable[..., Path]


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    """Compile a C++ library: its place, source, soname, libraries that it needs."""

    def make(place: Path, source: str, soname: str, *options: str | Path) -> Path:
        code = tmp_path / f"{soname}.cpp"
        code.write_text(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        command = ["g++", "-shared", "-fPIC", code, *options, f"-Wl,-soname,{soname}", "-o", place]
        subprocess.run(command, check=True)
        return place

    return make


@pytest.fixture
def environment(tmp_path: Path, compiled: Compile) -> Path:
    """Lay out an environment with a torch that carries its CUDA runtime as wheels do, and ops for it."""
    site = tmp_path / "env" / "lib" / "python3.10" / "site-packages"
    (site / "torch-1.13.1.dist-info").mkdir(parents=True)
    (tmp_path / "env" / "bin").mkdir()
    (tmp_path / "env" / "bin" / "python").touch()
    torch = compiled(site / "torch" / "lib" / "libtorch.so", TORCH, "libtorch.so")
    cuda = compiled(site / "torch" / "lib" / "libcudart-e409450e.so.11.0", CUDA, "libcudart.so.11.0")
    compiled(site / "mmcv" / "_ext.cpython-310-x86_64-linux-gnu.so", OPS, "_ext.so", torch, cuda, "-lgomp")
    return tmp_path / "env"


def test_ops_that_need_a_runtime_by_its_soname_are_good(environment: Path) -> None:
    verify_environment(environment, LOCK)


def test_libraries_that_came_with_the_ops_are_found(environment: Path, compiled: Compile) -> None:
    site = environment / "lib" / "python3.10" / "site-packages"
    own = compiled(site / "mmcv.libs" / "libown.so.1", CUDA, "libown.so.1")
    extension = site / "mmcv" / "_ext.cpython-310-x86_64-linux-gnu.so"
    source = 'extern "C" int cuda();\nint use() { return cuda(); }\n'
    compiled(extension, source, "_ext.so", own, "-Wl,-rpath,$ORIGIN/../mmcv.libs")
    verify_environment(environment, LOCK)
    own.unlink()
    with pytest.raises(IntegrityError, match=r"_ext.* needs libraries that neither torch 1\.13\.1") as caught:
        verify_environment(environment, LOCK)
    assert caught.value.evidence == ("library libown.so.1 is not there",)


def test_a_torch_with_another_cuda_runtime_is_told(environment: Path) -> None:
    next(environment.rglob("libcudart-*")).unlink()
    with pytest.raises(IntegrityError, match="needs libraries") as caught:
        verify_environment(environment, LOCK)
    assert caught.value.evidence == ("library libcudart.so.11.0 is not there",)
    assert "--no-prebuilt" in caught.value.remedy


def test_ops_for_another_torch_are_told(environment: Path, compiled: Compile) -> None:
    torch = next(environment.rglob("libtorch.so"))
    compiled(torch, TORCH.replace("long", "int"), "libtorch.so")
    with pytest.raises(IntegrityError, match=r"was built for another torch than 1\.13\.1") as caught:
        verify_environment(environment, LOCK)
    assert caught.value.evidence == ("_ZN2at5emptyEl",)


def test_a_package_that_the_lock_names_and_nobody_installed_is_told(environment: Path) -> None:
    next(environment.rglob("torch-1.13.1.dist-info")).rmdir()
    with pytest.raises(IntegrityError, match="not what the lock says") as caught:
        verify_environment(environment, LOCK)
    assert caught.value.evidence == ("torch 1.13.1 (there is none)",)


def test_a_module_that_somebody_wrote_into_in_the_cache_is_told(environment: Path) -> None:
    site = environment / "lib" / "python3.10" / "site-packages"
    (site / "torch" / "__init__.py").write_text("x = 1\n")
    (site / "torch-1.13.1.dist-info" / "RECORD").write_text("torch/__init__.py,sha256=ab,6\n")
    verify_environment(environment, LOCK)
    (site / "torch" / "__init__.py").write_text("import nothing_here\n")
    with pytest.raises(IntegrityError, match=r"cache.* was written into: torch$") as caught:
        verify_environment(environment, LOCK)
    assert caught.value.evidence == (f"{site}/torch/__init__.py is not what its wheel holds",)
    assert caught.value.remedy.startswith("uv cache clean torch ")
