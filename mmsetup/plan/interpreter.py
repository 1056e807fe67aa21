"""Plan for interpreters that are here, that were named by their path, or that uv has to fetch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from mmsetup import uv
from mmsetup.catalog import Catalog
from mmsetup.catalog.pages import Page
from mmsetup.errors import InterpreterError, TargetError
from mmsetup.plan.asking import asking
from mmsetup.plan.choose import Ask, plan
from mmsetup.plan.model import Plan
from mmsetup.plan.request import Request, starts
from mmsetup.probe import environment
from mmsetup.probe.machine import Interpreter, Machine

__all__ = ["planned"]


def planned(
    request: Request,
    machine: Machine,
    catalog: Catalog,
    *,
    fetch_python: bool,
    passing_over: Mapping[str, str] | None = None,
) -> tuple[Plan, Machine]:
    """Plan, and have uv fetch the interpreter where the plan needs one; give the machine with it.

    Where none can be fetched (with ``fetch_python``), the plan is made again for the interpreters that are
    here. ``passing_over`` says of pages, by address as shown, why the ops that they list are not taken.

    Raises:
        RequestError, InterpreterError, NoPlanError: as :func:`mmsetup.plan.plan`.
    """
    if request.wants_path:
        asked = _named(Path(request.python).expanduser())
        request = replace(request, python=str(asked.path))
        machine = replace(machine, interpreters=(asked, *machine.interpreters))
    ask = _passing_over(passing_over or {}, asking(offline=request.offline))
    made = plan(machine, catalog, request, ask=ask)
    if made.interpreter is not None or not fetch_python:
        return made, machine
    wanted = request.python if starts(request.python, made.python) else made.python
    try:
        fetched = environment(uv.fetch_interpreter(wanted)).interpreter
    except InterpreterError as error:
        if request.python or not machine.interpreters:
            raise
        made = plan(machine, catalog, replace(request, may_fetch_python=False), ask=ask)
        note = f"{error}; planned for one that is here"
        return replace(made, notes=(*made.notes, note)), machine
    return replace(made, interpreter=fetched), replace(machine, interpreters=(fetched, *machine.interpreters))


def _passing_over(reasons: Mapping[str, str], ask: Ask) -> Ask:
    def ask_and_remark(urls: Iterable[str]) -> Mapping[str, Page]:
        answers = ask(urls)
        return {
            url: replace(page, passed_over=reasons.get(page.shown_url, "")) for url, page in answers.items()
        }

    return ask_and_remark if reasons else ask


def _named(path: Path) -> Interpreter:
    try:
        return environment(path.absolute()).interpreter
    except TargetError as error:
        raise InterpreterError(
            f"--python {path}: {error}",
            evidence=error.evidence,
            remedy="mmsetup probe  # lists the interpreters that are here",
        ) from error
