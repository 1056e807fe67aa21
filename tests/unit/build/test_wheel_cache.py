"""The cache gives back what was kept, whole, or nothing."""

from __future__ import annotations

import json

import pytest

from mmsetup.build import cache
from mmsetup.errors import DiskSpaceError
from mmsetup.paths import cache_folder

KEY = "0123456789abcdef" * 4


@pytest.fixture
def kept(tmp_path, recipe):
    wheel = tmp_path / "mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl"
    wheel.write_bytes(b"a wheel" * 1000)
    return cache.keep(KEY, wheel, recipe, seconds=181.26, jobs=2, requires=("addict",))


def test_what_was_kept_is_found(kept):
    found = cache.find(KEY)
    assert found == kept
    assert found.from_cache
    assert found.path.read_bytes() == b"a wheel" * 1000
    assert (found.seconds, found.jobs, found.requires) == (181.3, 2, ("addict",))


def test_what_was_not_kept_is_not_found():
    assert cache.find(KEY) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: found.path.write_bytes(b"a wheel"),
        lambda found: found.path.unlink(),
        lambda found: (found.path.parent / "entry.json").write_text("{"),
        lambda found: (found.path.parent / "entry.json").write_text("[]"),
        lambda found: (found.path.parent / "entry.json").write_text('{"schema": 1, "wheel": "../x"}'),
        lambda found: (found.path.parent / "entry.json").unlink(),
    ],
    ids=["cut", "no wheel", "no json", "other json", "other wheel", "no entry"],
)
def test_a_damaged_entry_is_removed(kept, damage):
    damage(kept)
    assert cache.find(KEY) is None
    assert not (cache_folder("wheels") / KEY).exists()


def test_a_damaged_entry_is_left_to_its_builder(kept, recorder):
    kept.path.write_bytes(b"cut")
    with cache.only_builder(KEY, recorder):
        assert cache.find(KEY) is None
        assert kept.path.exists()
    assert cache.find(KEY) is None
    assert not kept.path.exists()


def test_an_entry_says_what_it_was_built_from(kept):
    entry = json.loads((kept.path.parent / "entry.json").read_text())
    assert entry["recipe"]["torch"] == "1.13.1"
    assert entry["recipe"]["python"]["version"] == "3.10"


def test_keeping_again_replaces_and_leaves_no_remains(kept, recipe, tmp_path):
    remains = cache_folder("wheels") / f".{KEY}.killed"
    remains.mkdir()
    other = tmp_path / kept.path.name
    other.write_bytes(b"another")
    assert cache.keep(KEY, other, recipe, seconds=1, jobs=1, requires=()).path.read_bytes() == b"another"
    assert [path.name for path in cache_folder("wheels").iterdir()] == [KEY]


def test_a_cache_that_cannot_be_written_is_told(tmp_path, recipe, monkeypatch):
    wheel = tmp_path / "x.whl"
    wheel.write_bytes(b"")
    folder = cache_folder("wheels")
    monkeypatch.setattr(
        cache.shutil, "copyfile", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(DiskSpaceError, match="No space left") as caught:
        cache.keep(KEY, wheel, recipe, seconds=1, jobs=1, requires=())
    assert "MMSETUP_CACHE_DIR" in caught.value.remedy
    assert cache.find(KEY) is None
    assert list(folder.iterdir()) == []


def test_the_last_duration_is_on_one_core(kept):
    assert cache.last_seconds("mmcv_full", "1.7.2", gpus=0) == pytest.approx(362.6)
    assert cache.last_seconds("mmcv-full", "1.7.2", gpus=1) is None
    assert cache.last_seconds("mmcv-full", "1.7.1", gpus=0) is None
    (kept.path.parent / "entry.json").write_text("{}")
    assert cache.last_seconds("mmcv-full", "1.7.2", gpus=0) is None
