"""Put the user's compiler cache, ccache or sccache, before the compilers of a build.

It changes how long a build takes and no code that comes out, so it is no part of a recipe; paths of headers
in messages begin otherwise, because ccache hands on relative ones. Compilers are reached through scripts of
their own names, because torch looks for a program called as ``CXX`` says.

ccache takes some variables as they stand (``CPATH``), and knows a compiler by when its file was changed. In a
build for GPUs these variables name the private folder, which has another name each time, and nvcc may come
from wheels: nothing would ever be found again. So ccache is told who the compilers are, and calls scripts
that set those variables. What they do shows in the preprocessed source, by which ccache knows a file.

sccache takes all paths as they stand, so that it finds a file again only where builds are in one folder.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from mmsetup import process
from mmsetup.errors import ProcessError

__all__ = ["through_cache"]

_CACHES = ("ccache", "sccache")
_SECONDS_TO_ANSWER = 10
_WITH_THE_FOLDER = ("CPATH", "LIBRARY_PATH", "NVCC_APPEND_FLAGS", "TMPDIR")


def through_cache(
    variables: Mapping[str, str], folder: Path, *, gpu: bool, compilers: str = ""
) -> dict[str, str]:
    """Give the variables that send compilations through a compiler cache; none where there is no cache.

    ``variables`` are those of the build (``PATH``, ``CC``, ``CXX``), ``folder`` is its private one, in which
    the scripts are written. ccache is told to see paths in it as relative: it has another name each time.
    ``compilers`` says which they are in a build for GPUs, with their versions.

    Raises:
        OSError: a script cannot be written.
    """
    cache = _answering(variables)
    if not cache:
        return {}
    place = folder / "launch"
    place.mkdir()
    path = variables["PATH"]
    is_ccache = Path(cache).name == "ccache"
    hidden: dict[str, str] = {}
    if gpu and compilers and is_ccache:
        hidden = {name: variables[name] for name in _WITH_THE_FOLDER if name in variables}

    def through(name: str, compiler: str) -> str:
        if not hidden:
            return str(_script(place / name, [cache, compiler]))
        (place / "real").mkdir(exist_ok=True)
        real = str(_script(place / "real" / name, [compiler], hidden))
        told = {"CCACHE_COMPILERCHECK": f"string:{compilers}"}
        return str(_script(place / name, [cache, real], told, without=hidden))

    chosen = {}
    # sccache asks nvcc what it is in a way that fails here ("Compiler not supported"), and nvcc runs CC.
    for variable in ("CC", "CXX") if is_ccache or not gpu else ("CXX",):
        program, *options = shlex.split(variables[variable])
        compiler = shutil.which(program, path=path)
        if compiler and Path(compiler).resolve().name not in _CACHES:
            chosen[variable] = shlex.join([through(Path(program).name, compiler), *options])
    if gpu and is_ccache and (nvcc := _nvcc(variables)) and "PYTORCH_NVCC" not in variables:
        chosen["PYTORCH_NVCC"] = through("nvcc", nvcc)
    return {"CCACHE_BASEDIR": str(folder), "CCACHE_NOHASHDIR": "1", **chosen}


def _answering(variables: Mapping[str, str]) -> str:
    for name in _CACHES:
        found = shutil.which(name, path=variables["PATH"])
        if found:
            try:
                process.run([found, "--version"], env=dict(variables), timeout=_SECONDS_TO_ANSWER)
            except ProcessError:
                continue
            if name == "sccache":
                _start_server(found, variables)
            return found
    return ""


def _start_server(sccache: str, variables: Mapping[str, str]) -> None:
    """Start the server of sccache where none runs, before a compiler does.

    It outlives the build and serves others: it must not have its folder for temporary files in the build's,
    whose path may also be too long for the socket through which it says that it is there.
    """
    seen = {name: value for name, value in variables.items() if name != "TMPDIR"}
    if outside := os.environ.get("TMPDIR"):
        seen["TMPDIR"] = outside
    with suppress(ProcessError):  # it says so when one runs already
        process.run([sccache, "--start-server"], env=seen, timeout=_SECONDS_TO_ANSWER)


def _nvcc(variables: Mapping[str, str]) -> str:
    for name in ("CUDA_HOME", "CUDA_PATH"):
        if name in variables:
            return os.path.join(variables[name], "bin", "nvcc")  # noqa: PTH118 (given as a text)
    return shutil.which("nvcc", path=variables["PATH"]) or ""


def _script(
    place: Path,
    command: list[str],
    variables: Mapping[str, str] | None = None,
    *,
    without: Iterable[str] = (),
) -> Path:
    """Write a script that calls a command with its arguments, with variables and without others."""
    lines = ["#!/bin/sh", *(f"unset {name}" for name in without)]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in (variables or {}).items()]
    place.write_text("\n".join([*lines, f'exec {shlex.join(command)} "$@"', ""]), encoding="utf-8")
    place.chmod(0o755)
    return place
