"""Put the user's compiler cache, ccache or sccache, before the compilers of a build.

It changes how long a build takes and never what comes out, so it is no part of a recipe. Compilers are
reached through scripts of their own names, because torch looks for a program called as ``CXX`` says.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from mmsetup import process
from mmsetup.errors import ProcessError

__all__ = ["through_cache"]

_CACHES = ("ccache", "sccache")
_SECONDS_TO_ANSWER = 10


def through_cache(variables: Mapping[str, str], folder: Path, *, gpu: bool) -> dict[str, str]:
    """Give the variables that send compilations through a compiler cache; none where there is no cache.

    ``variables`` are those of the build (``PATH``, ``CC``, ``CXX``), ``folder`` is its private one, in which
    the scripts are written. ccache is told to see paths in it as relative: it has another name each time.

    Raises:
        OSError: a script cannot be written.
    """
    cache = _answering(variables)
    if not cache:
        return {}
    place = folder / "launch"
    place.mkdir()
    path = variables["PATH"]
    chosen = {}
    for variable in ("CC", "CXX"):
        program, *options = shlex.split(variables[variable])
        compiler = shutil.which(program, path=path)
        if compiler and Path(compiler).resolve().name not in _CACHES:
            script = place / Path(program).name
            chosen[variable] = shlex.join([str(_script(script, [cache, compiler])), *options])
    if gpu and (nvcc := _nvcc(variables)) and "PYTORCH_NVCC" not in variables:
        chosen["PYTORCH_NVCC"] = str(_script(place / "nvcc", [cache, nvcc]))
    return {"CCACHE_BASEDIR": str(folder), "CCACHE_NOHASHDIR": "1", **chosen}


def _answering(variables: Mapping[str, str]) -> str:
    for name in _CACHES:
        found = shutil.which(name, path=variables["PATH"])
        if found:
            try:
                process.run([found, "--version"], env=dict(variables), timeout=_SECONDS_TO_ANSWER)
            except ProcessError:
                continue
            return found
    return ""


def _nvcc(variables: Mapping[str, str]) -> str:
    for name in ("CUDA_HOME", "CUDA_PATH"):
        if name in variables:
            return os.path.join(variables[name], "bin", "nvcc")  # noqa: PTH118 (given as a text)
    return shutil.which("nvcc", path=variables["PATH"]) or ""


def _script(place: Path, command: list[str]) -> Path:
    place.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
    place.chmod(0o755)
    return place
