"""MM121 to MM124: compiled modules of the stack against the interpreter, libc, libstdc++ and numpy."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import TAG, gcc

from mmsetup.probe.machine import Libc

ANOTHER = "cpython-36m-x86_64-linux-gnu"
FOR_NUMPY_1 = "module compiled against ABI version 0x%x but this version of numpy is 0x%x"


def versioned(site, path, library, version, *, folder=None):
    """Compile a module that wants a symbol of a version of a library, and give that library."""
    site.scratch.mkdir(exist_ok=True)
    (site.scratch / "stub.c").write_text("void newest(void) {}\n")
    (site.scratch / "stub.map").write_text(f"{version} {{ global: newest; }};\n")
    made = (folder or site.scratch) / library
    gcc(
        "stub.c",
        "-o",
        str(made),
        f"-Wl,-soname,{library},--version-script,stub.map",
        "-nostdlib",
        folder=site.scratch,
    )
    (site.scratch / "module.c").write_text("extern void newest(void); void PyInit_cv2(void) { newest(); }\n")
    place = site.packages / path
    place.unlink(missing_ok=True)
    gcc("module.c", "-o", str(place), str(made), "-nostdlib", folder=site.scratch)
    again(site)
    return made


def again(site, requires=("numpy>=1.21",)):
    """Record opencv as it lies there now."""
    site.remove("opencv-python-headless")
    site.add("opencv-python-headless", "4.11.0.86", top_level="cv2", requires=requires)


def rename(site, tag):
    (site.packages / "cv2" / "cv2.abi3.so").rename(site.packages / "cv2" / f"cv2.{tag}.so")
    again(site)


def test_a_module_for_another_python_is_found(site, examine):
    rename(site, ANOTHER)
    wheel = site.packages / "opencv_python_headless-4.11.0.86.dist-info" / "WHEEL"
    wheel.write_text("Wheel-Version: 1.0\nTag: cp36-cp36m-linux_x86_64\n")
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM121", "error")
    assert finding.evidence[0].endswith(f"cv2/cv2: {ANOTHER}")
    assert finding.evidence[1].endswith("cp36-cp36m-linux_x86_64")
    assert finding.remedy.endswith("--force-reinstall --no-deps opencv-python-headless==4.11.0.86")


@pytest.mark.parametrize("tag", [TAG, "abi3"])
def test_a_module_for_this_python_is_fine(site, examine, tag):
    rename(site, tag)
    assert examine(site).findings == ()


def test_a_module_that_came_for_several_pythons_is_fine(site, examine):
    shutil.copy(site.packages / "cv2" / "cv2.abi3.so", site.packages / "cv2" / f"cv2.{ANOTHER}.so")
    again(site)
    assert examine(site).findings == ()


def test_a_module_for_another_processor_is_found(site, examine):
    with (site.packages / "cv2" / "cv2.abi3.so").open("r+b") as file:
        file.seek(18)
        file.write(b"\xb7\x00")
    (finding,) = examine(site).findings
    assert finding.id == "MM121"
    assert "is compiled for aarch64" in finding.message


def test_an_environment_for_another_processor_is_one_finding(site, machine, examine):
    site.compile("numpy/_umath.so")
    site.change("numpy", "1.26.4")
    elsewhere = replace(machine, cpu=replace(machine.cpu, architecture="riscv64"))
    found = examine(site, elsewhere, select=["MM121"]).findings
    assert [finding.message for finding in found] == [
        "3 distributions are for another Python or processor: numpy, opencv-python-headless, torch"
    ]
    assert {finding.id for finding in examine(site, elsewhere).of("error")} == {"MM121"}


def test_modules_of_what_the_stack_does_not_need_are_not_looked_at(site, examine):
    site.compile(f"other/_fast.{ANOTHER}.so")
    site.add("other", "1.0", {"other/__init__.py": ""})
    assert examine(site).findings == ()


def test_a_newer_c_library_is_found(site, examine):
    versioned(site, "cv2/cv2.abi3.so", "libc.so.6", "GLIBC_2.99")
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM122", "error")
    assert finding.message == "opencv-python-headless needs glibc 2.99, here is glibc 2.36"
    assert finding.remedy.endswith("--force-reinstall --no-cache-dir opencv-python-headless")
    assert finding.evidence[0].endswith("cv2.abi3.so: GLIBC_2.99")


def test_operators_that_need_a_newer_c_library_are_found(site, errors):
    versioned(site, str(site.extension), "libc.so.6", "GLIBC_2.99")
    assert errors(site) == ["MM122"]


@pytest.mark.parametrize(("version", "found"), [("2.31", ["MM122"]), ("2.32", []), ("2.40", [])])
def test_the_c_library_of_the_machine_counts(site, machine, errors, version, found):
    versioned(site, "cv2/cv2.abi3.so", "libc.so.6", "GLIBC_2.32")
    assert errors(site, replace(machine, libc=Libc("glibc", version))) == found


def test_another_kind_of_c_library_has_none_of_it(site, machine, examine):
    versioned(site, "cv2/cv2.abi3.so", "libc.so.6", "GLIBC_2.17")
    (finding, *_) = examine(site, replace(machine, libc=Libc("musl", "1.2.4")), select=["MM122"]).findings
    assert finding.message.endswith("here is musl 1.2.4")


def test_private_names_of_the_c_library_are_no_version(site, examine):
    versioned(site, "cv2/cv2.abi3.so", "libc.so.6", "GLIBC_PRIVATE")
    assert examine(site).findings == ()


def test_a_newer_cxx_library_is_found(site, examine):
    versioned(site, "cv2/cv2.abi3.so", "libstdc++.so.6", "GLIBCXX_3.4.99")
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM123", "error")
    assert "needs GLIBCXX_3.4.99 of libstdc++.so.6" in finding.message
    assert finding.evidence[0].endswith(": system")


def test_a_version_that_the_cxx_library_has_is_fine(site, examine):
    versioned(site, "cv2/cv2.abi3.so", "libstdc++.so.6", "GLIBCXX_3.4.11")
    assert examine(site).findings == ()


def old_library(folder):
    """Make a libstdc++ that has nothing but the oldest version."""
    folder.mkdir()
    (folder / "old.c").write_text("void oldest(void) {}\n")
    (folder / "old.map").write_text("GLIBCXX_3.4 { global: oldest; };\n")
    options = "-Wl,-soname,libstdc++.so.6,--version-script,old.map"
    gcc("old.c", "-o", "libstdc++.so.6", options, "-nostdlib", folder=folder)


@pytest.mark.parametrize("variable", ["LD_LIBRARY_PATH", "LD_PRELOAD"])
def test_an_old_cxx_library_that_a_variable_names_is_found(site, examine, tmp_path, monkeypatch, variable):
    versioned(site, "cv2/cv2.abi3.so", "libstdc++.so.6", "GLIBCXX_3.4.11")
    old_library(tmp_path / "old")
    named = tmp_path / "old" / ("libstdc++.so.6" if variable == "LD_PRELOAD" else "")
    # For the doctor alone: the programs that it starts would be given the library, too.
    monkeypatch.setattr(os, "environ", {**os.environ, variable: str(named)})
    (finding,) = examine(site, select=["MM123"]).findings
    assert finding.evidence[0] == f"{tmp_path / 'old' / 'libstdc++.so.6'}: {variable}"
    assert finding.remedy.startswith(f"unset {variable}")


def test_the_search_path_of_the_module_comes_before_the_variable(site, examine, tmp_path, monkeypatch):
    vendored = site.packages / "opencv.libs"
    vendored.mkdir()
    versioned(site, "cv2/cv2.abi3.so", "libstdc++.so.6", "GLIBCXX_3.4.77", folder=vendored)
    assert [finding.id for finding in examine(site, select=["MM123"]).findings] == ["MM123"]
    place = site.packages / "cv2" / "cv2.abi3.so"
    for option, found in (("--disable-new-dtags", []), ("--enable-new-dtags", ["MM123"])):
        gcc(
            "module.c",
            "-o",
            str(place),
            str(vendored / "libstdc++.so.6"),
            "-nostdlib",
            f"-Wl,{option},-rpath,$ORIGIN/../opencv.libs",
            folder=site.scratch,
        )
        again(site)
        if not (tmp_path / "old").exists():
            old_library(tmp_path / "old")
        with monkeypatch.context() as patch:
            patch.setattr(os, "environ", {**os.environ, "LD_LIBRARY_PATH": str(tmp_path / "old")})
            assert [finding.id for finding in examine(site, select=["MM123"]).findings] == found
        assert examine(site, select=["MM123"]).findings == ()


def numpy_module(site, *texts, name="other"):
    """Install a distribution that mmseg needs, with constants as numpy's headers leave them."""
    site.scratch.mkdir(exist_ok=True)
    lines = [f'const char text{number}[] = "{text}";' for number, text in enumerate(texts)]
    (site.scratch / "module.c").write_text("\n".join([*lines, "void PyInit__fast(void) {}"]) + "\n")
    (site.packages / name).mkdir(exist_ok=True)
    gcc("module.c", "-o", str(site.packages / name / f"_fast.{TAG}.so"), folder=site.scratch)
    site.add(name, "1.0", {f"{name}/__init__.py": ""}, requires=["numpy"])
    site.change("yapf", "0.40.1", requires=[name])


