"""The cache of built wheels: one folder a key, complete or not there.

An entry is a folder with the wheel under its own name and ``entry.json``. It is written beside its place and
renamed into it, so that a process killed at any moment leaves at most a hidden folder, which the next one to
keep that key removes. Nothing in the cache is ever needed: what cannot be trusted is thrown away and built
again.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from packaging.utils import canonicalize_name

from mmsetup.build.recipe import PLAIN, Recipe, describe
from mmsetup.errors import BuildError
from mmsetup.files import CACHE_ELSEWHERE, STATE_ELSEWHERE, sha256, writing
from mmsetup.paths import cache_folder, state_folder
from mmsetup.progress import Progress

__all__ = ["BuiltWheel", "find", "keep", "last_seconds", "only_builder"]

_ENTRY = "entry.json"
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class BuiltWheel:
    """A wheel in the cache.

    ``seconds`` is how long its build took, whenever that was; ``jobs`` how many compilers ran at once.
    ``requires`` are the ``Requires-Dist`` lines of its metadata, which do not tell the whole truth: a plan
    must not rely on them. ``clashes`` tells which source files did not compile together although nothing said
    so before.
    """

    path: Path
    sha256: str
    key: str
    from_cache: bool
    seconds: float
    jobs: int
    requires: tuple[str, ...]
    clashes: tuple[str, ...] = ()


def find(key: str) -> BuiltWheel | None:
    """Give the wheel kept under ``key`` when it is there and whole; remove what is damaged.

    A damaged entry is left to the process that builds the same wheel at this moment: it replaces it.
    """
    folder = cache_folder("wheels") / key
    built = _read(folder, key)
    if built is None and folder.exists():
        with suppress(Timeout, OSError), _lock(key).acquire(timeout=0):
            built = _read(folder, key)
            if built is None:
                shutil.rmtree(folder, ignore_errors=True)
    return built


def keep(
    key: str,
    wheel: Path,
    recipe: Recipe,
    *,
    seconds: float,
    jobs: int,
    requires: tuple[str, ...],
    clashes: tuple[str, ...] = (),
) -> BuiltWheel:
    """Copy ``wheel`` into the cache under ``key``, at once or not at all, while holding :func:`only_builder`.

    Raises:
        DiskSpaceError, TargetError: the cache cannot be written.
        BuildError: what was written is not what is read back.
    """
    folder = cache_folder("wheels")
    for stale in folder.glob(f".{key}.*"):
        shutil.rmtree(stale, ignore_errors=True)
    with writing(folder, remedy=CACHE_ELSEWHERE):
        entry = {
            "schema": _SCHEMA,
            "wheel": wheel.name,
            "sha256": sha256(wheel),
            "seconds": round(seconds, 1),
            "jobs": jobs,
            "requires": list(requires),
            "clashes": list(clashes),
            "recipe": describe(recipe),
        }
        private = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=folder))
        try:
            shutil.copyfile(wheel, private / wheel.name)
            (private / _ENTRY).write_text(json.dumps(entry, indent=1), encoding="utf-8")
            for path in (private / wheel.name, private / _ENTRY, private):
                _sync(path)
            shutil.rmtree(folder / key, ignore_errors=True)
            private.rename(folder / key)
            _sync(folder)
        finally:
            shutil.rmtree(private, ignore_errors=True)
    found = find(key)
    if found is None:
        raise BuildError(f"{folder / key} did not keep what was written to it", remedy=CACHE_ELSEWHERE)
    return found


def last_seconds(distribution: str, version: str, *, gpus: int, way: str = PLAIN) -> float | None:
    """Give the seconds on one core of the newest kept build of this version in this way, or nothing.

    ``gpus`` is the number of architectures that it was for.
    """
    wanted = (canonicalize_name(distribution), version, gpus, way)
    kept = [
        found for path in cache_folder("wheels").glob(f"[!.]*/{_ENTRY}") if (found := _duration(path, wanted))
    ]
    return max(kept)[1] if kept else None


@contextmanager
def only_builder(key: str, progress: Progress) -> Iterator[None]:
    """Hold the right to build ``key``; another process that builds it is waited for, and told of.

    Raises:
        DiskSpaceError, TargetError: the lock file cannot be made.
    """
    lock = _lock(key)
    with writing(lock.lock_file, remedy=STATE_ELSEWHERE):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.note("another mmsetup is building the same wheel; waiting for it")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _lock(key: str) -> FileLock:
    return FileLock(state_folder("locks") / f"build-{key[:32]}.lock")


def _read(folder: Path, key: str) -> BuiltWheel | None:
    try:
        entry = json.loads((folder / _ENTRY).read_text(encoding="utf-8"))
        return _from_entry(folder, entry, key)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _from_entry(folder: Path, entry: dict[str, Any], key: str) -> BuiltWheel | None:
    wheel = folder / Path(entry["wheel"]).name
    if entry["schema"] != _SCHEMA or sha256(wheel) != entry["sha256"]:
        return None
    return BuiltWheel(
        path=wheel,
        sha256=str(entry["sha256"]),
        key=key,
        from_cache=True,
        seconds=float(entry["seconds"]),
        jobs=int(entry["jobs"]),
        requires=tuple(str(line) for line in entry["requires"]),
        clashes=tuple(str(line) for line in entry.get("clashes", ())),
    )


def _duration(path: Path, wanted: tuple[str, str, int, str]) -> tuple[float, float] | None:
    """Give when a build of ``wanted`` was kept at ``path``, and its seconds on one core."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
        recipe = entry["recipe"]
        what = (recipe["distribution"], recipe["version"], len(recipe["architectures"]))
        if (*what, recipe.get("way", PLAIN)) != wanted:
            return None
        return path.stat().st_mtime, float(entry["seconds"]) * int(entry["jobs"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
