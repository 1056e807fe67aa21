"""A check of a project: what it observes, and whether it needs an environment for that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mmsetup.doctor.model import Check, Observation
from mmsetup.doctor.project.project import Project

__all__ = ["ProjectCheck", "counted", "project_check", "shown"]

_MOST_SHOWN = 6

Run = Callable[[Project], Iterable[Observation]]


@dataclass(frozen=True, slots=True)
class ProjectCheck:
    """A check and what it runs; ``needs_environment``: without one it is left out."""

    check: Check
    run: Run
    needs_environment: bool


def project_check(
    number: str,
    *,
    title: str,
    cause: str,
    looks_at: str,
    remedy: str,
    seen_in: tuple[str, ...] = (),
    needs_environment: bool = False,
) -> Callable[[Run], ProjectCheck]:
    """Make a check of a function that gives what it observes in a project."""

    def made(run: Run) -> ProjectCheck:
        check = Check(
            id=number,
            title=title,
            cause=cause,
            looks_at=looks_at,
            remedy=remedy,
            seen_in=seen_in,
            run=lambda _: (),
        )
        return ProjectCheck(check, run, needs_environment)

    return made


def counted(count: int, noun: str) -> str:
    """Word how many there are: ``1 line``, ``2 lines``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shown(lines: Sequence[str], most: int = _MOST_SHOWN) -> tuple[str, ...]:
    """Give the first lines of evidence, and how many more there are."""
    more = len(lines) - most
    return (*lines[:most], *((f"and {more} more",) if more > 0 else ()))
