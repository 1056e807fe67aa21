"""The sha256 of files, and disks that cannot be written to."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from mmsetup.errors import DiskSpaceError, IntegrityError, TargetError
from mmsetup.files import sha256, writing


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
