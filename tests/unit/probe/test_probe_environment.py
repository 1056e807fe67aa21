"""Environments: real ones, damaged ones, and folders that are none."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uv import find_uv_bin

from mmsetup.errors import TargetError
from mmsetup.probe import distributions, environment, torch_files
from mmsetup.probe.machine import Distribution

VERSION_PY = """
from typing import Optional
__all__ = ['__version__', 'debug', 'cuda', 'git_version', 'hip']
__version__ = '2.1.2+cu121'
debug = False
cuda: Optional[str] = '12.1'
git_version = 'a8e7c98cb95ff97bb30a728c6b2a1ce6bff946eb'
hip: Optional[str] = None
"""
CODE = """
#include <string>
namespace c10 {
struct Error { Error(std::string text, const void *from); };
Error::Error(std::string, const void *) {}
}
"""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Make a virtual environment without pip."""
    folder = tmp_path / "env"
    venv.create(folder, symlinks=True)
    return folder


def site_packages(folder: Path) -> Path:
    return folder / "lib" / "python{}.{}".format(*sys.version_info[:2]) / "site-packages"


def install(folder: Path, name: str, files: dict[str, str | bytes]) -> Path:
    info = folder / name
    info.mkdir(parents=True)
    for file, content in files.items():
        if isinstance(content, bytes):
            (info / file).write_bytes(content)
        else:
            (info / file).write_text(content, encoding="utf-8")
    return info


def test_real_environment_by_its_folder_and_by_its_interpreter(made: Path) -> None:
    found = environment(made)
    assert found == environment(made / "bin" / "python")
    assert (found.prefix, found.is_virtual, found.sees_system_packages) == (made, True, False)
    assert found.interpreter.path == made / "bin" / "python"
    assert found.interpreter.source == "environment"
    assert found.interpreter.version == "{}.{}.{}".format(*sys.version_info[:3])
    assert found.site_packages == (site_packages(made),)
    assert (found.distributions, found.torch, found.notes) == ((), None, ())


def test_environment_that_sees_the_packages_of_its_interpreter(tmp_path: Path) -> None:
    venv.create(tmp_path / "env", symlinks=True, system_site_packages=True)
    found = environment(tmp_path / "env")
    assert found.sees_system_packages
    assert found.site_packages[0] == site_packages(tmp_path / "env")
    assert len(found.site_packages) > 1


def test_interpreter_that_is_no_environment_has_packages_of_its_own() -> None:
    found = environment(Path(sys.executable).resolve())
    assert not found.is_virtual
    assert found.prefix == Path(sys.base_prefix)
    assert all(folder.is_dir() for folder in found.site_packages)


def test_distributions_of_every_form(made: Path) -> None:
    site = site_packages(made)
    metadata = "Metadata-Version: 2.1\nName: MMCV_full\nVersion: 1.7.2\nRequires-Dist: addict\nRequires-Dist: yapf\n\nName: no\n"
    info = install(
        site,
        "mmcv_full-1.7.2.dist-info",
        {"METADATA": metadata, "INSTALLER": "pip\n", "top_level.txt": "mmcv\n"},
    )
    record = "numpy/__init__.py,sha256=a,1\nnumpy.libs/x.so,,\n../../../bin/f2py,,\nsix.py,,\n_ext.cpython-310-x86_64-linux-gnu.so,,\n"
    install(site, "numpy-1.26.4.dist-info", {"METADATA": "Name: numpy\nVersion: 1.26.4\n", "RECORD": record})
    (site / "old-0.1-py3.7.egg-info").write_text("Name: old\nVersion: 0.1\n")
    install(
        site,
        "eggy-2.0-py3.10.egg-info",
        {
            "PKG-INFO": "Name: eggy\nVersion: 2.0\n",
            "requires.txt": "six\n\n[gpu:python_version<'3.8']\ncupy\n[:os_name=='nt']\npywin\n[dev]\nx\n",
        },
    )
    install(made / "src", "mine.egg-info", {"PKG-INFO": "Name: mine\nVersion: 0.0.1\n"})
    (site / "mine.egg-link").write_text(f"{made / 'src'}\n.")
    install(site / "packed-3.0-py3.10.egg", "EGG-INFO", {"PKG-INFO": "Name: packed\n"})
    (site / "mine.pth").write_text("import os; os.abort()\n")
    found = environment(made)
    assert [(one.name, one.version) for one in found.distributions] == [
        ("eggy", "2.0"),
        ("mine", "0.0.1"),
        ("mmcv-full", "1.7.2"),
        ("numpy", "1.26.4"),
        ("old", "0.1"),
        ("packed", "3.0"),
    ]
    by_name = {one.name: one for one in found.distributions}
    assert by_name["mmcv-full"] == Distribution(
        "mmcv-full", "1.7.2", info, "pip", ("addict", "yapf"), ("mmcv",)
    )
    assert by_name["numpy"].top_level == ("_ext", "numpy", "six")
    assert by_name["eggy"].requires == (
        "six",
        "cupy ; (python_version<'3.8') and extra == \"gpu\"",
        "pywin ; os_name=='nt'",
        'x ; extra == "dev"',
    )
    assert found.version_of("mmcv-full") == "1.7.2"
    assert found.path_files == (site / "mine.pth",)
    assert found.notes == ()


