"""Run the checks over one context and put what they observe in order."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mmsetup.catalog import Catalog
from mmsetup.doctor.checks import CHECKS
from mmsetup.doctor.checks.permissions import closed_paths, unreadable
from mmsetup.doctor.choice import check_choice, checks_of_project, chosen_of, matches
from mmsetup.doctor.context import Context
from mmsetup.doctor.deep import DEEP_CHECKS, SECONDS
from mmsetup.doctor.fleet_checks import FLEET_CHECKS
from mmsetup.doctor.model import SEVERITIES, Check, Diagnosis, Finding, Observation, Part
from mmsetup.doctor.patches import patches_of
from mmsetup.doctor.told import CHANGED, CRASHED
from mmsetup.probe import environment as look_at
from mmsetup.probe.machine import Environment, Machine
from mmsetup.progress import Progress, Silent

if TYPE_CHECKING:
    from mmsetup.doctor.project import Project
    from mmsetup.doctor.project.model import ProjectCheck

__all__ = ["CHANGED", "CRASHED", "doctor", "doctor_of_project", "every_check"]


def doctor(
    environment: Environment | Path,
    machine: Machine,
    catalog: Catalog,
    *,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    checks: Sequence[Check] = CHECKS,
    deep: bool = False,
    seconds: float = SECONDS,
    progress: Progress | None = None,
    project: Project | None = None,
    fleet: bool = False,
) -> Diagnosis:
    """Examine an environment, given as its description, its folder or its Python.

    ``select`` and ``ignore`` are ids or their beginnings (``MM2``); with ``select`` only those run. With
    ``deep`` the environment is asked as well, in child processes, ``seconds`` at most for each question.
    With a ``project`` its code and configurations are examined beside the environment. With ``fleet`` all
    that is selected may be left to who compares the nodes.

    Raises:
        RequestError: an id in ``select`` or ``ignore`` is none, what is selected does not run, or the project
            cannot be read.
        TargetError: there is no environment at the path that was given.
    """
    check_choice(
        select, ignore, checks=checks, environment=environment, deep=deep, project=project, fleet=fleet
    )
    chosen = chosen_of(checks, select, ignore)
    described = look_at(environment) if isinstance(environment, Path) else environment
    context = Context(described, machine, catalog)
    seen = _installed(described)
    findings = [finding for one in chosen for finding in _findings(one, partial(one.run, context))]
    findings = _but_for_what_is_closed(findings, context)
    if project is not None:
        beside = replace(project, context=context, kept={})
        of_project = _of_project(beside, select, ignore)
        findings += [found for one in of_project for found in _findings(one.check, partial(one.run, beside))]
        chosen += [one.check for one in of_project]
    findings = [finding for finding in findings if not matches(finding.id, ignore)]
    if deep:
        asked = chosen_of(DEEP_CHECKS, select, ignore)
        findings += _asked(asked, context, findings, progress or Silent(), seconds)
        chosen += asked
    if not matches(CHANGED.id, ignore) and (changed := _changed(seen, _installed(described))):
        findings.append(changed)
    return Diagnosis(
        prefix=described.prefix,
        python=described.interpreter.version,
        family=context.family.name if context.family else "",
        parts=tuple(Part(found.name, found.version, patches_of(found)) for found in context.stack),
        checked=tuple(one.id for one in chosen),
        findings=_worst_first(findings),
        overrides=machine.overrides,
        project=str(project.path) if project is not None else "",
    )


def doctor_of_project(
    project: Project, *, select: Sequence[str] = (), ignore: Sequence[str] = ()
) -> Diagnosis:
    """Examine a project alone: the checks that have to know what is installed are left out.

    Raises:
        RequestError: an id in ``select`` or ``ignore`` is none, what is selected does not run, or the project
            cannot be read.
    """
    check_choice(select, ignore, environment=None, project=project)
    chosen = [one for one in _of_project(project, select, ignore) if not one.needs_environment]
    findings = [found for one in chosen for found in _findings(one.check, partial(one.run, project))]
    return Diagnosis(
        prefix=project.path.absolute(),
        python="",
        family="",
        parts=(),
        checked=tuple(one.check.id for one in chosen),
        findings=_worst_first([one for one in findings if not matches(one.id, ignore)]),
        project=str(project.path),
    )


def _of_project(project: Project, select: Sequence[str], ignore: Sequence[str]) -> list[ProjectCheck]:
    # Only then: a diagnosis of an environment alone does not wait for this import.
    from mmsetup.doctor.project.checks import CHECKS_OF_PROJECT  # noqa: PLC0415

    # What cannot be read is refused here, and not told as a fault of each check.
    _ = project.texts
    chosen = {one.id for one in chosen_of([one.check for one in CHECKS_OF_PROJECT], select, ignore)}
    return [one for one in CHECKS_OF_PROJECT if one.check.id in chosen]


def _worst_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), finding.id)))


def every_check() -> tuple[Check, ...]:
    """Give all checks by id: those of --deep, of a project, of a fleet, and for what could not be done."""
    every = (CRASHED, CHANGED, *CHECKS, *DEEP_CHECKS, *FLEET_CHECKS, *checks_of_project())
    return tuple(sorted(every, key=lambda one: one.id))


def _findings(one: Check, run: Callable[[], Iterable[Observation]]) -> Iterator[Finding]:
    try:
        observed = tuple(run())
    except Exception as error:  # noqa: BLE001 (whatever a check raises must not end the others)
        yield _crashed(one, error)
        return
    for seen in observed:
        yield Finding(one.id, seen.severity, one.title, seen.message, seen.evidence, seen.remedy, seen.fix)


def _but_for_what_is_closed(findings: list[Finding], context: Context) -> list[Finding]:
    """Leave out what comes of files that this user may not read: to other checks they are gone or damaged."""
    if not any(one.id == unreadable.id for one in findings):
        return findings
    # Not torch/ in what is said of torchvision/.
    ends = "|".join(re.escape(str(path)) for path in closed_paths(context))
    closed = re.compile(rf"(?:{ends})(?![\w.-])")
    return [
        one
        for one in findings
        if one.id == unreadable.id or not any(closed.search(text) for text in one.evidence)
    ]


def _installed(environment: Environment) -> dict[str, int]:
    """Give the folders of metadata, and when something was put into each; a file that is run changes none."""
    found: dict[str, int] = {}
    for folder in environment.site_packages:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith("-info") or entry.name.startswith("~"):
                    with suppress(OSError):
                        found[entry.path] = entry.stat().st_mtime_ns
    return found


def _changed(before: Mapping[str, int], after: Mapping[str, int]) -> Finding | None:
    other = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
    if not other:
        return None
    words = [f"{path} {'is new' if path not in before else 'is another'}" for path in other if path in after]
    words += [f"{path} is gone" for path in other if path not in after]
    message = (
        f"{len(other)} distribution(s) were installed or removed meanwhile; what is told may not be true"
    )
    return Finding(CHANGED.id, "warning", CHANGED.title, message, tuple(words[:5]), CHANGED.remedy)


def _asked(
    asked: Sequence[Check], context: Context, findings: Sequence[Finding], progress: Progress, seconds: float
) -> list[Finding]:
    if not asked:
        return []
    # Only then: the static checks are done in the time that this import takes.
    from mmsetup.doctor.deep.examine import examine  # noqa: PLC0415

    try:
        answered = examine(context, asked, findings, progress, seconds=seconds)
    except Exception as error:  # noqa: BLE001 (what was found without asking is not lost)
        return [_crashed(one, error) for one in asked[:1]]
    return [finding for one in answered for finding in _findings(one, partial(one.run, context))]


def _crashed(one: Check, error: Exception) -> Finding:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return Finding(
        CRASHED.id,
        "warning",
        CRASHED.title,
        f"{one.id} ({one.title.lower()}) could not be done, so its cause is not excluded",
        (f"{type(error).__name__}: {error}", f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"),
        CRASHED.remedy,
    )
