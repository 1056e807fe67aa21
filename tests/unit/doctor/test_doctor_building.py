"""MM211 to MM214: what a build of operators that are missing would meet."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mmsetup.build import preflight
from mmsetup.doctor.checks import building
from mmsetup.probe.machine import Compiler, Toolkit


def without_operators(site, version="1.7.2"):
    """Install mmcv-full as a build without torch leaves it."""
    site.extension.unlink()
    (site.packages / "mmcv" / "version.py").write_text(f"__version__ = '{version}'\n")
    site.change("mmcv-full", version, requires=["numpy", "yapf"])


def warnings(diagnosis):
    return [finding.id for finding in diagnosis.of("warning") if finding.id.startswith("MM21")]


def test_a_setuptools_that_setup_py_cannot_run_with(site, examine):
    site.change("setuptools", "80.9.0")
    without_operators(site)
    assert warnings(examine(site)) == []
    site.change("setuptools", "84.2.1")
    diagnosis = examine(site, select=["MM21"])
    assert warnings(diagnosis) == ["MM211"]
    assert diagnosis.findings[0].remedy.endswith("'setuptools<81'")


def test_operators_that_are_here_are_not_built(site, examine, with_gpu):
    site.change("setuptools", "84.2.1")
    assert examine(site, with_gpu("sm_86"), select=["MM21"]).findings == ()
    site.extension.unlink()  # gone, and not missing from the start
    assert examine(site, with_gpu("sm_86"), select=["MM21"]).findings == ()


def test_an_mmcv_that_is_not_installed_counts(site, examine):
    site.change("setuptools", "84.2.1")
    site.remove("mmcv-full")
    shutil.rmtree(site.packages / "mmcv")
    assert warnings(examine(site)) == ["MM211"]


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        (("", ""), "here is none"),
        (("13.0", "12.2.0"), "here is CUDA 13"),
        (("11.7", "13.2.0"), "g++"),
        (("11.7", "11.4.0"), ""),
    ],
)
def test_a_toolkit_that_does_not_fit(site, examine, with_gpu, tools, words):
    without_operators(site)
    version, gcc = tools
    kits = (Toolkit(Path("/usr/local/cuda"), version, Path("/usr/local/cuda/bin/nvcc")),) if version else ()
    compilers = (Compiler("g++", Path("/usr/bin/g++"), gcc),) if gcc else ()
    machine = replace(with_gpu("sm_86"), toolkits=kits, compilers=compilers)
    found = examine(site, machine, select=["MM212"]).findings
    assert [words in finding.message for finding in found] == ([True] if words else [])


def test_a_gpu_that_the_toolkit_does_not_know(site, examine, with_gpu):
    without_operators(site)
    kit = Toolkit(Path("/usr/local/cuda"), "11.7", Path("/usr/local/cuda/bin/nvcc"))
    machine = replace(with_gpu("sm_120", "580.65.06"), toolkits=(kit,))
    (finding,) = examine(site, machine, select=["MM212"]).findings
    assert "does not compile for sm_120" in finding.message


def test_a_source_that_is_too_old_for_torch(site, examine):
    without_operators(site)
    assert examine(site, select=["MM213"]).findings == ()
    (site.packages / "torch" / "version.py").write_text("__version__ = '2.1.2+cu117'\ncuda = '11.7'\n")
    without = site.change("mmcv-full", "1.7.1", requires=["numpy"])
    assert without.is_dir()
    (finding,) = examine(site, select=["MM213"]).findings
    assert "C++17" in finding.message


def test_memory_for_one_compiler(site, examine, machine):
    without_operators(site)
    little = replace(machine, memory=replace(machine.memory, available_bytes=1 << 30))
    assert warnings(examine(site, little)) == ["MM214"]
    assert warnings(examine(site)) == []
    assert building._BYTES_PER_JOB == preflight.BYTES_PER_JOB
