"""``mmsetup doctor --fleet``: one process of a job examines its node, the first tells of all."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from mmsetup.cli.doctor import Examination
    from mmsetup.doctor.fleet import Fleet, Node, Place

__all__ = ["Meeting", "examine_fleet"]


@dataclass(frozen=True, slots=True)
class Meeting:
    """How the processes meet and what the first one prints; ``timeout`` is in seconds."""

    folder: Path | None
    timeout: float
    strict: bool
    json: bool
    junit: Path | None


def examine_fleet(where: Callable[[], Path], examination: Examination, meeting: Meeting) -> int:
    """Examine this node, meet the others, and give the exit code of the job."""
    from rich.console import Console

    from mmsetup.doctor.choice import check_choice
    from mmsetup.doctor.fleet import check_way, meet, place
    from mmsetup.errors import MmsetupError
    from mmsetup.render.failure import show_failure

    here = place(os.environ)
    # What every process would refuse is refused by all of them before any waits for another.
    check_choice(examination.select, examination.ignore, environment=Path(".venv"), fleet=True)
    check_way(here, meeting.folder)
    own = _examined(here, where, examination)
    try:
        return meet(
            here,
            own,
            folder=meeting.folder,
            timeout=meeting.timeout,
            show=lambda fleet: _show(fleet, meeting),
            strict=meeting.strict,
            select=examination.select,
            ignore=examination.ignore,
        )
    except MmsetupError as error:
        if here.leads:
            raise
        # Launchers mix the outputs of all processes: the one document is that of the first.
        show_failure(error, Console(stderr=True))
        return error.exit_code


def _examined(here: Place, where: Callable[[], Path], examination: Examination) -> Node:
    from mmsetup.doctor.fleet.node import Node, facts_of
    from mmsetup.errors import MmsetupError

    is_first = here.local_rank == 0
    if not here.works:
        return Node(here.rank, here.host)
    try:
        place = where()
        examination.prepare(place)
        diagnosis = examination.of(place)
    except MmsetupError as error:
        # A node that cannot be examined is sick; the others have to hear of it all the same.
        return Node(here.rank, here.host, is_first, fault=str(error))
    facts = facts_of(examination.machine, diagnosis, os.environ)
    return Node(here.rank, here.host, is_first, facts, diagnosis)


def _show(fleet: Fleet, meeting: Meeting) -> None:
    from rich.console import Console

    from mmsetup.cli.doctor import write_junit
    from mmsetup.render.document import dump
    from mmsetup.render.fleet import as_document, as_suites, show_fleet

    if meeting.junit is not None:
        write_junit(meeting.junit, as_suites(fleet), strict=meeting.strict)
    if meeting.json:
        typer.echo(dump(as_document(fleet, strict=meeting.strict)))
    else:
        show_fleet(fleet, Console(highlight=False), strict=meeting.strict)
