"""Measure the plan beside what a user would run instead: ``python benchmarks/plan.py``.

Makes an environment with torch and openmim, as a user of mim has it, and prints how long ``mmsetup index``
takes as a whole process beside openmim's own computation of the same link (which imports torch), and how
much CPU time planning takes over the whole catalogue beyond start-up. Medians of ``--times`` runs in turn.
"""

from __future__ import annotations

import argparse
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

from mmsetup.catalog import load
from mmsetup.errors import NoPlanError
from mmsetup.plan import Request, plan
from mmsetup.plan.elsewhere import machine_elsewhere
from mmsetup.probe import probe

LINK = "from mim.commands.install import get_mmcv_full_find_link as link; print(link('https://download.openmmlab.com'))"
WISHES = (
    ("mmcv-full", (), ""),
    ("mmcv", (), ""),
    ("onedl", (), ""),
    ("mmcv-full", ("V100",), "590.44.01"),
    ("mmcv-full", ("H100", "RTX 4090"), "590.44.01"),
    ("mmcv", ("H100", "RTX 4090"), "590.44.01"),
    ("onedl", ("H100", "RTX 4090"), "590.44.01"),
    ("mmcv-full", ("RTX 5090",), "590.44.01"),
    ("mmcv", ("RTX 5090",), "590.44.01"),
)


def run(*words: str | Path, **env: str) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, **env},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def in_turn(times: int, *calls: Callable[[], Any]) -> list[float]:
    """Run the calls in turn ``times`` times; give the median of each in seconds."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(times):
        for place, call in zip(taken, calls, strict=True):
            began = time.perf_counter()
            call()
            place.append(time.perf_counter() - began)
    return [statistics.median(place) for place in taken]


def links(folder: Path, times: int) -> None:
    environment = folder / "env"
    uv = find_uv_bin()
    interpreter = next((found.path for found in probe().interpreters if found.minor == "3.10"), "3.10")
    run(uv, "venv", "--quiet", "--python", interpreter, environment)
    python = environment / "bin" / "python"
    wanted = ("torch==1.13.1", "torchvision==0.14.1", "numpy<2", "openmim==0.3.9", "pip", "setuptools<82")
    run(uv, "pip", "install", "--quiet", "--python", python, *wanted)

    def by_mmsetup() -> str:
        return run(sys.executable, "-m", "mmsetup", "index", "--env", environment)

    def by_openmim() -> str:
        return run(python, "-c", LINK)

    print(f"mmsetup index: {by_mmsetup()}")
    print(f"openmim:       {by_openmim()}")
    ours, theirs = in_turn(times, by_mmsetup, by_openmim)
    print(f"mmsetup index {ours:.2f} s, openmim's link {theirs:.2f} s: {theirs / ours:.1f} times faster")


def planning(times: int) -> None:
    catalog, here = load(), probe()
    print(f"CPU time of a plan, {len(catalog.torch)} torch releases, {len(catalog.wheels)} groups of wheels")
    for family, gpus, driver in WISHES:
        machine = machine_elsewhere(here, catalog, gpus=gpus, driver=driver)
        request = Request(family=family, trusts_catalog=True)
        taken, outcome = [], ""
        for _ in range(times):
            began = time.process_time()
            try:
                made = plan(machine, catalog, request, ask=lambda _: {})
                outcome = f"torch {made.torch.version} {made.variant}, ops {made.ops.kind}"
            except NoPlanError:
                outcome = "no plan, with its ways out"
            taken.append(time.process_time() - began)
        what = f"{family}, {' and '.join(gpus) or 'this machine'}"
        print(f"  {what:<32} {statistics.median(taken) * 1000:4.0f} ms  {outcome}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7)
    times = parser.parse_args().times
    planning(times)
    with tempfile.TemporaryDirectory(prefix="mmsetup-benchmark-") as made:
        links(Path(made), times)


if __name__ == "__main__":
    main()
