"""MM301 to MM403: torch and its partner, gates, and known breaks."""

import json
import os
from dataclasses import replace

import pytest
from rich.console import Console

from mmsetup.build import wheel_writer
from mmsetup.doctor import patches
from mmsetup.render.diagnosis import show_diagnosis


def test_a_torchvision_of_another_release_is_no_partner(site, examine):
    site.change("torchvision", "0.15.2", requires=["numpy", "torch (==2.0.1)"])
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM301", "error")
    assert "torchvision 0.15.2 declares torch==2.0.1" in finding.evidence
    assert finding.remedy.endswith("--force-reinstall --no-deps torchvision==0.14.1")


def test_without_a_declaration_the_catalogue_knows_the_partner(site, errors):
    site.change("torchvision", "0.15.2", requires=["numpy"])
    assert errors(site) == ["MM301"]
    site.change("torchvision", "0.14.1", requires=["numpy"])
    assert errors(site) == []


def test_a_torch_that_nobody_knows_raises_no_alarm(site, errors):
    (site.packages / "torch" / "version.py").write_text("__version__ = '1.13.1a0+936e930'\ncuda = '11.8'\n")
    site.change("torchvision", "0.15.0a0", requires=["numpy"])
    (site.packages / "torchvision" / "version.py").write_text("__version__ = '0.15.0a0'\n")
    assert errors(site) == []


def test_builds_from_two_indexes_are_no_partners(site, examine):
    (site.packages / "torchvision" / "version.py").write_text("__version__ = '0.14.1+cpu'\n")
    (finding,) = examine(site).of("error")
    assert finding.id == "MM301"
    assert finding.message == "torchvision is a cpu build, torch a cu117 build"


def test_a_torchvision_without_a_variant_is_not_judged(site, errors):
    (site.packages / "torchvision" / "version.py").write_text("not python (")
    assert errors(site) == []


def test_a_missing_library_of_torch_is_damage(site, errors):
    (site.packages / "torch" / "lib" / "libtorch_python.so").unlink()
    assert errors(site) == ["MM302"]


def test_a_library_of_torch_cut_short_is_damage(site, errors):
    os.truncate(site.packages / "torch" / "lib" / "libtorch_cpu.so", 5000)
    assert errors(site) == ["MM302"]


def mmcv(site, version):
    (site.packages / "mmcv" / "version.py").write_text(f"__version__ = '{version}'\n")
    site.change("mmcv-full", version, requires=["numpy", "yapf"])


@pytest.mark.parametrize(("version", "found"), [("1.3.12", ["MM401"]), ("1.3.13", []), ("1.8.0", ["MM401"])])
def test_a_gate_in_the_source_is_kept_to(site, errors, version, found):
    mmcv(site, version)
    assert errors(site) == found


def test_what_mmcv_says_of_itself_counts(site, examine):
    (site.packages / "mmcv" / "version.py").write_text("__version__ = '2.1.0'\n")
    (finding,) = examine(site).of("error")
    assert finding.id == "MM401"
    assert finding.message == "mmsegmentation 0.30.0 asserts mmcv >=1.3.13,<1.8.0, here is 2.1.0"


def test_a_local_part_is_beyond_no_gate(site, errors):
    gate = site.packages / "mmseg" / "__init__.py"
    text = gate.read_text().replace("< mmcv_max_version", "<= mmcv_max_version")
    gate.write_text(text.replace("MMCV_MAX = '1.8.0'", "MMCV_MAX = '1.7.2'"))
    (site.packages / "mmcv" / "version.py").write_text("from somewhere import __version__\n")
    site.change("mmcv-full", "1.7.2+pt1.13.1cu117", requires=["numpy", "yapf"])
    assert errors(site) == []
    site.change("mmcv-full", "1.7.3+pt1.13.1cu117", requires=["numpy", "yapf"])
    assert errors(site) == ["MM401"]


def test_a_gate_that_was_patched_away_is_none(site, errors):
    (site.packages / "mmseg" / "__init__.py").write_text("import mmcv\n")
    mmcv(site, "1.9.0")
    assert errors(site) == []


def test_where_the_source_cannot_be_read_the_catalogue_knows_the_gate(site, errors):
    (site.packages / "mmseg" / "__init__.py").write_text("assert (\n")
    mmcv(site, "1.9.0")
    assert errors(site) == ["MM401"]


def test_numpy_2_with_an_old_torch_is_an_error(site, examine):
    site.change("numpy", "2.2.6")
    (finding,) = examine(site).of("error")
    assert finding.id == "MM402"
    assert "numpy2-torch" in finding.evidence[0]
    assert any(line.startswith("https://") for line in finding.evidence)
    assert finding.remedy.endswith("'numpy<2'")


def test_yapf_is_an_error_with_an_mmcv_that_passes_verify(site, errors):
    site.change("yapf", "0.43.0")
    assert errors(site) == []
    mmcv(site, "1.7.1")
    assert errors(site) == ["MM402"]


@pytest.mark.parametrize("version", ["70.3.0", "82.0.0"])
def test_a_setuptools_without_pkg_resources_is_an_error(site, errors, version):
    site.change("setuptools", version)
    assert errors(site) == ["MM402"]


