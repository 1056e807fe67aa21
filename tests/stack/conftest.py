"""The real things that the stack tests share: they are made once a session, from the user's caches where those are full."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny_package import EXTENSION, SETUP
from uv import find_uv_bin

from mmsetup.build import Recipe, check
from mmsetup.probe import environment, probe
from mmsetup.uv import fetch_interpreter


@dataclass(frozen=True)
class Finished:
    """What a mmsetup process ended with."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict:
        return json.loads(self.out)


def _run(*args: str | Path, cwd: Path, timeout: float = 1500, **env: str) -> Finished:
    done = subprocess.run(
        [sys.executable, "-m", "mmsetup", *map(str, args)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **env},
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def mmsetup() -> Callable[..., Finished]:
    """Give what runs mmsetup as a user does, in a process of its own: ``mmsetup("plan", cwd=folder, NAME="value")``."""
    return _run


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Go the whole road once, smoke run included; the environment is in ``stack_environment``."""
    folder = tmp_path_factory.mktemp("road")
    done = _run("install", "--json", cwd=folder)
    assert done.code == 0, done.err
    return done


@pytest.fixture(scope="session")
def stack_environment(stack: Finished) -> Iterator[Path]:
    """Give the environment that the road ended with; no test may change it."""
    environment = Path(stack.document["environment"])
    before = _state(environment)
    yield environment
    assert _state(environment) == before, "a test changed the environment that all share"


@pytest.fixture(scope="session")
def ops_wheel(stack: Finished) -> Path:
    """Give the wheel of mmcv-full that was built for the environment."""
    return Path(stack.document["wheel"]["path"])


def _made(folder: Path, *words: str | Path) -> dict:
    """Install without training, and give the document of that."""
    done = _run("install", "--json", "--no-smoke", *words, cwd=folder)
    assert done.code == 0, done.err
    # What this compiles need not be compiled in each copy.
    python = Path(done.document["environment"]) / "bin" / "python"
    command = [python, "-W", "ignore", "-c", "import mmcv.ops, mmseg.apis"]
    subprocess.run(command, check=True, capture_output=True)
    return done.document


@pytest.fixture(scope="session")
def second_family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an environment of mmcv 2.x, on the torch of most tests: only copies of it may be changed."""
    words = ("--family", "mmcv", "--torch", "1.13.1", "--python", "3.10", "--with", "mmdet")
    return Path(_made(tmp_path_factory.mktemp("second"), *words)["environment"])


@pytest.fixture(scope="session")
def third_family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the environment of the committed lock of onedl, on Python 3.12: only copies of it may be changed."""
    lock = Path(__file__).parents[2] / "lockfiles" / "requirements.onedl-py312.txt"
    return Path(_made(tmp_path_factory.mktemp("third"), "--lock", lock)["environment"])


@pytest.fixture(scope="session")
def later_stack(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Install mmcv-full with a torch that it is patched for."""
    return _made(tmp_path_factory.mktemp("later"), "--torch", "2.13.0", "--python", "3.10")


@pytest.fixture(scope="session")
def later_torch(later_stack: dict) -> Path:
    """Give the environment of that: only copies of it may be changed."""
    return Path(later_stack["environment"])


@pytest.fixture(scope="session")
def relabelled() -> Callable[..., Path]:
    """Give what makes of a wheel the same under another version, by a tool that tells no recipe."""
    return _relabelled


def _relabelled(wheel: Path, version: str, folder: Path, *, tags: str = "") -> Path:
    name, old, own_tags = wheel.name.split("-", 2)
    before, after = f"{name}-{old}.dist-info", f"{name}-{version}.dist-info"
    made = folder / f"{name}-{version}-{tags or own_tags.removesuffix('.whl')}.whl"
    rows = []
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            member, content = info.filename.replace(before, after), source.read(info)
            if member.startswith(after) and member.endswith(("/RECORD", ".json")):
                continue
            if member == f"{after}/METADATA":
                content = content.replace(f"\nVersion: {old}\n".encode(), f"\nVersion: {version}\n".encode())
            target.writestr(member, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.append((member, f"sha256={digest}", len(content)))
        record = io.StringIO()
        csv.writer(record, lineterminator="\n").writerows([*rows, (f"{after}/RECORD", "", "")])
        target.writestr(f"{after}/RECORD", record.getvalue())
    return made


@pytest.fixture(scope="session")
def machine():
    return probe()


@pytest.fixture(scope="session")
def python(machine):
    """Give a Python 3.10 with headers: one of this machine, else uv's own."""
    here = [found for found in machine.interpreters if found.minor == "3.10" and found.has_headers]
    return here[0] if here else environment(fetch_interpreter("3.10")).interpreter


@pytest.fixture(scope="session")
def interpreter_at(machine):
    """Give the oldest (0) or the newest (-1) CPython 3.7 to 3.13 with headers on this machine."""
    usable = [
        found
        for found in machine.interpreters
        if found.has_headers
        and found.implementation.lower() == "cpython"
        and 7 <= int(found.minor.split(".")[1]) <= 13
    ]
    return sorted(usable, key=lambda found: int(found.minor.split(".")[1])).__getitem__


@pytest.fixture(scope="session")
def toolchain(machine, python, tmp_path_factory):
    return check(machine, python, folder=tmp_path_factory.mktemp("disk"))


@pytest.fixture(scope="session")
def pinned(python, tmp_path_factory):
    """Resolve requirements into pinned, hashed lines."""

    def resolve(*requirements, python=python):
        folder = tmp_path_factory.mktemp("pins")
        (folder / "in.txt").write_text("\n".join(requirements))
        options = ["--generate-hashes", "--no-annotate", "--no-header", "--python", python.path, "-q"]
        command = [find_uv_bin(), "pip", "compile", folder / "in.txt", *options]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return tuple(
            " ".join(line.split()) for line in text.replace("\\\n", " ").splitlines() if line.strip()
        )

    return resolve


@pytest.fixture(scope="session")
def plain_requirements(pinned):
    return pinned("setuptools<81", "wheel", "ninja")


@pytest.fixture
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("MMSETUP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("MMSETUP_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def tiny(tmp_path, python, toolchain, plain_requirements):
    """Make a tiny mmcv-full: its sdist, and the recipe for it."""

    def make(*, setup=SETUP, extension=EXTENSION, files=None, name="tiny"):
        sdist = tmp_path / f"{name}.tar.gz"
        contents = {"setup.py": setup, "ext.c": extension, "mmcv/__init__.py": "", **(files or {})}
        with tarfile.open(sdist, "w:gz") as archive:
            for path, text in contents.items():
                info = tarfile.TarInfo(f"mmcv-full-0.1/{path}")
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))
        recipe = Recipe(
            distribution="mmcv-full",
            version="0.1",
            sdist_sha256=hashlib.sha256(sdist.read_bytes()).hexdigest(),
            python=python,
            torch="",
            variant="cpu",
            requirements=plain_requirements,
            environment={"MMCV_WITH_OPS": "1"},
            architectures=(),
            compiler=toolchain.compiler,
            flags=("-DMARK=1",),
        )
        return recipe, sdist

    return make


def _state(environment: Path) -> dict[str, int]:
    return {
        str(path.relative_to(environment)): path.stat().st_size
        for path in environment.glob("lib/python3*/site-packages/*/*")
        if path.is_file() and path.suffix in {".py", ".so", ""}
    }
