"""What a plan is asked beside options: a project that it is for, or an environment that it has to fit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmsetup.catalog import Catalog
from mmsetup.errors import MmsetupError
from mmsetup.plan import Request
from mmsetup.plan.for_project import request_for
from mmsetup.probe import environment
from mmsetup.probe.machine import Environment, Machine
from mmsetup.project import ProjectWish, read_project
from mmsetup.project.rules import rules

__all__ = ["ProjectAnswer", "environment_beside", "for_project"]


@dataclass(frozen=True, slots=True)
class ProjectAnswer:
    """What a project wants, and which of its versions could be kept.

    ``conflict`` says that its code was written for another family than the one that was named; it is empty
    where it was not. ``notes`` are all that is to be told: the conflict and what else will fail first.
    """

    wish: ProjectWish
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    conflict: str = ""
    notes: tuple[str, ...] = ()


def for_project(
    path: Path, request: Request, machine: Machine, catalog: Catalog, *, named: bool
) -> tuple[Request, ProjectAnswer]:
    """Read a project, and put what it wants into a request; with ``named`` the request's family stays.

    Raises:
        RequestError: the project cannot be read, or nothing in it tells a family.
    """
    wish = read_project(path)
    made = request_for(wish, request, machine, catalog, named=named)
    conflict = _conflict(wish, made.request.family)
    notes = [*filter(None, [conflict]), *_refusals(wish, made.dropped), *wish.notes]
    return made.request, ProjectAnswer(wish, made.kept, made.dropped, conflict, tuple(notes))


def _conflict(wish: ProjectWish, family: str) -> str:
    if rules().fits(wish.family, family):
        return ""
    return f"its code wants family {wish.family}, family {family} was asked for"


def _refusals(wish: ProjectWish, dropped: tuple[str, ...]) -> Iterator[str]:
    for line in dropped:
        if line in wish.asserted:
            yield f"its own code asserts {line} when it is imported, and will refuse what is planned here"


def environment_beside(folder: Path | None) -> Environment | None:
    """Give the environment that is asked about, or the active one where it has torch.

    Raises:
        TargetError: the folder that was asked about is no environment.
    """
    if folder is not None:
        return environment(folder)
    active = os.environ.get("VIRTUAL_ENV") or os.environ.get("CONDA_PREFIX")
    if not active:
        return None
    try:
        found = environment(Path(active))
    except MmsetupError:
        return None
    return found if found.torch is not None else None
