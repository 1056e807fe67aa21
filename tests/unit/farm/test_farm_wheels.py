"""A farm's wheels are opened one by one, and what cannot be offered is refused by name, all at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmsetup.errors import IntegrityError, RequestError, TargetError
from mmsetup.farm import gather
from mmsetup.farm.pairs import Pair


def test_what_is_told_of_a_wheel(wheel, farm):
    path = wheel("cu117/torch1.13.0", python=">=3.7")
    (found,) = gather(farm)
    assert str(found.path) == "cu117/torch1.13.0/mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl"
    assert (found.pair, found.distribution, found.version) == (Pair(1, 13, "cu117"), "mmcv-full", "1.7.2")
    assert (found.requires_python, found.size) == (">=3.7", path.stat().st_size)
    assert found.is_for_cpu
    assert not found.tells_pair


def test_the_order_is_that_of_names_and_versions(wheel, farm):
    wheel("cu117/torch1.13.0", version="1.10.0")
    wheel("cu117/torch1.13.0", version="1.7.2")
    wheel("b", name="mmcv", version="2.1.0+pt2.1.2cpu")
    wheel("a", name="mmcv", version="2.1.0+pt2.1.2cu121")
    assert [(one.distribution, one.version) for one in gather(farm)] == [
        ("mmcv", "2.1.0+pt2.1.2cpu"),
        ("mmcv", "2.1.0+pt2.1.2cu121"),
        ("mmcv-full", "1.7.2"),
        ("mmcv-full", "1.10.0"),
    ]


def test_no_folder_and_an_empty_one(farm):
    with pytest.raises(RequestError, match="holds no wheel") as caught:
        gather(farm)
    assert caught.value.remedy.startswith(f"mmsetup build --output {farm}")
    with pytest.raises(TargetError, match="is no folder"):
        gather(farm / "absent")


def test_hidden_files_and_folders_are_passed_over(wheel, farm):
    path = wheel("cu117/torch1.13.0")
    wheel(".cu117/torch1.13.0")
    path.with_name(".half.whl").write_bytes(b"")
    assert len(gather(farm)) == 1


def test_every_fault_is_told_at_once_by_name(wheel, farm):
    wheel("cu117/torch1.13.0")
    wheel("lost")
    wheel("cu118/torch2.0.0", ops=False)
    wheel("cpu/torch2.0.0", version="1.7.1+pt2.0.1cu118")
    (farm / "cpu" / "no_zip-1.0-py3-none-any.whl").write_bytes(b"<html>")
    cut = wheel("cpu/torch2.1.0")
    cut.write_bytes(cut.read_bytes()[:-400])
    (farm / "cpu" / "no name.whl").write_bytes(b"")
    (farm / "cpu" / "gone-1.0-py3-none-any.whl").symlink_to("nowhere")
    with pytest.raises(IntegrityError, match="7 of 8 wheels in") as caught:
        gather(farm)
    told = dict(line.split(": ", 1) for line in caught.value.evidence)
    assert told["lost/mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl"].startswith("nothing tells which torch")
    assert told["cu118/torch2.0.0/mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl"] == "it holds no compiled ops"
    assert (
        "its folder says torch 2.0 cpu"
        in told["cpu/torch2.0.0/mmcv_full-1.7.1+pt2.0.1cu118-cp310-cp310-linux_x86_64.whl"]
    )
    assert "zip" in told["cpu/no_zip-1.0-py3-none-any.whl"]
    assert "zip" in told["cpu/torch2.1.0/mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl"]
    assert told["cpu/no name.whl"] == "its name has signs that no index can list"
    assert "No such file" in told["cpu/gone-1.0-py3-none-any.whl"]


def test_two_files_of_one_name_for_one_pair(wheel, farm):
    wheel("a/cu117/torch1.13.0", text="first")
    wheel("b/cu117/torch1.13.0", text="second")
    with pytest.raises(IntegrityError, match=r"b/cu117/.*: a/cu117/.* is another file of that name"):
        gather(farm)


def test_one_file_in_two_places(wheel, farm):
    wheel("a/cu117/torch1.13.0")
    wheel("b/cu117/torch1.13.0")
    assert len(gather(farm)) == 2


@pytest.mark.parametrize(
    "name",
    [
        'mmcv-1.0-cp310-cp310-"><script>.whl',
        "mmcv-1.0-cp310-cp310-a'b.whl",
        "mmcv-1.0-cp310-cp310-a#b.whl",
        "mmcv-1.0-cp310-cp310-a%2fb.whl",
        "mmcv-1.0-cp310-cp310-a\nb.whl",
        "mmcv-1.0-cp310-cp310-ä.whl",
    ],
)
def test_names_that_no_index_can_list_are_refused(name, wheel, farm):
    path = wheel("cu117/torch1.13.0")
    path.rename(path.with_name(name))
    with pytest.raises(IntegrityError, match="signs that no index can list") as caught:
        gather(farm)
    assert caught.value.evidence[0].isprintable()


def test_a_folder_with_a_line_break_is_refused(wheel, farm):
    wheel("two\nlines/cu117/torch1.13.0")
    with pytest.raises(IntegrityError, match="control characters"):
        gather(farm)


def test_a_folder_that_is_no_text_is_quoted(wheel, farm):
    wheel("x/cu117/torch1.13.0")
    (farm / "x").rename(farm / os.fsdecode(b"\xff"))
    (found,) = gather(farm)
    assert os.fsencode(Path(found.path)).startswith(b"\xff/")
