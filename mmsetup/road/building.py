"""Make the wheel of the ops alone, for a plan or a lockfile, without any environment."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mmsetup.binary.architectures import runs_on
from mmsetup.build import BuiltWheel
from mmsetup.build.locked import build_locked, is_kept, preflight
from mmsetup.catalog import Catalog
from mmsetup.errors import LockError, MmsetupError, NetworkError, NoPlanError, RequestError
from mmsetup.files import copy, refuse_unwritable
from mmsetup.inputs import chosen_interpreter, family_of, given_lock, interpreter_for
from mmsetup.lock import Lock, lock
from mmsetup.plan import Plan, Request, planned
from mmsetup.probe.machine import Interpreter, Machine
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
    alone: bool = False,
    show: Callable[[Plan], None] = lambda _: None,
) -> BuiltWheel:
    """Give the wheel of the ops for a plan or a lockfile, built now or taken from the cache.

    With ``output`` it is copied into that folder. ``local`` is what was asked for as the local part of its
    version, ``none`` for none; where nothing was, it names the pair. ``alone``: ops that no release of the
    segmentation package accepts are built all the same. ``show`` is called with the plan before anything is
    done.

    Raises:
        LockError: the plan or the lock needs no build.
        RequestError: a GPU was asked for that the lock does not build for.
        TargetError: nothing could be put into ``output``, which is looked at first.
        MmsetupError: what the stages raise.
    """
    if output is not None:
        refuse_unwritable(output)
    locked = given_lock(lock_file, request, catalog, command="build")
    if locked is not None:
        _refuse_other_gpus(locked, machine)
        interpreter = interpreter_for(locked, machine, offline=request.offline)
    else:
        progress.stage("Choosing versions that belong together")
        made, machine = _planned(request, machine, catalog, progress, alone=alone)
        show(made)
        if not made.ops.is_built:
            raise LockError(
                f"nothing is to be built: {made.ops.source} has a wheel for this plan",
                remedy="mmsetup install  # takes it from there",
            )
        interpreter = chosen_interpreter(made)
        preflight(made, interpreter, machine, catalog)
        progress.stage("Pinning every file")
        locked = _locked(made, interpreter, machine, catalog, offline=request.offline, local=local)
    progress.stage("Building the compiled ops")
    built = build_locked(
        locked, interpreter, machine, catalog, progress=progress, offline=request.offline, local=local
    )
    progress.note(told(built))
    if output is None:
        return built
    copy(built.path, output / built.path.name)
    return replace(built, path=output / built.path.name)


def _locked(
    made: Plan,
    interpreter: Interpreter,
    machine: Machine,
    catalog: Catalog,
    *,
    offline: bool,
    local: str | None,
) -> Lock:
    """Pin a plan by what uv knows where that leads to a wheel that is there, else by the index."""
    family = family_of(catalog, made.family)
    if not offline:
        with contextlib.suppress(LockError, NetworkError):
            known = lock(made, family, name="default", offline=True)
            if is_kept(known, interpreter, machine, catalog, local=local):
                return known
    return lock(made, family, name="default", offline=offline)


def _refuse_other_gpus(locked: Lock, machine: Machine) -> None:
    """Refuse a wish for a GPU that a lock leaves no room for: what is compiled is what the lock says."""
    asked = [said for said in machine.overrides if said.startswith("--gpu ")]
    held = locked.build.architectures if locked.build is not None else ()
    sass = [name for name in held if name.startswith("sm_")]
    ptx = [name.replace("compute_", "sm_") for name in held if name.startswith("compute_")]
    wanted = [gpu.architecture for gpu in machine.gpus if gpu.architecture]
    if asked and locked.build is not None and not all(runs_on(one, sass, ptx) for one in wanted):
        raise RequestError(
            f"the lock builds for {', '.join(held) or 'the CPU alone'}, and {' '.join(asked)} asks for "
            f"{', '.join(wanted)}",
            remedy=f"mmsetup lock {' '.join(asked)}",
        )


def _planned(
    request: Request, machine: Machine, catalog: Catalog, progress: Progress, *, alone: bool
) -> tuple[Plan, Machine]:
    try:
        return planned(request, machine, catalog, fetch_python=not request.offline)
    except NoPlanError:
        member = family_of(catalog, request.family).member("segmentation")
        if not alone or member is None or member.distribution in request.without:
            raise
        others = replace(request, without=(*request.without, member.distribution))
        try:
            found = planned(others, machine, catalog, fetch_python=not request.offline)
        except MmsetupError:
            found = None
        if found is None:
            raise
        progress.note(f"{member.distribution} does not go with these ops: they are planned for other code")
        return found


def told(built: BuiltWheel) -> str:
    """Say in a line where the wheel came from and how long its build took."""
    if built.from_cache:
        return f"{built.path.name} was built before ({built.seconds:.0f} s then) and is taken from the cache"
    return f"{built.path.name} was built in {built.seconds:.0f} s"