def test_damaged_metadata_is_noted_and_the_rest_is_read(made: Path) -> None:
    site = site_packages(made)
    install(site, "nothing-1.2.dist-info", {})
    install(
        site,
        "latin-1.0.dist-info",
        {"METADATA": "Name: latin\nVersion: 1.0\nAuthor: J\xfcrgen\n".encode("latin-1")},
    )
    install(site, "empty-3.4.dist-info", {"METADATA": b"\x00\xff\n\n"})
    install(site, "double-1.0.dist-info", {"METADATA": "Name: double\nVersion: 1.0\n"})
    install(site, "double-2.0.dist-info", {"METADATA": "Name: double\nVersion: 2.0\n"})
    install(site, "~umpy-1.0.dist-info", {})
    found = environment(made)
    assert [(one.name, one.version) for one in found.distributions] == [
        ("double", "1.0"),
        ("double", "2.0"),
        ("empty", "3.4"),
        ("latin", "1.0"),
        ("nothing", "1.2"),
    ]
    told = "\n".join(found.notes)
    for words in (
        "nothing-1.2.dist-info/METADATA cannot be read",
        "latin-1.0.dist-info/METADATA is not UTF-8",
    ):
        assert words in told
    assert "holds double 2 times: 1.0, 2.0" in told
    assert "~umpy-1.0.dist-info is what an interrupted pip left behind" in told


@given(st.text())
def test_headers_of_any_text(text: str) -> None:
    for name, values in distributions.parse_headers(text).items():
        assert name == name.strip().lower()
        assert values


def test_continued_header() -> None:
    fields = distributions.parse_headers("Name: a\nLicense: one\n  two\nName: b\n\nVersion: 1\n")
    assert fields == {"name": ["a", "b"], "license": ["one\ntwo"]}


def test_a_line_of_blanks_does_not_end_the_headers() -> None:
    fields = distributions.parse_headers("License: one\n        \n  two\nRequires-Dist: six\n\nVersion: 1\n")
    assert fields == {"license": ["one\n\ntwo"], "requires-dist": ["six"]}


@pytest.mark.parametrize("form", ["nothing", "empty folder", "file", "link", "dangling", "closed"])
def test_places_that_are_no_environment(tmp_path: Path, form: str) -> None:
    place = tmp_path / "place"
    if form in {"empty folder", "dangling"}:
        (place / "bin").mkdir(parents=True)
    if form == "dangling":
        (place / "bin" / "python").symlink_to(tmp_path / "gone")
    if form in {"file", "closed"}:
        place.write_text("")
    if form == "link":
        place.symlink_to(tmp_path / "gone")
    words = {
        "nothing": "does not exist",
        "empty folder": "holds no Python interpreter",
        "file": "is a file, and neither the folder of an environment nor an interpreter",
        "link": "which is gone",
        "dangling": "which is gone",
        "closed": "cannot be looked into",
    }[form]
    closed = without_permission(tmp_path) if form == "closed" else contextlib.nullcontext()
    with closed, pytest.raises(TargetError, match=words) as caught:
        environment(place)
    assert caught.value.remedy


@contextlib.contextmanager
def without_permission(folder: Path) -> Iterator[None]:
    """Close a folder to this process; the superuser becomes somebody else, for nothing is closed to him."""
    before = folder.stat().st_mode
    user = os.geteuid()
    folder.chmod(0)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(user)
        folder.chmod(before)


@pytest.mark.parametrize(
    ("place", "remedy"),
    [
        ("nothing", "mmsetup install --env {}/nothing"),
        ("no thing/bin/python", "mmsetup install --env '{}/no thing'"),
        ("empty", "mmsetup install --env {}/empty"),
        ("code", "mmsetup install --env DIR  # an empty or new folder"),
        ("code/README.md", "--env DIR  # the folder of an environment"),
        ("code/python3.10", "chmod +x {}/code/python3.10"),
    ],
)
def test_the_remedy_gives_an_environment_with_the_stack(tmp_path: Path, place: str, remedy: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "code").mkdir()
    for name in ("README.md", "python3.10"):
        (tmp_path / "code" / name).write_text("")
    with pytest.raises(TargetError) as caught:
        environment(tmp_path / place)
    assert caught.value.remedy == remedy.format(tmp_path)


def test_interpreter_that_does_not_run(tmp_path: Path, program: Callable[..., Path]) -> None:
    program(tmp_path / "bin" / "python", "echo 'bad magic number' >&2", "exit 1")
    with pytest.raises(TargetError, match="bad magic number") as caught:
        environment(tmp_path)
    assert caught.value.remedy == f"{tmp_path / 'bin' / 'python'} -V"


