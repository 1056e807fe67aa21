"""Make the wheel of the ops alone, for a plan or a lockfile, without any environment."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from mmsetup.build import BuiltWheel
from mmsetup.build.locked import build_locked, preflight
from mmsetup.catalog import Catalog
from mmsetup.errors import LockError, TargetError
from mmsetup.inputs import chosen_interpreter, family_of, given_lock, interpreter_for
from mmsetup.lock import lock
from mmsetup.plan import Request, planned
from mmsetup.probe.machine import Machine
from mmsetup.progress import Progress

__all__ = ["told", "wheel_for"]


def wheel_for(
    request: Request,
    machine: Machine,
    catalog: Catalog,
    *,
    lock_file: Path | None,
    output: Path | None,
    progress: Progress,
    local: str | None = None,
) -> BuiltWheel:
    """Give the wheel of the ops for a plan or a lockfile, built now or taken from the cache.

    With ``output`` it is copied into that folder. ``local`` is what was asked for as the local part of its
    version, ``none`` for none; where nothing was, it names the pair.

    Raises:
        LockError: the plan or the lock needs no build.
        MmsetupError: what the stages raise.
    """
    locked = given_lock(lock_file, request, catalog)
    if locked is not None:
        interpreter = interpreter_for(locked, machine, offline=request.offline)
    else:
        progress.stage("Choosing versions that belong together")
        made, machine = planned(request, machine, catalog, fetch_python=not request.offline)
        if not made.ops.is_built:
            raise LockError(
                f"nothing is to be built: {made.ops.source} has a wheel for this plan",
                remedy="mmsetup install  # takes it from there",
            )
        interpreter = chosen_interpreter(made)
        preflight(machine, interpreter)
        progress.stage("Pinning every file")
        locked = lock(made, family_of(catalog, made.family), name="default", offline=request.offline)
    progress.stage("Building the compiled ops")
    built = build_locked(
        locked, interpreter, machine, catalog, progress=progress, offline=request.offline, local=local
    )
    progress.note(told(built))
    if output is None:
        return built
    try:
        output.mkdir(parents=True, exist_ok=True)
        return replace(built, path=Path(shutil.copy(built.path, output)))
    except OSError as error:
        raise TargetError(
            f"the wheel cannot be copied to {output}: {error.strerror}", remedy=f"take it from {built.path}"
        ) from error


def told(built: BuiltWheel) -> str:
    """Say in a line where the wheel came from and how long its build took."""
    if built.from_cache:
        return f"{built.path.name} was built before ({built.seconds:.0f} s then) and is taken from the cache"
    return f"{built.path.name} was built in {built.seconds:.0f} s"
