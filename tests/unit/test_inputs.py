"""Lockfiles, projects and environments to start from, and what cannot be wished for beside them."""

from __future__ import annotations

import sys
import venv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmsetup.catalog import load
from mmsetup.errors import InterpreterError, LockError, RequestError, TargetError
from mmsetup.inputs import family_of, given_lock, interpreter_for
from mmsetup.lock import read, write
from mmsetup.plan import Request
from mmsetup.probe.machine import Cpu, Disk, Interpreter, Machine, Memory, OperatingSystem
from mmsetup.wishes import environment_beside, for_project

KEPT = Path(__file__).parents[2] / "lockfiles" / "requirements.mmcv-full-py310.txt"
MACHINE = Machine(
    os=OperatingSystem("linux", "Debian GNU/Linux 12", "6.1"),
    libc=None,
    cpu=Cpu("x86_64", "a processor", 2, 2),
    memory=Memory(1, 1),
    disk=Disk(Path("/"), 1),
    container=None,
    driver=None,
    gpus=(),
    toolkits=(),
    compilers=(),
    interpreters=(),
)


def python(version: str, **changes: object) -> Interpreter:
    here = Interpreter(Path(f"/{version}"), version, "cpython", "linux-x86_64", "PATH", True, Path("/"))
    return replace(here, **changes)


def test_without_a_lockfile_there_is_none() -> None:
    assert given_lock(None, Request(torch="2.0.1"), load()) is None


def test_a_lockfile_is_read_whatever_says_how_to_come_by_the_files() -> None:
    request = Request(offline=True, may_fetch_python=False, mirrors={"openmmlab": "http://127.0.0.1:9"})
    assert given_lock(KEPT, request, load()).package("torch").version == "1.13.1"


@pytest.mark.parametrize(
    "wish",
    [
        {"family": "another"},
        {"torch": "2.0"},
        {"python": "3.9"},
        {"cuda": "cpu"},
        {"may_use_prebuilt": False},
        {"wanted": ("mmdet",)},
        {"without": ("mmsegmentation",)},
        {"sources": ("openmmlab",)},
        {"forward_compatibility": True},
    ],
)
def test_a_version_beside_a_lockfile_is_refused(wish: dict[str, object]) -> None:
    with pytest.raises(RequestError, match="no room"):
        given_lock(KEPT, Request(**wish), load())


def test_a_lock_that_builds_is_not_installed_without_a_build() -> None:
    with pytest.raises(RequestError, match="--no-build"):
        given_lock(KEPT, Request(may_build=False), load())


@pytest.mark.parametrize("command", ["build", "install"])
@pytest.mark.parametrize("wish", [{"torch": "2.0"}, {"may_build": False}])
def test_what_mends_it_is_the_command_that_was_given(command: str, wish: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        given_lock(KEPT, Request(**wish), load(), command=command)
    assert caught.value.remedy == f"mmsetup {command} --lock {KEPT}"


@pytest.mark.parametrize("name", ["torch", "mmcv-full"])
def test_a_lock_must_pin_what_its_family_is_made_of(tmp_path: Path, name: str) -> None:
    lock = read(KEPT)
    rest = tuple(package for package in lock.packages if package.name != name)
    _, path = write(replace(lock, name="less", packages=rest, build=None), tmp_path)
    with pytest.raises(LockError, match=f"does not pin {name}"):
        given_lock(path, Request(), load())


def test_a_lock_may_leave_out_what_can_be_left_out(tmp_path: Path) -> None:
    lock = read(KEPT)
    rest = tuple(package for package in lock.packages if package.name != "mmsegmentation")
    _, path = write(replace(lock, name="less", packages=rest, build=None), tmp_path)
    given = given_lock(path, Request(), load())
    assert given is not None
    assert "mmsegmentation" not in {package.name for package in given.packages}


def test_a_lock_of_a_family_that_nobody_knows() -> None:
    with pytest.raises(LockError, match="family 'mmcv4' that is not known"):
        family_of(load(), "mmcv4")


def test_an_interpreter_with_headers_goes_before_one_without() -> None:
    bare = python("3.10.2", has_headers=False)
    odd = (python("3.10.9", implementation="pypy"), python("3.10.8", free_threaded=True), python("3.11.1"))
    machine = replace(MACHINE, interpreters=(bare, *odd, python("3.10.1")))
    assert interpreter_for(read(KEPT), machine, offline=True).version == "3.10.1"


def test_no_interpreter_and_no_network() -> None:
    with pytest.raises(InterpreterError, match=r"3\.10"):
        interpreter_for(read(KEPT), MACHINE, offline=True)


def test_a_lock_of_another_platform() -> None:
    machine = replace(MACHINE, cpu=Cpu("aarch64", "a processor", 2, 2))
    with pytest.raises(LockError, match="aarch64"):
        interpreter_for(read(KEPT), machine, offline=True)


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def with_torch(folder: Path) -> Path:
    venv.create(folder, symlinks=True)
    package = folder / "lib" / "python{}.{}".format(*sys.version_info[:2]) / "site-packages" / "torch"
    package.mkdir(parents=True)
    (package / "version.py").write_text("__version__ = '2.1.2+cu121'\ncuda = '12.1'\n", encoding="utf-8")
    return folder


def test_the_active_environment_counts_where_it_has_torch(
    tmp_path: Path, no_environment: pytest.MonkeyPatch
) -> None:
    assert environment_beside(None) is None
    for name in ("CONDA_PREFIX", "VIRTUAL_ENV"):
        no_environment.setenv(name, str(with_torch(tmp_path / name)))
        found = environment_beside(None)
        assert found is not None
        assert found.prefix == tmp_path / name
    assert found.torch is not None
    assert (found.torch.version, found.torch.variant) == ("2.1.2+cu121", "cu121")


def test_an_active_environment_without_torch_or_that_is_gone_is_none(
    tmp_path: Path, no_environment: pytest.MonkeyPatch
) -> None:
    venv.create(tmp_path / "env", symlinks=True)
    no_environment.setenv("VIRTUAL_ENV", str(tmp_path / "env"))
    assert environment_beside(None) is None
    no_environment.setenv("VIRTUAL_ENV", str(tmp_path / "gone"))
    assert environment_beside(None) is None


def test_an_environment_that_was_asked_about_must_be_one(
    tmp_path: Path, no_environment: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TargetError):
        environment_beside(tmp_path / "gone")
    venv.create(tmp_path / "env", symlinks=True)
    found = environment_beside(tmp_path / "env")
    assert found is not None
    assert found.torch is None


def test_a_project_gives_its_family_and_its_packages_with_the_lines_that_told(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("from mmengine.runner import Runner\nimport mmdet\n")
    machine = replace(MACHINE, interpreters=(python("3.10.13"),))
    request, answer = for_project(tmp_path, Request(), machine, load(), named=False)
    assert (request.family, request.wanted) == ("mmcv", ("mmdet",))
    assert any("mmengine.runner" in str(clue) for clue in answer.wish.clues)
    assert (answer.kept, answer.dropped) == ((), ())


def test_a_project_that_tells_no_family(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("print(1)\n")
    with pytest.raises(RequestError):
        for_project(tmp_path, Request(), MACHINE, load(), named=False)
