"""Say before a build whether this machine can do it, and with how many compilers at once."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mmsetup import process
from mmsetup.build.older_libc import refuse_older_libc
from mmsetup.errors import DiskSpaceError, ProcessError, ToolchainError
from mmsetup.files import CACHE_ELSEWHERE
from mmsetup.probe.machine import Interpreter, Machine

__all__ = [
    "BYTES_PER_GPU_JOB",
    "BYTES_PER_JOB",
    "BYTES_TO_BUILD",
    "BYTES_TO_BUILD_FOR_GPUS",
    "Toolchain",
    "check",
    "compiler_words",
    "find_compilers",
    "install_command",
    "installer",
    "jobs",
    "os_identity",
]

BYTES_PER_JOB = 1_750_000_000
"""Memory that one C++ compiler is granted, in bytes.

The greediest file of mmcv-full 1.7.2 takes 1.7 GB as setup.py compiles it (``pybind.cpp``, for the whole of
torch's front end), most of its 73 files together 1.6 GB with the headers that they need (gcc 12, torch
1.13.1, ``-O3``).
"""

BYTES_PER_GPU_JOB = 2_400_000_000
"""Memory that one nvcc is granted with the compilers that it starts, in bytes.

They run one after another. The largest takes 2.10 GB for the sparse convolutions of mmcv-full 1.7.2, for one
architecture as for two, and 1.2 to 1.5 GB for the rest (nvcc 13.0, gcc 12, torch 2.13.0).
"""

BYTES_TO_BUILD = 1 << 30
"""Disk for the unpacked source, object files and wheel; the build environment is linked from uv's cache."""

BYTES_TO_BUILD_FOR_GPUS = 2 << 30
"""The same with object files for GPUs, and what nvcc passes from one of its programs to the next."""

_SECONDS_TO_ANSWER = 20
_SECONDS_TO_COMPILE = 60
# With them the compiler finds headers here that it does not find in the build.
_NOT_SEEN_BY_BUILDS = frozenset({"CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH"})
_MISSING = re.compile(r"fatal error: '?([^':]+)'?(?: file not found|: No such file)")
_INSTALLERS = {
    "apt-get install -y": {"debian", "ubuntu"},
    "dnf install -y": {"fedora", "rhel", "centos", "rocky", "almalinux", "amzn", "ol"},
    "apk add": {"alpine"},
    "zypper install -y": {"suse", "opensuse", "sles", "opensuse-leap"},
    "pacman -S --noconfirm": {"arch"},
}
_PACKAGES = {
    "compiler": ("g++", "gcc-c++", "g++", "gcc-c++", "gcc"),
    "headers": ("python{minor}-dev", "python{minor}-devel", "python3-dev", "python{compact}-devel", "python"),
    # Python.h of Python 3.8 and older includes crypt.h, which glibc itself no longer has.
    "crypt.h": ("libcrypt-dev", "libxcrypt-devel", "musl-dev", "libxcrypt-devel", "libxcrypt"),
}
_UNKNOWN = {
    "compiler": "install a C++ compiler (g++)",
    "headers": "install the headers of Python {minor}",
    "crypt.h": "install the headers of libcrypt (crypt.h)",
}


