"""Build the ops beside what a user would run instead: ``python benchmarks/build.py [--family mmcv]``.

In one run and with the same compilers at once: mmsetup's build, once more from its cache, then
``pip wheel --no-build-isolation`` of the same source in an environment with the same torch. Prints seconds by
the clock and of processor time (which other work on the machine hardly changes), wheel sizes, and whether the
ops of both wheels have the same names and give the same results on fixed inputs.
``--keep DIR`` keeps both wheels. A plain build takes 3 to 10 minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

from mmsetup.build import Recipe, build, check
from mmsetup.build.recipe import UNITS
from mmsetup.catalog.builds import keep_apart
from mmsetup.probe import probe
from mmsetup.probe.machine import Interpreter
from mmsetup.progress import Silent

OPERATORS = Path(__file__).resolve().parent.parent / "tests" / "stack" / "all_operators.py"


@dataclass(frozen=True)
class Family:
    distribution: str
    version: str
    torch: str
    python: str
    requires: tuple[str, ...]


FAMILIES = {
    "mmcv-full": Family(
        "mmcv-full",
        "1.7.2",
        "1.13.1",
        "3.10",
        ("setuptools<81", "wheel", "ninja", "psutil", "numpy<2"),
    ),
    "mmcv": Family(
        "mmcv",
        "2.2.0",
        "2.4.1",
        "3.11",
        ("setuptools<81", "wheel", "ninja", "psutil", "numpy"),
    ),
    "onedl": Family(
        "onedl-mmcv",
        "2.3.6",
        "2.8.0",
        "3.12",
        ("setuptools>=80", "wheel", "packaging", "ninja", "psutil", "numpy"),
    ),
}


def run(*words: str | Path, cwd: Path | None = None, **env: str) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{words[0]} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def processor_seconds() -> float:
    """Give the processor time of all programs that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def interpreter_of(minor: str) -> Interpreter:
    here = [found for found in probe().interpreters if found.minor == minor and found.has_headers]
    if not here:
        raise SystemExit(f"there is no Python {minor} with headers: uv python install {minor}")
    return here[0]


def made_environment(family: Family, place: Path) -> Path:
    python = place / "bin" / "python"
    run(find_uv_bin(), "venv", "-q", "--no-project", "--python", interpreter_of(family.python).path, place)
    run(
        *(find_uv_bin(), "pip", "install", "-q", "--python", python),
        *("pip", f"torch=={family.torch}", *family.requires),
    )
    return python


def source(family: Family, python: Path, folder: Path) -> Path:
    """Fetch the sdist; pip asks setup.py for metadata, which needs the environment's setuptools."""
    wanted = f"{family.distribution}=={family.version}"
    options = ("--no-deps", "--no-binary", ":all:", "--no-build-isolation", "-d", folder)
    run(python, "-m", "pip", "download", "-q", *options, wanted, MMCV_WITH_OPS="1")
    return next(folder.glob("*.tar.gz"))


