"""The driver and its GPUs as the program ``nvidia-smi`` tells them: the last resort."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from mmsetup.errors import ProcessError
from mmsetup.probe.host import Host
from mmsetup.probe.machine import Driver, Gpu
from mmsetup.probe.nvml import Nvidia
from mmsetup.process import run

__all__ = ["find", "parse_rows", "read"]

_SECONDS = 5.0
_MIB = 1 << 20
_FOLDERS = ("/usr/lib/wsl/lib", "/usr/local/nvidia/bin")
_COLUMNS = ("index", "name", "uuid", "memory.total", "driver_version", "compute_cap")


def find(host: Host) -> Path | None:
    """Find the program on the search path, or where WSL and device plugins put it."""
    found = host.which("nvidia-smi")
    if found is not None:
        return found
    places = (host.path(f"{folder}/nvidia-smi") for folder in _FOLDERS)
    return next((place for place in places if place.is_file()), None)


def read(host: Host) -> Nvidia:
    """Ask ``nvidia-smi``, for five seconds at most."""
    program = find(host)
    if program is None:
        return Nvidia(found=False)
    # Programs older than release 510 refuse the whole question when it names compute_cap.
    answer = _ask(program, _COLUMNS)
    if isinstance(answer, ProcessError) and answer.returncode is not None:
        answer = _ask(program, _COLUMNS[:-1])
    if isinstance(answer, ProcessError):
        last = answer.evidence[-1] if answer.evidence else str(answer)
        return Nvidia(notes=(f"nvidia-smi cannot be used: {last}",))
    version, gpus = parse_rows(answer)
    return Nvidia(Driver(version, _cuda(program), "nvidia-smi") if version else None, gpus)


def parse_rows(rows: Sequence[Sequence[str]]) -> tuple[str, tuple[Gpu, ...]]:
    """Turn rows into the driver version and the GPUs.

    The columns are index, name, UUID, memory in MiB, driver version and perhaps compute capability. A row of
    another shape is left out; a field that reads ``[N/A]`` is unknown.
    """
    version = ""
    gpus = []
    for row in rows:
        if len(row) < len(_COLUMNS) - 1 or not row[0].strip().isdecimal():
            continue
        index, name, uuid, size, driver = (field.strip() for field in row[:5])
        capability = re.fullmatch(r"(\d+)\.(\d)", row[5].strip()) if len(row) == len(_COLUMNS) else None
        if re.fullmatch(r"\d+(\.\d+)+", driver):
            version = driver
        gpus.append(
            Gpu(
                index=int(index),
                name=name,
                architecture=f"sm_{capability[1]}{capability[2]}" if capability else "",
                memory_bytes=int(size) * _MIB if size.isdecimal() else 0,
                uuid=uuid if uuid.startswith(("GPU-", "MIG-")) else "",
            )
        )
    return version, tuple(gpus)


def _cuda(program: Path) -> str:
    try:
        done = run([program], timeout=_SECONDS, check=False)
    except ProcessError:
        return ""
    found = re.search(r"CUDA Version:\s*(\d+\.\d+)", done.stdout)
    return found[1] if found else ""


def _ask(program: Path, columns: Sequence[str]) -> list[list[str]] | ProcessError:
    question = f"--query-gpu={','.join(columns)}"
    try:
        done = run([program, question, "--format=csv,noheader,nounits"], timeout=_SECONDS)
    except ProcessError as error:
        return error
    return list(csv.reader(done.stdout.splitlines(), skipinitialspace=True))