def with_torch_for_numpy_2(site, numpy="2.2.6"):
    (site.packages / "torch" / "version.py").write_text("__version__ = '2.4.1+cu117'\ncuda = '11.7'\n")
    site.change("torch", "2.4.1")
    site.change("torchvision", "0.14.1", requires=["torch==2.4.1"])
    site.change("numpy", numpy)


def test_a_module_for_numpy_1_beside_numpy_2_is_found(site, examine):
    with_torch_for_numpy_2(site)
    numpy_module(site, FOR_NUMPY_1, "numpy.core._multiarray_umath")
    (finding,) = examine(site).of("error")
    assert finding.id == "MM124"
    assert finding.message == "other 1.0 was compiled for numpy 1, here is numpy 2.2.6"
    assert finding.remedy.endswith("'numpy<2'")


def test_where_numpy_2_is_needed_the_module_has_to_be_newer(site, examine):
    with_torch_for_numpy_2(site)
    numpy_module(site, FOR_NUMPY_1, "numpy.core._multiarray_umath")
    again(site, requires=["numpy>=2"])
    (finding,) = examine(site).of("error")
    assert finding.remedy.endswith("--upgrade other")
    assert finding.fix is None


def test_a_module_for_numpy_1_beside_numpy_1_is_fine(site, errors):
    numpy_module(site, FOR_NUMPY_1, "numpy.core._multiarray_umath")
    assert errors(site) == []


