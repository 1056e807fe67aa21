"""Environments that are really broken are really mended, and one that was killed half way is whole."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from uv import find_uv_bin

from mmsetup.probe import environment

pytestmark = pytest.mark.stack

IMPORTS = "mmcv.ops, mmseg.apis, numpy, cv2, torch; torch.zeros(1).numpy()"


def linked(source: str, target: str) -> None:
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
def fix(mmsetup, tmp_path: Path) -> Callable:
    def run(prefix: Path, *words: str):
        return mmsetup("doctor", "--env", prefix, "--fix", *words, cwd=tmp_path)

    return run


def uv(prefix: Path, *words: str | Path) -> None:
    subprocess.run(
        [find_uv_bin(), "pip", *words, "--python", str(prefix / "bin" / "python"), "--quiet"],
        check=True,
        capture_output=True,
        text=True,
    )


def packages(prefix: Path) -> Path:
    return environment(prefix).site_packages[0]


def importing(prefix: Path, what: str = IMPORTS) -> str:
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
    return done.stderr if done.returncode or "Error" in done.stderr else ""


def versions(prefix: Path) -> dict[str, str]:
    return {one.name: one.version for one in environment(prefix).distributions}


def contents(prefix: Path) -> dict[str, object]:
    """Give what lies in an environment: small files by their sha256, large ones by their size."""
    found: dict[str, object] = {}
    for path in prefix.rglob("*"):
        if path.is_symlink():
            found[str(path.relative_to(prefix))] = str(path.readlink())
        elif path.is_file():
            size = path.stat().st_size
            found[str(path.relative_to(prefix))] = (
                hashlib.sha256(path.read_bytes()).hexdigest() if size < 1 << 20 else size
            )
    return found


def wheel(folder: Path, name: str, version: str, files: Mapping[str, str]) -> Path:
    made, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    inside = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/top_level.txt": "mmcv\n",
    }
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in inside.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in (*inside, f"{info}/RECORD")))
    return made


def ids(document: dict, severity: str = "error") -> list[str]:
    return sorted({one["id"] for one in document["findings"] if one["severity"] == severity})


def test_a_requirement_that_was_removed(broken, fix):
    uv(broken, "uninstall", "addict", "prettytable")
    assert importing(broken)
    done = fix(broken, "--yes", "--json")
    assert done.code == 0, done.err
    assert done.document["repair"]["mends"] == ["MM111"]
    assert {one["name"] for one in done.document["repair"]["installed"]} == {"addict", "prettytable"}
    assert importing(broken) == ""


def test_numpy_2_under_an_old_torch_takes_along_what_needs_it(broken, fix):
    """The opencv that came with it asks for numpy 2, so the two have to go back together."""
    before = versions(broken)
    uv(broken, "install", "--no-deps", "numpy==2.2.6", "opencv-python-headless==4.12.0.88")
    done = fix(broken, "--yes", "--json")
    assert done.code == 0, done.err
    after = versions(broken)
    assert after["numpy"] == before["numpy"]
    assert after["opencv-python-headless"] != "4.12.0.88"
    same = set(before) - {"opencv-python-headless"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert importing(broken) == ""


def test_a_second_mmcv_over_the_compiled_one(broken, fix, tmp_path):
    version = versions(broken)["mmcv-full"]
    files = {
        "mmcv/__init__.py": "from .version import *\n",
        "mmcv/version.py": "__version__ = '2.1.0'\n",
        "mmcv/cnn2.py": "",
    }
    uv(broken, "install", "--no-deps", wheel(tmp_path, "mmcv", "2.1.0", files))
    assert importing(broken)
    done = fix(broken, "--yes", "--json")
    assert done.code == 0, done.err
    assert done.document["repair"]["removed"] == ["mmcv"]
    assert versions(broken)["mmcv-full"] == version
    assert "mmcv" not in versions(broken)
    assert not (packages(broken) / "mmcv" / "cnn2.py").exists()
    assert importing(broken) == ""


def test_two_editions_of_opencv(broken, fix):
    version = versions(broken)["opencv-python-headless"]
    uv(broken, "install", "--no-deps", f"opencv-python=={version}")
    done = fix(broken, "--yes", "--strict", "--json")
    assert done.code == 0, done.err
    assert "opencv-python" not in versions(broken)
    assert importing(broken) == ""


def test_a_torchvision_of_another_release(broken, fix):
    uv(broken, "install", "--no-deps", "torchvision==0.13.1")
    assert importing(broken, "torch, torchvision; torch.ops.torchvision.nms")
    done = fix(broken, "--yes", "--json")
    assert done.code == 0, done.err
    assert versions(broken)["torchvision"] == "0.14.1"
    assert importing(broken, "torch, torchvision; torch.ops.torchvision.nms") == ""


def test_a_setuptools_without_pkg_resources(broken, fix):
    uv(broken, "install", "--no-deps", "setuptools==82.0.1")
    done = fix(broken, "--yes", "--json")
    assert done.code == 0, done.err
    assert importing(broken) == ""


def test_everything_at_once_is_one_repair(broken, fix, tmp_path):
    uv(broken, "install", "--no-deps", "numpy==2.2.6", "setuptools==82.0.1")
    uv(broken, "uninstall", "addict")
    (packages(broken) / "~umpy").mkdir()
    uv(broken, "install", "--no-deps", wheel(tmp_path, "mmcv", "1.7.2", {"mmcv/second.py": ""}))
    done = fix(broken, "--yes", "--json", "--strict")
    assert done.code == 0, done.err
    assert {"MM102", "MM104", "MM111", "MM402"} <= set(done.document["repair"]["mends"])
    assert len(done.document["repair"]["commands"]) == 3
    assert importing(broken) == ""


def test_what_remains_is_reported_and_decides(broken, fix):
    """Operators that are gone take a plan, not a repair."""
    uv(broken, "uninstall", "addict")
    next((packages(broken) / "mmcv").glob("_ext.*so")).unlink()
    done = fix(broken, "--yes", "--json")
    assert done.code == 1
    assert ids(done.document) == ["MM201"]
    assert "addict" in versions(broken)


def test_extras_that_no_resolver_sees(tmp_path, fix, python):
    """An environment of plain venv, with scripts that name their interpreter by its path."""
    prefix = tmp_path / "plain"
    subprocess.run([python.path, "-m", "venv", prefix], check=True)
    uv(
        prefix,
        "install",
        "--no-deps",
        "mmsegmentation==1.2.2",
        "mmengine==0.10.7",
        "mmcv-lite==2.1.0",
        "numpy==1.26.4",
    )
    done = fix(prefix, "--yes", "--json", "--select", "MM11")
    assert {"ftfy", "regex"} <= set(versions(prefix))
    script = (prefix / "bin" / "ftfy").read_text()
    assert script.startswith(f"#!{prefix}/bin/python")
    assert (
        subprocess.run([prefix / "bin" / "ftfy", "--help"], capture_output=True, check=False).returncode == 0
    )
    assert not [
        one for one in done.document["findings"] if "ftfy" in one["message"] or "regex" in one["message"]
    ]


def test_what_has_no_solution_changes_nothing(broken, fix):
    """A gate of mmengine that nothing on the index fulfils: uv says so, and the ways out are named."""
    (info,) = packages(broken).glob("mmsegmentation-*.dist-info")
    text = (info / "METADATA").read_text()
    (info / "METADATA").unlink()
    (info / "METADATA").write_text(text.replace("\n", "\nRequires-Dist: prettytable (>=9999)\n", 1))
    before = contents(broken)
    done = fix(broken, "--yes", "--strict")
    assert done.code == 5, done.out + done.err
    assert "prettytable" in done.err
    assert "mmsetup install --env" in done.err
    assert contents(broken) == before


def test_without_a_terminal_and_without_yes_nothing_is_done(broken, fix):
    uv(broken, "uninstall", "addict")
    before = contents(broken)
    done = fix(broken)
    assert done.code == 12
    assert "uv pip install --python" in done.err
    assert "addict==" in done.err
    assert contents(broken) == before


def test_without_a_network_nothing_is_done(broken, mmsetup, tmp_path):
    uv(broken, "uninstall", "addict")
    before = contents(broken)
    done = mmsetup(
        *("doctor", "--env", broken, "--fix", "--yes"),
        cwd=tmp_path,
        UV_CACHE_DIR=str(tmp_path / "empty"),
        UV_DEFAULT_INDEX="http://127.0.0.1:9/simple",
        UV_HTTP_TIMEOUT="3",
    )
    assert done.code == 4, done.err
    assert contents(broken) == before


def test_of_two_at_once_one_waits_for_nobody(broken, tmp_path):
    uv(broken, "uninstall", "addict")
    command = [sys.executable, "-m", "mmsetup", "doctor", "--env", broken, "--fix", "--yes"]
    running = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        for _ in range(2)
    ]
    ends = sorted((process.communicate(timeout=300) and process.returncode) for process in running)
    assert ends in ([0, 0], [0, 11])
    assert importing(broken) == ""


def test_killed_at_any_moment_the_environment_is_whole(broken, stack_environment, tmp_path):
    """Before or after, never between; and what is shared with the original keeps its contents."""
    uv(broken, "uninstall", "addict")
    uv(broken, "install", "--no-deps", "numpy==2.2.6")
    trial = tmp_path / "trial"
    shutil.copytree(broken, trial, symlinks=True, copy_function=linked)
    command = [sys.executable, "-m", "mmsetup", "doctor", "--fix", "--yes", "--env"]
    began = time.monotonic()
    subprocess.run([*command, trial], check=True, capture_output=True, cwd=tmp_path)
    seconds = time.monotonic() - began
    before, original, seed = contents(broken), contents(stack_environment), time.time_ns()
    moments, rounds, killed = random.Random(seed), 10, 0
    for number in range(rounds):
        process = subprocess.Popen(
            [*command, broken],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
            start_new_session=True,
        )
        try:
            process.wait(seconds * (number + moments.random()) / rounds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
        if contents(broken) != before:
            assert importing(broken) == "", f"seed {seed}, round {number}"
            break
    assert killed >= 3, f"seed {seed}: {killed} were killed"
    done = subprocess.run([*command, broken], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    assert importing(broken) == ""
    assert contents(stack_environment) == original
    assert not broken.with_name("env.mmsetup").exists()


def test_the_document_tells_what_was_done(broken, fix):
    uv(broken, "uninstall", "addict")
    document = json.loads(fix(broken, "--yes", "--json").out)
    assert set(document["repair"]) == {"mends", "commands", "removed", "installed", "deleted", "left_out"}
    assert document["repair"]["installed"][0].keys() == {"name", "version", "before"}
