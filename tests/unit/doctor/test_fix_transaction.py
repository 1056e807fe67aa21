"""The transaction without a network: what it changes, what it refuses, and what it leaves when it fails."""

import json
import os
import pwd
from dataclasses import replace

import pytest

from mmsetup.doctor import doctor
from mmsetup.doctor.fix import fix
from mmsetup.doctor.fix.twin import copy
from mmsetup.doctor.model import Finding, Fix
from mmsetup.errors import BusyError, CheckFailedError, ConfirmationError, TargetError
from mmsetup.progress import Silent


def sum_of(prefix):
    """Give all that lies in an environment, with contents."""
    return {
        str(path.relative_to(prefix)): path.readlink() if path.is_symlink() else path.read_bytes()
        for path in sorted(prefix.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture
def mend(machine, catalog):
    def run(prefix, agree=lambda repair, commands: None, diagnose=None):
        def examine(place):
            return doctor(place, machine, catalog)

        return fix(prefix, machine, catalog, diagnose=diagnose or examine, agree=agree, progress=Silent())

    return run


@pytest.fixture
def doubled(site):
    """An environment with a second distribution over mmcv, and what pip left behind."""
    site.add("mmcv", "1.7.2", {"mmcv/second.py": ""})
    (info,) = site.packages.glob("mmcv-1.7.2.dist-info")
    (info / "RECORD").write_text(f"mmcv/second.py,,\n{info.name}/RECORD,,\n{info.name}/METADATA,,\n")
    (site.packages / "~umpy").mkdir()
    (site.packages / "~umpy" / "x.py").write_text("")
    return site


def test_a_second_distribution_goes_and_the_first_stays_as_it_was(doubled, mend):
    shown = []
    before = sum_of(doubled.prefix)
    done = mend(doubled.prefix, agree=lambda repair, commands: shown.extend(commands))
    assert done.diagnosis.findings == ()
    python = doubled.prefix / "bin" / "python"
    assert shown == [
        f"uv pip uninstall --python {python} mmcv  # but for the files of mmcv-full",
        f"rm -rf '{doubled.packages / '~umpy'}'",
    ]
    assert done.commands == tuple(shown)
    after = sum_of(doubled.prefix)
    gone = {name for name in before if name not in after}
    assert after == {name: content for name, content in before.items() if name not in gone}
    assert {name.rpartition("site-packages/")[2].partition("/")[0] for name in gone} == {
        "mmcv",
        "mmcv-1.7.2.dist-info",
        "~umpy",
    }
    assert not doubled.prefix.with_name("env.mmsetup").exists()


def test_not_agreed_to_is_not_done(doubled, mend):
    before = sum_of(doubled.prefix)

    def refuse(repair, commands):
        raise ConfirmationError("no")

    with pytest.raises(ConfirmationError):
        mend(doubled.prefix, agree=refuse)
    assert sum_of(doubled.prefix) == before


def test_a_repair_that_does_not_mend_is_thrown_away(doubled, mend, machine, catalog):
    """The copy is examined before it counts: here it shows an error that was not there before."""
    before = sum_of(doubled.prefix)

    def examine(place):
        if place != doubled.prefix:
            extension = next(place.glob("lib/python3*/site-packages/mmcv/_ext.*"))
            extension.unlink()
        return doctor(place, machine, catalog)

    with pytest.raises(CheckFailedError) as caught:
        mend(doubled.prefix, diagnose=examine)
    assert "MM201" in caught.value.evidence[0]
    assert sum_of(doubled.prefix) == before
    assert not doubled.prefix.with_name("env.mmsetup").exists()


def test_a_new_error_counts_also_where_its_check_was_not_selected(doubled, mend, machine, catalog):
    before = sum_of(doubled.prefix)

    def examine(place):
        if place != doubled.prefix:
            next(place.glob("lib/python3*/site-packages/mmcv/_ext.*")).unlink()
        return doctor(place, machine, catalog, select=["MM104"])

    with pytest.raises(CheckFailedError) as caught:
        mend(doubled.prefix, diagnose=examine)
    assert "MM201" in caught.value.evidence[0]
    assert sum_of(doubled.prefix) == before


def test_variables_that_name_the_environment_name_its_copy_while_that_is_examined(
    doubled, mend, machine, catalog, monkeypatch
):
    """Else what the repair replaces would be found in the original, and be the copy's error."""
    named = f"/opt/else:{doubled.packages}:{doubled.prefix}2/lib"
    monkeypatch.setenv("PYTHONPATH", named)
    seen = {}

    def diagnose(place):
        seen[place] = os.environ["PYTHONPATH"]
        return doctor(place, machine, catalog)

    mend(doubled.prefix, diagnose=diagnose)
    new = doubled.prefix.with_name("env.mmsetup") / "new"
    inside = doubled.packages.relative_to(doubled.prefix)
    assert seen == {doubled.prefix: named, new: f"/opt/else:{new / inside}:{doubled.prefix}2/lib"}
    assert os.environ["PYTHONPATH"] == named


def test_what_somebody_else_installs_meanwhile_is_not_lost(doubled, mend, machine, catalog):
    def examine(place):
        if place != doubled.prefix:
            doubled.add("late", "1", {"late/__init__.py": ""})
        return doctor(place, machine, catalog)

    with pytest.raises(BusyError):
        mend(doubled.prefix, diagnose=examine)
    assert (doubled.packages / "late" / "__init__.py").exists()
    assert (doubled.packages / "mmcv" / "second.py").exists()


@pytest.fixture
def staging(site):
    """The folder beside an environment in which a run was killed."""
    made = site.prefix.with_name("env.mmsetup")
    made.mkdir()
    (made / ".made-by-mmsetup").write_text("")
    (made / "new").mkdir()
    return made


def test_what_a_killed_run_left_is_cleared_away(doubled, mend, staging):
    assert mend(doubled.prefix).diagnosis.findings == ()
    assert not staging.exists()


def test_a_run_that_was_killed_after_the_exchange_is_finished(site, mend, staging):
    assert mend(site.prefix).repair.is_empty
    assert not staging.exists()


def test_a_run_that_was_killed_within_the_exchange_is_undone(doubled, mend, staging):
    """Where the kernel cannot exchange two folders, there is a moment in which none has the name."""
    doubled.prefix.rename(staging / "old")
    assert mend(doubled.prefix).diagnosis.findings == ()
    assert not staging.exists()


def test_nothing_to_mend_asks_nothing(site, mend):
    def never(repair, commands):
        raise AssertionError

    done = mend(site.prefix, agree=never)
    assert done.repair.is_empty
    assert done.diagnosis.is_healthy


def test_an_environment_of_conda_is_refused(doubled, mend):
    (doubled.prefix / "conda-meta").mkdir()
    with pytest.raises(TargetError, match="conda"):
        mend(doubled.prefix)


def test_an_interpreter_that_is_no_virtual_environment_is_refused(doubled, mend):
    (doubled.prefix / "pyvenv.cfg").unlink()
    (doubled.packages.parent / "os.py").write_text("")
    (doubled.packages.parent / "EXTERNALLY-MANAGED").write_text("[externally-managed]\n")
    from mmsetup.doctor.fix.scope import changeable
    from mmsetup.probe import environment

    described = environment(doubled.prefix)
    with pytest.raises(TargetError, match="not of a virtual environment"):
        changeable(described)


def test_a_torch_of_nvidia_is_refused(doubled, mend):
    (doubled.packages / "torch" / "version.py").write_text(
        "__version__ = '2.4.0a0+07cecf4168.nv24.05'\ncuda = '12.4'\nhip = None\n"
    )
    with pytest.raises(TargetError, match="NVIDIA's own build"):
        mend(doubled.prefix)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_an_environment_of_another_user_is_refused(doubled, mend):
    os.chown(doubled.prefix, pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.raises(TargetError, match="belongs to user"):
        mend(doubled.prefix)


def test_a_copy_shares_its_files_and_takes_links_as_they_are(site, tmp_path):
    copy(site.prefix, tmp_path / "twin")
    assert sum_of(tmp_path / "twin") == sum_of(site.prefix)
    assert (tmp_path / "twin" / "pyvenv.cfg").stat().st_ino == (site.prefix / "pyvenv.cfg").stat().st_ino


def test_the_record_of_mmsetup_is_kept(doubled, mend):
    (doubled.prefix / ".mmsetup").mkdir()
    (doubled.prefix / ".mmsetup" / "manifest.json").write_text(json.dumps({"packages": {"yapf": "0.40.1"}}))
    mend(doubled.prefix)
    assert json.loads((doubled.prefix / ".mmsetup" / "manifest.json").read_text())


@pytest.fixture
def stale(tmp_path, monkeypatch):
    """An entry of pip's cache."""
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip"))
    made = tmp_path / "pip" / "wheels" / "mmcv.whl"
    made.parent.mkdir(parents=True)
    made.write_text("")
    return made


def test_an_entry_of_a_cache_goes(site, mend, examine, stale):
    def diagnose(place):
        found = (Finding("MM1", "warning", "", "", (), "", Fix(delete=(stale,))),) if stale.exists() else ()
        return replace(examine(site), findings=found)

    assert mend(site.prefix, diagnose=diagnose).diagnosis.findings == ()
    assert not stale.exists()
