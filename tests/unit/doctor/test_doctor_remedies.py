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
