"""What a build needs, and the words for what is not there."""

from __future__ import annotations

import os
from collections import namedtuple
from dataclasses import replace

import pytest

from mmsetup.build import preflight
from mmsetup.build.preflight import (
    BYTES_PER_JOB,
    BYTES_TO_BUILD,
    check,
    find_compilers,
    install_command,
    jobs,
)
from mmsetup.errors import DiskSpaceError, ToolchainError

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\n'
SYSTEMS = {
    "debian": (DEBIAN, "sudo apt-get install -y g++", "sudo apt-get install -y python3.10-dev"),
    "ubuntu-like": (
        'ID=pop\nID_LIKE="ubuntu debian"\n',
        "sudo apt-get install -y g++",
        "sudo apt-get install -y python3.10-dev",
    ),
    "rocky": (
        'ID="rocky"\nID_LIKE="rhel centos fedora"\n',
        "sudo dnf install -y gcc-c++",
        "sudo dnf install -y python3.10-devel",
    ),
    "alpine": ("ID=alpine\n", "sudo apk add g++", "sudo apk add python3-dev"),
    "suse": (
        'ID="opensuse-leap"\nID_LIKE="suse"\n',
        "sudo zypper install -y gcc-c++",
        "sudo zypper install -y python310-devel",
    ),
    "unknown": ("ID=plan9\n", "install a C++ compiler (g++)", "install the headers of Python 3.10"),
}


@pytest.fixture
def identity(tmp_path):
    path = tmp_path / "os-release"
    path.write_text(DEBIAN)
    return path


@pytest.fixture
def program(tmp_path):
    def make(name, script):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return folder

    return make


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_command_of_the_distribution(system):
    text, compiler, headers = SYSTEMS[system]
    assert install_command(text, "compiler", "") == compiler
    assert install_command(text, "headers", "3.10") == headers


def test_no_compiler(machine, python, tmp_path, identity):
    with pytest.raises(ToolchainError, match="no C\\+\\+ compiler") as caught:
        check(machine, python, folder=tmp_path, environment={"PATH": str(tmp_path)}, os_release=identity)
    assert caught.value.remedy == "sudo apt-get install -y g++"


def test_a_named_compiler_that_is_not_there(program):
    folder = program("g++", "echo g++ 12")
    with pytest.raises(ToolchainError, match="CXX names, g\\+\\+-99"):
        find_compilers({"PATH": str(folder), "CXX": "g++-99"}, DEBIAN)


def test_a_compiler_that_does_not_run(program):
    folder = program("g++", "echo broken >&2; exit 3")
    with pytest.raises(ToolchainError, match="does not run"):
        find_compilers({"PATH": str(folder)}, DEBIAN)


def test_the_companion_of_a_named_compiler(program):
    program("gcc-12", "exit 0")
    folder = program("g++-12", "echo 'g++-12 (Debian) 12.2.0'; echo Copyright")
    found = find_compilers({"PATH": str(folder), "CXX": "g++-12"}, DEBIAN)
    assert found == ("gcc-12", "g++-12", "g++-12 (Debian) 12.2.0")


def test_options_beside_the_compiler_shape_the_wheel(program):
    folder = program("g++", "echo 'g++ (Debian) 12.2.0'")
    variables = {"PATH": str(folder)}
    assert find_compilers(variables, DEBIAN)[2] == "g++ (Debian) 12.2.0"
    found = find_compilers({**variables, "CXX": "g++ -march=native -O2"}, DEBIAN)
    assert found[2] == "g++ (Debian) 12.2.0 -march=native -O2"
    program("launcher", 'exec "$@"')
    path = f"{folder}:/usr/bin:/bin"
    assert find_compilers({"PATH": path, "CXX": "launcher g++"}, DEBIAN)[2] == "g++ (Debian) 12.2.0"
    assert find_compilers({"PATH": path, "CXX": "launcher g++ -m64"}, DEBIAN)[2].endswith("12.2.0 -m64")


def test_a_c_compiler_of_its_own_shapes_the_wheel(program):
    program("g++", "echo 'g++ (Debian) 12.2.0'")
    program("gcc-9", "echo 'gcc-9 (Debian) 9.5.0'")
    folder = program("gcc", "echo 'gcc (Debian) 12.2.0'")
    (folder / "cc").symlink_to(folder / "gcc")
    found = find_compilers({"PATH": str(folder), "CC": "gcc-9"}, DEBIAN)
    assert found == ("gcc-9", "g++", "g++ (Debian) 12.2.0; CC is gcc-9 (Debian) 9.5.0")
    # Images of containers set CC=gcc: that is the one which is taken anyhow.
    for usual in ("gcc", "cc", str(folder / "gcc")):
        found = find_compilers({"PATH": str(folder), "CC": usual}, DEBIAN)
        assert found == (usual, "g++", "g++ (Debian) 12.2.0")
    assert find_compilers({"PATH": str(folder), "CC": "gcc -m32"}, DEBIAN)[2].endswith("12.2.0 -m32")


