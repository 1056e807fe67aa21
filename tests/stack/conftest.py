"""The real things that the stack tests share: they are made once a session, from the user's caches where those are full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


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


def _state(environment: Path) -> dict[str, int]:
    return {
        str(path.relative_to(environment)): path.stat().st_size
        for path in environment.glob("lib/python3*/site-packages/*/*")
        if path.is_file() and path.suffix in {".py", ".so", ""}
    }
