"""Measure the main job beside what a user would run instead: ``python benchmarks/road.py [--cold]``.

Prints a line for each stage of a cold install (``--cold``: empty caches, about ten minutes), a warm install
beside bare uv with the same lock, a run with nothing to do, and ``--help``, ``plan``, ``doctor`` and
``probe`` beside ``python -m torch.utils.collect_env``. Seconds are medians of ``--times`` runs in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from uv import find_uv_bin

MMSETUP = [sys.executable, "-m", "mmsetup"]


def run(*words: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **env},
        check=True,
        capture_output=True,
        text=True,
    )


def seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def in_turn(times: int, *calls: Callable[[], Any]) -> list[float]:
    """Run the calls in turn ``times`` times; give the median of each in seconds."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(times):
        for place, call in zip(taken, calls, strict=True):
            place.append(seconds(call))
    return [statistics.median(place) for place in taken]


def cold(folder: Path) -> None:
    print("cold install, empty caches")
    began = time.perf_counter()
    done = run(
        *MMSETUP,
        *("install", "--json"),
        cwd=folder,
        UV_CACHE_DIR=str(folder / "uv"),
        MMSETUP_CACHE_DIR=str(folder / "cache"),
    )
    told = json.loads(done.stdout)
    for stage, took in told["seconds"].items():
        print(f"  {stage:<10} {took:8.1f} s")
    print(f"  {'in all':<10} {time.perf_counter() - began:8.1f} s")
    smoke = told["smoke"]
    print(f"  smoke run: mean IoU {smoke['mean_iou']:.3f}, of {told['seconds']['smoke']:.1f} s")


def warm(folder: Path, times: int) -> None:
    first = folder / "first"
    first.mkdir()
    run(*MMSETUP, "install", "--no-smoke", cwd=first)
    manifest = json.loads((first / ".venv" / ".mmsetup" / "manifest.json").read_text())
    pins = bare_pins(first, manifest, folder)
    count = iter(range(10_000))

    def ours() -> None:
        place = folder / f"ours{next(count)}"
        place.mkdir()
        run(*MMSETUP, "install", "--no-smoke", cwd=place)

    def bare() -> None:
        place = folder / f"bare{next(count)}"
        place.mkdir()
        uv = find_uv_bin()
        interpreter = manifest["plan"]["interpreter"]["path"]
        run(uv, "venv", "--no-project", "--python", interpreter, ".venv", cwd=place)
        run(uv, "pip", "sync", "--require-hashes", "--python", ".venv/bin/python", pins, cwd=place)

    mine, plain = in_turn(times, ours, bare)
    print("warm install, caches full, without the smoke run")
    print(f"  mmsetup install --no-smoke                {mine:8.2f} s")
    print(f"  uv venv + uv pip sync --require-hashes    {plain:8.2f} s   mmsetup is {mine - plain:+.2f} s")
    (idle,) = in_turn(times, lambda: run(*MMSETUP, "install", "--no-smoke", cwd=first))
    print(f"nothing to do                               {idle:8.2f} s")
    start(first, times)


def bare_pins(first: Path, manifest: dict[str, Any], folder: Path) -> Path:
    """Write the same lock for bare uv, with the built wheel named by its path."""
    built = json.loads(run(*MMSETUP, "build", "--json", cwd=first).stdout)
    lines = []
    for line in (first / ".venv" / ".mmsetup" / "requirements.txt").read_text().splitlines(keepends=True):
        if line.startswith("mmcv-full=="):
            line = f"mmcv-full @ file://{built['path']} \\\n"  # noqa: PLW2901
        elif lines and lines[-1].startswith("mmcv-full @"):
            line = f"    --hash=sha256:{manifest['ops']['sha256']}\n"  # noqa: PLW2901
        lines.append(line)
    pins = folder / "requirements.txt"
    pins.write_text("".join(lines))
    return pins


def start(first: Path, times: int) -> None:
    python = first / ".venv" / "bin" / "python"
    # Without pip in the environment, collect_env of this torch crashes.
    run(find_uv_bin(), "pip", "install", "--python", python, "pip", cwd=first)
    theirs, help_, plan, doctor, probe = in_turn(
        times,
        lambda: run(python, "-W", "ignore", "-m", "torch.utils.collect_env", cwd=first),
        lambda: run(*MMSETUP, "--help", cwd=first),
        lambda: run(*MMSETUP, "plan", "--offline", cwd=first),
        lambda: run(*MMSETUP, "doctor", "--env", ".venv", cwd=first),
        lambda: run(*MMSETUP, "probe", "--env", ".venv", cwd=first),
    )
    print("whole processes")
    print(f"  python -m torch.utils.collect_env         {theirs:8.2f} s")
    print(f"  mmsetup probe --env .venv                 {probe:8.2f} s   {theirs / probe:.0f} times faster")
    print(f"  mmsetup doctor --env .venv                {doctor:8.2f} s")
    print(f"  mmsetup plan --offline                    {plan:8.2f} s")
    print(f"  mmsetup --help                            {help_:8.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cold", action="store_true", help="measure an install with empty caches as well")
    parser.add_argument("--times", type=int, default=5, help="runs of which the median is taken")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mmsetup-benchmark-") as made:
        if options.cold:
            (Path(made) / "cold").mkdir()
            cold(Path(made) / "cold")
        warm(Path(made), options.times)


if __name__ == "__main__":
    main()
