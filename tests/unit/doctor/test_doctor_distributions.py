"""MM101 to MM112: what is installed, who owns it, and what it needs."""

import json
import os
import shutil
from dataclasses import replace

import pytest

from mmsetup.doctor import doctor
from mmsetup.probe import environment


def test_an_empty_environment_lacks_torch(bare, errors):
    assert errors(bare) == ["MM101"]


def test_a_stack_without_mmcv_lacks_a_part(site, examine):
    site.remove("mmcv-full")
    shutil.rmtree(site.packages / "mmcv")
    (finding,) = examine(site).of("error")
    assert finding.id == "MM101"
    assert "mmsegmentation" in finding.message
    assert finding.remedy == f"mmsetup install --env {site.prefix}"


def test_a_stack_without_torch_lacks_a_part(site, examine):
    site.remove("torch")
    shutil.rmtree(site.packages / "torch")
    assert {finding.id for finding in examine(site, ignore=["MM111"]).of("error")} == {"MM101"}


def test_metadata_of_mmcv_without_its_folder_lacks_a_part(site, errors):
    shutil.rmtree(site.packages / "mmcv")
    assert errors(site) == ["MM101"]


def test_an_mmcv_that_is_installed_from_a_checkout_is_not_missing(site, errors, tmp_path):
    (tmp_path / "src").mkdir()
    (site.packages / "mmcv").rename(tmp_path / "src" / "mmcv")
    info = site.packages / "mmcv_full-1.7.2.dist-info"
    origin = {"url": (tmp_path / "src").as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(origin))
    (site.packages / "__editable__.mmcv_full-1.7.2.pth").write_text(f"{tmp_path / 'src'}\n")
    assert errors(site) == []


def test_torch_with_an_unreadable_version_file_is_shown_as_damage(site, examine):
    (site.packages / "torch" / "version.py").write_text("cuda = (")
    finding = examine(site, select=["MM101"]).of("error")[0]
    assert any("version.py" in line for line in finding.evidence)


def test_two_editions_of_mmcv_are_found(site, examine):
    site.add("mmcv", "1.7.2", top_level="mmcv")
    (finding,) = examine(site).of("error")
    assert finding.id == "MM102"
    assert "mmcv, mmcv-full" in finding.message
    assert len(finding.evidence) == 2
    assert finding.remedy == f"mmsetup install --env {site.prefix}"


def test_one_distribution_recorded_in_two_versions_is_found(site, errors):
    site.add("mmcv-full", "1.7.0", top_level="mmcv")
    assert errors(site) == ["MM102"]


def test_two_editions_of_opencv_are_a_warning(site, examine):
    site.add("opencv-python", "4.11.0.86", top_level="cv2")
    diagnosis = examine(site)
    assert diagnosis.is_healthy
    assert [finding.id for finding in diagnosis.of("warning")] == ["MM102"]


def test_a_folder_that_no_distribution_owns_is_left_behind(site, errors):
    site.remove("mmcv-full")
    assert errors(site) == ["MM103"]


def test_files_that_are_in_no_record_are_a_warning(site, examine):
    (site.packages / "mmcv" / "runner").mkdir()
    (site.packages / "mmcv" / "runner" / "old.py").write_text("")
    diagnosis = examine(site)
    assert [(finding.id, finding.severity) for finding in diagnosis.findings] == [("MM103", "warning")]
    assert diagnosis.findings[0].evidence[0].endswith("mmcv/runner/old.py")


def test_a_missing_record_proves_nothing(site, examine):
    (site.packages / "mmcv_full-1.7.2.dist-info" / "RECORD").unlink()
    assert examine(site, select=["MM103"]).findings == ()


def test_what_an_interrupted_pip_left_is_a_warning(site, examine):
    (site.packages / "~umpy").mkdir()
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM104", "warning")


def test_a_compiled_file_of_another_size_is_an_error(site, examine):
    library = site.packages / "cv2" / "cv2.abi3.so"
    size = library.stat().st_size
    os.truncate(library, 3000)
    (finding,) = examine(site).of("error")
    assert finding.id == "MM105"
    assert finding.evidence == (f"{library}: 3000 bytes instead of {size}",)
    assert finding.remedy.endswith("opencv-python-headless==4.11.0.86")


def test_a_compiled_file_that_is_gone_is_an_error(site, examine):
    (site.packages / "cv2" / "cv2.abi3.so").unlink()
    assert [finding.id for finding in examine(site).of("error")] == ["MM105"]


def test_a_compiled_file_of_something_else_is_a_warning(site, examine):
    site.compile("other/_fast.so")
    site.add("other", "1.0", {"other/__init__.py": ""})
    os.truncate(site.packages / "other" / "_fast.so", 10)
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM105", "warning")


