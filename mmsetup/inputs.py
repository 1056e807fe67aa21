"""What the road starts from: a lockfile or a plan, and the interpreter for it."""

from __future__ import annotations

import shlex
from pathlib import Path

from mmsetup import uv
from mmsetup.catalog import Catalog, Family
from mmsetup.errors import InterpreterError, LockError, RequestError
from mmsetup.lock import Lock, read
from mmsetup.plan import Plan, Request
from mmsetup.probe import environment
from mmsetup.probe.machine import Interpreter, Machine

__all__ = ["chosen_interpreter", "family_of", "given_lock", "interpreter_for"]


def given_lock(
    lock_file: Path | None, request: Request, catalog: Catalog, *, command: str = "install"
) -> Lock | None:
    """Read the lockfile that takes the place of a plan, and refuse wishes that it leaves no room for.

    ``command`` is the one that was given, for what is said to mend it.

    Raises:
        LockError: it cannot be read, or pins not all that its family is made of.
        RequestError: versions were asked for beside it, or a build that it needs was excluded.
    """
    if lock_file is None:
        return None
    free = Request(
        may_build=request.may_build,
        may_fetch_python=request.may_fetch_python,
        offline=request.offline,
        mirrors=request.mirrors,
        trusts_catalog=request.trusts_catalog,
    )
    if request != free:
        raise RequestError(
            f"{lock_file} says what is {'built' if command == 'build' else 'installed'}; a family, a version "
            "or a source beside it has no room",
            remedy=f"mmsetup {command} --lock {shlex.quote(str(lock_file))}",
        )
    given = read(lock_file)
    family = family_of(catalog, given.family)
    pinned = {package.name for package in given.packages}
    lacking = {"torch", family.ops.distribution} - pinned
    if lacking:
        raise LockError(
            f"{lock_file} does not pin {', '.join(sorted(lacking))}",
            remedy="mmsetup lock  # writes a new one",
        )
    if given.build is not None and not request.may_build:
        raise RequestError(
            f"{lock_file} has {given.build.name} built from source, and --no-build excludes that",
            remedy=f"mmsetup {command} --lock {shlex.quote(str(lock_file))}",
        )
    return given


def interpreter_for(given: Lock, machine: Machine, *, offline: bool) -> Interpreter:
    """Give the interpreter to install a lock with: one with headers first; uv fetches one where none is here.

    Raises:
        LockError: the lock is for another platform.
        InterpreterError: none is here and none can be fetched.
    """
    here = f"{machine.os.name}-{machine.cpu.architecture}"
    if given.platform != here:
        raise LockError(f"the lock is for {given.platform}, this machine is {here}", remedy="mmsetup lock")
    fitting = [
        found
        for found in machine.interpreters
        if found.minor == given.python and found.implementation == "cpython" and not found.free_threaded
    ]
    fitting.sort(key=lambda found: found.has_headers, reverse=True)
    if fitting:
        return fitting[0]
    if offline:
        raise InterpreterError(
            f"the lock needs Python {given.python}, which is not here", remedy=f"pyenv install {given.python}"
        )
    return environment(uv.fetch_interpreter(given.python)).interpreter


def chosen_interpreter(made: Plan) -> Interpreter:
    """Give the interpreter that a plan names.

    Raises:
        InterpreterError: it would have to be fetched.
    """
    if made.interpreter is None:
        raise InterpreterError(
            f"the plan needs Python {made.python}, which is not here",
            remedy=f"uv python install {made.python}  # or leave --offline away",
        )
    return made.interpreter


def family_of(catalog: Catalog, name: str) -> Family:
    """Give the family that a plan or a lock is for.

    Raises:
        LockError: the catalogue does not know it.
    """
    family = catalog.family(name)
    if family is None:
        raise LockError(f"the lock is for a family {name!r} that is not known", remedy="mmsetup lock")
    return family
