"""The commands that remedies name: what they keep, and what a resolver must not bring along."""

import json
import shutil


def recorded(site, **packages):
    """Record versions as mmsetup does, with the lockfile that gave them; give the command that restores."""
    folder = site.prefix / ".mmsetup"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"packages": packages}))
    (folder / "requirements.txt").write_text("")
    return f"mmsetup install --env {site.prefix} --lock {folder / 'requirements.txt'} --reinstall"


def only_error(diagnosis):
    (finding,) = diagnosis.of("error")
    return finding


def test_what_no_plan_would_choose_unasked_is_asked_for(site, examine):
    site.add("mmdet", "2.28.2", {"mmdet/__init__.py": ""})
    site.extension.unlink()
    assert only_error(examine(site)).remedy == f"mmsetup install --env {site.prefix} --with mmdet"


def test_what_another_member_brings_is_not_asked_for(site, examine):
    site.add("mmcls", "0.25.0", {"mmcls/__init__.py": ""})
    site.extension.unlink()
    assert only_error(examine(site)).remedy == f"mmsetup install --env {site.prefix}"


def test_an_environment_of_mmsetup_is_replaced_although_the_plan_is_the_same(site, examine, with_gpu):
    (site.prefix / ".mmsetup").mkdir()
    on = with_gpu("sm_120", "580.65.06")
    remedies = {finding.remedy for finding in examine(site, on).of("error")}
    assert remedies == {f"mmsetup install --env {site.prefix} --reinstall"}


def test_a_missing_torchvision_is_that_of_this_torch(site, examine):
    shutil.rmtree(site.packages / "torchvision")
    site.remove("torchvision")
    assert only_error(examine(site)).remedy.endswith(
        "install --python {} torchvision==0.14.1".format(site.prefix / "bin" / "python")
    )


def test_a_missing_opencv_is_one_without_windows_that_this_torch_can_use(site, examine):
    shutil.rmtree(site.packages / "cv2")
    site.remove("opencv-python-headless")
    remedies = {finding.remedy.partition("bin/python ")[2] for finding in examine(site).of("error")}
    # One declares it with a bound of its own, the other not at all.
    assert remedies == {"'opencv-python-headless<4.12,>=3'", "'opencv-python-headless<4.12'"}


def test_what_is_missing_is_taken_within_the_bounds_of_what_is_here(site, examine):
    site.change("opencv-python-headless", "4.11.0.86", requires=["numpy>=1.26.5"])
    (finding,) = examine(site).findings
    assert (finding.id, finding.remedy.partition("bin/python ")[2]) == ("MM111", "'numpy<2,>=1.26.5'")


def test_a_requirement_that_nothing_here_admits_takes_another_plan(site, examine):
    site.change("opencv-python-headless", "4.11.0.86", requires=["numpy>=2"])
    (finding,) = examine(site).findings
    assert (finding.id, finding.remedy) == ("MM111", f"mmsetup install --env {site.prefix}")


def test_a_requirement_that_nothing_here_admits_is_undone_where_versions_were_changed(site, examine):
    site.change("opencv-python-headless", "4.11.0.86", requires=["numpy>=2"])
    restoring = recorded(site, **{"opencv-python-headless": "4.10.0.84"})
    assert {finding.remedy for finding in examine(site).findings} == {restoring}


def test_mmengine_comes_alone_beside_an_opencv_that_it_does_not_name(site, examine):
    site.change("mmsegmentation", "0.30.0", requires=["mmengine>=0.3"])
    assert only_error(examine(site)).remedy.endswith("bin/python --no-deps 'mmengine>=0.3'")


def test_operators_of_another_torch_are_replaced_as_they_were_recorded(site, examine):
    restoring = recorded(site)
    site.compile(f"mmcv/{site.extension.name}", calls=["_ZN2at4goneEv"])
    finding = next(one for one in examine(site).of("error") if one.id == "MM204")
    assert finding.remedy == restoring


def test_a_refused_mmcv_is_undone_where_versions_were_changed(site, examine):
    (site.packages / "mmcv" / "version.py").write_text("__version__ = '2.2.0'\n")
    finding = only_error(examine(site))
    assert (finding.id, finding.remedy) == ("MM401", f"mmsetup install --env {site.prefix}")
    restoring = recorded(site, **{"mmcv-full": "1.7.1"})
    assert only_error(examine(site)).remedy == restoring


def test_a_refused_mmcv_that_is_as_recorded_takes_another_plan(site, examine):
    (site.packages / "mmcv" / "version.py").write_text("__version__ = '2.2.0'\n")
    recorded(site, **{"mmcv-full": "1.7.2"})
    assert only_error(examine(site)).remedy == f"mmsetup install --env {site.prefix} --reinstall"


def test_an_mmcv_whose_checkout_is_gone_is_not_built_by_an_installer(site, examine):
    (folder,) = site.packages.glob("mmcv_full-*.dist-info")
    origin = {"url": (site.scratch / "gone").as_uri(), "dir_info": {"editable": True}}
    (folder / "direct_url.json").write_text(json.dumps(origin))
    finding = next(one for one in examine(site).of("error") if one.id == "MM135")
    assert finding.remedy == f"mmsetup install --env {site.prefix}"


def test_a_local_version_is_not_asked_of_the_default_index(site, examine):
    site.compile("torchvision/image.so")
    site.change("torchvision", "0.14.1+cu117", requires=["numpy"])
    (site.packages / "torchvision" / "image.so").unlink()
    finding = next(one for one in examine(site).findings if one.id == "MM105")
    assert finding.remedy == f"mmsetup install --env {site.prefix}"


def test_of_two_opencvs_that_without_windows_and_with_the_contributed_modules_stays(site, examine):
    site.add("opencv-contrib-python", "4.10.0.84", top_level="cv2")
    finding = next(one for one in examine(site).findings if one.id == "MM102")
    python = site.prefix / "bin" / "python"
    assert finding.remedy == (
        f"uv pip uninstall --python {python} opencv-contrib-python opencv-python-headless"
        f" && rm -rf {site.packages / 'cv2'}"
        f" && uv pip install --python {python} --no-deps opencv-contrib-python==4.10.0.84"
    )


def test_nothing_is_removed_before_another_mmcv_is_there(site, examine):
    (site.packages / "mmcv" / "stray.py").write_text("")
    (finding,) = examine(site).findings
    assert (finding.id, finding.remedy) == ("MM103", f"mmsetup install --env {site.prefix}")
    site.remove("mmcv-full")
    finding = only_error(examine(site, ignore=["MM111"]))
    assert (finding.id, finding.remedy) == ("MM103", f"mmsetup install --env {site.prefix}")


def test_no_edition_of_mmengine_is_put_over_another(site, examine):
    site.add("mmengine", "0.10.7", {"mmengine/__init__.py": ""})
    site.change("mmsegmentation", "0.30.0", requires=["onedl-mmengine>=0.10.8"])
    (finding,) = examine(site, select=["MM111"]).findings
    assert finding.remedy == f"mmsetup install --env {site.prefix}"
