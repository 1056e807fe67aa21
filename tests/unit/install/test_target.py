"""The target folder: what may be replaced, what a killed run left, and the exchange itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmsetup.errors import BusyError, TargetError
from mmsetup.install import target
from mmsetup.install.target import examine, held, recover, staged, staging_folder, swap


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMSETUP_STATE_DIR", str(tmp_path / "state"))


def environment(folder: Path, *, ours: bool = False) -> Path:
    folder.mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\n")
    if ours:
        (folder / ".mmsetup").mkdir()
    return folder


def test_what_is_not_there_is_absent(tmp_path: Path) -> None:
    assert examine(tmp_path / "a" / "b").state == "absent"
    (tmp_path / "empty").mkdir()
    assert examine(tmp_path / "empty").state == "absent"


def test_an_environment_is_ours_or_foreign(tmp_path: Path) -> None:
    assert examine(environment(tmp_path / "one")).state == "foreign"
    assert examine(environment(tmp_path / "two", ours=True)).state == "ours"


def test_what_mmsetup_runs_from_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = environment(tmp_path / "own", ours=True)
    monkeypatch.setattr("sys.prefix", str(own))
    with pytest.raises(TargetError, match="mmsetup itself runs from") as caught:
        examine(own)
    assert caught.value.remedy == f"mmsetup install --env {own}-stack"


def test_a_link_is_followed(tmp_path: Path) -> None:
    real = environment(tmp_path / "real", ours=True)
    (tmp_path / "link").symlink_to(real)
    assert examine(tmp_path / "link").path == real


@pytest.mark.parametrize("make", ["file", "other", "below a file"])
def test_what_cannot_hold_an_environment_is_refused_with_a_command(tmp_path: Path, make: str) -> None:
    place = tmp_path / "place"
    if make == "other":
        place.mkdir()
        (place / "thesis.txt").write_text("years of work")
    else:
        place.write_text("a file")
    with pytest.raises(TargetError) as caught:
        examine(place / "env" if make == "below a file" else place)
    assert "--env" in caught.value.remedy


def test_a_folder_that_cannot_be_written_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write anywhere, so the answer of the kernel is what is replaced.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(TargetError, match="cannot be written"):
        examine(tmp_path / "env")


@pytest.mark.parametrize("path", ["/", "~nobody-of-that-name/env", "x" * 300, "loop"])
def test_a_path_that_cannot_be_looked_at_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(TargetError):
        examine(Path(path) if path.startswith(("/", "~")) else tmp_path / path)


def test_what_has_the_name_of_the_staging_folder_and_is_not_ours_stays(tmp_path: Path) -> None:
    place = environment(tmp_path / "env")
    staging_folder(place).mkdir()
    (staging_folder(place) / "thesis.txt").write_text("years of work")
    with pytest.raises(TargetError, match="did not make it"):
        recover(place)
    assert (staging_folder(place) / "thesis.txt").read_text() == "years of work"
    staging_folder(tmp_path / "other").write_text("a file")
    with pytest.raises(TargetError, match="in the way"):
        recover(tmp_path / "other")


def test_a_run_that_shares_the_folder_and_not_the_state_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "env"
    with staged(place):
        monkeypatch.setenv("MMSETUP_STATE_DIR", str(tmp_path / "of another user"))
        with held(place, wait=False, told=print), pytest.raises(BusyError, match="another mmsetup"):
            recover(place)
        assert staging_folder(place).is_dir()
    assert not staging_folder(place).exists()


def test_the_staging_folder_goes_with_the_parents_that_were_made_for_it(tmp_path: Path) -> None:
    place = tmp_path / "a" / "b" / "env"
    with pytest.raises(ValueError, match="broken"), staged(place):
        raise ValueError("broken")
    assert list(tmp_path.iterdir()) == []
    with staged(place) as staging:
        swap(environment(staging / "new"), place)
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == ["env"]


def test_an_exchange_that_breaks_off_half_way_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "_exchange", lambda *_: False)
    place = environment(tmp_path / "env")
    (place / "mark").write_text("before")
    rename = Path.rename

    def broken(self: Path, other: Path) -> Path:
        if self.name == "new":
            raise OSError("the disk is gone")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(OSError, match="gone"), staged(place) as staging:
        swap(environment(staging / "new"), place)
    assert (place / "mark").read_text() == "before"
    assert not staging_folder(place).exists()


def test_the_mark_goes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = environment(tmp_path / "env")
    environment(staging_folder(place) / "new")
    (staging_folder(place) / ".made-by-mmsetup").touch()
    rmtree = target.shutil.rmtree

    def killed(folder: Path) -> None:
        if folder == staging_folder(place):
            raise KeyboardInterrupt
        rmtree(folder)

    monkeypatch.setattr(target.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        recover(place)
    monkeypatch.undo()
    monkeypatch.setenv("MMSETUP_STATE_DIR", str(tmp_path / "state"))
    assert [path.name for path in staging_folder(place).iterdir()] == [".made-by-mmsetup"]
    assert "removed" in recover(place)


def test_a_folder_that_may_not_be_written_to_is_removed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "staging" / "closed"
    closed.mkdir(parents=True)
    (closed / "file").write_text("")
    closed.chmod(0o500)
    refusals = iter([True])
    rmtree = target.shutil.rmtree

    def once_refused(folder: Path) -> None:
        # Root may remove anything, so the refusal of the kernel is what is replaced.
        if next(refusals, False):
            raise PermissionError
        rmtree(folder)

    monkeypatch.setattr(target.shutil, "rmtree", once_refused)
    target.remove(tmp_path / "staging")
    assert not (tmp_path / "staging").exists()


def test_nothing_left_behind_needs_no_recovery(tmp_path: Path) -> None:
    assert recover(tmp_path / "env") == ""


def test_recovery_removes_what_was_half_done_and_keeps_the_environment(tmp_path: Path) -> None:
    place = environment(tmp_path / "env")
    environment(staging_folder(place) / "new")
    (staging_folder(place) / ".made-by-mmsetup").touch()
    assert "removed" in recover(place)
    assert not staging_folder(place).exists()
    assert (place / "pyvenv.cfg").exists()


def test_recovery_puts_the_environment_back_that_was_moved_away(tmp_path: Path) -> None:
    place = tmp_path / "env"
    (environment(staging_folder(place) / "old") / "mark").write_text("before")
    environment(staging_folder(place) / "new")
    (staging_folder(place) / ".made-by-mmsetup").touch()
    assert "put back" in recover(place)
    assert (place / "mark").read_text() == "before"
    assert not staging_folder(place).exists()


@pytest.mark.parametrize("with_kernel", [True, False])
def test_the_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_kernel: bool) -> None:
    if not with_kernel:
        monkeypatch.setattr(target, "_exchange", lambda *_: False)
    place = environment(tmp_path / "env")
    (place / "mark").write_text("before")
    new = environment(staging_folder(place) / "new")
    (new / "mark").write_text("after")
    (staging_folder(place) / ".made-by-mmsetup").touch()
    swap(new, place)
    assert (place / "mark").read_text() == "after"
    recover(place)
    assert (place / "mark").read_text() == "after"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "state") == ["env"]


def test_a_new_environment_takes_the_place_of_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    new = environment(tmp_path / "env.mmsetup" / "new")
    swap(new, tmp_path / "env")
    assert (tmp_path / "env" / "pyvenv.cfg").exists()


def test_one_holds_a_target_and_the_other_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    with held(tmp_path / "env", wait=True, told=told.append):
        with (
            pytest.raises(BusyError, match=f"process {os.getpid()}"),
            held(tmp_path / "env", wait=False, told=told.append),
        ):
            pass
        with held(tmp_path / "other", wait=False, told=told.append):
            pass
    assert told == []
    with held(tmp_path / "env", wait=False, told=told.append):
        pass
