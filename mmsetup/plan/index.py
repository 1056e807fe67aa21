"""The index page that has a wheel of the ops: for pip's ``--find-links``, and as a list of candidates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmsetup.catalog import Catalog
from mmsetup.catalog.addresses import shown
from mmsetup.catalog.pages import read_pages
from mmsetup.errors import RequestError
from mmsetup.plan.account import account
from mmsetup.plan.builds import DEFAULT_INDEX
from mmsetup.plan.candidate import Candidate
from mmsetup.plan.choose import Ask, choose
from mmsetup.plan.model import Plan
from mmsetup.plan.refusal import refusal
from mmsetup.plan.request import Request, starts
from mmsetup.plan.situation import Situation
from mmsetup.plan.vendor import check_torch
from mmsetup.probe.machine import Environment, Machine

__all__ = ["WheelIndex", "WheelPage", "request_beside", "wheel_index", "without_passwords"]


@dataclass(frozen=True, slots=True)
class WheelPage:
    """A page that has, or should have, a wheel: ``answered`` is nothing where nobody was asked."""

    url: str
    source: str
    torch: str
    variant: str
    python: str
    ops: str
    answered: bool | None
    outcome: str
    age_seconds: float
    certainty: str


@dataclass(frozen=True, slots=True)
class WheelIndex:
    """The best page and the plan that it belongs to.

    ``pip`` are the arguments with which pip installs the set, but for packages that are to be patched: these
    are no files of any index. ``ops`` are those that install the ops alone.
    """

    url: str
    plan: Plan
    pip: tuple[str, ...]
    ops: tuple[str, ...]
    candidates: tuple[WheelPage, ...]


def wheel_index(
    machine: Machine, catalog: Catalog, request: Request, *, has_torch: bool = False, ask: Ask = read_pages
) -> WheelIndex:
    """Find the page with a wheel of the ops that fits; what cannot be read is taken from the catalogue.

    With ``has_torch`` torch is there already and stays out of pip's arguments.

    Raises:
        RequestError, InterpreterError, NoPlanError: as :func:`mmsetup.plan.plan`.
    """
    request = replace(request, may_build=False, trusts_catalog=True)
    situation, sifted = choose(machine, catalog, request, ask=ask)
    if not sifted.possible:
        raise refusal(situation)
    best = sifted.possible[0]
    plan = account(best, situation, sifted.rejections)
    return WheelIndex(
        url=best.offer.page if best.offer else "",
        plan=plan,
        pip=tuple(_arguments(plan, best, situation, has_torch=has_torch)),
        ops=tuple(_ops(best, situation)),
        candidates=tuple(dict.fromkeys(_page(one, situation) for one in sifted.possible)),
    )


def request_beside(environment: Environment, request: Request) -> Request:
    """Give the request for ops that fit an environment's torch and Python.

    Raises:
        RequestError: nobody makes wheels for such a build of torch, or another torch was asked for.
    """
    torch = environment.torch
    if torch is None:
        return request
    check_torch(environment, request.family)
    release = torch.version.partition("+")[0]
    if not starts(release, request.torch) or request.cuda not in {"", torch.variant}:
        raise RequestError(
            f"{environment.prefix} has torch {torch.version}, and ops for another one were asked for",
            remedy="mmsetup index  # with --torch and --cuda, or with --env, not with both",
        )
    return replace(
        request,
        torch=release,
        cuda=torch.variant,
        python=request.python or environment.interpreter.minor,
    )


def without_passwords(found: WheelIndex) -> WheelIndex:
    """Give the same with the user name and password of a mirror left out of every address."""
    return replace(
        found,
        url=shown(found.url),
        pip=tuple(shown(word) if "://" in word else word for word in found.pip),
        ops=tuple(shown(word) if "://" in word else word for word in found.ops),
        candidates=tuple(replace(page, url=shown(page.url)) for page in found.candidates),
    )


def _page(candidate: Candidate, situation: Situation) -> WheelPage:
    offer, build = candidate.offer, candidate.build
    assert offer is not None  # noqa: S101 (a build was excluded)
    page = situation.pages.get(offer.page)
    outcome = "not asked" if page is None else page.error or "answered"
    return WheelPage(
        url=offer.page,
        source=offer.source,
        torch=str(build.release.version),
        variant=build.variant,
        python=build.python,
        ops=str(candidate.code.ops),
        answered=None if page is None else page.answered,
        outcome=outcome,
        age_seconds=round(page.age) if page else 0,
        certainty="listed" if offer.file else (offer.group.certainty if offer.group else ""),
    )


def _arguments(plan: Plan, best: Candidate, situation: Situation, *, has_torch: bool) -> Iterator[str]:
    catalog, build = situation.catalog, best.build
    if not has_torch:
        source = catalog.source(build.source)
        local = "" if source is None else f"+{build.variant}"
        yield from (f"{name}=={version}{local}" for name, version in build.files)
        if source is not None:
            base = situation.request.mirrors.get(source.name, source.base).rstrip("/")
            yield from ("--extra-index-url", f"{base}/{build.variant}")
    yield from _ops(best, situation)
    patched = {patch.package for patch in plan.patches}
    yield from (f"{name}=={version}" for name, version in best.code.members if name not in patched)
    yield from _omitted(plan, best, situation, has_torch=has_torch)


def _ops(best: Candidate, situation: Situation) -> Iterator[str]:
    """Give the arguments for the ops: the version, for pip takes a newer source distribution otherwise."""
    ops = situation.family.ops.distribution
    source = situation.catalog.source(best.ops_source)
    page = best.offer.page if best.offer else ""
    yield f"{ops}=={_listed_version(best)}"
    if source is not None and source.layout == "find-links":
        yield from ("--find-links", page)
    else:
        yield from ("--extra-index-url", page.rpartition(f"/{ops}/")[0])
    yield from ("--only-binary", ops)


def _listed_version(best: Candidate) -> str:
    offer = best.offer
    if offer is None or offer.file is None:
        return str(best.code.ops)
    return offer.file.filename.split("-")[1].replace("%2B", "+")


def _omitted(plan: Plan, best: Candidate, situation: Situation, *, has_torch: bool) -> Iterator[str]:
    """Give what is imported undeclared, and the bounds on what comes along."""
    family = situation.family
    members = [member for member in family.members if best.code.version(member.distribution)]
    lines = dict.fromkeys([*family.ops.omits, *(line for member in members for line in member.omits)])
    names = {canonicalize_name(Requirement(line).name) for line in lines}
    coming = names | {canonicalize_name(Requirement(line).name) for line in family.ops.requires}
    bounds = [bound for bound in plan.bounds if bound.package in coming]
    bounded = {bound.package for bound in bounds}
    yield from (bound.requirement.replace(" ", "") for bound in bounds)
    skipped = bounded | ({"torchvision"} if not has_torch or best.build.source == DEFAULT_INDEX else set())
    yield from (
        line.replace(" ", "") for line in lines if canonicalize_name(Requirement(line).name) not in skipped
    )
