"""Read what a compilation prints: how far it is, what the compiler was given, why it failed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

__all__ = ["Step", "diagnose", "given_to_compiler", "read_step", "said_by_build", "unoptimised"]

_STEP = re.compile(r"^\[(\d+)/(\d+)\] (.*)")
_COMPILE = re.compile(r"^(?:\[\d+/\d+\] )?\S*(?:(?<!nv)cc|\+\+|clang)(?:-[\d.]+)? .*\s-c\s")
_SOURCE = re.compile(r"\S+\.(?:c|cc|cpp|cxx|cu)(?=\s|$)")
_DEBUG = re.compile(r"-g(?!0$)(?:\d|gdb\d?|dwarf.*|stabs.*|split.*)?$")
_CAUSES = (
    (
        re.compile(r"^a compiler ran out of memory though it ran alone"),
        "the compiler ran out of memory, even with one at a time (MAX_JOBS=1)",
        "free memory or add swap  # one g++ takes up to 2 GB, one nvcc up to 3 GB",
    ),
    (
        re.compile(
            r"Killed signal terminated program|\bKilled \(program|(terminated with|died due to) signal 9\b"
            r"|out of memory|virtual memory exhausted|Memory allocation failure|std::bad_alloc"
            r"|Cannot allocate memory"
        ),
        "the compiler ran out of memory",
        "export MAX_JOBS=1  # lets one compiler run at a time",
    ),
    (
        re.compile(r"/(cc\w{6}|tmpxft_\w+-\w+)\.[\w.]+: No space left on device"),
        "the folder for temporary files is full",
        "export TMPDIR=DIR  # a folder on a larger disk",
    ),
    (
        re.compile(r"No space left on device"),
        "the disk is full",
        "export MMSETUP_CACHE_DIR=DIR  # a folder on a larger disk",
    ),
    (
        re.compile(r"fatal error: (Python\.h): No such file"),
        "the headers of Python are missing",
        "use a Python of uv or pyenv, or install the package python3-dev",
    ),
    (
        re.compile(r"No module named '(pkg_resources)'"),
        "setup.py needs pkg_resources, which setuptools 82 removed",
        "mmsetup lock  # pins a build environment that holds setuptools<81",
    ),
    (
        re.compile(r"Skip building ext ops due to the absence of torch"),
        "setup.py found no torch and left the operators out",
        "mmsetup lock  # pins a build environment that holds torch",
    ),
    (re.compile(r"(fatal error: .*|\berror: (?!command ).*|undefined reference to .*)"), "", ""),
    (re.compile(r"^(\w*(?:Error|Exception): .*)"), "", ""),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One finished step of ninja: ``done`` of ``total``, and the file that it was about."""

    done: int
    total: int
    file: str


def read_step(line: str) -> Step | None:
    """Read ninja's ``[12/54] command``; anything else is no step."""
    found = _STEP.match(line)
    if not found:
        return None
    source = _SOURCE.search(found[3])
    return Step(int(found[1]), int(found[2]), PurePosixPath(source[0]).name if source else "linking")


def said_by_build(line: str) -> str:
    """Give what the script that builds says to people, or nothing for a line of another program."""
    head, _, said = line.partition(": ")
    return said if head == "mmsetup" else ""


def given_to_compiler(line: str) -> tuple[str, ...]:
    """Give the arguments of a line that compiles a file; nothing for any other line."""
    if not _COMPILE.match(line):
        return ()
    try:
        return tuple(shlex.split(line))
    except ValueError:
        return tuple(line.split())


def unoptimised(arguments: Sequence[str]) -> str:
    """Say what is wrong with the arguments of a compilation, or nothing.

    A build without ``-O`` or without ``-DNDEBUG`` is slow and aborts in ``pixel_group``; one with ``-g``
    makes a wheel of 27 MB instead of 2 and takes half as long again (measured with mmcv-full 1.7.2). The last
    of several ``-O`` holds.
    """
    levels = [word for word in arguments if re.match(r"-O(\d|s|z|fast|g)?$", word)]
    if not levels or levels[-1] in {"-O0", "-Og"}:
        return "it was not optimised (no -O2 or -O3)"
    if "-DNDEBUG" not in arguments:
        return "assertions were left in (no -DNDEBUG)"
    if any(_DEBUG.match(word) for word in arguments) and "-g0" not in arguments:
        return "it holds debug symbols (-g)"
    return ""


def diagnose(lines: Iterable[str]) -> tuple[str, str]:
    """Give the cause of a failed build in words, and what mends it; empty when nothing was recognised."""
    kept = list(lines)
    for pattern, cause, remedy in _CAUSES:
        for line in kept:
            found = pattern.search(line)
            if found:
                return cause or found[1], remedy
    return "", ""
