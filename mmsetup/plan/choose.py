"""Choose one version of everything: sift by what is known, ask the pages that matter, take the best left."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import combinations, islice

from mmsetup.catalog import Catalog
from mmsetup.catalog.pages import Page, read_pages
from mmsetup.errors import InterpreterError, NetworkError
from mmsetup.plan.account import account
from mmsetup.plan.model import Plan, Rejection
from mmsetup.plan.refusal import refusal
from mmsetup.plan.request import Request, settled
from mmsetup.plan.selection import Selection, Sifted
from mmsetup.plan.situation import Situation, host_of
from mmsetup.plan.vendor import with_integrated_gpu
from mmsetup.probe.machine import Gpu, Machine

__all__ = ["Ask", "choose", "plan"]

_PAGES_AT_ONCE = 24
_MOST_ROUNDS = 4
Ask = Callable[[Iterable[str]], Mapping[str, Page]]


def plan(machine: Machine, catalog: Catalog, request: Request, *, ask: Ask = read_pages) -> Plan:
    """Choose one version of everything for a machine.

    ``ask`` reads live pages, all that it is given at once; it may leave out what it knows nothing of. With
    ``request.offline`` it must answer without network.

    Raises:
        RequestError, InterpreterError: the request makes no sense (see :func:`mmsetup.plan.request.settled`).
            NetworkError: a proxy wants a password, or a mirror that was named is no index.
            NoPlanError: nothing fits; ``evidence`` holds the nearest sets with the rules that exclude them,
            and what would have to change.
    """
    situation, sifted = choose(machine, catalog, request, ask=ask)
    if not sifted.possible:
        raise refusal(situation)
    return account(sifted.possible[0], situation, sifted.rejections)


def choose(
    machine: Machine, catalog: Catalog, request: Request, *, ask: Ask = read_pages
) -> tuple[Situation, Sifted]:
    """Give all possible sets, best first, and the situation that they were chosen in.

    GPUs that no set serves together with the others are left out, as few as possible.

    Raises:
        RequestError, InterpreterError, NetworkError: as :func:`plan`.
    """
    request, family = settled(request, catalog)
    catalog = catalog.with_patched_gates(request.patches)
    _check_interpreter(machine, request)
    machine = with_integrated_gpu(machine, catalog)
    first: tuple[Situation, Sifted] | None = None
    pages: dict[str, Page] = {}
    for gpus in _served(machine.gpus):
        situation = Situation(machine, catalog, family, request, pages, gpus)
        situation, sifted = _asked(situation, ask, pages)
        first = first or (situation, sifted)
        if sifted.possible:
            return situation, sifted
    assert first is not None  # noqa: S101 (the first of the served sets is always tried)
    return first


def _served(gpus: tuple[Gpu, ...]) -> Iterator[tuple[Gpu, ...]]:
    """Give the GPUs to serve: all of them, then all but those of some architectures, most GPUs first."""
    kinds = list(dict.fromkeys(gpu.architecture for gpu in gpus if gpu.architecture))
    subsets = (kept for count in range(len(kinds) + 1) for kept in combinations(kinds, count))
    served = (
        tuple(gpu for gpu in gpus if not gpu.architecture or gpu.architecture in kept) for kept in subsets
    )
    yield from sorted((one for one in served if one or not gpus), key=len, reverse=True)


def _asked(situation: Situation, ask: Ask, pages: dict[str, Page]) -> tuple[Situation, Sifted]:
    """Sift, and ask pages until the best candidate is confirmed, or nothing is left to ask."""
    selection = Selection(situation)
    sifted = selection.sifted()
    for _ in range(_MOST_ROUNDS):
        if sifted.possible and sifted.possible[0].is_confirmed and sifted.possible[0].offer:
            break
        others = selection.alternatives(situation)
        addresses = [*selection.wanted_pages(sifted.possible, situation), *others]
        new = (one for one in dict.fromkeys(addresses) if one not in pages)
        # To look into the cache costs nothing that a limit would save.
        asking = list(new if situation.request.offline else islice(new, _PAGES_AT_ONCE))
        if not asking:
            break
        answers = ask(asking)
        if not answers:
            break
        _check_answers(answers, situation)
        pages.update(answers)
        situation = replace(situation, pages=dict(pages))
        sifted = selection.sifted(situation)
    return _only_confirmed(situation, sifted)


def _check_answers(answers: Mapping[str, Page], situation: Situation) -> None:
    """Stop at what is wrong with the way to the pages and not with the pages: nothing would go right then.

    Raises:
        NetworkError: a proxy wants a password, or what answers at a mirror that was named is no index.
    """
    mirrors = situation.request.mirrors
    for page in answers.values():
        if page.wants_password:
            raise NetworkError(
                f"{host_of(page.shown_url)} was not reached: {page.error}",
                remedy="HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT mmsetup plan",
            )
        for name, base in mirrors.items():
            if page.is_foreign and page.url.startswith(base.rstrip("/") + "/"):
                raise NetworkError(
                    f"the mirror of {name} is none: {page.error}",
                    evidence=[page.shown_url],
                    remedy=f"mmsetup plan --mirror {name}=https://HOST/FOLDER  # or without a mirror",
                )


def _only_confirmed(situation: Situation, sifted: Sifted) -> tuple[Situation, Sifted]:
    if situation.request.trusts_catalog:
        return situation, sifted
    confirmed = tuple(candidate for candidate in sifted.possible if candidate.is_confirmed)
    others = [candidate for candidate in sifted.possible if not candidate.is_confirmed]
    if not others:
        return situation, sifted
    reason = (
        "offline: no page was read that lists its files"
        if situation.request.offline
        else "its page was not read"
    )
    promised = Rejection(others[0].described(situation.family), "page", reason, len(others) - 1)
    return situation, Sifted(confirmed, (promised, *sifted.rejections))


def _check_interpreter(machine: Machine, request: Request) -> None:
    if request.wants_path and all(str(found.path) != request.python for found in machine.interpreters):
        raise InterpreterError(
            f"{request.python} is not a Python that can be run",
            remedy="mmsetup probe  # lists the interpreters that are here",
        )
