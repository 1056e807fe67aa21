"""MM108 and its neighbours: files in site-packages that are not those that were installed."""

import os

import pytest


def test_an_edited_module_is_a_warning(site, examine):
    module = site.packages / "mmcv" / "__init__.py"
    size = module.stat().st_size
    module.write_text(module.read_text() + "# mine\n")
    (finding,) = examine(site).findings
    assert (finding.id, finding.severity) == ("MM108", "warning")
    assert finding.evidence == (f"{module}: {size + 7} bytes instead of {size}",)


def test_an_empty_module_is_an_error(site, examine):
    module = site.packages / "mmcv" / "version.py"
    site.remove("mmcv-full")
    site.add("mmcv-full", "1.7.2", {"mmcv/more.py": "x = 1"}, requires=["numpy", "yapf"], top_level="mmcv")
    (site.packages / "mmcv" / "more.py").write_text("")
    (finding,) = examine(site, ignore=["MM112"]).findings
    assert (finding.id, finding.severity) == ("MM108", "error")
    assert finding.message == "mmcv-full 1.7.2 has 1 empty Python file(s)"
    assert module.is_file()


def test_a_file_that_uv_shares_with_its_cache_is_taken_out_of_that(site, examine, tmp_path):
    module = site.packages / "mmcv" / "__init__.py"
    os.link(module, tmp_path / "in_the_cache.py")
    module.write_text(module.read_text() + "# mine\n")
    (finding,) = examine(site).findings
    assert finding.remedy.startswith("uv cache clean mmcv-full && mmsetup install --env ")


@pytest.mark.parametrize("installer", ["", "conda\n"])
def test_what_the_system_or_conda_installed_is_not_held_to_its_record(site, examine, installer):
    module = site.packages / "mmcv" / "__init__.py"
    module.write_text(module.read_text() + "# mine\n")
    (site.packages / "mmcv_full-1.7.2.dist-info" / "INSTALLER").write_text(installer)
    assert examine(site).findings == ()


@pytest.mark.parametrize("name", ["libtorch_cuda.so", "libc10.so"])
def test_a_library_of_torch_that_is_gone_is_damage(site, examine, name):
    (site.packages / "torch" / "lib" / name).unlink()
    (finding,) = examine(site, select=["MM3"]).of("error")
    assert finding.id == "MM302"
    assert any(name in line for line in finding.evidence)


def test_a_package_that_lost_an_empty_file_is_imported_all_the_same(site, examine):
    site.remove("yapf")
    site.add("yapf", "0.40.1", {"yapf/__init__.py": "", "yapf/more.py": "x = 1"})
    (site.packages / "yapf" / "__init__.py").unlink()
    assert examine(site, select=["MM106"]).findings == ()


def test_a_stack_where_another_python_looks_is_named(site, examine):
    other = site.packages.parents[1] / "python3.99"
    site.packages.parent.rename(other)
    site.packages.mkdir(parents=True)
    (finding,) = examine(site, select=["MM101"]).findings
    assert any(line.startswith(f"torch is in {other / 'site-packages'}, where ") for line in finding.evidence)
