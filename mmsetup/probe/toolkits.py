"""The CUDA toolkits of the machine, each once, by its real folder."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mmsetup.errors import ProcessError
from mmsetup.probe.host import Host
from mmsetup.probe.machine import Toolkit
from mmsetup.process import run

__all__ = ["read"]

_SECONDS = 5.0
_VARIABLES = ("CUDA_HOME", "CUDA_PATH")
_PARTS = ("cicc", "cudafe++", "ptxas")
_PLACES = ("bin", "nvvm/bin")


def read(host: Host) -> tuple[tuple[Toolkit, ...], tuple[str, ...]]:
    """List the toolkits in the order in which a build would take them, and notes on what leads nowhere.

    ``CUDA_HOME`` and ``CUDA_PATH`` come first, then ``nvcc`` on the search path, then ``/usr/local/cuda*``.
    """
    notes: list[str] = []
    found: dict[Path, Toolkit] = {}
    for folder in _candidates(host, notes):
        real = folder.resolve()
        if real not in found and (toolkit := _toolkit(real)) is not None:
            found[real] = toolkit
            if toolkit.lacks:
                notes.append(f"{toolkit.nvcc} compiles nothing: it lacks {', '.join(toolkit.lacks)}")
    return tuple(found.values()), tuple(notes)


def _candidates(host: Host, notes: list[str]) -> Iterator[Path]:
    for variable in _VARIABLES:
        if named := host.environ.get(variable):
            if Path(named).is_dir():
                yield Path(named)
            else:
                notes.append(f"{variable} names {named}, which is not a folder")
    nvcc = host.which("nvcc")
    if nvcc is not None:
        folder = _home_of(nvcc)
        if folder is None:
            notes.append(f"{nvcc} does not tell where its toolkit is")
        else:
            yield folder
    for name in host.names("/usr/local"):
        if re.fullmatch(r"cuda(-\d+(\.\d+)?)?", name):
            yield host.path(f"/usr/local/{name}")


def _home_of(nvcc: Path) -> Path | None:
    """Find the toolkit of an ``nvcc``, which may be a link or a script that starts the real one.

    A script is asked: ``nvcc --dryrun`` prints ``_HERE_``, the folder of the program that runs in the end.
    """
    real = nvcc.resolve()
    if _is_program(real) and real.parent.name == "bin":
        return real.parent.parent
    try:
        done = run([nvcc, "--dryrun", "-x", "cu", "-E", os.devnull], timeout=_SECONDS, check=False)
    except ProcessError:
        return None
    here = re.search(r"^#\$ _HERE_=(.+)$", done.stderr, re.MULTILINE)
    return Path(here[1]).resolve().parent if here else None


def _is_program(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) != b"#!"
    except OSError:
        return False


def _toolkit(folder: Path) -> Toolkit | None:
    nvcc = folder / "bin" / ("nvcc.exe" if os.name == "nt" else "nvcc")
    compiler = nvcc if os.access(nvcc, os.X_OK) else None
    version = (
        _written_version(folder) or (_asked_version(compiler) if compiler else "") or _header_version(folder)
    )
    if not compiler and not version:
        return None
    return Toolkit(folder, version, compiler, tuple(_lacking(folder)) if compiler else ())


def _lacking(folder: Path) -> Iterator[str]:
    """Name the programs that nvcc starts and does not find; distributions put all of them beside it."""
    for program in _PARTS if os.name == "posix" else ():
        if not any(os.access(folder / place / program, os.X_OK) for place in _PLACES):
            yield program


def _written_version(folder: Path) -> str:
    """Read ``version.json`` (CUDA 11.1 and later) or ``version.txt`` (before)."""
    try:
        told = json.loads((folder / "version.json").read_text(encoding="utf-8"))["cuda"]["version"]
    except (OSError, ValueError, KeyError, TypeError):
        told = ""
    if not isinstance(told, str) or not told:
        told = _text(folder / "version.txt")
    found = re.search(r"\d+\.\d+", told)
    return found[0] if found else ""


def _asked_version(nvcc: Path) -> str:
    try:
        done = run([nvcc, "--version"], timeout=_SECONDS)
    except ProcessError:
        return ""
    found = re.search(r"release (\d+\.\d+)", done.stdout)
    return found[1] if found else ""


def _header_version(folder: Path) -> str:
    """Read ``CUDA_VERSION`` (13000) of ``cuda.h``, all that a toolkit without nvcc may have."""
    found = re.search(r"^#define CUDA_VERSION (\d+)", _text(folder / "include" / "cuda.h"), re.MULTILINE)
    return f"{int(found[1]) // 1000}.{int(found[1]) % 1000 // 10}" if found else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