def test_torch_is_read_and_never_imported(made: Path) -> None:
    package = site_packages(made) / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "version.py").write_text(VERSION_PY)
    (package / "lib").mkdir()
    found = environment(made).torch
    assert found is not None
    assert (found.version, found.cuda, found.variant) == ("2.1.2+cu121", "12.1", "cu121")
    assert (found.cxx11_abi, found.sass, found.ptx, found.path) == (None, (), (), package)


def test_torch_with_damaged_files_is_noted(made: Path) -> None:
    package = site_packages(made) / "torch"
    (package / "lib").mkdir(parents=True)
    (package / "version.py").write_text(VERSION_PY)
    (package / "lib" / "libc10.so").write_bytes(b"\x7fELF cut short")
    (package / "lib" / "libtorch_cuda.so").write_bytes(b"")
    found = environment(made)
    assert found.torch is not None
    assert (found.torch.cxx11_abi, found.torch.sass) == (None, ())
    assert len(found.notes) == 2


@pytest.mark.parametrize("source", ["def broken(", "a = '\0'", None])
def test_torch_without_a_readable_version_is_no_torch(made: Path, source: str | None) -> None:
    package = site_packages(made) / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("")
    if source is not None:
        (package / "version.py").write_text(source)
    found = environment(made)
    assert found.torch is None
    assert "version.py" in found.notes[0]


@pytest.mark.parametrize(
    ("version", "cuda", "hip", "variant"),
    [
        ("1.13.1+cu117", "11.7", "", "cu117"),
        ("2.13.0+cpu", "", "", "cpu"),
        ("2.0.1+cpu.cxx11.abi", "", "", "cpu"),
        ("1.13.1", "11.7", "", "cu117"),
        ("2.1.0a0+32f93b1", "12.2", "", "cu122"),
        ("2.1.0", "", "", "cpu"),
        ("2.4.0+rocm6.1", "", "6.1.40091", "rocm6.1"),
        ("2.4.0a0+git1", "", "6.1.40091-a8d", "rocm6.1"),
        ("2.9.0+cu130", "13.0", "", "cu130"),
    ],
)
def test_variants(version: str, cuda: str, hip: str, variant: str) -> None:
    assert torch_files.variant(version, cuda, hip) == variant


@pytest.mark.parametrize(("flag", "abi"), [("0", False), ("1", True)])
def test_abi_of_a_library_that_the_compiler_made(tmp_path: Path, flag: str, abi: bool) -> None:
    lib = tmp_path / "torch" / "lib"
    lib.mkdir(parents=True)
    (tmp_path / "torch" / "version.py").write_text(VERSION_PY)
    code = tmp_path / "c10.cpp"
    code.write_text(CODE)
    options = (f"-D_GLIBCXX_USE_CXX11_ABI={flag}", "-shared", "-fPIC")
    subprocess.run(["g++", *options, code, "-o", lib / "libc10.so"], check=True)
    facts, notes = torch_files.read([tmp_path])
    assert facts is not None
    assert (facts.cxx11_abi, notes) == (abi, ())


def test_abi_is_not_told_by_the_names_of_the_standard_library() -> None:
    linked_in = "_ZNSt11logic_errorC1ERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
    assert torch_files.cxx11_abi([linked_in]) is None
    assert torch_files.cxx11_abi([linked_in, "_ZN3c105ErrorC1ESsPKv"]) is False
    assert torch_files.cxx11_abi([linked_in, "_ZN3c105ErrorC1ENS_14SourceLocationE"]) is None


def half(folder: Path, *, lost: str) -> Path:
    """A virtual environment with a package in it, that lost its interpreter or its ``pyvenv.cfg``."""
    venv.create(folder, symlinks=True, with_pip=False)
    (site_packages(folder) / "yapf").mkdir()
    if lost == "pyvenv.cfg":
        (folder / lost).unlink()
    for program in (folder / "bin").glob("python*") if lost != "pyvenv.cfg" else ():
        program.unlink()
        if lost == "link":
            program.symlink_to(folder / "gone")
    return folder


@pytest.mark.parametrize("lost", ["pyvenv.cfg", "interpreter", "link"])
def test_the_command_for_an_environment_that_lost_its_interpreter_keeps_its_packages(
    tmp_path: Path, lost: str
) -> None:
    place = half(tmp_path / "place", lost=lost)
    with pytest.raises(TargetError) as caught:
        environment(place)
    command = shlex.split(caught.value.remedy)
    assert command[:3] == ["uv", "venv", "--allow-existing"]
    subprocess.run([find_uv_bin(), *command[1:]], check=True, capture_output=True)
    assert environment(place).prefix == place
    assert (site_packages(place) / "yapf").is_dir()


def test_what_mmsetup_made_and_lost_its_interpreter_is_made_by_mmsetup(tmp_path: Path) -> None:
    place = half(tmp_path / "place", lost="link")
    (place / ".mmsetup").mkdir()
    with pytest.raises(TargetError) as caught:
        environment(place)
    assert caught.value.remedy == f"mmsetup install --env {place}"
