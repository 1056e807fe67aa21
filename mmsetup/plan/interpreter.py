"""Plan for interpreters that are here, that were named by their path, or that uv has to fetch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mmsetup import uv
from mmsetup.catalog import Catalog
from mmsetup.errors import InterpreterError
from mmsetup.plan.choose import plan
from mmsetup.plan.model import Plan
from mmsetup.plan.request import Request
from mmsetup.probe import environment
from mmsetup.probe.machine import Machine

__all__ = ["planned"]


def planned(
    request: Request, machine: Machine, catalog: Catalog, *, fetch_python: bool
) -> tuple[Plan, Machine]:
    """Plan, and have uv fetch the interpreter where the plan needs one; give the machine with it.

    Where none can be fetched (with ``fetch_python``), the plan is made again for the interpreters that are here.

    Raises:
        RequestError, InterpreterError, NoPlanError: as :func:`mmsetup.plan.plan`.
    """
    if request.wants_path:
        asked = environment(Path(request.python).expanduser().absolute()).interpreter
        request = replace(request, python=str(asked.path))
        machine = replace(machine, interpreters=(asked, *machine.interpreters))
    made = plan(machine, catalog, request)
    if made.interpreter is not None or not fetch_python:
        return made, machine
    try:
        fetched = environment(uv.fetch_interpreter(made.python)).interpreter
    except InterpreterError as error:
        if not any(found.implementation == "cpython" for found in machine.interpreters):
            raise
        made = plan(machine, catalog, replace(request, may_fetch_python=False))
        note = f"{error}; planned for one that is here"
        return replace(made, notes=(*made.notes, note)), machine
    return replace(made, interpreter=fetched), replace(machine, interpreters=(fetched, *machine.interpreters))
