"""The target folder: what may be replaced, what a killed run left, and the exchange itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmsetup.errors import BusyError, TargetError
from mmsetup.install import target
from mmsetup.install.target import examine, held, recover, staging_folder, swap


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


def test_nothing_left_behind_needs_no_recovery(tmp_path: Path) -> None:
    assert recover(tmp_path / "env") == ""


def test_recovery_removes_what_was_half_done_and_keeps_the_environment(tmp_path: Path) -> None:
    place = environment(tmp_path / "env")
    environment(staging_folder(place) / "new")
    assert "removed" in recover(place)
    assert not staging_folder(place).exists()
    assert (place / "pyvenv.cfg").exists()


def test_recovery_puts_the_environment_back_that_was_moved_away(tmp_path: Path) -> None:
    place = tmp_path / "env"
    (environment(staging_folder(place) / "old") / "mark").write_text("before")
    environment(staging_folder(place) / "new")
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
