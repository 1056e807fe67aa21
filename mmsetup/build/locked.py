"""Build what a lock says is built."""

from __future__ import annotations

import os
from pathlib import Path

from mmsetup.build.build import build
from mmsetup.build.cache import BuiltWheel, find
from mmsetup.build.label import local_part
from mmsetup.build.patching import locked_patches
from mmsetup.build.preflight import Toolchain, check, os_identity
from mmsetup.build.recipe import UNITS, Recipe, key
from mmsetup.build.sdist import fetch
from mmsetup.build.toolkit import gpu_build, with_nvcc
from mmsetup.catalog import Catalog
from mmsetup.catalog.builds import core_seconds, keep_apart
from mmsetup.catalog.patches import Patch
from mmsetup.errors import IntegrityError, LockError
from mmsetup.lock import Lock, LockedBuild, source_distribution
from mmsetup.lock.model import requirement_lines
from mmsetup.paths import cache_folder
from mmsetup.plan import Plan
from mmsetup.probe.machine import Interpreter, Machine
from mmsetup.progress import Progress

__all__ = ["build_locked", "is_kept", "preflight", "recipe_of"]


def preflight(source: Plan | Lock, interpreter: Interpreter, machine: Machine, catalog: Catalog) -> Toolchain:
    """Check, before anything is downloaded, that this machine can build what a plan or a lock says is built.

    Raises:
        ToolchainError, DiskSpaceError: as :func:`mmsetup.build.preflight.check`, and for GPUs as
            :func:`mmsetup.build.toolkit.with_nvcc`.
    """
    gpus = gpu_build(source, catalog)
    toolchain = check(machine, interpreter, folder=cache_folder("builds"), gpu=gpus is not None)
    if gpus is None:
        return toolchain
    return with_nvcc(toolchain, gpus, machine, catalog, variables=os.environ, identity=os_identity())


def build_locked(
    lock: Lock,
    interpreter: Interpreter,
    machine: Machine,
    catalog: Catalog,
    *,
    progress: Progress,
    offline: bool = False,
    local: str | None = None,
) -> BuiltWheel:
    """Give the wheel of the lock's build, from the cache or built now; ``offline``: without any download.

    ``local`` is what was asked for as the local part of its version; where nothing was, it names the pair.

    Raises:
        LockError: the lock builds nothing, or with patches that the catalogue does not have.
        RequestError: ``local`` is no local version part, or names another pair.
        BuildError, ToolchainError, DiskSpaceError, IntegrityError, NetworkError: as the steps tell.
    """
    if lock.build is None:
        raise LockError("nothing is built in this lock: its wheels are prebuilt")
    toolchain = preflight(lock, interpreter, machine, catalog)
    patches = locked_patches(lock, lock.build.name, catalog)
    recipe = recipe_of(lock, lock.build, interpreter, machine, toolchain, patches=patches, local=local)
    kept = find(key(recipe))
    if kept is not None:
        return kept
    sdist = _sdist(lock, lock.build, interpreter.path, progress, offline=offline)
    gpus = sum(name.startswith("sm_") for name in recipe.architectures)
    usual = core_seconds(recipe.distribution, recipe.version, gpus) if gpus else None
    return build(
        recipe, sdist=sdist, toolchain=toolchain, progress=progress, core_seconds=usual, offline=offline
    )


def is_kept(
    lock: Lock, interpreter: Interpreter, machine: Machine, catalog: Catalog, *, local: str | None = None
) -> bool:
    """Tell whether the wheel that :func:`build_locked` would give is in the cache.

    Raises:
        LockError, RequestError, ToolchainError, DiskSpaceError: as :func:`build_locked`.
    """
    if lock.build is None:
        return False
    toolchain = preflight(lock, interpreter, machine, catalog)
    patches = locked_patches(lock, lock.build.name, catalog)
    recipe = recipe_of(lock, lock.build, interpreter, machine, toolchain, patches=patches, local=local)
    return find(key(recipe)) is not None


def recipe_of(
    lock: Lock,
    locked: LockedBuild,
    interpreter: Interpreter,
    machine: Machine,
    toolchain: Toolchain,
    *,
    patches: tuple[Patch, ...] = (),
    local: str | None = None,
) -> Recipe:
    """Give the recipe of a lock's build on this machine; ``local`` as for :func:`build_locked`.

    Raises:
        RequestError: ``local`` is no local version part, or names another pair.
    """
    libc, torch = machine.libc, lock.package("torch").version
    return Recipe(
        distribution=locked.name,
        version=locked.version,
        sdist_sha256=lock.package(locked.name).files[0].sha256,
        python=interpreter,
        torch=torch,
        variant=lock.variant,
        requirements=tuple(requirement_lines(locked.requires)),
        environment={**locked.environment, "FORCE_CUDA": "1" if locked.with_cuda else "0"},
        architectures=locked.architectures,
        compiler=toolchain.compiler,
        flags=(),
        patches=patches,
        libc=f"{libc.name} {libc.version}" if libc else "",
        way=UNITS,
        apart=keep_apart(locked.name, locked.version),
        local=local_part(local, torch, lock.variant),
        toolkit=toolchain.nvcc,
    )


def _sdist(lock: Lock, locked: LockedBuild, python: Path, progress: Progress, *, offline: bool) -> Path:
    file = lock.package(locked.name).files[0]
    if not file.url:
        # The requirements form knows the hash and not the place.
        found = source_distribution(locked.name, locked.version, python, offline=offline)
        if found.sha256 != file.sha256:
            raise IntegrityError(
                f"the index has {found.filename} with sha256 {found.sha256}, the lock says {file.sha256}",
                remedy="mmsetup lock  # if the change is expected; otherwise ask who changed the file",
            )
        file = found
    return fetch(file.url, file.sha256, progress=progress, offline=offline)
