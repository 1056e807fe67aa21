"""MM151 to MM155: conda, openmim, caches of wheels, and NVIDIA's own torch."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from conftest import TAG

PY = TAG.split("-")[1]


def mim(site, pip="26.0", setuptools="80.9.0"):
    site.add("openmim", "0.3.9", top_level="mim")
    site.change("setuptools", setuptools)
    if pip:
        site.add("pip", pip, top_level="pip")


def test_an_openmim_that_has_all_it_needs_is_nothing(site, examine):
    mim(site)
    assert examine(site).findings == ()


def test_an_openmim_without_pip_cannot_work(site, examine):
    mim(site, pip="")
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM151", "warning")
    assert "pip is not here" in finding.evidence[0]
    assert finding.remedy.startswith(f"uv pip install --python {site.prefix / 'bin' / 'python'} 'pip<=")


def test_an_openmim_beside_a_setuptools_without_pkg_resources_cannot_work(site, examine):
    mim(site, setuptools="84.2.1")
    found = examine(site, select=["MM151"]).findings
    assert [finding.severity for finding in found] == ["warning"]
    assert "setuptools 84.2.1" in found[0].evidence[0]


def test_what_openxlab_pins_is_held_back(site, examine):
    mim(site)
    requires = [
        "requests~=2.28.2",
        "rich~=13.4.2",
        "numpy",
        "tqdm ~=4.65.0 ; python_version < '3'",
        "pytz==2023",
    ]
    requires.append("setuptools~=80.0")
    site.add("openxlab", "0.1.3", requires=requires, top_level="openxlab")
    site.add("requests", "2.28.2", top_level="requests")
    site.add("rich", "15.0.0", top_level="rich")
    site.add("pytz", "2023", top_level="pytz")
    site.change("yapf", "0.40.1", requires=["requests", "rich"])
    (finding,) = examine(site, select=["MM152"]).findings
    assert finding.severity == "warning"
    assert finding.message == "openmim keeps requests, setuptools at old releases"
    assert finding.remedy.endswith("install --upgrade requests 'setuptools!=70.*,<81'")
    assert "uninstall -y openmim openxlab" in finding.remedy


def conda(site, *names):
    folder = site.prefix / "conda-meta"
    folder.mkdir()
    (folder / "history").write_text("")
    for name in names:
        (folder / f"{name}.json").write_text("{}")


def test_a_numpy_that_pip_put_over_condas_is_a_warning(site, examine):
    conda(site, "numpy-1.24.3-py311h64a7726_0", "pytorch-1.13.1-py3.11_cuda11.7_cudnn8.5.0_0", "xz-5.4.2-h1")
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM153", "warning")
    assert "numpy-1.24.3-py311h64a7726_0.json: 1.24.3 py311h64a7726_0; " in finding.evidence[0]
    assert finding.evidence[0].endswith("1.26.4, installed by pip")


@pytest.mark.parametrize(
    "name", ["numpy-1.26.4-py311_0", "yapf-0.40.1-pyhd8ed1ab_0", "nonsense", "numpy-1.0-x-y"]
)
def test_what_conda_recorded_as_it_is_here_is_nothing(site, examine, name):
    conda(site, name)
    assert examine(site).findings == ()


def test_a_torch_from_conda_without_cuda_on_a_gpu_machine(site, examine, with_gpu):
    conda(site, "pytorch-1.13.1-py3.11_cpu_0")
    (site.packages / "torch" / "version.py").write_text("__version__ = '1.13.1'\ncuda = None\n")
    (site.packages / "torch" / "lib" / "libtorch_cuda.so").unlink()
    found = examine(site, with_gpu("sm_86"), select=["MM505"]).of("error")
    assert [finding.id for finding in found] == ["MM505"]


def wheel(folder, name, *members, python=f"cp{PY}"):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-1.7.2-{python}-{python}-linux_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mmcv/__init__.py", "")
        for member in members:
            archive.write(member, f"mmcv/{Path(member).name}")
    return path


@pytest.fixture
def pip_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip"))
    return tmp_path / "pip" / "wheels" / "ab" / "cd" / "ef" / "0123"


def test_a_cached_wheel_without_operators_is_a_note_where_they_are_here(site, examine, pip_cache):
    made = wheel(pip_cache, "mmcv_full")
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM154", "note")
    site.extension.unlink()
    told = {one.id: one.severity for one in examine(site).findings}
    assert told["MM154"] == "warning"
    assert finding.evidence == (str(made),)
    assert finding.fix.delete == (made,)


@pytest.mark.parametrize("name", ["onedl_mmcv", "mmcv"])
def test_a_cached_wheel_of_another_family_is_nothing(site, examine, pip_cache, name):
    wheel(pip_cache, name)
    assert examine(site).findings == ()


def test_a_cached_wheel_that_fits_is_nothing(site, examine, pip_cache):
    wheel(pip_cache, "mmcv_full", site.extension)
    assert examine(site).findings == ()


def test_a_cached_wheel_for_another_torch_is_a_warning_where_operators_are_needed(site, examine, pip_cache):
    kept = shutil.copy(site.extension, site.scratch.parent / "kept.so")
    site.compile(str(site.extension), needs=["libc10.so"], calls=["_ZNK2at6Tensor4goneEv"])
    wheel(pip_cache, "mmcv_full", site.extension)
    assert [finding.id for finding in examine(site).findings] == ["MM204", "MM154"]
    shutil.copy(kept, site.extension)
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM154", "note")
    assert "needs _ZNK2at6Tensor4goneEv, which torch 1.13.1+cu117 does not have" in finding.message


def test_a_cached_wheel_for_another_cuda_is_told(site, examine, pip_cache):
    kept = shutil.copy(site.extension, site.scratch.parent / "kept.so")
    site.compile(str(site.extension), needs=["libcudart.so.9.9"])
    wheel(pip_cache, "mmcv_full", site.extension)
    shutil.copy(kept, site.extension)
    (finding,) = examine(site).findings
    assert "needs libcudart.so.9.9" in finding.message


def test_a_cached_wheel_for_another_python_is_nothing(site, examine, pip_cache):
    wheel(pip_cache, "mmcv_full", python="cp36")
    assert examine(site).findings == ()


@pytest.mark.parametrize("shelf", ["pypi", "index/0123456789abcdef"])
def test_the_cache_of_uv_is_looked_at(site, examine, tmp_path, monkeypatch, shelf):
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    wheel(tmp_path / "uv" / "sdists-v11" / shelf / "mmcv-full" / "1.7.2" / "xyz", "mmcv_full")
    (finding,) = examine(site).findings
    assert (finding.id, finding.remedy) == ("MM154", "uv cache clean mmcv-full")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_cached_file_that_is_no_wheel_is_told(site, examine, pip_cache, content):
    wheel(pip_cache, "mmcv_full").write_bytes(content)
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM154", "note")
    assert finding.message.endswith("cannot be read")


def test_without_a_home_no_cache_is_looked_for(site, examine, monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME", "PIP_CACHE_DIR", "UV_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert examine(site, select=["MM154"]).findings == ()


def test_the_command_empties_the_cache(site, examine, pip_cache):
    made = wheel(pip_cache, "mmcv_full")
    site.add("pip", "26.0", top_level="pip")
    (finding,) = examine(site).findings
    # The interpreter of the environment here is one that has no real pip, so that of this process does it.
    words = finding.remedy.split()
    subprocess.run([shutil.which("python3") or "python3", *words[1:]], check=True, capture_output=True)
    assert not made.exists()


def test_without_pip_the_file_is_removed_whatever_its_folder_is_called(site, examine, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "my pip"))
    made = wheel(tmp_path / "my pip" / "wheels" / "ab" / "cd" / "ef" / "0123", "mmcv_full")
    (finding,) = examine(site).findings
    subprocess.run(["sh", "-c", finding.remedy], check=True)
    assert not made.exists()


VENDOR = "2.4.0a0+07cecf4168.nv24.05"


def vendor(site):
    (site.packages / "torch" / "version.py").write_text(f"__version__ = '{VENDOR}'\ncuda = '12.4'\n")
    site.change("torch", VENDOR)
    site.change("torchvision", "0.19.0a0", requires=["numpy"])
    (site.packages / "torchvision" / "version.py").write_text("__version__ = '0.19.0a0'\n")


def test_nvidias_own_torch_is_a_note_and_stays(site, examine, monkeypatch):
    vendor(site)
    monkeypatch.setenv("PIP_CONSTRAINT", "/etc/pip/constraint.txt")
    (note,) = examine(site).of("note")
    assert (note.id, "PIP_CONSTRAINT=/etc/pip/constraint.txt" in note.evidence) == ("MM155", True)
    assert "--no-build-isolation --no-deps mmcv-full" in note.remedy


def test_no_remedy_replaces_nvidias_own_torch(site, examine):
    vendor(site)
    site.remove("yapf")
    site.extension.unlink()
    site.change("torchvision", "0.19.1", requires=["torch==2.4.1"])
    diagnosis = examine(site)
    assert {finding.id for finding in diagnosis.of("error")} == {"MM111", "MM201", "MM301"}
    for finding in diagnosis.of("error"):
        assert "torch==2.4.1" not in finding.remedy
        if "mmsetup install" in finding.remedy:
            assert finding.remedy == f"mmsetup install --env .venv  # {site.prefix} stays as it is"
        else:
            assert finding.remedy.endswith(f"yapf torch=={VENDOR}")
