"""Choose one version of everything: sift by what is known, ask the pages that matter, take the best left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice

from mmsetup.catalog import Catalog, Page, read_pages
from mmsetup.errors import InterpreterError
from mmsetup.plan.account import account
from mmsetup.plan.candidate import DEFAULT_INDEX, Candidate, Situation
from mmsetup.plan.model import Plan
from mmsetup.plan.offers import page_address
from mmsetup.plan.refusal import refusal
from mmsetup.plan.request import Request, checked
from mmsetup.plan.selection import listed, ranked
from mmsetup.probe.machine import Machine

__all__ = ["Ask", "plan"]

_MOST_PAGES = 16
Ask = Callable[[Iterable[str]], Mapping[str, Page]]


def plan(machine: Machine, catalog: Catalog, request: Request, *, ask: Ask = read_pages) -> Plan:
    """Choose one version of everything for a machine.

    ``ask`` reads the live pages, all at once and within two seconds; with ``request.offline`` it is not
    called.

    Raises:
        RequestError, InterpreterError: the request makes no sense (see :func:`mmsetup.plan.request.checked`).
            NoPlanError: nothing fits; ``evidence`` holds the nearest sets with the rules that exclude them,
            and the wishes that could be given up.
    """
    family = checked(request, catalog)
    _check_interpreter(machine, request)
    before = Situation(machine, catalog, family, request, {})
    passed, impossible = ranked(before)
    addresses = (
        [] if request.offline else list(islice(dict.fromkeys(_addresses(passed, before)), _MOST_PAGES))
    )
    situation = replace(before, pages=ask(addresses) if addresses else {})
    possible, unlisted = listed(passed, situation)
    if not possible:
        raise refusal(situation)
    return account(possible[0], situation, (*unlisted, *impossible))


def _check_interpreter(machine: Machine, request: Request) -> None:
    if request.wants_path and all(str(found.path) != request.python for found in machine.interpreters):
        raise InterpreterError(
            f"{request.python} is not a Python that can be run",
            remedy="mmsetup probe  # lists the interpreters that are here",
        )


def _addresses(passed: Iterable[Candidate], situation: Situation) -> Iterator[str]:
    catalog, mirrors = situation.catalog, situation.request.mirrors
    ops = situation.family.ops.distribution
    documented = {(group.variant, str(group.torch)) for group in catalog.wheels if group.distribution == ops}
    sources = {source.name: source for source in catalog.sources}
    for candidate in passed:
        wanted: list[tuple[str, str]] = []
        known = (candidate.variant, candidate.series) in documented
        if not candidate.is_built and (known or candidate.ops_source in mirrors):
            wanted.append((candidate.ops_source, ops))
        if candidate.torch_source != DEFAULT_INDEX:
            wanted.extend((candidate.torch_source, name) for name, _ in candidate.torch_files)
        for source_name, name in wanted:
            yield page_address(
                sources[source_name],
                mirrors,
                variant=candidate.variant,
                series=candidate.series,
                distribution=name,
            )
