"""Plan for interpreters that are here, that were named by their path, or that uv has to fetch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from mmsetup import uv
from mmsetup.catalog import Catalog, Page, read_pages
from mmsetup.errors import InterpreterError, TargetError
from mmsetup.plan.choose import plan
from mmsetup.plan.model import Plan
from mmsetup.plan.request import Request, starts
from mmsetup.probe import environment
from mmsetup.probe.machine import Interpreter, Machine

__all__ = ["planned"]

_SECONDS_FOR_PAGES = 2.0


def planned(
    request: Request, machine: Machine, catalog: Catalog, *, fetch_python: bool
) -> tuple[Plan, Machine]:
    """Plan, and have uv fetch the interpreter where the plan needs one; give the machine with it.

    Where none can be fetched (with ``fetch_python``), the plan is made again for the interpreters that are
    here.

    Raises:
        RequestError, InterpreterError, NoPlanError: as :func:`mmsetup.plan.plan`.
    """
    if request.wants_path:
        asked = _named(Path(request.python).expanduser())
        request = replace(request, python=str(asked.path))
        machine = replace(machine, interpreters=(asked, *machine.interpreters))
    ask = _Asking(_SECONDS_FOR_PAGES)
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


def _named(path: Path) -> Interpreter:
    try:
        return environment(path.absolute()).interpreter
    except TargetError as error:
        raise InterpreterError(
            f"--python {path}: {error}",
            evidence=error.evidence,
            remedy="mmsetup probe  # lists the interpreters that are here",
        ) from error


class _Asking:
    """Reads pages and remembers them, so that a second plan neither asks twice nor takes more time."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._known: dict[str, Page] = {}

    def __call__(self, urls: Iterable[str]) -> Mapping[str, Page]:
        wanted = list(urls)
        new = [url for url in wanted if url not in self._known]
        if new:
            began = time.monotonic()
            self._known.update(read_pages(new, seconds=max(0.0, self._left)))
            self._left -= time.monotonic() - began
        return {url: self._known[url] for url in wanted}
