"""Turn what a project wants into a request, as far as this machine can give it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mmsetup.catalog import Catalog, Family
from mmsetup.errors import MmsetupError
from mmsetup.plan.candidate import Candidate
from mmsetup.plan.choose import choose
from mmsetup.plan.request import Request, starts
from mmsetup.probe.machine import Machine
from mmsetup.project import ProjectWish

__all__ = ["ProjectRequest", "request_for"]


@dataclass(frozen=True, slots=True)
class ProjectRequest:
    """A request made for a project; ``kept`` and ``dropped`` are the versions that the project asks for."""

    request: Request
    kept: tuple[str, ...]
    dropped: tuple[str, ...]


def request_for(
    wish: ProjectWish, request: Request, machine: Machine, catalog: Catalog, *, named: bool
) -> ProjectRequest:
    """Put the family, the packages and the versions that a project wants into a request.

    What the request says itself stays; with ``named`` that includes its family. Of the versions only those
    are kept with which a set is possible on the machine, as far as the catalogue can tell.
    """
    family = catalog.family(request.family if named else wish.family)
    if family is None:
        return ProjectRequest(request, (), wish.requirements)
    asked = {canonicalize_name(Requirement(line).name) for line in request.wanted}
    left_out = {part.distribution for name in request.without if (part := family.named(name))}
    parts = [family.named(package) for package in wish.packages]
    packages = [
        part.distribution
        for part in parts
        if part is not None and part.distribution not in {*asked, *left_out}
    ]
    request = replace(request, family=family.name, wanted=(*request.wanted, *packages))
    kept: list[str] = []
    dropped: list[str] = []
    # What torch is asked for directly comes before what its partner tells of it.
    for line in sorted(filter(_can_be_asked, wish.requirements), key=_is_torchvision):
        found = _asked_with(line, request, machine, catalog)
        request = found or request
        if found is not None:
            kept.append(line)
        elif not _is_torchvision(line):
            dropped.append(line)
        elif (planned := _planned_torchvision(request, machine, catalog)) is not None:
            (kept if _admits(line, planned) else dropped).append(line)
    return ProjectRequest(request, tuple(kept), tuple(dropped))


def _can_be_asked(line: str) -> bool:
    """Tell whether a line can be asked for: of torch, Python and CUDA one version alone can."""
    asked = Requirement(line)
    return bool(_exact(asked)) or asked.name not in {"torch", "python", "cuda"}


def _is_torchvision(line: str) -> bool:
    return Requirement(line).name == "torchvision"


def _exact(asked: Requirement) -> str:
    """Give the one version, or the beginning of it, that a line asks for, without a local part."""
    exact = next((one.version for one in asked.specifier if one.operator in {"==", "==="}), "")
    return exact.removesuffix(".*").partition("+")[0]


def _asked_with(line: str, request: Request, machine: Machine, catalog: Catalog) -> Request | None:
    """Give the request with what a line asks for, or nothing where no set is possible with it."""
    for other in _with_version(line, request, catalog):
        if other == request or _best(other, machine, catalog) is not None:
            return other
    return None


def _with_version(line: str, request: Request, catalog: Catalog) -> Iterator[Request]:
    """Give the requests with a version that a project asks for: the request itself where it says the same."""
    asked = Requirement(line)
    exact = _exact(asked)
    said = {"torch": request.torch.partition("+")[0], "python": request.python, "cuda": request.cuda}
    if asked.name == "torchvision":
        yield from _with_partner(exact, request, catalog)
    elif asked.name not in said:
        yield from _with_part(asked, request, catalog.family(request.family))
    elif not said[asked.name]:
        yield _replaced(request, asked.name, exact)
    elif starts(said[asked.name], exact) or (
        asked.name == "cuda" and _digits(request.cuda) == _digits(exact)
    ):
        yield request


def _replaced(request: Request, name: str, version: str) -> Request:
    if name == "torch":
        return replace(request, torch=version)
    return replace(request, cuda=version) if name == "cuda" else replace(request, python=version)


def _with_partner(torchvision: str, request: Request, catalog: Catalog) -> Iterator[Request]:
    """Give the requests with a torch whose partner is one torchvision; empty: any, which asks for nothing."""
    torch = request.torch.partition("+")[0]
    for release in catalog.torch if torchvision else ():
        version = str(release.version)
        if starts(release.torchvision, torchvision) and starts(version, torch):
            yield request if version == torch else replace(request, torch=version)


def _with_part(asked: Requirement, request: Request, family: Family | None) -> Iterator[Request]:
    part = family.named(asked.name) if family is not None else None
    if part is None or not asked.specifier:
        return
    known = SpecifierSet()
    others: list[str] = []
    for wanted in request.wanted:
        found = family.named(Requirement(wanted).name) if family is not None else None
        if found is part:
            known &= Requirement(wanted).specifier
        else:
            others.append(wanted)
    if known == known & asked.specifier:
        yield request
    else:
        yield replace(request, wanted=(*others, f"{part.distribution}{known & asked.specifier}"))


def _digits(variant: str) -> str:
    # "11.3" and "cu113" are the same CUDA.
    return "".join(filter(str.isdigit, variant))


def _planned_torchvision(request: Request, machine: Machine, catalog: Catalog) -> str | None:
    best = _best(request, machine, catalog)
    return best.build.release.torchvision if best is not None else None


def _admits(line: str, version: str) -> bool:
    asked = Requirement(line)
    exact = _exact(asked)
    return starts(version, exact) if exact else asked.specifier.contains(version, prereleases=True)


def _best(request: Request, machine: Machine, catalog: Catalog) -> Candidate | None:
    """Give the best set for a request as far as the catalogue can tell, or nothing where none is possible."""
    trusting = replace(request, trusts_catalog=True)
    try:
        _, sifted = choose(machine, catalog, trusting, ask=lambda _: {})
    except MmsetupError:
        return None
    return next(iter(sifted.possible), None)
