"""A stand-in NVML made by the machine's own compiler, file trees of other machines, and programs that answer as told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import mmsetup
from mmsetup.probe.host import Host

SOURCE = Path(__file__).parents[2] / "fixtures" / "nvml" / "libnvidia_ml.c"
ASK = """
import sys
from pathlib import Path
from mmsetup.probe import nvidia
from mmsetup.probe.host import Host
from mmsetup.render.document import document, dump
print(dump(document("test", nvidia.read(Host(Path(sys.argv[1]), {"PATH": sys.argv[2]})))))
"""

Nvml = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a cache of its own."""
    folder = tmp_path / "cache of the test"
    monkeypatch.setenv("MMSETUP_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Compile the stand-in library twice: as of a current and of an old driver."""
    folders = {}
    for name, options in (("current", ()), ("old", ("-DOLD_DRIVER",))):
        folder = tmp_path_factory.mktemp(f"nvml-{name}")
        library = folder / "libnvidia-ml.so.1"
        flags = ("-D_DEFAULT_SOURCE", "-std=c11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
        soname = f"-Wl,-soname,{library.name}"
        subprocess.run(["gcc", *flags, *options, soname, SOURCE, "-o", library], check=True)
        folders[name] = folder
    return folders


@pytest.fixture
def ask_nvidia(stand_ins: Mapping[str, Path], tmp_path: Path) -> Nvml:
    """Read the driver and its GPUs in a child process that has the stand-in on its library path."""

    def ask(
        *, library: str = "current", root: Path | None = None, path: str = "", **told: str
    ) -> dict[str, Any]:
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(mmsetup.__file__).parents[1]),
            **{f"STANDIN_{key}": value for key, value in told.items()},
        }
        if library:
            env["LD_LIBRARY_PATH"] = str(stand_ins[library])
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", ASK, root or tmp_path, path],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return ask


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Host]:
    """Make the root of another machine from its files, and look at it."""

    def make(files: Mapping[str, str], **environ: str) -> Host:
        root = tmp_path / "root"
        root.mkdir(exist_ok=True)
        for name, text in files.items():
            path = root / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Host(root, environ)

    return make


@pytest.fixture
def program() -> Callable[..., Path]:
    """Make a program out of the lines of a shell script."""

    def make(path: Path, *lines: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(("#!/bin/sh", *lines, "")))
        path.chmod(0o755)
        return path

    return make
