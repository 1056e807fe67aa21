"""Where mmsetup keeps what it makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsetup import paths
from mmsetup.errors import TargetError


def test_the_two_folders_can_be_moved_and_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMSETUP_CACHE_DIR", str(tmp_path / "c"))
    monkeypatch.setenv("MMSETUP_STATE_DIR", str(tmp_path / "s"))
    assert paths.cache_folder("a", "b") == tmp_path / "c" / "a" / "b"
    assert paths.state_folder("logs").is_dir()


@pytest.mark.parametrize(
    ("variable", "folder"),
    [("MMSETUP_CACHE_DIR", paths.cache_folder), ("MMSETUP_STATE_DIR", paths.state_folder)],
)
def test_one_that_cannot_be_made_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, folder
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    with pytest.raises(TargetError, match="cannot be made") as caught:
        folder("below")
    assert variable in caught.value.remedy


def test_the_lock_of_a_target_is_the_same_for_every_spelling_of_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMSETUP_STATE_DIR", str(tmp_path / "s"))
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    spellings = (tmp_path / "real", tmp_path / "link" / ".." / "real", tmp_path / "real" / ".")
    assert len({paths.target_lock(spelling.resolve()) for spelling in spellings}) == 1
    assert paths.target_lock(tmp_path / "real") != paths.target_lock(tmp_path / "other")