def test_a_break_that_not_everybody_meets_is_a_warning(site, examine):
    site.change("opencv-python-headless", "4.12.0.88")
    diagnosis = examine(site)
    assert [(finding.id, finding.severity) for finding in diagnosis.findings] == [("MM402", "warning")]


def other_torch(site, version):
    (site.packages / "torch" / "version.py").write_text(f"__version__ = '{version}+cu117'\ncuda = '11.7'\n")
    site.change("torch", version)
    site.change("torchvision", "0.14.1", requires=[f"torch=={version}"])


def test_a_combination_with_a_caution_is_a_warning(site, examine):
    other_torch(site, "2.5.1")
    diagnosis = examine(site)
    assert {(finding.id, finding.severity) for finding in diagnosis.findings} == {("MM403", "warning")}
    told = [finding.evidence[0].split()[0] for finding in diagnosis.findings]
    assert told == ["mmcv1-stream", "mmcv1-ddp"]


def test_what_a_patch_mended_is_no_finding_and_the_patch_is_named(site, examine, capsys):
    other_torch(site, "2.5.1")
    recipe = next(site.packages.glob("mmcv_full-*.dist-info")) / "mmsetup-recipe.json"
    names = ("copy-stream-of-its-own", "ddp-without-replicated-tensor")
    recipe.write_text(json.dumps({"recipe": {"patches": [{"name": name} for name in names]}}))
    diagnosis = examine(site)
    assert diagnosis.findings == ()
    (ops,) = (part for part in diagnosis.parts if part.name == "mmcv-full")
    assert ops.patches == names
    show_diagnosis(diagnosis, Console())
    assert f"mmcv-full is patched: {', '.join(names)}" in capsys.readouterr().out


def test_the_recipe_is_looked_for_where_the_build_writes_it():
    assert patches.RECIPE_FILE == wheel_writer.RECIPE_FILE


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"patches": 5}', '{"patches": [{"sha256": "ab"}]}', "\0"])
def test_a_recipe_that_tells_of_no_patch_hides_nothing(site, examine, text):
    other_torch(site, "2.5.1")
    (next(site.packages.glob("mmcv_full-*.dist-info")) / "mmsetup-recipe.json").write_text(text)
    assert {finding.id for finding in examine(site).findings} == {"MM403"}


def test_what_no_plan_would_choose_is_an_error_only_where_it_fails(site, examine):
    site.add("mmdet", "2.11.0", {"mmdet/__init__.py": ""})
    (finding,) = [finding for finding in examine(site).findings if finding.id == "MM403"]
    assert finding.severity == "warning"
    assert "mmpycocotools" in finding.evidence[0]
    site.change("mmsegmentation", "1.2.0")
    (finding,) = [finding for finding in examine(site).of("error") if finding.id == "MM403"]
    assert "bpe_simple_vocab" in finding.message


def test_breaks_of_a_build_do_not_concern_what_is_installed(site, examine):
    other_torch(site, "2.15.0")
    evidence = [line for finding in examine(site).findings for line in finding.evidence]
    assert not any(line.startswith("cxx20") for line in evidence)
    assert any(line.startswith("weights-only") for line in evidence)


def newer_mmcv(site, torch, mmengine):
    """Make it a stack of mmengine, on a torch of its time."""
    other_torch(site, torch)
    (site.packages / "mmcv" / "version.py").write_text("__version__ = '2.1.0'\n")
    (site.packages / "mmseg" / "__init__.py").write_text("")
    site.remove("mmcv-full")
    site.add("mmcv", "2.1.0", top_level="mmcv", requires=["numpy"])
    site.change("mmsegmentation", "1.2.2", requires=["numpy"])
    for name in ("ftfy", "regex"):
        site.add(name, "1.0", {f"{name}/__init__.py": ""})
    site.add("mmengine", mmengine, {"mmengine/__init__.py": ""})


def test_checkpoints_that_torch_refuses_are_an_error(site, errors):
    newer_mmcv(site, "2.6.0", "0.10.7")
    assert errors(site) == ["MM403"]


def test_a_second_adafactor_is_an_error_only_beside_transformers(site, examine):
    newer_mmcv(site, "2.5.1", "0.10.5")
    assert examine(site).findings == ()
    site.add("transformers", "4.46.0", {"transformers/__init__.py": ""})
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM403", "error")
    assert "Adafactor" in finding.message


@pytest.mark.parametrize(
    ("count", "bad"), [(0, []), (1, ["mmcv1-stream"]), (2, ["mmcv1-stream", "mmcv1-ddp"])]
)
def test_what_fails_on_gpus_is_an_error_where_there_are_as_many(site, examine, with_gpu, count, bad):
    other_torch(site, "2.5.1")
    machine = with_gpu("sm_86")
    diagnosis = examine(site, replace(machine, gpus=machine.gpus * count), select=["MM403"])
    assert [finding.evidence[0].split()[0] for finding in diagnosis.of("error")] == bad
    assert len(diagnosis.findings) == 2
