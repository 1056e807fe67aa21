"""Patch the packages that are installed from wheels and that the lock wants changed."""

from __future__ import annotations

from pathlib import Path

from mmsetup.build import fetch
from mmsetup.build.patched import patched_wheel
from mmsetup.build.patching import locked_patches
from mmsetup.catalog import Catalog
from mmsetup.install.openmim import located
from mmsetup.progress import Progress
from mmsetup.road.journey import Pinned

__all__ = ["packages_to_patch", "patched_wheels"]


def packages_to_patch(pinned: Pinned) -> tuple[str, ...]:
    """Give the packages whose wheels are patched; the source of one that is built is patched in its build."""
    building = pinned.lock.build.name if pinned.lock.build else ""
    patched = (patch.package for patch in pinned.lock.patches if patch.package != building)
    return tuple(dict.fromkeys(patched))


def patched_wheels(pinned: Pinned, catalog: Catalog, progress: Progress, *, offline: bool) -> dict[str, Path]:
    """Fetch those wheels and patch them; ``offline``: out of the cache.

    Raises:
        LockError: the catalogue does not have the patches of the lock.
        BuildError: a patch does not fit.
        NetworkError, IntegrityError: a wheel cannot be had, or is not the locked one.
    """
    found = {}
    for name in packages_to_patch(pinned):
        patches = locked_patches(pinned.lock, name, catalog)
        file = located(pinned.lock.package(name), pinned.interpreter.path, offline=offline)
        released = fetch(file.url, file.sha256, progress=progress, offline=offline)
        found[name] = patched_wheel(released, patches)
        for patch in patches:
            progress.note(f"{patch.name}: {patch.changes}")
    return found