@pytest.mark.parametrize(
    "texts",
    [
        (FOR_NUMPY_1, "numpy._core._multiarray_umath"),
        ("numpy.core.multiarray",),
        (),
    ],
)
def test_modules_for_both_numpys_are_fine(site, errors, texts):
    with_torch_for_numpy_2(site)
    numpy_module(site, *texts)
    assert errors(site) == []


def test_what_the_catalogue_tells_of_numpy_is_not_told_twice(site, errors):
    site.change("numpy", "2.2.6")
    numpy_module(site, FOR_NUMPY_1)
    assert errors(site) == ["MM402"]


def test_elsewhere_than_on_linux_nothing_compiled_is_judged(site, machine, examine):
    rename(site, ANOTHER)
    mac = replace(machine, os=replace(machine.os, name="darwin"), libc=None)
    assert examine(site, mac, select=["MM12"]).findings == ()


def test_a_record_that_leads_out_of_the_environment_is_survived(site, examine, tmp_path):
    (site.packages / "opencv_python_headless-4.11.0.86.dist-info" / "RECORD").write_text(
        f"../../../../../../..{tmp_path}/gone.so,,\n\0.so,,5\ncv2/__init__.py\n{'x' * 200000}.so,,\n"
    )
    assert examine(site, select=["MM12"]).findings == ()
    assert Path(tmp_path).is_dir()