@dataclass(frozen=True, slots=True)
class Toolchain:
    """What a build runs with: two compilers, what they say of themselves, how many run at once.

    For GPUs there is ``nvcc`` (``nvcc 13.0.88``), in the folder ``toolkit`` or, where that is ``None``, in
    the build environment. It runs ``cc``.
    """

    cc: str
    cxx: str
    compiler: str
    jobs: int
    toolkit: Path | None = None
    nvcc: str = ""


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

    With ``gpu`` the compilers at once are as many as nvcc's memory allows, and more disk is needed.

    ``environment`` (that of this process when not given) may name compilers in ``CC`` and ``CXX``, and
    ``MAX_JOBS``.

    Raises:
        ToolchainError: there is no compiler, it does not answer, or the interpreter has no headers, or these
            include one that is not there; or the machine that is built for has an older C library than what
            is compiled here needs.
        DiskSpaceError: less is free where ``folder`` is than a build writes.
    """
    variables = os.environ if environment is None else environment
    identity = os_identity(os_release)
    cc, cxx, compiler = find_compilers(variables, identity)
    if not python.has_headers:
        raise ToolchainError(
            f"Python {python.version} at {python.path} has no headers (Python.h), which a build needs",
            remedy=f"{install_command(identity, 'headers', python.minor)}"
            f"  # or: uv python install {python.minor}, whose Pythons have them",
        )
    _check_headers(python, cxx, variables, identity)
    refuse_older_libc(machine.libc, cxx, variables)
    free, needed = shutil.disk_usage(folder).free, BYTES_TO_BUILD_FOR_GPUS if gpu else BYTES_TO_BUILD
    if free < needed:
        raise DiskSpaceError(
            f"a build needs {needed / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB free",
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
    """Give the C compiler, the C++ compiler, and what shapes a wheel of both.

    That is the first line of the latter's ``--version`` and the options that stand beside its name; where
    ``CC`` names another C compiler than the one that belongs to it, what that one says of itself as well.
    ``variables`` are those of the environment, ``identity`` the text of ``/etc/os-release``.

    Raises:
        ToolchainError: there is none, or one does not run.
    """
    path = variables.get("PATH", "")
    cxx = variables.get("CXX", "")
    cxx = cxx or next((name for name in ("g++", "c++", "clang++") if shutil.which(name, path=path)), "")
    if not cxx:
        raise ToolchainError("there is no C++ compiler", remedy=install_command(identity, "compiler", ""))
    told = compiler_words(cxx, variables, identity, named_by="CXX")
    own, named = _companion(cxx, path), variables.get("CC", "")
    if not named:
        return own, cxx, told
    said = compiler_words(named, variables, identity, named_by="CC")
    return named, cxx, told if _is_same(named, own, path) else f"{told}; CC is {said}"


def compiler_words(compiler: str, variables: Mapping[str, str], identity: str, *, named_by: str) -> str:
    """Give the first line of a compiler's ``--version``, with the options that stand beside its name.

    Raises:
        ToolchainError: it is not there, or does not run; ``named_by`` is the variable that names it.
    """
    program, *others = compiler.split() or [""]
    if not program or not shutil.which(program, path=variables.get("PATH", "")):
        raise ToolchainError(
            f"the compiler that {named_by} names, {compiler}, is not there",
            remedy=f"unset {named_by}  # or: {install_command(identity, 'compiler', '')}",
        )
    try:
        answer = process.run([program, *others, "--version"], env=dict(variables), timeout=_SECONDS_TO_ANSWER)
    except ProcessError as error:
        raise ToolchainError(
            f"the compiler {compiler} does not run: {error}",
            remedy=install_command(identity, "compiler", ""),
        ) from error
    first = (answer.stdout.splitlines() or [compiler])[0].strip()
    options = next((others[place:] for place, word in enumerate(others) if word.startswith("-")), [])
    return " ".join([first, *options])


def jobs(cores: int, available_bytes: int, wanted: str, bytes_per_job: int = BYTES_PER_JOB) -> int:
    """Give how many compilers run at once: one a core and ``bytes_per_job``, or what ``MAX_JOBS`` says."""
    if wanted.isdecimal() and int(wanted) > 0:
        return int(wanted)
    return max(1, min(cores, available_bytes // bytes_per_job))


def os_identity(os_release: Path = Path("/etc/os-release")) -> str:
    """Give the text that says which distribution this is; empty where there is none."""
    try:
        return os_release.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def installer(identity: str) -> str:
    """Give how this distribution's command to install packages begins; empty where it is not known."""
    fields = dict(re.findall(r'^(ID|ID_LIKE)="?([^"\n]*)', identity, re.MULTILINE))
    names = " ".join([fields.get("ID", ""), fields.get("ID_LIKE", "")]).split()
    found = (command for name in names for command, known in _INSTALLERS.items() if name in known)
    return next((f"sudo {command}" for command in found), "")


def install_command(identity: str, what: str, minor: str) -> str:
    """Give this distribution's command to install a ``compiler``, a Python's ``headers``, or ``crypt.h``."""
    command = installer(identity)
    packages = dict(zip(_INSTALLERS, _PACKAGES[what], strict=True))
    words = packages.get(command.removeprefix("sudo "), _UNKNOWN[what])
    return f"{command} {words}".strip().format(minor=minor, compact=minor.replace(".", ""))


def _is_same(named: str, own: str, path: str) -> bool:
    """Tell whether two C compilers are one program with the same options."""
    (first, *its), (second, *others) = named.split(), own.split()
    here, there = shutil.which(first, path=path), shutil.which(second, path=path)
    return (
        its == others
        and bool(here and there)
        and os.path.realpath(here or "") == os.path.realpath(there or "")
    )


def _check_headers(python: Interpreter, cxx: str, variables: Mapping[str, str], identity: str) -> None:
    """Have the compiler read ``Python.h``, which includes what distributions keep in other packages."""
    names = (f"python{python.minor}{suffix}" for suffix in (("t",) if python.free_threaded else ("", "m")))
    places = (python.prefix / "include" / name for name in names)
    folder = next((place for place in places if (place / "Python.h").is_file()), None)
    if folder is None:
        # Where the headers lie is then known to the interpreter alone: an environment has none of its own.
        return
    command = [*cxx.split(), "-fsyntax-only", "-x", "c++", f"-I{folder}", "-"]
    seen = frozenset((name, value) for name, value in variables.items() if name not in _NOT_SEEN_BY_BUILDS)
    try:
        _read_python_h(tuple(command), seen)
    except ProcessError as error:
        absent = _MISSING.search("\n".join(error.evidence))
        what = "crypt.h" if absent and absent[1] == "crypt.h" else "headers"
        raise ToolchainError(
            f"{cxx} cannot read Python.h of Python {python.version}: "
            + (f"it includes {absent[1]}, which is not there" if absent else str(error)),
            evidence=error.evidence,
            remedy=install_command(identity, what, python.minor),
        ) from error


@cache
def _read_python_h(command: tuple[str, ...], variables: frozenset[tuple[str, str]]) -> None:
    """Run the compiler; once in a process, because a plan and its lock are looked at one after the other."""
    process.run(command, env=dict(variables), timeout=_SECONDS_TO_COMPILE, stdin="#include <Python.h>\n")


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