def plain(python: Path, sdist: Path, out: Path, jobs: int) -> tuple[float, Path]:
    path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    began = time.perf_counter()
    run(
        *(python, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-cache-dir"),
        *("-w", out, sdist),
        PATH=path,
        MMCV_WITH_OPS="1",
        FORCE_CUDA="0",
        CUDA_VISIBLE_DEVICES="",
        MAX_JOBS=str(jobs),
    )
    return time.perf_counter() - began, next(out.glob("*.whl"))


def ours(family: Family, sdist: Path, folder: Path) -> tuple[float, float, Path, int]:
    """Give the seconds of a build, of the same from the cache, the wheel and the compilers at once."""
    machine, python = probe(), interpreter_of(family.python)
    os.environ["MMSETUP_CACHE_DIR"] = str(folder / "cache")
    toolchain = check(machine, python, folder=folder)
    (folder / "in.txt").write_text("\n".join([f"torch=={family.torch}", *family.requires]))
    pins = run(
        *(find_uv_bin(), "pip", "compile", "-q", "--generate-hashes", "--no-annotate", "--no-header"),
        *("--python", python.path, folder / "in.txt"),
    )
    recipe = Recipe(
        distribution=family.distribution,
        version=family.version,
        sdist_sha256=hashlib.sha256(sdist.read_bytes()).hexdigest(),
        python=python,
        torch=family.torch,
        variant="cpu",
        requirements=tuple(" ".join(pin.split()) for pin in pins.replace("\\\n", " ").splitlines() if pin),
        environment={"MMCV_WITH_OPS": "1", "FORCE_CUDA": "0"},
        architectures=(),
        compiler=toolchain.compiler,
        flags=(),
        way=UNITS,
        apart=keep_apart(family.distribution, family.version),
    )
    taken = []
    for _ in range(2):
        began = time.perf_counter()
        built = build(recipe, sdist=sdist, toolchain=toolchain, progress=Silent())
        taken.append(time.perf_counter() - began)
        if built.clashes:
            print("clashed:", *built.clashes, sep="\n  ")
    return taken[0], taken[1], built.path, toolchain.jobs


def results(python: Path, wheel: Path, folder: Path) -> dict[str, object]:
    folder.mkdir()
    shutil.unpack_archive(wheel, folder, "zip")
    document: dict[str, object] = json.loads(run(python, "-W", "ignore", OPERATORS, folder, cwd=folder))
    return document


def compare(one: dict[str, object], other: dict[str, object]) -> str:
    differing = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    return f"differ in {', '.join(differing)}" if differing else "the same"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=sorted(FAMILIES), default="mmcv-full")
    parser.add_argument("--keep", type=Path, help="folder to copy both wheels to")
    parser.add_argument("--no-compare", action="store_true", help="leave out names and results")
    options = parser.parse_args()
    family = FAMILIES[options.family]
    with tempfile.TemporaryDirectory(prefix="mmsetup-benchmark-") as made:
        folder = Path(made)
        python = made_environment(family, folder / "plain-environment")
        (folder / "sdist").mkdir()
        sdist = source(family, python, folder / "sdist")
        print(
            f"{family.distribution} {family.version}, torch {family.torch}, Python {family.python}, CPU ops; "
            f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
            flush=True,
        )
        begun = processor_seconds()
        fast, cached, quick, jobs = ours(family, sdist, folder)
        between = processor_seconds()
        slow, heavy = plain(python, sdist, folder / "plain", jobs)
        used = processor_seconds() - between, between - begun
        sizes = [wheel.stat().st_size / 1e6 for wheel in (heavy, quick)]
        print(f"{'':<32}{'seconds':>9}{'processor s':>13}{'jobs':>6}{'wheel, MB':>11}")
        print(f"{'pip wheel --no-build-isolation':<32}{slow:9.1f}{used[0]:13.1f}{jobs:6}{sizes[0]:11.2f}")
        print(f"{'mmsetup':<32}{fast:9.1f}{used[1]:13.1f}{jobs:6}{sizes[1]:11.2f}")
        print(f"{'mmsetup, from its cache':<32}{cached:9.2f}")
        print(
            f"mmsetup is {slow / fast:.1f} times faster ({used[0] / used[1]:.1f} times less processor time), "
            f"its wheel {sizes[0] / sizes[1]:.1f} times smaller"
        )
        print(f"load {os.getloadavg()[0]:.1f} at the end", flush=True)
        if not options.no_compare:
            theirs, mine = (
                results(python, wheel, folder / f"unpacked{number}")
                for number, wheel in enumerate((heavy, quick))
            )
            for what in ("names", "results"):
                one, other = theirs[what], mine[what]
                assert isinstance(one, dict)
                assert isinstance(other, dict)
                print(
                    f"{what}: {len(one)} of the plain wheel, {len(other)} of mmsetup's: {compare(one, other)}"
                )
            print(f"asked for by mmcv.ops and absent: {theirs['absent']}, {mine['absent']}")
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            for name, wheel in (("plain", heavy), ("mmsetup", quick)):
                (options.keep / name).mkdir(exist_ok=True)
                (options.keep / name / re.sub(r"[^\w.+-]", "_", wheel.name)).write_bytes(wheel.read_bytes())


if __name__ == "__main__":
    sys.exit(main())
