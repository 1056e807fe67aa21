"""Measure ``mmsetup inspect`` beside the tools that tell a part of it: ``python benchmarks/look_inside.py``.

Installs a torch, takes the largest library in it, and prints how long the whole process ``mmsetup inspect``
takes beside ``readelf``, ``nm`` and ``cuobjdump`` (NVIDIA's, from its wheel), and for a wheel beside
``auditwheel show``. Medians of ``--times`` runs in turn, wall clock and processor time. The largest library
was read before, so that the disk counts for none of them.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from uv import find_uv_bin

from mmsetup.binary import elf, fatbin

MMSETUP = (sys.executable, "-m", "mmsetup", "inspect")


def uv(*words: str | Path) -> None:
    subprocess.run([find_uv_bin(), *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def in_turn(times: int, commands: dict[str, list[str]]) -> dict[str, tuple[float, float]]:
    """Run the commands in turn; give the medians in seconds: by the clock, and of the processor."""
    refused: dict[str, str] = {}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(times):
        for name, command in commands.items():
            began, used = time.perf_counter(), children()
            done = subprocess.run(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
            )
            if done.returncode:
                last = (done.stderr.strip() or "nothing said").splitlines()[-1]
                refused[name] = f"ended with {done.returncode}: {last}"
            taken[name].append((time.perf_counter() - began, children() - used))
    for name, why in refused.items():
        print(f"  {name} {why}")
    return {
        name: (statistics.median(wall for wall, _ in runs), statistics.median(cpu for _, cpu in runs))
        for name, runs in taken.items()
        if name not in refused
    }


def show(measured: dict[str, tuple[float, float]]) -> None:
    ours = next(iter(measured.values()))
    for name, (wall, cpu) in measured.items():
        ratio = (
            ""
            if (wall, cpu) == ours
            else f"  {wall / ours[0]:6.2f} times the clock, {cpu / ours[1]:5.2f} the CPU"
        )
        told = f"  {name:<28} {wall:7.3f} s, CPU {cpu:7.3f} s"
        print(told if (wall, cpu) == ours else told + ratio)


def library(folder: Path, torch: str, times: int) -> None:
    into = ("pip", "install", "--quiet", "--no-deps", "--target")
    uv(*into, folder / "torch", "--python-version", "3.10", f"torch=={torch}")
    uv(*into, folder / "tools", "nvidia-cuda-cuobjdump")
    (cuobjdump,) = (folder / "tools").rglob("bin/cuobjdump")
    cuobjdump.chmod(0o755)
    largest = max((folder / "torch").rglob("torch/lib/*.so"), key=lambda path: path.stat().st_size)
    with largest.open("rb") as file:
        while file.read(1 << 24):
            pass
    print(f"torch {torch}, {largest.name}, {largest.stat().st_size / 1e6:.0f} MB")
    path = str(largest)
    measured = in_turn(
        times,
        {
            "mmsetup inspect --json": [*MMSETUP, path, "--json"],
            "readelf -d": ["readelf", "-d", path],
            "nm -D": ["nm", "-D", path],
            "readelf -d -V; nm -D": ["sh", "-c", f"readelf -d -V {path}; nm -D {path}"],
            "cuobjdump --list-elf": [str(cuobjdump), "--list-elf", path],
        },
    )
    show(measured)
    began = time.process_time()
    elf.read(largest)
    fatbin.gpu_code(largest)
    print(f"  of that, reading the file     {time.process_time() - began:7.3f} s of CPU")


def audited(folder: Path, paths: list[Path], times: int) -> None:
    uv("venv", "--quiet", folder / "auditing")
    python = folder / "auditing" / "bin" / "python"
    uv("pip", "install", "--quiet", "--python", python, "auditwheel")
    for path in paths:
        print(f"{path.name}, {path.stat().st_size / 1e6:.1f} MB")
        measured = in_turn(
            times,
            {
                "mmsetup inspect --json": [*MMSETUP, str(path), "--json"],
                "auditwheel show": [str(python), "-m", "auditwheel", "show", str(path)],
            },
        )
        show(measured)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheels", nargs="*", type=Path, help="wheels to compare with auditwheel")
    parser.add_argument("--torch", action="append", help="1.13.1 and 2.13.0 where none is given")
    parser.add_argument("--times", type=int, default=5)
    asked = parser.parse_args()
    os.environ.pop("VIRTUAL_ENV", None)
    with tempfile.TemporaryDirectory(prefix="mmsetup-benchmark-") as made:
        for torch in asked.torch or ("1.13.1", "2.13.0"):
            library(Path(made) / torch, torch, asked.times)
        if asked.wheels:
            audited(Path(made), asked.wheels, asked.times)


if __name__ == "__main__":
    main()
