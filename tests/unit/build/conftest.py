"""Recipes, machines and a cache of their own for each test."""

from __future__ import annotations

import importlib
import io
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

import mmsetup.payload
from mmsetup.build.preflight import Toolchain
from mmsetup.build.recipe import Recipe
from mmsetup.probe.machine import Cpu, Disk, Interpreter, Libc, Machine, Memory, OperatingSystem


class Recorder:
    """A progress that remembers."""

    def __init__(self):
        self.notes: list[str] = []
        self.updates: list[tuple[str, float, float, float | None]] = []

    def stage(self, title):
        self.notes.append(title)

    def note(self, text):
        self.notes.append(text)

    def update(self, text, *, done=0, total=0, seconds_left=None):
        self.updates.append((text, done, total, seconds_left))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("MMSETUP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("MMSETUP_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def python() -> Interpreter:
    return Interpreter(
        path=Path("/opt/python/bin/python3.10"),
        version="3.10.13",
        implementation="CPython",
        platform="linux-x86_64",
        source="PATH",
        has_headers=True,
        prefix=Path("/opt/python"),
    )


@pytest.fixture
def machine(python, tmp_path) -> Machine:
    return Machine(
        os=OperatingSystem("linux", "Debian GNU/Linux 12", "6.1"),
        libc=Libc("glibc", "2.36"),
        cpu=Cpu("x86_64", "", 8, 8),
        memory=Memory(64 << 30, 48 << 30),
        disk=Disk(tmp_path, 100 << 30),
        container=None,
        driver=None,
        gpus=(),
        toolkits=(),
        compilers=(),
        interpreters=(python,),
    )


@pytest.fixture
def recipe(python) -> Recipe:
    return Recipe(
        distribution="mmcv-full",
        version="1.7.2",
        sdist_sha256="ab" * 32,
        python=python,
        torch="1.13.1",
        variant="cpu",
        requirements=("torch==1.13.1 --hash=sha256:00", "wheel==0.45.0 --hash=sha256:11"),
        environment={"MMCV_WITH_OPS": "1", "MAX_JOBS": "2"},
        architectures=(),
        compiler="g++ (Debian 12.2.0-14) 12.2.0",
        flags=(),
        libc="glibc 2.36",
    )


@pytest.fixture
def toolchain() -> Toolchain:
    return Toolchain(cc="gcc", cxx="g++", compiler="g++ 12.2.0", jobs=2)


@pytest.fixture
def sdist(tmp_path) -> Callable[..., Path]:
    """Write a ``.tar.gz`` with the given files below one folder, and other members as they are."""

    def make(files: Mapping[str, bytes], *members: tarfile.TarInfo) -> Path:
        path = tmp_path / "sample-1.0.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            for member in members:
                archive.addfile(member)
        return path

    return make


@pytest.fixture
def payload() -> Iterator[Callable[[str], ModuleType]]:
    """Load a script of ``mmsetup/payload`` by its name; they import one another by theirs."""
    folder = str(Path(mmsetup.payload.__file__).parent)
    sys.path.insert(0, folder)
    yield importlib.import_module
    sys.path.remove(folder)
