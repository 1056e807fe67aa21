"""The report of a probe for people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mmsetup.probe.machine import (
    Compiler,
    Container,
    Cpu,
    Disk,
    Distribution,
    Driver,
    Environment,
    Gpu,
    Interpreter,
    Libc,
    Machine,
    Memory,
    OperatingSystem,
    Toolkit,
    TorchFacts,
)
from mmsetup.render.machine import environment_rows, grid, lines, machine_rows, size

GIB = 1 << 30
PYTHON = Interpreter(Path("/p/python3.10"), "3.10.13", "cpython", "linux-x86_64", "pyenv", True, Path("/p"))
BARE = Machine(
    os=OperatingSystem("linux", "Debian GNU/Linux 12", "6.1"),
    libc=None,
    cpu=Cpu("x86_64", "AMD EPYC", 1, 1),
    memory=Memory(4 * GIB, 2 * GIB),
    disk=Disk(Path("/data"), 10 * GIB),
    container=None,
    driver=None,
    gpus=(),
    toolkits=(),
    compilers=(),
    interpreters=(),
)
FULL = replace(
    BARE,
    os=replace(BARE.os, wsl=True),
    libc=Libc("glibc", "2.36"),
    cpu=Cpu("x86_64", "AMD EPYC", 8, 2),
    container=Container("docker", "/.dockerenv"),
    driver=Driver("535.104.05", "12.2", "nvml"),
    gpus=(Gpu(0, "A100 [80GB]", "sm_80", 10 * GIB, "u", "1g.10gb"), Gpu(1, "Unknown", "", 0)),
    toolkits=(Toolkit(Path("/usr/local/cuda-12.2"), "12.2", None),),
    compilers=(
        Compiler("gcc", Path("/usr/bin/gcc"), "12.2.0"),
        Compiler("ninja", Path("/usr/bin/ninja"), ""),
    ),
    interpreters=(PYTHON, replace(PYTHON, version="3.9.1", has_headers=False)),
    overrides=("MMSETUP_OVERRIDE_GLIBC=2.36",),
    notes=("first", "second"),
)


def test_bare_machine_says_what_is_missing() -> None:
    rows = dict(machine_rows(BARE))
    assert {rows[label] for label in ("Driver", "GPU", "CUDA toolkit", "Build tools", "Python")} == {"none"}
    assert rows["Processor"] == "AMD EPYC, 1 core, x86_64"
    assert "Note" not in rows
    assert "Override" not in rows


def test_full_machine_in_lines() -> None:
    assert lines(machine_rows(FULL)) == (
        "System        Debian GNU/Linux 12, kernel 6.1, glibc 2.36, under WSL, in a container (docker)\n"
        "Processor     AMD EPYC, 8 cores, 2 usable, x86_64\n"
        "Memory        4.0 GiB, 2.0 GiB available\n"
        "Disk          10.0 GiB free at /data\n"
        "Driver        535.104.05, carries CUDA 12.2 (from nvml)\n"
        "GPU           0: A100 [80GB], sm_80, MIG slice 1g.10gb, 10.0 GiB\n"
        "              1: Unknown, architecture unknown\n"
        "CUDA toolkit  12.2 at /usr/local/cuda-12.2\n"
        "Build tools   gcc 12.2.0, ninja\n"
        "Python        3.10.13  /p/python3.10  (pyenv)\n"
        "              3.9.1    /p/python3.10  (pyenv, no headers)\n"
        "Override      MMSETUP_OVERRIDE_GLIBC=2.36\n"
        "Note          first\n"
        "              second\n"
    )


def test_terminal_folds_and_takes_no_markup() -> None:
    console = Console(width=40, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(grid(machine_rows(FULL)))
    text = captured.get()
    assert "[80GB]" in text
    assert max(len(line) for line in text.splitlines()) <= 40


def test_environment_with_and_without_torch() -> None:
    torch = TorchFacts(
        "1.13.1+cu117", "11.7", "cu117", False, ("sm_70", "sm_80"), ("sm_80",), Path("/e/torch")
    )
    numpy = Distribution("numpy", "1.26.4", Path("/e/numpy"))
    found = Environment(Path("/e"), PYTHON, (Path("/e/site"),), (numpy,), torch, ("odd",), is_virtual=True)
    rows = dict(environment_rows(found))
    assert rows["Environment"] == "/e (virtual environment, 1 distributions)"
    assert rows["torch"] == (
        "1.13.1+cu117, CUDA 11.7, _GLIBCXX_USE_CXX11_ABI=0, code for sm_70 sm_80, PTX for sm_80"
    )
    assert (rows["Stack"], rows["Note"]) == ("numpy 1.26.4", "odd")
    bare = dict(environment_rows(replace(found, torch=None, distributions=(), is_virtual=False)))
    assert bare["torch"] == "not installed"
    assert "Stack" not in bare


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (24 * GIB, "24.0 GiB"), (5 << 50, "5120.0 TiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text