def test_a_named_c_compiler_that_is_not_there_or_broken(program):
    program("broken", "exit 3")
    folder = program("g++", "echo g++ 12")
    with pytest.raises(ToolchainError, match="CC names, gcc-99, is not there") as caught:
        find_compilers({"PATH": str(folder), "CC": "gcc-99"}, DEBIAN)
    assert caught.value.remedy == "unset CC  # or: sudo apt-get install -y g++"
    with pytest.raises(ToolchainError, match="the compiler broken does not run"):
        find_compilers({"PATH": str(folder), "CC": "broken"}, DEBIAN)


def test_headers_that_only_variables_find_are_not_there_in_the_build(machine, python, tmp_path):
    more = tmp_path / "more"
    more.mkdir()
    (more / "elsewhere.h").touch()
    whole = headers(tmp_path, python, "#include <elsewhere.h>\n")
    for variable in ("CPATH", "CPLUS_INCLUDE_PATH"):
        environment = {"PATH": os.environ["PATH"], variable: str(more)}
        with pytest.raises(ToolchainError, match=r"elsewhere\.h, which is not there"):
            check(machine, whole, folder=tmp_path, environment=environment)


def test_an_interpreter_without_headers(machine, python, tmp_path, identity):
    with pytest.raises(ToolchainError, match=r"3\.10\.13.*Python\.h") as caught:
        check(machine, replace(python, has_headers=False), folder=tmp_path, os_release=identity)
    assert "apt-get install -y python3.10-dev" in caught.value.remedy
    assert "uv python install 3.10" in caught.value.remedy


def test_too_little_disk(machine, python, tmp_path, identity, monkeypatch):
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: usage(10**10, 10**10, 10**8))
    with pytest.raises(DiskSpaceError, match=r"0\.1 GB free"):
        check(machine, python, folder=tmp_path, os_release=identity)


def test_a_build_for_gpus_needs_more_disk(machine, python, tmp_path, identity, monkeypatch):
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda _: usage(10**10, 10**10, BYTES_TO_BUILD + 1))
    check(machine, python, folder=tmp_path, os_release=identity)
    with pytest.raises(DiskSpaceError, match="a build needs"):
        check(machine, python, folder=tmp_path, os_release=identity, gpu=True)


def headers(folder, python, text, suffix=""):
    place = folder / "include" / f"python{python.minor}{suffix}"
    place.mkdir(parents=True)
    (place / "Python.h").write_text(text)
    return replace(python, prefix=folder)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("#include <vector>\n#include <nowhere.h>\n", "nowhere.h, which is not there"),
        ("#error wrong\n", "cannot read Python.h"),
    ],
)
def test_headers_that_the_compiler_cannot_read(machine, python, tmp_path, text, told):
    broken = headers(tmp_path, python, text, "m")
    with pytest.raises(ToolchainError, match=told) as caught:
        check(machine, broken, folder=tmp_path)
    assert "3.10" in caught.value.remedy


def test_the_header_of_old_pythons_that_distributions_keep_apart(machine, python, tmp_path, identity):
    """``-nostdinc`` stands for a distribution without it: there no header is but what Python.h includes."""
    older = headers(tmp_path, python, "#include <crypt.h>\n")
    environment = {"PATH": os.environ["PATH"], "CXX": "g++ -nostdinc"}
    with pytest.raises(ToolchainError, match=r"crypt\.h, which is not there") as caught:
        check(machine, older, folder=tmp_path, environment=environment, os_release=identity)
    assert caught.value.remedy == "sudo apt-get install -y libcrypt-dev"


def test_the_headers_of_an_environment_are_those_of_its_python(machine, python, tmp_path, identity):
    """An environment has the folder, and nothing in it."""
    (tmp_path / "include" / "python3.10").mkdir(parents=True)
    check(machine, replace(python, prefix=tmp_path), folder=tmp_path, os_release=identity)


def test_headers_that_can_be_read(machine, python, tmp_path, identity):
    whole = headers(tmp_path, python, "#include <vector>\n")
    assert check(machine, whole, folder=tmp_path, os_release=identity).cxx


def test_headers_are_read_once_in_a_process_unless_they_were_missing(machine, python, tmp_path):
    whole = headers(tmp_path, python, "#include <missing_at_first.h>\n")
    with pytest.raises(ToolchainError, match="missing_at_first"):
        check(machine, whole, folder=tmp_path)
    (tmp_path / "include" / "python3.10" / "missing_at_first.h").touch()
    check(machine, whole, folder=tmp_path)
    (tmp_path / "include" / "python3.10" / "missing_at_first.h").unlink()
    check(machine, whole, folder=tmp_path)


def test_this_machine_can_build(machine, python, tmp_path, identity):
    environment = {"PATH": os.environ["PATH"]}
    found = check(machine, python, folder=tmp_path, environment=environment, os_release=identity)
    assert found.cxx == "g++"
    assert found.compiler.startswith("g++")
    assert found.jobs == 8


@pytest.mark.parametrize(
    ("cores", "available", "wanted", "expected"),
    [
        (8, 100 * BYTES_PER_JOB, "", 8),
        (8, 3 * BYTES_PER_JOB + 1, "", 3),
        (8, BYTES_PER_JOB // 2, "", 1),
        (8, BYTES_PER_JOB, "5", 5),
        (8, 100 * BYTES_PER_JOB, "many", 8),
        (8, 100 * BYTES_PER_JOB, "0", 8),
    ],
)
def test_jobs_fit_cores_and_memory(cores, available, wanted, expected):
    assert jobs(cores, available, wanted) == expected
