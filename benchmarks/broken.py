"""Environments that are really broken, each made in a second or two of one that works.

Two are installed from the lockfiles of this repository: mmcv-full 1.7.2 on torch 1.13.1, and mmcv 2.1.0 on
torch 2.4.1 with its CUDA libraries. The others share their files by hard links and differ by one act: what
users do (an upgrade, a second package, a variable), or a compiled file that asks for what is not there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from uv import find_uv_bin

__all__ = ["BASES", "CASES", "Broken", "Case", "base", "broken"]

LOCKFILES = Path(__file__).resolve().parent.parent / "lockfiles"
BASES = {
    "torch-1.13": LOCKFILES / "requirements.mmcv-full-py310.txt",
    "torch-2.4": LOCKFILES / "requirements.mmcv-py311.txt",
}


@dataclass(frozen=True)
class Broken:
    """An environment, and the variables of the shell in which it is used."""

    prefix: Path
    variables: dict[str, str]

    @property
    def python(self) -> Path:
        return self.prefix / "bin" / "python"


@dataclass(frozen=True)
class Case:
    """One cause: how it comes about, and what a line must hold that names it.

    ``words`` are looked for in one line of the output, in any order and case; ``a|b`` is either. They are the
    distribution or file at fault, and what it does not go with: never a phrase of one tool.
    """

    name: str
    act: str
    words: tuple[str, ...]
    breaks: Callable[[Path], dict[str, str] | None] | None = None
    of: str = "torch-1.13"
    fails: str = ""


def run(*words: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def base(name: str, folder: Path) -> Path:
    """Install the stack of a lockfile, and the pip that a venv of Python's own would have."""
    folder.mkdir(parents=True)
    run(sys.executable, "-m", "mmsetup", "install", "--no-smoke", "--lock", BASES[name], cwd=folder)
    pip(folder / ".venv", "pip")
    return folder / ".venv"


def broken(case: Case, original: Path, folder: Path) -> Broken:
    """Copy an environment by hard links and break the copy; raises where it does not break as it should."""
    shutil.copytree(original, folder / "env", symlinks=True, copy_function=linked)
    variables = (case.breaks(folder / "env") if case.breaks else None) or {}
    made = Broken(folder / "env", variables)
    if case.fails:
        code = [str(made.python), "-W", "ignore", "-c", case.fails]
        if not subprocess.run(
            code, capture_output=True, check=False, env={**os.environ, **variables}
        ).returncode:
            raise SystemExit(f"{case.name}: it is not broken, this runs: {case.fails}")
    return made


def linked(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def pip(prefix: Path, *wanted: str) -> None:
    run(find_uv_bin(), "pip", "install", "-q", "--python", prefix / "bin" / "python", *wanted)


def installing(*wanted: str) -> Callable[[Path], None]:
    """Exchange distributions as a user does who looks at nothing else."""
    return lambda prefix: pip(prefix, "--no-deps", *wanted)


def mmcv(prefix: Path) -> Path:
    (found,) = prefix.glob("lib/python3.*/site-packages/mmcv")
    return found


def extension(prefix: Path) -> Path:
    (found,) = mmcv(prefix).glob("_ext.*so")
    return found


def without_operators(prefix: Path) -> None:
    extension(prefix).unlink()


def without_mmcv(prefix: Path) -> None:
    run(find_uv_bin(), "pip", "uninstall", "-q", "--python", prefix / "bin" / "python", "mmcv-full")
    for left in prefix.glob("lib/python3.*/site-packages/mmcv"):
        shutil.rmtree(left)


def for_another_cuda(prefix: Path) -> None:
    place, scratch = extension(prefix), prefix.parent / "scratch"
    place.unlink()
    scratch.mkdir()
    (scratch / "module.c").write_text("void *PyInit__ext(void) { return 0; }\n")
    (scratch / "empty.c").write_text("")
    library, shared = "libcudart.so.10.2", ("gcc", "-shared", "-fPIC")
    run(*shared, "empty.c", "-o", library, f"-Wl,-soname,{library}", cwd=scratch)
    run(*shared, "module.c", "-o", place, "-Wl,--no-as-needed", f"./{library}", cwd=scratch)


def in_the_shadow_of_a_checkout(prefix: Path) -> dict[str, str]:
    checkout = prefix.parent / "checkout"
    shutil.copytree(mmcv(prefix), checkout / "mmcv", ignore=shutil.ignore_patterns("_ext*"))
    return {"PYTHONPATH": str(checkout)}


CASES = (
    Case("healthy, torch 1.13", "as the lockfile says", ()),
    Case("healthy, torch 2.4", "as the lockfile says, with 3 GB of CUDA libraries", (), of="torch-2.4"),
    Case(
        "operators missing",
        "mmcv/_ext*.so is not there",
        ("mmcv", "_ext", "has no|no module|is not|gone|missing"),
        without_operators,
        fails="import mmcv.ops",
    ),
    Case(
        "operators of another torch",
        "torch 1.13.1 upgraded to 2.0.1, mmcv-full left as it was",
        ("_ext", "2.0.1|undefined symbol"),
        lambda prefix: pip(prefix, "torch==2.0.1", "torchvision==0.15.2"),
        fails="import mmcv.ops",
    ),
    Case(
        "operators of another CUDA",
        "an _ext that needs libcudart.so.10.2",
        ("libcudart.so.10.2",),
        for_another_cuda,
        fails="import mmcv.ops",
    ),
    Case(
        "two owners of mmcv/",
        "mmcv-lite 2.2.0 installed over mmcv-full",
        ("mmcv-full", "mmcv-lite"),
        installing("mmcv-lite==2.2.0"),
        fails="import mmcv.ops",
    ),
    Case(
        "gate",
        "mmsegmentation 0.20.0 installed over 0.30.0",
        ("mmcv", "1.7.2", "1.5.0|1, 5, 0"),
        installing("mmsegmentation==0.20.0"),
        fails="import mmseg",
    ),
    Case(
        "numpy 2",
        "numpy 2.2.6 installed beside torch 1.13.1",
        ("numpy", "torch|1.x|<2"),
        installing("numpy==2.2.6"),
        fails="import torch; torch.zeros(1).numpy()",
    ),
    Case(
        "torchvision",
        "torchvision 0.13.1 installed beside torch 1.13.1",
        ("torchvision", "1.13.1|undefined symbol"),
        installing("torchvision==0.13.1"),
        fails="import torch, torchvision; torch.ops.torchvision.nms",
    ),
    Case(
        "setuptools",
        "setuptools 82.0.1, without pkg_resources, beside torch 1.13.1",
        ("pkg_resources", "no module|without|gone|missing"),
        installing("setuptools==82.0.1"),
        fails="import mmcv.ops",
    ),
    Case(
        "yapf",
        "mmengine 0.8.4 beside yapf 0.43.0",
        ("yapf", "0.43.0|verify"),
        installing("mmengine==0.8.4"),
        of="torch-2.4",
        fails="from mmengine import Config; Config({'a': 1}).pretty_text",
    ),
    Case(
        "PYTHONPATH",
        "a checkout of mmcv in PYTHONPATH, without operators",
        ("mmcv", "pythonpath|shadow"),
        in_the_shadow_of_a_checkout,
        fails="import mmcv.ops",
    ),
    Case(
        "extra left out",
        "mmsegmentation without mmcv, which it declares under an extra alone",
        ("mmcv", "no module|is not here|not installed"),
        without_mmcv,
        fails="import mmseg",
    ),
)
