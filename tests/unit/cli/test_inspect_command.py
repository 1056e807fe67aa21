"""``mmsetup inspect``: what lies on standard output, and with what status it ends."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import struct
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from mmsetup.cli import inspect
from mmsetup.errors import CheckFailedError, IntegrityError, RequestError

HERE = f"cp{sys.version_info.major}{sys.version_info.minor}"
TAG = f"{HERE}-{HERE}-linux_{platform.machine()}"
MEMBER = f"mmcv/_ext.cpython-{HERE[2:]}-{platform.machine()}-linux-gnu.so"
CHECK = "_ZN3c106detail14torchCheckFailEv"
OF_113 = "_ZN3c104cuda29c10_cuda_check_implementationERKSsS2_ib"
OPS = "ext_module = ext_loader.load_ext('_ext', ['nms'])\n"


@pytest.fixture
def command(monkeypatch) -> Callable[..., Any]:
    """Run the command in a process that knows of no environment."""
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(variable, raising=False)
    app = typer.Typer()
    app.command("inspect")(inspect.command)
    return lambda *words: CliRunner().invoke(app, list(map(str, words)))


def compiled(path: Path, source: str, *, architectures: tuple[int, ...] = (), soname: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if architectures:
        entries = b"".join(
            struct.pack("<HHIQIIHHIIIQ", 2, 0x101, 64, 8, 0, 0, 0, 1, number, 0, 0, 0) + bytes(24)
            for number in architectures
        )
        (path.parent / "code.bin").write_bytes(
            struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(entries)) + entries
        )
        source += '__asm__(".section .nv_fatbin,\\"a\\"\\n.balign 8\\n.incbin \\"code.bin\\"\\n");\n'
    code = path.parent / "source.c"
    code.write_text(source)
    named = [f"-Wl,-soname,{soname}"] if soname else []
    words = ["gcc", "-shared", "-fPIC", "-w", code.name, "-o", path.name, *named]
    subprocess.run(words, check=True, cwd=path.parent)
    code.unlink()
    (path.parent / "code.bin").unlink(missing_ok=True)
    return path


def extension(path: Path, *calls: str, architectures: tuple[int, ...] = ()) -> Path:
    names = "".join(f"extern int {one}(void); " for one in calls)
    body = " + ".join(f"{one}()" for one in calls) or "1"
    source = f'{names}\nconst char *t = "nms"; int _Z3nmsv(void) {{ return {body}; }}\n'
    return compiled(path, source, architectures=architectures)


@pytest.fixture
def wheel(tmp_path) -> Callable[..., Path]:
    """Write a wheel of mmcv-full that calls the given symbols and holds code for the given architectures."""

    def make(
        *calls: str, architectures: tuple[int, ...] = (), tag: str = TAG, version: str = "1.7.2"
    ) -> Path:
        built = extension(tmp_path / "made" / "_ext.so", *calls, architectures=architectures)
        return packed(tmp_path / f"mmcv_full-{version}-{tag}.whl", {MEMBER: built.read_bytes()}, version)

    return make


def packed(path: Path, files: Mapping[str, bytes], version: str = "1.7.2") -> Path:
    info = f"mmcv_full-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: mmcv-full\nVersion: {version}\nRequires-Python: >=3.6\n"
    contents = {**files, "mmcv/ops/nms.py": OPS.encode(), f"{info}/METADATA": metadata.encode()}
    rows = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in contents.items()
    ]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,"]) + "\n")
    return path


@pytest.fixture
def env(tmp_path) -> Path:
    """An environment with a torch of CUDA 11.7 and an mmcv that fits it."""
    prefix = tmp_path / "env"
    venv.create(prefix, symlinks=True, with_pip=False)
    site = prefix / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    libraries = site / "torch" / "lib"
    compiled(libraries / "libc10.so", f"int {CHECK}(void) {{ return 1; }}\n", soname="libc10.so")
    compiled(
        libraries / "libtorch_python.so", 'const char *f = "sm_70 sm_86";\n', soname="libtorch_python.so"
    )
    compiled(
        libraries / "libtorch_cuda.so", "int z;\n", soname="libtorch_cuda.so", architectures=(70, 75, 86)
    )
    (site / "torch" / "version.py").write_text("__version__ = '1.13.1+cu117'\ncuda = '11.7'\n")
    extension(site / MEMBER, CHECK, architectures=(70, 86))
    (site / "mmcv" / "__init__.py").touch()
    (site / "mmcv" / "ops").mkdir()
    (site / "mmcv" / "ops" / "nms.py").write_text(OPS)
    compiled(site / "numpy" / "core.so", "int of_no_interest;\n")
    return prefix


def document(done: Any) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def test_a_wheel_alone_is_compared_with_nothing(command, wheel):
    done = command(wheel(CHECK, OF_113, architectures=(80,)))
    assert done.exit_code == 0, done.exception
    assert "wheel of mmcv-full 1.7.2" in done.stdout
    assert TAG in done.stdout
    assert "GPU code: sm_80; PTX: none" in done.stdout
    assert "all 1 operators that mmcv.ops loads" in done.stdout
    assert "those of torch 1.13" in done.stdout
    assert "runs" not in done.stdout


def test_a_wheel_that_names_its_torch_is_held_against_it(command, wheel):
    tag = "cp310-cp310-linux_x86_64"
    found = command(wheel(OF_113, tag=tag, version="1.7.2+pt1.13.1cu117"))
    assert found.exit_code == 0, found.exception
    assert "runs with torch 1.13.1 cu117 of the catalogue" in found.stdout
    lying = command(wheel(OF_113, tag=tag, version="1.7.2+pt2.0.1cu118"))
    assert isinstance(lying.exception, CheckFailedError)
    assert "does not run with torch 2.0.1 cu118 of the catalogue" in lying.stdout


def test_the_document(command, wheel):
    read = document(command(wheel(CHECK, architectures=(80,)), "--gpu", "sm_86", "--json"))
    assert read["schema"] == "mmsetup.inspect/1"
    assert read["faults"] == []
    (item,) = read["items"]
    assert item["kind"] == "wheel"
    assert item["wheel"]["tags"] == [TAG]
    (one,) = item["libraries"]
    assert one["name"] == MEMBER
    assert one["torch_symbols"] == [CHECK]
    assert one["operators"] == {"present": ["nms"], "absent": [], "compared": True}
    assert one["gpu_code"]["architectures"]["sass"] == ["sm_80"]
    assert item["verdict"]["outcome"] == "runs"
    assert item["verdict"]["gpus"] == [{"name": "sm_86", "architecture": "sm_86", "outcome": "runs"}]


def test_an_environment_is_held_against_itself(command, env):
    done = command(env, "--json")
    assert done.exit_code == 0, done.stdout
    (item,) = document(done)["items"]
    names = [one["name"] for one in item["libraries"]]
    assert MEMBER in names
    assert "torch/lib/libtorch_cuda.so" in names
    assert "numpy/core.so" not in names
    assert item["verdict"]["outcome"] == "runs"
    shown = command(env).stdout
    assert "torch    1.13.1+cu117, its kernels are for sm_70, sm_86" in shown
    assert "runs with torch 1.13.1+cu117 of " in shown


def test_a_wheel_for_another_torch_than_that_of_the_environment(command, wheel, env):
    done = command(wheel(OF_113), "--env", env)
    assert isinstance(done.exception, CheckFailedError)
    assert done.exception.remedy.startswith("mmsetup install --env ")
    assert f"found  missing: {OF_113} (in torch 1.13)" in done.stdout
    assert command(wheel(CHECK), "--env", env).exit_code == 0


def test_the_active_environment_counts_where_none_is_named(command, wheel, env, monkeypatch):
    monkeypatch.setenv("VIRTUAL_ENV", str(env))
    assert isinstance(command(wheel(OF_113)).exception, CheckFailedError)


def test_what_does_not_run_as_a_document(command, wheel, env):
    done = command(wheel(CHECK, architectures=(70,)), "--env", env, "--gpu", "H100", "--json")
    assert done.exit_code == 1
    (item,) = document(done)["items"]
    assert item["verdict"]["outcome"] == "does not run"
    assert [reason["kind"] for reason in item["verdict"]["reasons"]] == ["gpu"]


def test_a_torch_of_the_catalogue(command, wheel):
    done = command(wheel(OF_113, tag="cp310-cp310-linux_x86_64"), "--torch", "2.0.1", "--cuda", "cu118")
    assert isinstance(done.exception, CheckFailedError)
    assert "does not run with torch 2.0.1 cu118 of the catalogue" in done.stdout


def test_an_environment_and_a_torch_are_one_too_many(command, wheel, env):
    done = command(wheel(CHECK), "--env", env, "--torch", "2.0.1")
    assert isinstance(done.exception, RequestError)


def test_a_damaged_file_is_an_error(command, tmp_path):
    (tmp_path / "libcut.so").write_bytes(b"\x7fELF")
    done = command(tmp_path / "libcut.so")
    assert isinstance(done.exception, IntegrityError)
    assert done.stdout == ""


def test_all_damaged_files_are_told_where_there_are_no_others(command, tmp_path):
    cut, page = tmp_path / "libcut.so", tmp_path / "mmcv-2.1.0-py3-none-any.whl"
    cut.write_bytes(b"\x7fELF")
    page.write_text("<html>")
    done = command(cut, page)
    assert isinstance(done.exception, IntegrityError)
    assert str(done.exception).startswith("2 of 2 cannot be read: ")
    assert "is not a zip file" in done.exception.evidence[0]
    done = command(cut, page, "--json")
    assert done.exit_code == 9
    assert [Path(fault["path"]).name for fault in document(done)["faults"]] == [cut.name, page.name]


def test_no_gpu_is_asked_for_as_in_a_plan(command, wheel, env, monkeypatch):
    """A wheel for the CPU runs beside a torch without the GPU that the machine is said to have."""
    monkeypatch.setenv("MMSETUP_OVERRIDE_GPU_ARCHITECTURES", "sm_90")
    made = wheel(CHECK)
    done = command(made, "--env", env)
    assert "on " in done.stdout
    assert isinstance(done.exception, CheckFailedError)
    done = command(made, "--env", env, "--gpu", "none")
    assert done.exit_code == 0, done.stdout
    assert isinstance(command(made, "--gpu", "none", "--gpu", "sm_90").exception, RequestError)


def test_the_others_in_a_folder_are_told_all_the_same(command, wheel, tmp_path):
    folder = wheel(CHECK).rename(tmp_path / "made" / f"mmcv_full-1.7.2-{TAG}.whl").parent
    (folder / "mmcv-2.1.0-py3-none-any.whl").write_text("<html>")
    done = command(folder)
    assert isinstance(done.exception, IntegrityError)
    assert "1 of 3 cannot be read" in str(done.exception)
    assert "wheel of mmcv-full 1.7.2" in done.stdout
    done = command(folder, "--json")
    assert done.exit_code == 9
    read = document(done)
    assert [Path(item["path"]).name for item in read["items"]] == ["_ext.so", f"mmcv_full-1.7.2-{TAG}.whl"]
    (fault,) = read["faults"]
    assert fault["remedy"].startswith("rm ")
    assert "is not a zip file" in fault["message"]


@pytest.mark.parametrize("words", [["absent.whl"], ["."], [".", "--gpu", "RTX 99999"]])
def test_what_makes_no_sense(command, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert isinstance(command(*words).exception, RequestError)
