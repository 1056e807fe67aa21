"""The sha256 of files, and disks that cannot be written to."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from mmsetup.errors import DiskSpaceError, IntegrityError, TargetError
from mmsetup.files import copy, refuse_unwritable, refuse_unwritable_file, sha256, write_whole, writing


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 21) + 7])
def test_the_sha256_of_a_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    assert sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_full_disk() -> None:
    with (
        pytest.raises(DiskSpaceError, match="cannot write to the log: No space left") as caught,
        writing("the log", remedy="make room"),
        Path("/dev/full").open("wb", buffering=0) as file,
    ):
        file.write(b"x")
    assert caught.value.remedy == "make room"


def test_the_file_that_the_system_names_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(TargetError, match=r"cannot write to .*absent/file: No such file"),
        writing(tmp_path, remedy=""),
    ):
        (tmp_path / "absent" / "file").write_text("x")


def test_an_error_without_words_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no usable folder"), writing(tmp_path, remedy=""):
        raise OSError("no usable folder")
    with pytest.raises(DiskSpaceError, match=os.strerror(errno.EDQUOT)), writing(tmp_path, remedy=""):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="damaged"), writing(tmp_path, remedy=""):
        raise IntegrityError("damaged")


def test_a_copy_takes_the_place_of_what_was_there_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    source, target = tmp_path / "wheel", tmp_path / "deep" / "er" / "wheel"
    source.write_text("new")
    source.chmod(0o600)
    copy(source, target)
    target.write_text("old")
    copy(source, target)
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert [path.name for path in target.parent.iterdir()] == ["wheel"]
    copy(target, target)
    assert target.read_text() == "new"


def test_a_copy_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "wheel"
    target.write_text("old")
    with pytest.raises(TargetError, match="No such file") as caught:
        copy(tmp_path / "absent", target)
    assert caught.value.remedy == f"take it from {tmp_path / 'absent'}"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_folder_in_which_nothing_can_be_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_unwritable(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("file", "file/below", "dangling"):
        with pytest.raises(TargetError, match="is no folder"):
            refuse_unwritable(tmp_path / name)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(TargetError, match="cannot be written to"):
        refuse_unwritable(tmp_path / "new")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError, match=f"nothing can be put into out: {tmp_path} cannot"):
        refuse_unwritable(Path("out"))


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def test_a_file_is_written_whole_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    write_whole(link, "new", remedy="")
    assert (real.read_text(), link.is_symlink()) == ("new", True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_what_is_no_plain_file_is_written_into_and_not_replaced(tmp_path: Path) -> None:
    write_whole(Path("/dev/null"), "text", remedy="")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(DiskSpaceError, match="cannot write to /dev/full: No space left"):
        write_whole(Path("/dev/full"), "text", remedy="")


def test_the_message_names_the_file_that_was_given(tmp_path: Path) -> None:
    # The name is as long as one may be, and that of the file beside it is longer.
    place = tmp_path / ("x" * 255)
    with pytest.raises(TargetError, match=f"cannot write to {place}: File name too long") as caught:
        write_whole(place, "text", remedy="a shorter name")
    assert caught.value.remedy == "a shorter name"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "why"), [("", "it is a folder"), ("no/file", "there is no folder"), ("shut/file", "Permission")]
)
def test_a_file_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    (tmp_path / "shut").mkdir(0o500)
    # What root may do is no measure of what the mode allows.
    monkeypatch.setattr(os, "access", lambda path, _: bool(Path(path).stat().st_mode & 0o200))
    with pytest.raises(TargetError, match=why):
        refuse_unwritable_file(tmp_path / name, remedy="")
    refuse_unwritable_file(tmp_path / "file", remedy="")
