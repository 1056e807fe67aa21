"""MM131 to MM136: what Python would import instead of what is installed."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import GATE, TAG

from mmsetup.doctor.imports import before, beside, found_in, user_site
from mmsetup.probe import environment


@pytest.fixture
def source(tmp_path):
    """A folder with sources in it."""
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def package(folder, name, version="", init=""):
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(init)
    if version:
        (folder / name / "version.py").write_text(f"__version__ = '{version}'\n")
    return folder / name


def imported_from(site, folder, module, **variables):
    """Give where the real interpreter finds a module, started in a folder."""
    code = f"import importlib.util as u; print(u.find_spec({module!r}).origin)"
    done = subprocess.run(
        [site.prefix / "bin" / "python", "-c", code],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip())


def ids(diagnosis):
    return [(finding.id, finding.severity) for finding in diagnosis.findings]


def test_an_mmcv_without_operators_in_pythonpath_is_an_error(site, examine, source, monkeypatch):
    package(source, "mmcv", "1.7.2")
    monkeypatch.setenv("PYTHONPATH", f"/nowhere:{source}")
    diagnosis = examine(site)
    assert ids(diagnosis) == [("MM131", "error")]
    assert diagnosis.findings[0].evidence == (f"mmcv: {source / 'mmcv'} has no compiled _ext",)
    assert diagnosis.findings[0].remedy == "unset PYTHONPATH"
    assert imported_from(site, site.prefix, "mmcv").parent == source / "mmcv"


def test_an_mmcv_with_operators_for_this_python_is_another_version(site, examine, source, monkeypatch):
    folder = package(source, "mmcv", "1.7.1")
    (folder / f"_ext.{TAG}.so").write_bytes(b"")
    monkeypatch.setenv("PYTHONPATH", str(source))
    assert ids(examine(site)) == [("MM131", "warning")]
    (folder / f"_ext.{TAG}.so").rename(folder / "_ext.cpython-36m-x86_64-linux-gnu.so")
    assert ids(examine(site)) == [("MM131", "error")]


def test_the_same_version_before_is_a_note(site, examine, source, monkeypatch):
    package(source, "mmseg", "0.30.0")
    monkeypatch.setenv("PYTHONPATH", str(source))
    assert ids(examine(site)) == [("MM131", "note")]


def test_a_checkout_whose_gate_refuses_mmcv_is_an_error(site, examine, source, monkeypatch):
    package(source, "mmseg", "0.20.0", GATE.replace("1.8.0", "1.5.0"))
    monkeypatch.setenv("PYTHONPATH", str(source))
    diagnosis = examine(site)
    assert ids(diagnosis) == [("MM131", "error")]
    assert "asserts mmcv" in diagnosis.findings[0].evidence[0]


def test_an_mmcv_that_the_installed_gates_refuse_is_an_error(site, examine, source, monkeypatch):
    (package(source, "mmcv", "2.1.0") / f"_ext.{TAG}.so").write_bytes(b"")
    monkeypatch.setenv("PYTHONPATH", str(source))
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM131", "error")
    assert "mmsegmentation 0.30.0 asserts" in finding.evidence[0]


def test_a_numpy_on_the_wrong_side_of_a_break_is_an_error(site, examine, source, monkeypatch):
    package(source, "numpy", "2.2.6")
    monkeypatch.setenv("PYTHONPATH", str(source))
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM131", "error")
    assert "Numpy is not available" in finding.evidence[0]


def test_another_torch_before_is_an_error(site, examine, source, monkeypatch):
    package(source, "torch", "2.1.0")
    monkeypatch.setenv("PYTHONPATH", str(source))
    assert ids(examine(site)) == [("MM131", "error")]


def test_metadata_beside_tells_the_version(site, examine, source, monkeypatch):
    package(source, "yapf")
    (source / "yapf-0.43.0.dist-info").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(source))
    (finding,) = examine(site).findings
    assert (finding.severity, finding.evidence) == (
        "warning",
        (f"yapf: {source / 'yapf'} is 0.43.0, installed is 0.40.1",),
    )


@pytest.mark.parametrize("folder", ["mmcv", "other", "tests"])
def test_folders_that_give_way_are_not_before(site, examine, source, monkeypatch, folder):
    (source / folder).mkdir()
    (source / folder / "setup.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(source))
    assert examine(site).findings == ()
    assert imported_from(site, site.prefix, "mmcv").parent == site.packages / "mmcv"


def test_the_environment_itself_in_pythonpath_is_nothing(site, examine, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{site.packages}:{site.packages.parent}/./site-packages:")
    assert examine(site).findings == ()


def test_a_checkout_in_the_current_folder_is_an_error(site, examine, source, monkeypatch):
    package(source, "mmcv", "1.7.2")
    monkeypatch.chdir(source)
    diagnosis = examine(site)
    assert ids(diagnosis) == [("MM132", "error")]
    assert imported_from(site, source, "mmcv").parent == source / "mmcv"
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    assert examine(site).findings == ()
    if sys.version_info >= (3, 11):
        assert imported_from(site, source, "mmcv").parent == site.packages / "mmcv"


def test_a_file_that_is_called_as_a_package_is_an_error(site, examine, source, monkeypatch):
    (source / "torch.py").write_text("")
    monkeypatch.chdir(source)
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM132", "error")
    assert finding.evidence[0].endswith("is a single file")
    assert imported_from(site, source, "torch") == source / "torch.py"


def test_a_package_comes_before_a_file_of_its_name(source):
    package(source, "torch")
    (source / "torch.py").write_text("")
    (source / "torch.txt").write_text("")
    assert found_in(source, ["torch", "numpy"]) == {"torch": source / "torch"}


def test_of_two_places_the_first_counts(site, examine, source, monkeypatch):
    package(source, "mmcv", "1.7.2")
    (source / "lib").mkdir()
    package(source / "lib", "mmcv", "1.7.2")
    monkeypatch.chdir(source)
    monkeypatch.setenv("PYTHONPATH", "lib")
    assert [finding.id for finding in examine(site).findings] == ["MM132"]


def test_a_current_folder_that_is_gone_is_survived(site, examine, source, monkeypatch):
    monkeypatch.chdir(source)
    source.rmdir()
    assert examine(site).findings == ()


def test_the_user_site_is_searched_where_the_environment_is_open(site, examine, tmp_path, monkeypatch):
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = tmp_path / "base" / "lib" / f"python{minor}" / "site-packages"
    folder.mkdir(parents=True)
    package(folder, "numpy", "2.2.6")
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path / "base"))
    assert examine(site).findings == ()
    config = site.prefix / "pyvenv.cfg"
    config.write_text(config.read_text().replace("packages = false", "packages = true"))
    found = environment(site.prefix)
    assert found.sees_system_packages
    assert user_site(found, dict(os.environ)) == folder
    # The environment's own packages still come before the user's, those of its interpreter after.
    assert imported_from(site, site.prefix, "numpy").parent == site.packages / "numpy"
    assert examine(site, select=["MM133"]).findings == ()
    ours = replace(found, is_virtual=False)
    (finding,) = examine(ours, select=["MM133"]).findings
    assert (finding.severity, finding.remedy) == ("error", "export PYTHONNOUSERSITE=1")
    monkeypatch.setenv("PYTHONNOUSERSITE", "1")
    assert examine(ours, select=["MM133"]).findings == ()


def test_an_interpreter_without_an_environment_imports_the_users_packages_first(tmp_path):
    base = environment(Path(sys.executable)).interpreter.path.resolve()
    found = environment(base)
    folder = user_site(found, {"PYTHONUSERBASE": str(tmp_path)})
    folder.mkdir(parents=True)
    package(folder, "pip")
    variables = {**os.environ, "PYTHONUSERBASE": str(tmp_path)}
    told = [str(base), "-c", "import pip; print(pip.__file__)"]
    for switch, own in (({}, True), ({"PYTHONNOUSERSITE": "1"}, False)):
        done = subprocess.run(told, env={**variables, **switch}, cwd=tmp_path, capture_output=True, text=True)
        assert (Path(done.stdout.strip()).parent == folder / "pip") is own, done.stderr
        places = [place.folder for place in before(found, {**variables, **switch}, None)]
        assert (folder in places) is own


def test_without_a_home_there_is_no_user_site(site):
    found = replace(environment(site.prefix), is_virtual=False)
    assert user_site(found, {}) is None
    assert user_site(found, {"HOME": "/home/one"}) == Path(
        f"/home/one/.local/lib/python3.{sys.version_info.minor}/site-packages"
    )
    assert list(before(found, {"PYTHONPATH": "/nowhere"}, None)) == []


@pytest.mark.parametrize(
    "line", ["import sys; sys.path.insert(0, '/opt/other')", "import os, sys; sys.path[0:0] = ['/opt/other']"]
)
def test_start_up_code_that_changes_the_path_is_a_warning(site, examine, line):
    (site.packages / "early.pth").write_text(f"{line}\n")
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM134", "warning")
    assert "early.pth" in finding.evidence[0]


def test_a_sitecustomize_that_changes_the_path_is_a_warning(site, examine):
    (site.packages / "sitecustomize.py").write_text("import sys\nsys.path.insert(0, '/opt/other')\n")
    assert ids(examine(site)) == [("MM134", "warning")]
    (site.packages / "sitecustomize.py").write_text("import warnings\n")
    assert examine(site).findings == ()


def test_usual_start_up_files_are_nothing(site, examine):
    (site.packages / "distutils-precedence.pth").write_text(
        "import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'local') == 'local'\n"
    )
    (site.packages / "broken.pth").write_bytes(b"\xff\xfe\x00\nimport \xff\n")
    assert examine(site).findings == ()


def editable(site, name, version, folder, *, top_level, finder=False):
    info = site.change(name, version, requires=["numpy"])
    (info / "top_level.txt").write_text(f"{top_level}\n")
    (info / "direct_url.json").write_text(
        json.dumps({"url": folder.as_uri(), "dir_info": {"editable": True}})
    )
    key = name.replace("-", "_")
    if finder:
        mapping = {top_level: str(folder / top_level)}
        module = f"__editable___{key}_finder"
        (site.packages / f"{module}.py").write_text(f"import sys\nMAPPING: dict[str, str] = {mapping!r}\n")
        (site.packages / f"__editable__.{key}.pth").write_text(f"import {module}; {module}.install()\n")
    else:
        (site.packages / f"__editable__.{key}.pth").write_text(f"{folder}\n")


@pytest.mark.parametrize("finder", [False, True])
def test_an_editable_mmcv_is_looked_at_where_it_lies(site, errors, source, finder):
    (site.packages / "mmcv").rename(source / "mmcv")
    editable(site, "mmcv-full", "1.7.2", source, top_level="mmcv", finder=finder)
    assert errors(site) == []
    next((source / "mmcv").glob("_ext.*")).unlink()
    assert errors(site) == ["MM201"]


@pytest.mark.parametrize("finder", [False, True])
def test_a_checkout_that_is_gone_is_an_error(site, examine, source, finder):
    editable(site, "mmcv-full", "1.7.2", source / "gone", top_level="mmcv", finder=finder)
    (finding,) = examine(site, select=["MM135"]).findings
    assert finding.severity == "error"
    assert f"installed from {source / 'gone'}, which is gone" in finding.message


def test_a_gate_of_an_editable_package_counts(site, errors, source):
    (site.packages / "mmseg").rename(source / "mmseg")
    (source / "mmseg" / "__init__.py").write_text(GATE.replace("1.8.0", "1.5.0"))
    editable(site, "mmsegmentation", "0.30.0", source, top_level="mmseg")
    assert errors(site) == ["MM401"]


@pytest.mark.parametrize("text", ["", "MAPPING = 5", "MAPPING = {", "MAPPING = {1: os.getcwd()}", "\0"])
def test_a_finder_that_is_none_maps_nothing(site, text):
    (site.packages / "__editable___x_finder.py").write_text(text)
    (site.packages / "x.pth").write_text("import __editable___x_finder; __editable___x_finder.install()\n")
    assert beside(environment(site.prefix)) == {}


def test_pythonhome_without_this_pythons_library_is_an_error(site, examine, tmp_path, monkeypatch):
    found = environment(site.prefix)
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    (finding,) = examine(found).findings
    assert (finding.id, finding.severity, finding.remedy) == ("MM136", "error", "unset PYTHONHOME")
    base = found.interpreter.path.resolve().parent.parent
    monkeypatch.setenv("PYTHONHOME", str(base))
    assert examine(found).findings == ()
    (tmp_path / "lib" / f"python3.{sys.version_info.minor}" / "encodings").mkdir(parents=True)
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    (finding,) = examine(found).findings
    assert finding.severity == "warning"
