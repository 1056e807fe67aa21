"""Pages on the disk: whole, no more than there should be, and never in the place of somebody else's."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path, PurePosixPath

import pytest

from mmsetup.errors import DiskSpaceError, TargetError
from mmsetup.farm import gather, publish

PAIR = "cu117/torch1.13.0"


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".whl"
    }


def test_what_is_written_is_what_is_told(wheel, farm):
    wheel(PAIR)
    written = publish(gather(farm), farm)
    assert sorted(content(farm)) == sorted(map(str, written.written))
    assert (written.unchanged, written.removed) == ((), ())


def test_the_same_wheels_elsewhere_give_the_same_bytes(wheel, farm, tmp_path):
    wheel(PAIR)
    wheel("other", version="1.7.1+pt2.0.1cu118", python=">=3.7")
    publish(gather(farm), farm)
    copy = tmp_path / "copy"
    for path in sorted(farm.rglob("*.whl"), reverse=True):
        place = copy / path.relative_to(farm)
        place.parent.mkdir(parents=True)
        shutil.copyfile(path, place)
    publish(gather(copy), copy)
    assert content(copy) == content(farm)


def test_what_is_right_already_is_not_touched(wheel, farm):
    wheel(PAIR)
    publish(gather(farm), farm)
    for path in farm.rglob("index.*"):
        os.utime(path, (0, 0))
    again = publish(gather(farm), farm)
    assert (again.written, len(again.unchanged)) == ((), 10)
    assert {path.stat().st_mtime for path in farm.rglob("index.*")} == {0}


def test_pages_of_wheels_that_are_gone_go(wheel, farm):
    wheel(PAIR)
    gone = wheel("other", name="mmcv", version="2.1.0+pt2.1.2cu121")
    before = publish(gather(farm), farm)
    gone.unlink()
    after = publish(gather(farm), farm)
    assert set(after.removed) == set(before.written) - set(after.unchanged) - set(after.written)
    assert PurePosixPath("mmcv/dist/cu121/torch2.1.0/index.html") in after.removed
    assert not (farm / "cu121-torch210").exists()
    assert not (farm / "mmcv/dist/cu121").exists()
    assert not (farm / "simple/mmcv").exists()


def test_pages_of_others_are_neither_replaced_nor_removed(wheel, farm):
    wheel(PAIR)
    for place in ("simple/numpy/index.html", "index.html", "notes/index.html"):
        (farm / place).parent.mkdir(parents=True, exist_ok=True)
        (farm / place).write_text("<html>mine</html>")
    publish(gather(farm), farm)
    page = farm / "mmcv/dist" / PAIR / "index.html"
    page.write_text("<html>mine</html>")
    before = content(farm)
    with pytest.raises(
        TargetError, match="pages that something else wrote, such as mmcv/dist/cu117"
    ) as caught:
        publish(gather(farm), farm)
    assert caught.value.remedy.startswith(f"mv {page} {page}.old")
    assert content(farm) == before


def test_pages_of_a_farm_within_the_farm_stay(wheel, farm):
    wheel("inner/" + PAIR)
    publish(gather(farm / "inner"), farm / "inner")
    before = content(farm / "inner")
    publish(gather(farm), farm)
    assert content(farm / "inner") == before


def test_pages_can_be_read_by_the_web_server(wheel, farm):
    wheel(PAIR)
    before = os.umask(0o022)
    try:
        publish(gather(farm), farm)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in farm.rglob("index.*")} == {0o644}


def test_a_place_that_cannot_be_written(wheel, farm):
    wheel(PAIR)
    (farm / "simple").write_text("in the way")
    with pytest.raises(TargetError, match=r"cannot write to .*simple"):
        publish(gather(farm), farm)


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EROFS, TargetError), (errno.EACCES, TargetError), (errno.ENOSPC, DiskSpaceError)],
)
def test_a_disk_that_refuses_leaves_the_old_pages(number, kind, wheel, farm, monkeypatch):
    wheel(PAIR)
    publish(gather(farm), farm)
    before = content(farm)
    wheel(PAIR, version="1.7.1")

    def refuse(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(kind, match="cannot write to"):
        publish(gather(farm), farm)
    assert content(farm) == before
