"""MM201 to MM204 and MM50x: compiled files against torch, the system and the GPUs."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mmsetup.binary import libraries
from mmsetup.probe.machine import Driver


def test_a_removed_extension_is_missing(site, examine):
    site.extension.unlink()
    (finding,) = examine(site).of("error")
    assert finding.id == "MM201"
    assert "which is gone" in finding.evidence[1]
    assert "installed by pip" in finding.evidence[1]


def test_an_edition_without_operators_says_so(site, examine):
    site.extension.unlink()
    site.change("mmcv-full", "1.7.2", requires=["numpy"])
    (finding,) = examine(site).of("error")
    assert finding.id == "MM201"
    assert "lists no mmcv/_ext" in finding.evidence[1]


def test_an_extension_for_another_python_is_not_loadable(site, errors):
    site.extension.rename(site.extension.with_name("_ext.cpython-36m-x86_64-linux-gnu.so"))
    assert errors(site) == ["MM202"]


@pytest.mark.parametrize("name", ["_ext.so", "_ext.abi3.so"])
def test_an_extension_for_any_python_is_loadable(site, errors, name):
    site.extension.rename(site.extension.with_name(name))
    assert errors(site) == []


def test_an_extension_cut_short_is_damaged(site, examine):
    os.truncate(site.extension, 4000)
    findings = examine(site).of("error")
    assert [finding.id for finding in findings] == ["MM202"]
    assert "damaged" in findings[0].message


def test_an_extension_for_another_processor_is_not_loadable(site, errors):
    with site.extension.open("r+b") as file:
        file.seek(18)
        file.write(b"\xf3\x00")
    assert errors(site) == ["MM202"]


def test_another_cuda_runtime_is_found(site, examine):
    site.compile(str(site.extension), needs=["libc10.so", "libcudart.so.9.9"], calls=["_ZN2at5emptyEv"])
    (finding,) = examine(site).of("error")
    assert finding.id == "MM203"
    assert finding.message == "mmcv/_ext needs libcudart.so.9.9, torch 1.13.1+cu117 brings CUDA 11.7"
    assert "libcudart.so.9.9: nowhere" in finding.evidence
    assert any("libcudart-e409450e.so.11.0" in line for line in finding.evidence)


def test_operators_for_cuda_beside_a_torch_without(site, examine):
    cpu_build(site)
    site.forget("torch", "torch/lib/libcudart-e409450e.so.11.0")
    site.compile(str(site.extension), needs=["libc10.so", "libcublasLt.so.9"], calls=["_ZN2at5emptyEv"])
    (finding,) = examine(site).of("error")
    assert finding.id == "MM203"
    assert finding.message.endswith("brings no CUDA")
    assert "torch's own: none" in finding.evidence


def test_a_cuda_runtime_that_the_system_has_is_a_warning(site, examine, tmp_path, monkeypatch):
    site.compile(str(site.extension), needs=["libcudart.so.9.9"])
    shutil.copy(site.scratch / "libcudart.so.9.9", tmp_path)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM203", "warning")


def test_a_cuda_runtime_that_came_with_the_wheel_is_fine(site, examine):
    site.compile(str(site.extension), needs=["libcudart.so.9.9"])
    vendored = site.packages / "mmcv_full.libs"
    vendored.mkdir()
    shutil.copy(site.scratch / "libcudart.so.9.9", vendored)
    libraries_only = examine(site, select=["MM203"])
    assert [finding.id for finding in libraries_only.findings] == ["MM203"]
    site.compile(
        str(site.extension),
        needs=["libcudart.so.9.9"],
        options=["-Wl,-rpath,$ORIGIN/../mmcv_full.libs"],
    )
    assert examine(site).findings == ()


def test_a_symbol_that_this_torch_lacks_is_found(site, examine):
    site.compile(str(site.extension), needs=["libc10.so"], calls=["_ZN2at5emptyEv", "_ZNK2at6Tensor4goneEv"])
    (finding,) = examine(site).of("error")
    assert finding.id == "MM204"
    assert "missing: _ZNK2at6Tensor4goneEv" in finding.evidence


def test_a_library_of_another_torch_is_found(site, examine):
    site.compile(str(site.extension), needs=["libtorch_cuda_cu.so"])
    (finding,) = examine(site).of("error")
    assert finding.id == "MM204"
    assert "missing: libtorch_cuda_cu.so" in finding.evidence


def test_an_extension_of_another_pair_has_one_cause(site, errors):
    site.compile(
        str(site.extension),
        needs=["libtorch_cuda_cu.so", "libcudart.so.9.9"],
        calls=["_ZNK2at6Tensor4goneEv"],
    )
    assert errors(site) == ["MM204"]


def test_a_library_that_no_system_has_is_found(site, examine):
    site.remove("opencv-python-headless")
    site.add("opencv-python", "4.11.0.86", top_level="cv2", requires=["numpy"])
    site.compile("cv2/cv2.abi3.so", needs=["libGL-of-nowhere.so.1"])
    (finding,) = examine(site).of("error")
    assert finding.id == "MM501"
    assert finding.evidence[0].startswith("libGL-of-nowhere.so.1: needed by ")
    assert finding.remedy.endswith("opencv-python-headless==4.11.0.86")


def test_a_library_beside_another_library_is_followed(site, examine):
    site.compile("cv2.libs/libinner.so", needs=["libnowhere.so.7"], soname="libinner.so")
    site.compile("cv2/cv2.abi3.so", needs=["libinner.so"], options=["-Wl,-rpath,$ORIGIN/../cv2.libs"])
    (finding,) = examine(site).of("error")
    assert finding.id == "MM501"
    assert finding.evidence == (f"libnowhere.so.7: needed by {site.packages / 'cv2.libs' / 'libinner.so'}",)


def test_a_library_that_the_system_has_is_not_missing(site, examine):
    site.compile("cv2/cv2.abi3.so", needs=["libstdc++.so.6"])
    assert examine(site).findings == ()


def test_ld_library_path_is_looked_at(site, examine, tmp_path, monkeypatch):
    site.compile("cv2/cv2.abi3.so", needs=["libnowhere.so.7"])
    assert [finding.id for finding in examine(site).findings] == ["MM501"]
    shutil.copy(site.scratch / "libnowhere.so.7", tmp_path)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert examine(site).findings == ()


def test_the_loader_finds_the_c_library():
    found = libraries.loader({}).find("libc.so.6")
    assert found is not None
    assert found.is_file()


def test_without_ldconfig_the_default_folders_are_left(monkeypatch):
    monkeypatch.setattr(libraries, "_printed_cache", lambda: "")
    assert libraries.loader({}).find("libc.so.6") is not None


def test_a_driver_below_the_floor_is_too_old(site, with_gpu, errors):
    assert errors(site, with_gpu("sm_86", "440.33")) == ["MM502"]
    assert errors(site, with_gpu("sm_86", "450.80.02")) == []


def test_a_library_for_forward_compatibility_counts(site, with_gpu, errors, tmp_path, monkeypatch):
    old = with_gpu("sm_86", "418.39")
    assert errors(site, old) == ["MM502"]
    for name, found in (("libcuda.so.440.33", ["MM502"]), ("libcuda.so.535.104.05", [])):
        (tmp_path / name).write_bytes(b"")
        (tmp_path / "libcuda.so.1").unlink(missing_ok=True)
        (tmp_path / "libcuda.so.1").symlink_to(name)
        monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
        assert errors(site, old) == found


def test_a_driver_without_a_gpu_is_not_judged(site, machine, errors):
    assert errors(site, replace(machine, driver=Driver("390.1", "", "/proc"))) == []


@pytest.mark.parametrize("architecture", ["sm_70", "sm_75", "sm_80", "sm_86", "sm_89"])
def test_gpus_that_the_code_runs_on_are_fine(site, with_gpu, errors, architecture):
    assert errors(site, with_gpu(architecture)) == []


def test_a_gpu_that_neither_torch_nor_the_operators_have_code_for(site, with_gpu, errors):
    assert errors(site, with_gpu("sm_120", "580.65.06")) == ["MM503", "MM506"]


def test_operators_alone_without_code_for_the_gpu(site, with_gpu, errors):
    site.compile(str(site.extension), architectures=[80])
    assert errors(site, with_gpu("sm_70")) == ["MM506"]
    assert errors(site, with_gpu("sm_86")) == []


def test_operators_compiled_for_the_cpu_on_a_gpu_machine(site, with_gpu, errors):
    site.compile(str(site.extension), needs=["libc10.so"], calls=["_ZN2at5emptyEv"])
    assert errors(site) == []
    assert errors(site, with_gpu("sm_86")) == ["MM504"]


def test_a_gpu_of_unknown_architecture_raises_no_alarm(site, with_gpu, errors):
    assert errors(site, with_gpu("")) == []


def cpu_build(site):
    (site.packages / "torch" / "version.py").write_text("__version__ = '1.13.1+cpu'\ncuda = None\n")
    (site.packages / "torchvision" / "version.py").write_text("__version__ = '0.14.1+cpu'\n")
    site.forget("torch", "torch/lib/libtorch_cuda.so")
    site.compile(str(site.extension), needs=["libc10.so"], calls=["_ZN2at5emptyEv"])


def test_a_torch_without_cuda_on_a_gpu_machine(site, with_gpu, errors):
    cpu_build(site)
    assert errors(site) == []
    assert errors(site, with_gpu("sm_86")) == ["MM505"]


def test_on_another_system_no_elf_file_is_judged(site, machine, examine):
    site.extension.write_bytes(b"\xcf\xfa\xed\xfe of another kind")
    mac = replace(machine, os=replace(machine.os, name="darwin"), libc=None)
    assert examine(site, mac).findings == ()


def test_names_under_which_libraries_are_loaded(site):
    names = libraries.provided((site.packages / "torch" / "lib", Path("/nowhere")))
    assert names["libcudart.so.11.0"].name == "libcudart-e409450e.so.11.0"
    assert "libc10.so" in names
