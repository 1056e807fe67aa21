"""Released wheels that are patched: another version, everything else as it was, and kept once."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from mmsetup.binary import wheel
from mmsetup.build import patched
from mmsetup.build.patched import patched_wheel
from mmsetup.build.wheel_writer import RECIPE_FILE
from mmsetup.catalog.patches import Edit, Patch
from mmsetup.errors import BuildError, IntegrityError

INFO = "mmsegmentation-1.2.2.dist-info"
GATE = "MMCV_MAX = '2.2.0'\n"
PATCH = Patch(
    "wider",
    {"mmsegmentation": SpecifierSet("==1.2.2")},
    "the gate admits more",
    "it works",
    ("tried",),
    (Edit("mmseg/__init__.py", "'2.2.0'", "'2.3.0'"),),
    asked=True,
)


def digest(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


@pytest.fixture
def released(tmp_path: Path) -> Path:
    contents = {
        "mmseg/__init__.py": GATE.encode(),
        "mmseg/.mim/tools/train.py": b"print()\n",
        f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: mmsegmentation\nVersion: 1.2.2\n\nVersion: text\n",
        f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{INFO}/top_level.txt": b"mmseg\n",
    }
    rows = [f"{name},{digest(content)},{len(content)}" for name, content in contents.items()]
    contents[f"{INFO}/RECORD"] = "\n".join([*rows, f"{INFO}/RECORD,,", ""]).encode()
    path = tmp_path / "mmsegmentation-1.2.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def member(path: Path, name: str) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read(name).decode()


def test_a_patched_wheel_says_so_and_is_sound(released: Path) -> None:
    made = patched_wheel(released, [PATCH])
    assert made.name == "mmsegmentation-1.2.2+patched-py3-none-any.whl"
    facts = wheel.inspect(made, expect=wheel.Expected("mmsegmentation", "1.2.2+patched"))
    assert facts.top_level == ("mmseg",)
    assert member(made, "mmseg/__init__.py") == "MMCV_MAX = '2.3.0'\n"
    assert member(made, "mmseg/.mim/tools/train.py") == "print()\n"
    info = "mmsegmentation-1.2.2+patched.dist-info"
    assert member(made, f"{info}/METADATA").endswith("Version: 1.2.2+patched\n\nVersion: text\n")
    told = json.loads(member(made, f"{info}/{RECIPE_FILE}"))
    assert told["patches"] == [{"name": "wider", "sha256": PATCH.sha256}]
    assert told["sha256"] == hashlib.sha256(released.read_bytes()).hexdigest()


def test_it_is_made_once_and_again_where_it_was_damaged(released: Path) -> None:
    made = patched_wheel(released, [PATCH])
    before, when = made.read_bytes(), made.stat().st_mtime_ns
    assert patched_wheel(released, [PATCH]) == made
    assert made.stat().st_mtime_ns == when
    damaged = bytearray(before)
    damaged[len(before) // 2] ^= 0xFF
    made.write_bytes(damaged)
    assert patched_wheel(released, [PATCH]).read_bytes() == before


def test_what_a_killed_process_left_is_removed_and_nothing_of_others(released: Path) -> None:
    made = patched_wheel(released, [PATCH])
    folder, key = made.parent.parent, made.parent.name
    made.unlink()
    for name in (f".{key}.abc", f".{'0' * 64}.abc"):
        (folder / name).mkdir()
        (folder / name / made.name).write_text("half")
    assert patched_wheel(released, [PATCH]) == made
    assert sorted(path.name for path in folder.iterdir()) == [f".{'0' * 64}.abc", key]


def test_of_several_at_once_one_makes_it(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one of them was given stays in its place while the others go on."""
    written = []
    write = patched._write

    def slowly(*given: Any) -> None:
        written.append(given)
        time.sleep(0.2)
        write(*given)

    monkeypatch.setattr(patched, "_write", slowly)
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda _: patched_wheel(released, [PATCH]), range(4)))
    assert len(made) == len(written) == 1


def test_another_patch_is_another_wheel(released: Path) -> None:
    other = replace(PATCH, edits=(replace(PATCH.edits[0], new="'2.4.0'"),))
    assert patched_wheel(released, [PATCH]) != patched_wheel(released, [other])


def test_a_patch_that_does_not_fit_leaves_nothing(released: Path, tmp_path: Path) -> None:
    other = replace(PATCH, edits=(replace(PATCH.edits[0], old="'1.8.0'"),))
    with pytest.raises(BuildError, match="the patch wider does not fit mmsegmentation 1"):
        patched_wheel(released, [PATCH, other])
    assert list((tmp_path / "cache" / "patched").iterdir()) == []


def test_what_is_no_sound_wheel_is_not_patched(released: Path) -> None:
    released.write_bytes(released.read_bytes()[:-40])
    with pytest.raises(IntegrityError):
        patched_wheel(released, [PATCH])
