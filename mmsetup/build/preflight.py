"""Say before a build whether this machine can do it, and with how many compilers at once."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmsetup import process
from mmsetup.errors import DiskSpaceError, ProcessError, ToolchainError
from mmsetup.files import CACHE_ELSEWHERE
from mmsetup.probe.machine import Interpreter, Machine

__all__ = [
    "BYTES_PER_GPU_JOB",
    "BYTES_PER_JOB",
    "BYTES_TO_BUILD",
    "Toolchain",
    "check",
    "find_compilers",
    "install_command",
    "jobs",
]

BYTES_PER_JOB = 1_750_000_000
"""Memory that one C++ compiler is granted, in bytes.

The greediest file of mmcv-full 1.7.2 takes 1.7 GB as setup.py compiles it (``pybind.cpp``, for the whole of
torch's front end), most of its 73 files together 1.6 GB with the headers that they need (gcc 12, torch
1.13.1, ``-O3``).
"""

BYTES_PER_GPU_JOB = 3_000_000_000
"""Memory that one nvcc is granted with the compilers that it starts, in bytes."""

BYTES_TO_BUILD = 1 << 30
"""Disk for the unpacked source, object files and wheel; the build environment is linked from uv's cache."""

_SECONDS_TO_ANSWER = 20
_PACKAGES = {
    "apt-get install -y": ({"debian", "ubuntu"}, "g++", "python{minor}-dev"),
    "dnf install -y": (
        {"fedora", "rhel", "centos", "rocky", "almalinux", "amzn", "ol"},
        "gcc-c++",
        "python{minor}-devel",
    ),
    "apk add": ({"alpine"}, "g++", "python3-dev"),
    "zypper install -y": ({"suse", "opensuse", "sles", "opensuse-leap"}, "gcc-c++", "python{compact}-devel"),
    "pacman -S --noconfirm": ({"arch"}, "gcc", "python"),
}


@dataclass(frozen=True, slots=True)
class Toolchain:
    """What a build runs with: two compilers, the C++ one's words about its version, how many run at once."""

    cc: str
    cxx: str
    compiler: str
    jobs: int


def check(
    machine: Machine,
    python: Interpreter,
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    os_release: Path = Path("/etc/os-release"),
    gpu: bool = False,
) -> Toolchain:
    """Find what a build with ``python`` needs; ``folder`` is where it will be done.

    With ``gpu`` the compilers at once are as many as nvcc's memory allows.

    ``environment`` (that of this process when not given) may name compilers in ``CC`` and ``CXX``, and
    ``MAX_JOBS``.

    Raises:
        ToolchainError: there is no compiler, it does not answer, or the interpreter has no headers.
        DiskSpaceError: less than ``BYTES_TO_BUILD`` is free where ``folder`` is.
    """
    variables = os.environ if environment is None else environment
    try:
        identity = os_release.read_text(encoding="utf-8", errors="replace")
    except OSError:
        identity = ""
    cc, cxx, compiler = find_compilers(variables, identity)
    if not python.has_headers:
        raise ToolchainError(
            f"Python {python.version} at {python.path} has no headers (Python.h), which a build needs",
            remedy=f"{install_command(identity, 'headers', python.minor)}"
            f"  # or: uv python install {python.minor}, whose Pythons have them",
        )
    free = shutil.disk_usage(folder).free
    if free < BYTES_TO_BUILD:
        raise DiskSpaceError(
            f"a build needs {BYTES_TO_BUILD / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB free",
            remedy=CACHE_ELSEWHERE,
        )
    return Toolchain(
        cc=cc,
        cxx=cxx,
        compiler=compiler,
        jobs=jobs(
            machine.cpu.usable_cores,
            machine.memory.available_bytes,
            variables.get("MAX_JOBS", ""),
            BYTES_PER_GPU_JOB if gpu else BYTES_PER_JOB,
        ),
    )


def find_compilers(variables: Mapping[str, str], identity: str) -> tuple[str, str, str]:
    """Give the C compiler, the C++ compiler and the first line of the latter's ``--version``.

    ``variables`` are those of the environment, ``identity`` the text of ``/etc/os-release``.

    Raises:
        ToolchainError: there is none, or it does not run.
    """
    path = variables.get("PATH", "")
    asked = variables.get("CXX", "")
    cxx = asked or next((name for name in ("g++", "c++", "clang++") if shutil.which(name, path=path)), "")
    if not cxx or not shutil.which(cxx.split()[0], path=path):
        raise ToolchainError(
            f"the C++ compiler that CXX names, {asked}, is not there"
            if asked
            else "there is no C++ compiler",
            remedy=install_command(identity, "compiler", ""),
        )
    try:
        answer = process.run([*cxx.split(), "--version"], env=dict(variables), timeout=_SECONDS_TO_ANSWER)
    except ProcessError as error:
        raise ToolchainError(
            f"the C++ compiler {cxx} does not run: {error}", remedy=install_command(identity, "compiler", "")
        ) from error
    cc = variables.get("CC", "") or _companion(cxx, path)
    return cc, cxx, (answer.stdout.splitlines() or [cxx])[0].strip()


def jobs(cores: int, available_bytes: int, wanted: str, bytes_per_job: int = BYTES_PER_JOB) -> int:
    """Give how many compilers run at once: one a core and ``bytes_per_job``, or what ``MAX_JOBS`` says."""
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    return max(1, min(cores, available_bytes // bytes_per_job))


def install_command(identity: str, what: str, minor: str) -> str:
    """Give this distribution's command to install ``what``: ``compiler``, or the ``headers`` of a Python."""
    fields = dict(re.findall(r'^(ID|ID_LIKE)="?([^"\n]*)', identity, re.MULTILINE))
    names = " ".join([fields.get("ID", ""), fields.get("ID_LIKE", "")]).split()
    for name in names:
        for command, (known, compiler, headers) in _PACKAGES.items():
            if name in known:
                package = compiler if what == "compiler" else headers
                return f"sudo {command} " + package.format(minor=minor, compact=minor.replace(".", ""))
    return "install a C++ compiler (g++)" if what == "compiler" else f"install the headers of Python {minor}"


def _companion(cxx: str, path: str) -> str:
    """Give the C compiler that belongs to a C++ compiler: gcc-12 to g++-12."""
    program, *options = cxx.split()
    folder, name = os.path.split(program)
    for plus, plain in (("clang++", "clang"), ("g++", "gcc"), ("c++", "cc")):
        if plus in name:
            candidate = os.path.join(folder, name.replace(plus, plain))  # noqa: PTH118 (may be a bare name)
            if shutil.which(candidate, path=path):
                return " ".join([candidate, *options])
    return cxx
