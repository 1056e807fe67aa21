"""Compilers, CUDA toolkits, the versions that programs print, and the stand-ins that are set by variables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsetup.errors import RequestError
from mmsetup.probe import compilers, overrides, toolkits, versions
from mmsetup.probe.host import Host
from mmsetup.probe.machine import (
    Cpu,
    Disk,
    Driver,
    Gpu,
    Libc,
    Machine,
    Memory,
    OperatingSystem,
    Toolkit,
)

Program = Callable[..., Path]
DOTTED = st.lists(st.integers(0, 9999), min_size=2, max_size=4).map(lambda parts: ".".join(map(str, parts)))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("gcc (Debian 12.2.0-14+deb12u1) 12.2.0\nCopyright", "12.2.0"),
        ("gcc (crosstool-NG 1.25.0.90_cf9beb1 (x)) 9.5.0", "9.5.0"),
        ("gcc (GCC) 8.5.0 20210514 (Red Hat 8.5.0-4)", "8.5.0"),
        ("Ubuntu clang version 14.0.0-1ubuntu1.1", "14.0.0"),
        ("1.11.1.git.kitware.jobserver-1", "1.11.1"),
        ("cmake version 3.25.1\n", "3.25.1"),
        ("git version 2.39.5 (Apple Git-154)", "2.39.5"),
        ("no number at all", ""),
        ("", ""),
    ],
)
def test_printed_versions(text: str, version: str) -> None:
    assert versions.printed(text) == version


@given(DOTTED, DOTTED, st.sampled_from(["gcc ({}) {} 2021", "tool ({}) version {}\n", "({}) v{}"]))
def test_version_in_parentheses_is_never_taken(vendor: str, version: str, form: str) -> None:
    assert versions.printed(form.format(vendor, version)) == version


@given(st.text())
def test_any_text_has_a_version_or_none(text: str) -> None:
    found = versions.printed(text)
    assert found in text
    assert found == "" or "." in found


def test_broken_tool_is_a_note_and_hides_no_other(program: Program, tmp_path: Path) -> None:
    program(tmp_path / "gcc", "echo 'gcc (X 1.2.3) 12.2.0'")
    program(tmp_path / "ninja", "echo 'not installed' >&2", "exit 127")
    program(tmp_path / "git", "exec nothing-of-this-name")
    found, notes = compilers.read(Host(tmp_path, {"PATH": str(tmp_path)}))
    assert [(tool.name, tool.version, tool.path) for tool in found] == [("gcc", "12.2.0", tmp_path / "gcc")]
    assert [note.split()[0] for note in notes] == ["ninja", "git"]


def test_toolkit_is_listed_once_however_it_is_reached(program: Program, tmp_path: Path) -> None:
    home = tmp_path / "usr/local/cuda-12.1"
    program(home / "bin/nvcc", 'echo "Cuda compilation tools, release 12.1, V12.1.105"')
    for part in ("bin/cudafe++", "bin/ptxas", "nvvm/bin/cicc"):
        program(home / part, "exit 1")
    (tmp_path / "usr/local/cuda").symlink_to("cuda-12.1")
    (tmp_path / "bin").mkdir()
    wrapper = ("#!/bin/sh", f"echo '#$ _SPACE_= ' >&2; echo '#$ _HERE_={home}/bin' >&2")
    program(tmp_path / "bin/nvcc", *wrapper)
    environ = {
        "PATH": str(tmp_path / "bin"),
        "CUDA_HOME": str(tmp_path / "usr/local/cuda"),
        "CUDA_PATH": str(home),
    }
    found, notes = toolkits.read(Host(tmp_path, environ))
    assert found == (Toolkit(home, "12.1", home / "bin/nvcc"),)
    assert notes == ()


def test_an_nvcc_without_the_programs_that_it_starts_is_told(program: Program, tmp_path: Path) -> None:
    home = tmp_path / "usr/local/cuda-13.0"
    program(home / "bin/nvcc", 'echo "release 13.0, V13.0.88"')
    program(home / "bin/ptxas", "exit 1")
    found, notes = toolkits.read(Host(tmp_path, {"PATH": ""}))
    assert [one.lacks for one in found] == [("cicc", "cudafe++")]
    assert notes == (f"{home}/bin/nvcc compiles nothing: it lacks cicc, cudafe++",)


def test_link_to_nvcc_leads_to_its_toolkit(tmp_path: Path) -> None:
    home = tmp_path / "opt/cuda"
    (home / "bin").mkdir(parents=True)
    (home / "bin/nvcc").write_bytes(b"\x7fELF")
    (home / "bin/nvcc").chmod(0o755)
    (home / "version.json").write_text('{"cuda": {"name": "CUDA SDK", "version": "11.8.20220929"}}')
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/nvcc").symlink_to(home / "bin/nvcc")
    found, _ = toolkits.read(Host(tmp_path, {"PATH": str(tmp_path / "bin")}))
    assert [(one.path, one.version) for one in found] == [(home, "11.8")]


@pytest.mark.parametrize(
    ("name", "text", "version"),
    [
        ("version.json", '{"cuda": {"version": "12.4.1"}}', "12.4"),
        ("version.txt", "CUDA Version 10.2.89\n", "10.2"),
        ("include/cuda.h", "/* */\n#define CUDA_VERSION 11070\n", "11.7"),
    ],
)
def test_toolkit_without_a_compiler(tmp_path: Path, name: str, text: str, version: str) -> None:
    file = tmp_path / "usr/local/cuda" / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    found, _ = toolkits.read(Host(tmp_path, {"PATH": ""}))
    assert [(one.version, one.nvcc) for one in found] == [(version, None)]


@pytest.mark.parametrize("text", ["{", "[]", '{"cuda": []}', '{"cuda": {"version": 12}}'])
def test_damaged_version_file_gives_way_to_the_compiler(program: Program, tmp_path: Path, text: str) -> None:
    home = tmp_path / "usr/local/cuda-12.1"
    program(home / "bin/nvcc", 'echo "release 12.1, V12.1.105"')
    (home / "version.json").write_text(text)
    found, _ = toolkits.read(Host(tmp_path, {"PATH": ""}))
    assert [one.version for one in found] == ["12.1"]


def test_what_leads_to_no_toolkit(program: Program, tmp_path: Path) -> None:
    program(tmp_path / "bin/nvcc", "exit 1")
    (tmp_path / "usr/local/cuda-9.9").mkdir(parents=True)
    environ = {"PATH": str(tmp_path / "bin"), "CUDA_HOME": str(tmp_path / "gone")}
    found, notes = toolkits.read(Host(tmp_path, environ))
    assert found == ()
    assert [note.split()[0] for note in notes] == ["CUDA_HOME", str(tmp_path / "bin/nvcc")]


def bare() -> Machine:
    return Machine(
        os=OperatingSystem("linux", "Debian", "6.1"),
        libc=Libc("glibc", "2.36"),
        cpu=Cpu("x86_64", "", 2, 2),
        memory=Memory(1, 1),
        disk=Disk(Path("/"), 1),
        container=None,
        driver=Driver("535.104.05", "12.2", "nvml"),
        gpus=(Gpu(0, "A", "sm_80", 1),),
        toolkits=(),
        compilers=(),
        interpreters=(),
    )


def test_no_variables_change_nothing() -> None:
    assert overrides.apply(bare(), {"PATH": "/bin"}) == bare()


def test_every_override_is_applied_and_listed() -> None:
    variables = {
        "MMSETUP_OVERRIDE_DRIVER": "525.60.13",
        "MMSETUP_OVERRIDE_CUDA_DRIVER": "12.0",
        "MMSETUP_OVERRIDE_GPU_ARCHITECTURES": "sm_86, sm_90a 12.0",
        "MMSETUP_OVERRIDE_GLIBC": "2.17",
        "MMSETUP_OVERRIDE_PYTHON": "3.10",
    }
    found = overrides.apply(bare(), variables)
    assert found.driver == Driver("525.60.13", "12.0", "override")
    assert [gpu.architecture for gpu in found.gpus] == ["sm_86", "sm_90a", "sm_120"]
    assert found.libc == Libc("glibc", "2.17")
    assert sorted(found.overrides) == sorted(f"{name}={value}" for name, value in variables.items())


def test_override_of_the_driver_forgets_the_cuda_of_the_real_one() -> None:
    assert overrides.apply(bare(), {"MMSETUP_OVERRIDE_DRIVER": "450.80.02"}).driver == Driver(
        "450.80.02", "", "override"
    )


@pytest.mark.parametrize("value", ["", "none", "NONE", " "])
def test_gpus_and_driver_can_be_taken_away(value: str) -> None:
    variables = {"MMSETUP_OVERRIDE_GPU_ARCHITECTURES": value, "MMSETUP_OVERRIDE_DRIVER": value}
    found = overrides.apply(bare(), variables)
    assert (found.driver, found.gpus) == (None, ())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DRIVER", "new"),
        ("DRIVER", "535.104.05.1"),
        ("CUDA_DRIVER", "12"),
        ("CUDA_DRIVER", "none"),
        ("GPU_ARCHITECTURES", "sm_86,ampere"),
        ("GPU_ARCHITECTURES", "sm_8"),
        ("GLIBC", ""),
        ("GLIBC", "2.3²"),
        ("PYTHON", "three"),
    ],
)
def test_malformed_override_is_named(name: str, value: str) -> None:
    with pytest.raises(RequestError, match=f"MMSETUP_OVERRIDE_{name} is") as caught:
        overrides.apply(bare(), {f"MMSETUP_OVERRIDE_{name}": value})
    assert caught.value.remedy == f"unset MMSETUP_OVERRIDE_{name}"


def test_unknown_override_is_a_note() -> None:
    found = overrides.apply(bare(), {"MMSETUP_OVERRIDE_DRIVRE": "535"})
    assert found.overrides == ()
    assert "MMSETUP_OVERRIDE_DRIVRE is not known" in found.notes[0]
