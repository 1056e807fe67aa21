"""Change released wheels of pure packages by patches, and keep the result under what it was made from.

The version gains the local part ``patched``, so that nobody takes the wheel for the released one, and
``mmsetup-recipe.json`` beside its metadata names the patches.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import parse_wheel_filename

from mmsetup.binary import wheel
from mmsetup.build.cache import only_builder
from mmsetup.build.patching import changed
from mmsetup.build.wheel_writer import RECIPE_FILE, WheelWriter, members, opened, with_version
from mmsetup.catalog.patches import Patch
from mmsetup.errors import IntegrityError
from mmsetup.files import CACHE_ELSEWHERE, sha256, writing
from mmsetup.paths import cache_folder
from mmsetup.progress import Silent

__all__ = ["LOCAL", "patched_wheel"]

LOCAL = "patched"
"""The local part of the version of a wheel that was patched."""

_SCHEMA = "mmsetup.patched/1"


def patched_wheel(released: Path, patches: Sequence[Patch]) -> Path:
    """Give the wheel that patches make of a released one, from the cache or made now.

    Another process that makes the same one is waited for; what one that was killed left behind is removed.

    Raises:
        IntegrityError: it is no wheel, or damaged.
        BuildError: a patch does not fit it.
        DiskSpaceError, TargetError: the cache cannot be written.
    """
    told = {
        "schema": _SCHEMA,
        "released": released.name,
        "sha256": sha256(released),
        "patches": [{"name": patch.name, "sha256": patch.sha256} for patch in patches],
    }
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    folder = cache_folder("patched")
    place = folder / key
    if kept := _kept(place):
        return kept
    wheel.inspect(released)
    with only_builder(key, Silent()):
        if kept := _kept(place):
            return kept
        for stale in folder.glob(f".{key}.*"):
            shutil.rmtree(stale, ignore_errors=True)
        with writing(folder, remedy=CACHE_ELSEWHERE):
            private = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=folder))
            try:
                _write(released, patches, private, told)
                shutil.rmtree(place, ignore_errors=True)
                private.rename(place)
            finally:
                shutil.rmtree(private, ignore_errors=True)
    made = _kept(place)
    if made is None:
        raise IntegrityError(f"{place} did not keep what was written to it", remedy=CACHE_ELSEWHERE)
    return made


def _kept(place: Path) -> Path | None:
    """Give the wheel in a folder of the cache when it is there and whole."""
    for path in place.glob("*.whl"):
        try:
            wheel.inspect(path)
        except IntegrityError:
            return None
        return path
    return None


def _write(released: Path, patches: Sequence[Patch], folder: Path, told: object) -> None:
    name, _, rest = released.name.partition("-")
    _, _, tags = rest.partition("-")
    _, public, _, _ = parse_wheel_filename(released.name)
    version = f"{public}+{LOCAL}"
    own = f"{name}-{version}.dist-info"
    with opened(released) as archive, zipfile.ZipFile(folder / f"{name}-{version}-{tags}", "w") as out:
        there = {member.filename: member for member in members(archive)}
        new = changed(patches, lambda file: archive.read(file) if file in there else None, f"{name} {public}")
        writer = WheelWriter(out)
        for path, member in there.items():
            top, _, below = path.partition("/")
            target = f"{own}/{below}" if top.endswith(".dist-info") else path
            if target == f"{own}/METADATA":
                writer.text(target, with_version(archive.read(member), version))
            elif path in new:
                writer.text(target, new[path])
            else:
                writer.copy(target, archive, member)
        writer.text(f"{own}/{RECIPE_FILE}", (json.dumps(told, indent=1) + "\n").encode())
        writer.record(f"{own}/RECORD")
