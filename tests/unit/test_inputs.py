"""A lockfile in the place of a plan: what it must hold, and what cannot be wished for beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmsetup.catalog import load
from mmsetup.errors import InterpreterError, LockError, RequestError
from mmsetup.inputs import given_lock, interpreter_for
from mmsetup.lock import read, write
from mmsetup.plan import Request
from mmsetup.probe.machine import Cpu, Disk, Interpreter, Machine, Memory, OperatingSystem

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
    ],
)
def test_a_version_beside_a_lockfile_is_refused(wish: dict[str, object]) -> None:
    with pytest.raises(RequestError, match="no room"):
        given_lock(KEPT, Request(**wish), load())


def test_a_lock_that_builds_is_not_installed_without_a_build() -> None:
    with pytest.raises(RequestError, match="--no-build"):
        given_lock(KEPT, Request(may_build=False), load())


@pytest.mark.parametrize("name", ["torch", "mmcv-full", "mmsegmentation"])
def test_a_lock_must_pin_what_its_family_is_made_of(tmp_path: Path, name: str) -> None:
    lock = read(KEPT)
    rest = tuple(package for package in lock.packages if package.name != name)
    _, path = write(replace(lock, name="less", packages=rest, build=None), tmp_path)
    with pytest.raises(LockError, match=f"does not pin {name}"):
        given_lock(path, Request(), load())


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
