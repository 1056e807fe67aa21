"""Source distributions that are what they should be, and others."""

from __future__ import annotations

import tarfile

import pytest

from mmsetup.build.unpack import unpack
from mmsetup.errors import IntegrityError, TargetError


def member(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def test_the_folder_inside_is_given(sdist, tmp_path):
    source = unpack(sdist({"sample-1.0/setup.py": b"x", "sample-1.0/a/b.c": b"y"}), tmp_path / "out")
    assert source.name == "sample-1.0"
    assert (source / "a" / "b.c").read_bytes() == b"y"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "sample-1.0/../../x", "sample-1.0\\x"])
def test_paths_that_lead_outside(sdist, tmp_path, name):
    with pytest.raises(IntegrityError, match="outside itself"):
        unpack(sdist({name: b"x"}), tmp_path / "out")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices(sdist, tmp_path, kind):
    with pytest.raises(IntegrityError, match="link or a device"):
        unpack(sdist({"sample-1.0/a": b""}, member("sample-1.0/b", kind, "/etc/passwd")), tmp_path / "out")


def test_an_archive_with_two_folders_or_none(sdist, tmp_path):
    with pytest.raises(IntegrityError, match="2 folders"):
        unpack(sdist({"one/a": b"", "two/b": b""}), tmp_path / "out")
    with pytest.raises(IntegrityError, match="0 folders"):
        unpack(sdist({}), tmp_path / "empty")


def test_a_cut_archive_and_another_file(sdist, tmp_path):
    path = sdist({"sample-1.0/a": bytes(range(256)) * 400})
    whole = path.read_bytes()
    for length in (0, 20, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(IntegrityError, match="not a usable source distribution"):
            unpack(path, tmp_path / f"cut{length}")
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(IntegrityError):
        unpack(path, tmp_path / "html")


def test_a_bomb_is_not_unpacked(sdist, tmp_path):
    huge = tarfile.TarInfo("sample-1.0/huge")
    path = sdist({"sample-1.0/a": b""}, huge)
    huge.size = 5 << 30
    with tarfile.open(path, "w:gz") as archive:
        archive.fileobj.write(huge.tobuf())
    with pytest.raises(IntegrityError, match="more than any source distribution"):
        unpack(path, tmp_path / "out")


def test_a_folder_that_cannot_be_written(sdist, tmp_path):
    place = tmp_path / "out"
    place.write_text("a file")
    with pytest.raises(TargetError, match=r"cannot write to .*out/sample-1\.0") as caught:
        unpack(sdist({"sample-1.0/a": b"x"}), place)
    assert "MMSETUP_CACHE_DIR" in caught.value.remedy