def test_a_compiled_file_that_another_distribution_put_there_is_told_by_who_owns_it_alone(site, examine):
    library = site.packages / "cv2" / "cv2.abi3.so"
    library.write_bytes(library.read_bytes() + b"of another edition")
    site.add("opencv-python", "4.11.0.86", top_level="cv2")
    diagnosis = examine(site)
    assert diagnosis.of("error") == ()
    assert [finding.id for finding in diagnosis.of("warning")] == ["MM102"]


def test_a_package_that_went_with_another_is_an_error(site, examine):
    kept = site.packages / "mmcv" / "ops.py"
    kept.write_text("")
    (site.packages / "mmcv" / "__init__.py").write_text("x = 1\n")
    site.remove("mmcv-full")
    site.add("mmcv-full", "1.7.2", top_level="mmcv")
    (site.packages / "mmcv" / "__init__.py").unlink()
    (finding,) = examine(site).of("error")
    assert finding.id == "MM106"
    assert finding.message == "mmcv-full 1.7.2 lacks 1 of its Python files, and cannot be imported"
    (site.packages / "mmcv" / "__init__.pyc").write_bytes(b"")
    assert examine(site).of("error") == ()


def test_a_module_of_openmmlab_that_is_gone_is_an_error_and_tests_are_nothing(site, examine):
    site.add("mmdet", "2.28.2", {"mmdet/__init__.py": "", "mmdet/core.py": "", "mmdet/tests/test_a.py": ""})
    before = {finding.id for finding in examine(site).findings}
    shutil.rmtree(site.packages / "mmdet" / "tests")
    assert {finding.id for finding in examine(site).findings} == before
    (site.packages / "mmdet" / "core.py").unlink()
    (finding,) = [finding for finding in examine(site).findings if finding.id == "MM106"]
    assert finding.severity == "error"
    assert finding.evidence == (str(site.packages / "mmdet" / "core.py"),)


def test_what_the_stack_needs_is_looked_at_by_its_packages_alone(site, examine):
    place = site.packages / "cv2"
    (place / "__init__.py").write_text("x = 1\n")
    (place / "more.py").write_text("")
    site.change("opencv-python-headless", "4.11.0.86")
    (place / "more.py").unlink()
    assert examine(site).findings == ()
    (place / "__init__.py").unlink()
    assert [finding.id for finding in examine(site).of("error")] == ["MM106"]


@pytest.mark.parametrize("installer", ["conda\n", ""])
def test_libraries_that_conda_or_the_system_changed_are_no_damage(site, examine, installer):
    (site.packages / "opencv_python_headless-4.11.0.86.dist-info" / "INSTALLER").write_text(installer)
    library = site.packages / "cv2" / "cv2.abi3.so"
    library.write_bytes(library.read_bytes() + b"a longer search path")
    assert examine(site).findings == ()


def test_an_mmcv_that_pythonpath_provides_is_not_missing(site, errors, tmp_path, monkeypatch):
    site.remove("mmcv-full")
    (site.packages / "mmcv").rename(tmp_path / "mmcv")
    assert errors(site) == ["MM101"]
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert errors(site) == []


def test_a_record_without_sizes_proves_nothing(site, examine):
    record = site.packages / "opencv_python_headless-4.11.0.86.dist-info" / "RECORD"
    record.write_text("cv2/cv2.abi3.so,,\ncv2/__init__.py,,\n")
    os.truncate(site.packages / "cv2" / "cv2.abi3.so", 3000)
    assert examine(site).findings == ()


def test_a_thousand_distributions_are_examined(site, examine):
    for number in range(1000):
        folder = site.packages / f"part{number}-1.0.dist-info"
        folder.mkdir()
        wanted = "".join(f"Requires-Dist: part{(number + step) % 1000}>=1\n" for step in range(1, 6))
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: part{number}\nVersion: 1.0\n{wanted}")
    assert examine(site).findings == ()


def test_a_missing_requirement_of_the_stack_is_an_error(site, examine):
    site.remove("yapf")
    (finding,) = examine(site).of("error")
    assert finding.id == "MM111"
    assert finding.message == "mmcv-full 1.7.2 needs yapf, and it is not here"
    assert finding.remedy.endswith("yapf")


def test_a_missing_requirement_of_something_else_is_a_warning(site, examine):
    site.add("pytest", "8.0", requires=["pluggy>=1"], top_level="pytest")
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM111", "warning")


def test_a_missing_requirement_of_a_requirement_is_an_error(site, errors):
    site.change("yapf", "0.40.1", requires=["platformdirs"])
    assert errors(site) == ["MM111"]


def test_another_version_than_declared_is_a_warning(site, examine):
    site.change("yapf", "0.40.1", requires=["numpy<1.25"])
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM111", "warning")
    assert "numpy<1.25" in finding.message


