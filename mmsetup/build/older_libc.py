"""Say before a build that its result needs a newer C library than the machine has that it is for.

Which versions of symbols a library needs is decided where it is compiled: gcc 11 and newer with glibc 2.32
and newer ask for ``GLIBC_2.32`` wherever a shared pointer is copied, as torch's headers do everywhere. So a
copy of one is compiled here, which takes a tenth of a second of processor time, and not the ops, which take
minutes: what it needs the ops need as well. They may need more, which is only known of the wheel.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from packaging.version import InvalidVersion, Version

from mmsetup import process
from mmsetup.binary import elf
from mmsetup.binary.floors import floor
from mmsetup.errors import ProcessError, ToolchainError
from mmsetup.probe.machine import Libc

__all__ = ["glibc_here", "refuse_older_libc"]

_SECONDS = 60.0
_SAMPLE = """\
#include <memory>
#include <string>
std::shared_ptr<std::string> copy(const std::shared_ptr<std::string>& one) { return one; }
"""


def refuse_older_libc(libc: Libc | None, cxx: str, variables: Mapping[str, str]) -> None:
    """Compare the C library of the machine that a build is for with what ``cxx`` makes the result need.

    Nothing is compiled where that C library is as new as the one here, or is not known.

    Raises:
        ToolchainError: it is too old for what is compiled here, or the compiler makes no library.
    """
    here, wanted = glibc_here(), _version(libc)
    if here is None or wanted is None or wanted >= here:
        return
    needed = _needed(cxx, variables)
    if needed is not None and needed > wanted:
        raise ToolchainError(
            f"what {cxx} compiles on this machine (glibc {here}) needs glibc {needed} or newer, and the "
            f"machine that it is built for has {wanted}",
            remedy=f"build in a container with glibc {wanted} or older  # or leave --glibc away",
        )


def glibc_here() -> Version | None:
    """Give the glibc that this process runs with, whatever is pretended; nothing for another C library."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, ValueError, OSError):
        return None
    return _version(Libc(name, version))


def _version(libc: Libc | None) -> Version | None:
    if libc is None or libc.name != "glibc":
        return None
    try:
        return Version(libc.version)
    except InvalidVersion:
        return None


def _needed(cxx: str, variables: Mapping[str, str]) -> Version | None:
    with tempfile.TemporaryDirectory(prefix="mmsetup-libc-") as folder:
        made = Path(folder) / "sample.so"
        command: list[str | Path] = [*cxx.split(), "-shared", "-fPIC", "-O2", "-x", "c++", "-", "-o", made]
        try:
            process.run(command, env=dict(variables), timeout=_SECONDS, stdin=_SAMPLE, cwd=Path(folder))
        except ProcessError as error:
            raise ToolchainError(
                f"{cxx} does not make a library of a small file",
                evidence=[str(error), *error.evidence],
                remedy=f"{cxx} --version  # says what it is; CXX names another one",
            ) from error
        needs = floor([elf.read_demands(made).versions_needed]).glibc
    return Version(needs) if needs else None
