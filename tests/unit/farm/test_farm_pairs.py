"""What a wheel was built for: told by its name, recipe, cache entry or folder, and never guessed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mmsetup.errors import IntegrityError
from mmsetup.farm.pairs import Pair, pair_of, stated_pair

CU117, CPU = Pair(1, 13, "cu117"), Pair(2, 10, "cpu")


@pytest.mark.parametrize(
    ("local", "pair"),
    [
        ("pt1.13.1cu117", CU117),
        ("pt1.13cu117", CU117),
        ("torch1.13.1.cu117", CU117),
        ("sm90.pt1.13.1cu117", CU117),
        ("pt2.10.0cpu", CPU),
        ("pt2.1.2cu121", Pair(2, 1, "cu121")),
    ],
)
def test_the_local_part_tells_it(local, pair, wheel):
    assert pair_of(wheel(version=f"1.7.2+{local}")) == pair


@pytest.mark.parametrize("local", ["cu117", "pt1.13.1", "pt1cu117", "mine", "pt1.13.1rocm5"])
def test_a_local_part_that_tells_half_of_it_tells_nothing(local, wheel):
    with pytest.raises(IntegrityError, match="nothing tells which torch"):
        pair_of(wheel(version=f"1.7.2+{local}"))


@pytest.mark.parametrize(
    ("place", "pair"),
    [
        ("cu117/torch1.13.0", CU117),
        ("cu117/torch1.13", CU117),
        ("mmcv/dist/cu117/torch1.13.1", CU117),
        ("cu117-torch1.13.1/more", CU117),
        ("cu118/torch2.0.0/cu117/torch1.13.0", CU117),
        ("cpu/torch2.10.0", CPU),
    ],
)
def test_the_innermost_folder_tells_it(place, pair, wheel, farm):
    assert pair_of(wheel(place), farm) == pair


@pytest.mark.parametrize("place", ["", "cu117", "torch1.13.0", "cu117/x/torch1.13.0", "xcu117/torch1.13.0"])
def test_a_folder_of_another_form_tells_nothing(place, wheel, farm):
    with pytest.raises(IntegrityError, match="nothing tells which torch") as caught:
        pair_of(wheel(place), farm)
    assert "mkdir -p cu117/torch" in caught.value.remedy


def test_folders_above_the_farm_tell_nothing(wheel, farm):
    path = wheel("cu117/torch1.13.0")
    with pytest.raises(IntegrityError):
        pair_of(path, path.parent)


@pytest.mark.parametrize("within", [False, True])
def test_the_recipe_inside_tells_it(within, wheel):
    recipe = {"torch": "1.13.1", "variant": "cu117"}
    content = json.dumps({"schema": 1, "recipe": recipe} if within else {"schema": 1, **recipe})
    assert pair_of(wheel(files={"{info}/mmsetup.json": content, "{info}/direct_url.json": "{}"})) == CU117


@pytest.mark.parametrize(
    "content",
    ["[]", "{", '{"torch": 1.13, "variant": "cu117"}', '{"torch": "", "variant": ""}', "[" * 100_000, "null"],
)
def test_other_json_inside_tells_nothing(content, wheel):
    with pytest.raises(IntegrityError, match="nothing tells which torch"):
        pair_of(wheel(files={"{info}/mmsetup.json": content}))


def entry(path: Path, **more: object) -> None:
    known = {"wheel": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **more}
    (path.parent / "entry.json").write_text(json.dumps(known))


def test_the_entry_of_the_cache_tells_it_of_its_own_wheel_alone(wheel):
    path = wheel()
    recipe = {"torch": "1.13.1", "variant": "cu117"}
    entry(path, recipe=recipe)
    assert pair_of(path) == CU117
    entry(path, recipe=recipe, sha256="00")
    with pytest.raises(IntegrityError):
        pair_of(path)
    (path.parent / "entry.json").write_text("[]")
    with pytest.raises(IntegrityError):
        pair_of(path)


@pytest.mark.parametrize("place", ["cu118/torch1.13.0", "cu117/torch2.0.0"])
def test_a_folder_that_contradicts_the_name_is_refused(place, wheel, farm):
    with pytest.raises(IntegrityError, match=r"its version says torch 1\.13\.1 cu117, its folder says torch"):
        pair_of(wheel(place, version="1.7.2+pt1.13.1cu117"), farm)


def test_a_variant_alone_in_the_name_has_to_fit(wheel, farm):
    assert pair_of(wheel("cu117/torch1.13.0", version="1.7.2+cu117"), farm) == CU117
    with pytest.raises(IntegrityError, match=r"its version says cu118, its folder says torch 1\.13 cu117"):
        pair_of(wheel("cu117/torch1.13.0", version="1.7.2+cu118"), farm)


def test_two_releases_of_one_series_contradict_each_other(wheel):
    recipe = json.dumps({"torch": "1.13.0", "variant": "cu117"})
    with pytest.raises(IntegrityError, match=r"its recipe says torch 1\.13\.0"):
        pair_of(wheel(version="1.7.2+pt1.13.1cu117", files={"{info}/mmsetup.json": recipe}))


def test_the_folder_stands_for_a_series(wheel, farm):
    assert pair_of(wheel("cu117/torch1.13.0", version="1.7.2+pt1.13.1cu117"), farm) == CU117


def test_what_a_request_states_in_full():
    assert stated_pair("1.13.1", "cu117") == CU117
    assert [stated_pair(*told) for told in (("1", "cu117"), ("", "cu117"), ("1.13.1", ""))] == [None] * 3