@pytest.mark.parametrize(
    "line", ["regex; sys_platform == 'win32'", "tomli; python_version < '3'", "scipy; extra == 'all'"]
)
def test_requirements_whose_marker_does_not_hold_are_not_missing(site, examine, line):
    site.change("yapf", "0.40.1", requires=[line])
    assert examine(site).findings == ()


def test_markers_are_those_of_the_environment_not_of_this_interpreter(site, machine, catalog):
    site.change("yapf", "0.40.1", requires=["backport; python_version < '3.8'"])
    found = environment(site.prefix)
    assert doctor(found, machine, catalog).findings == ()
    old = replace(found, interpreter=replace(found.interpreter, version="3.7.16"))
    assert [finding.id for finding in doctor(old, machine, catalog, select=["MM111"]).findings] == ["MM111"]


def test_a_line_that_is_no_requirement_is_passed_over(site, examine):
    site.change("yapf", "0.40.1", requires=["what is this ???"])
    assert examine(site).findings == ()


def test_opencv_that_nobody_declares_is_missing(site, examine):
    site.remove("opencv-python-headless")
    shutil.rmtree(site.packages / "cv2")
    site.change("mmcv-full", "1.7.2", requires=["numpy"])
    (finding,) = examine(site).of("error")
    assert (finding.id, finding.message) == ("MM112", "opencv-python-headless is imported and not here")


def test_torchvision_that_nobody_declares_is_missing(site, errors):
    site.remove("torchvision")
    shutil.rmtree(site.packages / "torchvision")
    assert errors(site) == ["MM112"]


def test_setuptools_that_nobody_declares_is_missing(site, errors):
    site.remove("setuptools")
    assert errors(site) == ["MM112"]


def test_a_cv2_without_metadata_stands_in_for_opencv(site, examine):
    site.remove("opencv-python-headless")
    assert examine(site).findings == ()


def test_an_extra_that_is_always_imported_is_looked_at(site, errors):
    site.change(
        "mmsegmentation", "0.30.0", requires=["ftfy ; extra == 'multimodal'", "scipy ; extra == 'all'"]
    )
    assert errors(site) == ["MM112"]


@pytest.mark.parametrize("extra", ["mim", "mminstall"])
def test_a_range_that_openmim_alone_keeps_is_a_warning(site, examine, extra):
    wanted = f"mmcv-full (<1.7.0,>=1.4.4) ; extra == '{extra}'"
    site.add("mmrotate", "0.3.4", {"mmrotate/__init__.py": ""}, requires=[wanted])
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM111", "warning")
    assert finding.message == "mmrotate 0.3.4 is for mmcv-full<1.7.0,>=1.4.4, here is 1.7.2"
    assert finding.remedy == f"mmsetup install --env {site.prefix}"


def test_mmengine_alone_needs_no_mmcv(site, errors):
    site.remove("mmcv-full")
    shutil.rmtree(site.packages / "mmcv")
    for name in ("mmsegmentation", "mmdet"):
        site.remove(name)
    site.add("mmengine", "0.10.7", {"mmengine/__init__.py": ""})
    assert errors(site) == []
    site.add("mmdet", "3.3.0", {"mmdet/__init__.py": ""})
    assert errors(site) == ["MM101"]


def test_what_openmim_alone_installs_is_missing(site, errors):
    site.add("mmrotate", "0.3.4", {"mmrotate/__init__.py": ""}, requires=["mmdet>=2 ; extra == 'mim'"])
    assert errors(site) == ["MM112"]


def manifest(site, document):
    folder = site.prefix / ".mmsetup"
    folder.mkdir()
    (folder / "manifest.json").write_text(document if isinstance(document, str) else json.dumps(document))


def test_drift_from_the_manifest_is_a_warning(site, examine):
    manifest(site, {"packages": {"numpy": "1.26.3", "YAPF": "0.40.1", "tomli": "2.0", "torch": "1.13.1"}})
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM601", "warning")
    assert finding.evidence == ("numpy: recorded 1.26.3, here 1.26.4", "tomli 2.0 is gone")


@pytest.mark.parametrize(
    ("recorded", "found"), [("1.7.2", []), ("1.7.2+pt1.13.1cu117", []), ("1.7.2+pt1.13.1cpu", ["MM601"])]
)
def test_a_wheel_that_names_its_torch_is_what_was_recorded(site, examine, recorded, found):
    site.change("mmcv-full", "1.7.2+pt1.13.1cu117", requires=["numpy", "yapf"])
    manifest(site, {"packages": {"mmcv-full": recorded}})
    assert [finding.id for finding in examine(site).findings] == found


@pytest.mark.parametrize("document", ["", "[]", "{}", '{"packages": 3}', '{"packages": {"numpy": 1}}'])
def test_a_manifest_that_is_none_pins_nothing(site, examine, document):
    manifest(site, document)
    assert examine(site).findings == ()
