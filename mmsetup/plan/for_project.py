"""Turn what a project wants into a request, as far as this machine can give it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmsetup.catalog import Catalog, Family
from mmsetup.errors import MmsetupError
from mmsetup.plan.choose import choose
from mmsetup.plan.request import Request
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
    for line in filter(_is_exact, wish.requirements):
        for other in _with_version(line, request, family):
            if _is_possible(other, machine, catalog):
                request = other
                kept.append(line)
                break
        else:
            dropped.append(line)
    return ProjectRequest(request, tuple(kept), tuple(dropped))


def _is_exact(line: str) -> bool:
    """Tell whether a line can be asked for: of torch, Python and CUDA one version alone can."""
    asked = Requirement(line)
    exact = any(one.operator in {"==", "==="} for one in asked.specifier)
    return exact or asked.name not in {"torch", "torchvision", "python", "cuda"}


def _with_version(line: str, request: Request, family: Family) -> Iterator[Request]:
    """Give the request with a version that a project asks for, where there is room for it."""
    asked = Requirement(line)
    exact = next((one.version for one in asked.specifier if one.operator in {"==", "==="}), "")
    exact = exact.removesuffix(".*")
    if asked.name == "torch" and exact and not request.torch:
        yield replace(request, torch=exact.partition("+")[0])
    elif asked.name == "cuda" and exact and not request.cuda:
        yield replace(request, cuda=exact)
    elif asked.name == "python" and exact and not request.python:
        yield replace(request, python=exact)
    part = family.named(asked.name)
    if part is None or not asked.specifier:
        return
    name = part.distribution
    if any(Requirement(wanted).name == name and Requirement(wanted).specifier for wanted in request.wanted):
        return
    others = tuple(wanted for wanted in request.wanted if Requirement(wanted).name != name)
    yield replace(request, wanted=(*others, f"{name}{asked.specifier}"))


def _is_possible(request: Request, machine: Machine, catalog: Catalog) -> bool:
    trusting = replace(request, trusts_catalog=True)
    try:
        _, sifted = choose(machine, catalog, trusting, ask=lambda _: {})
    except MmsetupError:
        return False
    return bool(sifted.possible)
