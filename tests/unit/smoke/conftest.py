"""Environments that cost nothing, and the modules of the payload where numpy alone is needed."""

from __future__ import annotations

import importlib
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import mmsetup.payload
from mmsetup.smoke import run

PAYLOAD = Path(mmsetup.payload.__file__).parent / "smoke"


@pytest.fixture(scope="session")
def bench() -> Iterator[ModuleType]:
    """Give the payload's data set as it is imported in a target: its folder on the search path."""
    sys.path.insert(0, str(PAYLOAD))
    try:
        yield importlib.import_module("smoke_bench")
    finally:
        sys.path.remove(str(PAYLOAD))


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a virtual environment with nothing in it."""
    folder = tmp_path_factory.mktemp("bare") / "env"
    venv.create(folder, symlinks=True, with_pip=False)
    return folder


def _claim(environment: Path, name: str, version: str) -> None:
    (site,) = environment.glob("lib/python3*/site-packages")
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
    )


@pytest.fixture(scope="session")
def claim() -> Callable[[Path, str, str], None]:
    """Give what puts metadata into an environment that says that a distribution of that version is there."""
    return _claim


@pytest.fixture(scope="session")
def hollow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a virtual environment whose metadata names mmsegmentation, and that holds nothing."""
    folder = tmp_path_factory.mktemp("hollow") / "env"
    venv.create(folder, symlinks=True, with_pip=False)
    _claim(folder, "mmsegmentation", "0.30.0")
    return folder


@pytest.fixture
def stack_of(tmp_path: Path) -> Callable[..., Path]:
    """Give what makes an environment that holds modules with the given text, by dotted name."""

    def make(modules: dict[str, str], segmentation: str = "0.30.0") -> Path:
        folder = tmp_path / "stack"
        venv.create(folder, symlinks=True, with_pip=False)
        _claim(folder, "mmsegmentation", segmentation)
        (site,) = folder.glob("lib/python3*/site-packages")
        for name, text in modules.items():
            package = site.joinpath(*name.split("."))
            package.mkdir(parents=True, exist_ok=True)
            (package / "__init__.py").write_text(text, encoding="utf-8")
        return folder

    return make


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give what puts a small program in the place of the payload; ``say(event, **fields)`` is there."""

    def use(program: str) -> None:
        script = tmp_path / "child.py"
        script.write_text(
            "import json, os, signal, sys, time\n"
            "def say(event, **fields):\n"
            "    print(json.dumps(dict(fields, event=event)), flush=True)\n"
            "job = json.load(open(sys.argv[1]))\n" + program,
            encoding="utf-8",
        )
        monkeypatch.setattr(run, "_PAYLOAD", script)

    return use
