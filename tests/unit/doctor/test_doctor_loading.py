"""MM141 and MM142: what LD_LIBRARY_PATH makes the loader take, against what it really takes."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import gcc

from mmsetup.binary import libraries
from mmsetup.doctor.loading import loads


def torch_with(site, option):
    """Link torch's binding with its libraries, which are found as the option says."""
    lib = site.packages / "torch" / "lib"
    site.scratch.mkdir(exist_ok=True)
    (site.scratch / "empty.c").write_text("")
    path = [f"-Wl,{option},-rpath,$ORIGIN/lib:$ORIGIN"] if option else []
    for name in ("libtorch_global_deps.so", "../_C.so"):
        needed = [str(lib / "libc10.so"), str(lib / "libcudart-e409450e.so.11.0")]
        gcc("empty.c", "-o", str(lib / name), "-Wl,--no-as-needed", *needed, *path, folder=site.scratch)


@pytest.fixture
def elsewhere(site, tmp_path):
    """A folder with libraries of the same names from another build."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "other.c").write_text("void of_another_release(void) {}\nint more[5000] = {1};\n")
    for name in ("libc10.so", "libcudart.so.11.0"):
        gcc("other.c", "-o", name, f"-Wl,-soname,{name}", folder=folder)
    return folder


def really_loaded(binding, folder):
    """Give the files that the loader maps when the binding is loaded."""
    code = f"import ctypes, os; ctypes.CDLL({str(binding)!r}, os.RTLD_NOW); print(open('/proc/self/maps').read())"
    env = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return {Path(line.split()[-1]) for line in done.stdout.splitlines() if line.endswith((".so", ".0"))}


@pytest.mark.parametrize("option", ["--enable-new-dtags", "--disable-new-dtags", ""])
def test_what_the_loader_takes_is_what_it_really_takes(site, examine, elsewhere, monkeypatch, option):
    torch_with(site, option)
    assert examine(site).findings == ()
    real = really_loaded(site.packages / "torch" / "_C.so", elsewhere)
    monkeypatch.setattr(os, "environ", {**os.environ, "LD_LIBRARY_PATH": str(elsewhere)})
    diagnosis = examine(site)
    # The CUDA runtime is under another file name in the folder that DT_RPATH names, so that it is looked for.
    found = ["MM142"] if option == "--disable-new-dtags" else ["MM141", "MM142"]
    assert [finding.id for finding in diagnosis.findings] == found
    told = {
        line.split(": ")[1].split(" instead of ")[0] for one in diagnosis.findings for line in one.evidence
    }
    assert {Path(path) for path in told} == {path for path in real if path.parent == elsewhere}


def test_libraries_of_another_torch_are_an_error_and_of_another_cuda_a_warning(
    site, examine, elsewhere, monkeypatch
):
    torch_with(site, "--enable-new-dtags")
    monkeypatch.setattr(os, "environ", {**os.environ, "LD_LIBRARY_PATH": f"/nowhere:{elsewhere}"})
    torch, cuda = examine(site).findings
    assert (torch.severity, cuda.severity) == ("error", "warning")
    assert torch.evidence[0].startswith(f"libc10.so: {elsewhere / 'libc10.so'} instead of ")
    assert torch.remedy == f"unset LD_LIBRARY_PATH  # or take {elsewhere} out of it"


def test_a_cuda_library_that_lacks_what_is_asked_of_it_is_an_error(site, examine, elsewhere, monkeypatch):
    lib = site.packages / "torch" / "lib"
    site.scratch.mkdir(exist_ok=True)
    (site.scratch / "own.c").write_text("void newer_function(void) {}\n")
    own = lib / "libcudart.so.11.0"
    gcc("own.c", "-o", str(own), "-Wl,-soname,libcudart.so.11.0", folder=site.scratch)
    site.forget("torch", "torch/lib/libcudart-e409450e.so.11.0")
    (site.scratch / "user.c").write_text(
        "extern void newer_function(void); void f(void) { newer_function(); }\n"
    )
    options = ["-Wl,--enable-new-dtags,-rpath,$ORIGIN", "-Wl,--no-as-needed"]
    gcc("user.c", "-o", str(lib / "libtorch_global_deps.so"), str(own), *options, folder=site.scratch)
    assert examine(site).findings == ()
    monkeypatch.setattr(os, "environ", {**os.environ, "LD_LIBRARY_PATH": str(elsewhere)})
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM142", "error")
    assert "needs newer_function" in finding.evidence[1]
    with pytest.raises(subprocess.CalledProcessError, match="non-zero"):
        really_loaded(lib / "libtorch_global_deps.so", elsewhere)


def test_torchs_own_folder_in_the_variable_is_nothing(site, examine, monkeypatch):
    torch_with(site, "--enable-new-dtags")
    monkeypatch.setattr(
        os, "environ", {**os.environ, "LD_LIBRARY_PATH": str(site.packages / "torch" / "lib")}
    )
    assert examine(site).findings == ()


def test_a_preloaded_library_of_torch_is_an_error(site, examine, elsewhere, monkeypatch):
    torch_with(site, "--disable-new-dtags")
    preloaded = f"/nowhere/libjemalloc.so {elsewhere / 'libc10.so'}"
    monkeypatch.setattr(os, "environ", {**os.environ, "LD_PRELOAD": preloaded})
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM141", "error")
    assert finding.message.startswith("LD_PRELOAD makes torch 1.13.1+cu117 load 1 library")


def test_what_python_itself_loads_is_told_as_it_is():
    """The loader's own answer for a module of this interpreter that needs a library of the system."""
    module = next(Path(sys.prefix, "..").resolve().rglob("_ctypes.*.so"), None) or Path(ctypes.__file__)
    if module.suffix != ".so":
        import _ctypes

        module = Path(_ctypes.__file__)
    told = subprocess.run(["ldd", module], capture_output=True, text=True, check=True).stdout
    real = {line.split()[0]: Path(line.split()[2]) for line in told.splitlines() if "=> /" in line}
    found = loads([module], variables={}, system=libraries.loader({}))
    for name, taken in found.items():
        assert taken.path.samefile(real[name])
    assert "libc.so.6" in found
