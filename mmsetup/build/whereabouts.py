"""Keep the folder of a build out of what it makes: libraries hold the paths of sources, for messages.

The folder has another name each time and lies in somebody's home. With its name gone, the same recipe gives
the same library each time, whoever builds it. For GPUs nvcc leaves a mark of it: names of what is hidden in a
file begin with a hash of the folder (``_GLOBAL__N__2d8d0871``), whatever it is told, so that two such
libraries differ in that and in the build id, and in nothing else.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from mmsetup import process
from mmsetup.errors import ProcessError

__all__ = ["hidden_from_nvcc", "hiding"]

_SECONDS_TO_ANSWER = 20


def hiding(folder: Path, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Give the flags with which the compiler of ``variables`` (``CXX``) takes ``folder`` for the current one.

    There are none where it does not know them (gcc before 8, clang before 10).
    """
    flag = f"-ffile-prefix-map={folder}=."
    command = [*shlex.split(variables["CXX"]), flag, "-E", "-x", "c++", os.devnull]
    try:
        process.run(command, env=dict(variables), timeout=_SECONDS_TO_ANSWER)
    except ProcessError:
        return ()
    return (flag,)


def hidden_from_nvcc(flags: tuple[str, ...]) -> dict[str, str]:
    """Give the variables with which nvcc hands flags on to its compiler."""
    return {"NVCC_APPEND_FLAGS": " ".join(f"-Xcompiler={flag}" for flag in flags)} if flags else {}
