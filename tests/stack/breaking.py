"""What the tests of the doctor's causes share: a copy to break, what shows that it is broken, what the doctor says."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from uv import find_uv_bin

from mmsetup.catalog import Catalog, load
from mmsetup.doctor import Diagnosis, doctor
from mmsetup.probe import environment, probe
from mmsetup.probe.machine import Driver, Gpu, Machine


def copied(prefix: Path, target: Path) -> Path:
    """Copy an environment; the copy shares its files: nothing in it may be written to, only replaced."""
    shutil.copytree(prefix, target, symlinks=True, copy_function=_linked)
    return target


def packages(prefix: Path) -> Path:
    return environment(prefix).site_packages[0]


def extension(prefix: Path) -> Path:
    (found,) = (packages(prefix) / "mmcv").glob("_ext.*so")
    return found


def uv(*words: str | Path, into: Path, **variables: str) -> None:
    """Run ``uv pip`` on an environment; what has to be built finds a setuptools that has pkg_resources."""
    bounds = into / "bounds.txt"
    bounds.unlink(missing_ok=True)
    bounds.write_text("setuptools<81\n")
    command = [find_uv_bin(), "pip", *words, "--python", into / "bin" / "python", "--quiet"]
    if words[0] == "install":
        command += ["--build-constraints", bounds]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables})
    assert done.returncode == 0, done.stderr


def from_source(distribution: str, version: str, *, into: Path) -> None:
    """Install what is built in a build environment without torch, as whoever has no wheel for it does.

    uv's cache is one in the environment: the wheel, which has no operators, must not come into that which other
    tests and the doctor look into.
    """
    own = ("--no-binary", distribution, "--cache-dir", into / "cache")
    uv("install", "--no-deps", *own, f"{distribution}=={version}", into=into)


def failing(prefix: Path, code: str, *, folder: Path | None = None, **variables: str) -> str:
    """Give what code says in the end when it fails in an environment; nothing where it does not."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [prefix / "bin" / "python", "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder or prefix,
        env={**own, **variables},
    )
    return (done.stderr.strip() or "ended") if done.returncode else ""


@cache
def machine() -> Machine:
    """This machine as it would be without a GPU."""
    return replace(probe(), driver=None, gpus=())


def with_gpus(*architectures: str, driver: str = "580.65.06") -> Machine:
    """This machine as it would be with GPUs and a driver."""
    gpus = tuple(Gpu(i, "a GPU", name, 24 << 30) for i, name in enumerate(architectures))
    return replace(machine(), driver=Driver(driver, "", "override"), gpus=gpus)


@cache
def catalog() -> Catalog:
    return load()


def diagnosed(prefix: Path, on: Machine | None = None) -> Diagnosis:
    return doctor(prefix, on or machine(), catalog())


def errors(prefix: Path, on: Machine | None = None) -> list[str]:
    return _ids(diagnosed(prefix, on), "error")


def warnings(prefix: Path, on: Machine | None = None) -> list[str]:
    return _ids(diagnosed(prefix, on), "warning")


def _ids(diagnosis: Diagnosis, severity: str) -> list[str]:
    found: Iterable[str] = (finding.id for finding in diagnosis.of(severity))
    return sorted(set(found))


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
