"""Which checks run: what is selected, what is ignored, and the options that each of them needs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmsetup.doctor.checks import CHECKS
from mmsetup.doctor.deep import DEEP_CHECKS
from mmsetup.doctor.fleet_checks import FLEET_CHECKS
from mmsetup.doctor.model import Check
from mmsetup.doctor.told import CHANGED, CRASHED
from mmsetup.errors import RequestError
from mmsetup.probe.machine import Environment

if TYPE_CHECKING:
    from mmsetup.doctor.project import Project

__all__ = ["check_choice", "checks_of_project", "chosen_of", "matches"]


def check_choice(
    select: Sequence[str],
    ignore: Sequence[str],
    *,
    environment: Environment | Path | None,
    checks: Sequence[Check] = CHECKS,
    deep: bool = False,
    project: Project | None = None,
    fleet: bool = False,
) -> None:
    """Refuse what is selected and would not run: an environment is not healthy for want of a check.

    Without an ``environment`` the project is examined alone.

    Raises:
        RequestError: an id is none, belongs to checks that are not asked for, or no check is left.
    """
    _check_ids(select, ignore, checks=checks)
    if not select and not ignore:
        return
    run: list[Check] = [*checks] if environment is not None else []
    run += DEEP_CHECKS if deep else ()
    run += FLEET_CHECKS if fleet else ()
    if project is not None:
        run += checks_of_project(alone=environment is None)
    given = _Given(select, ignore, environment, project, deep=deep)
    # What is told of any run has an id, and is no check that could be run for itself.
    idle = [one for one in select if not chosen_of((*run, CRASHED, CHANGED), [one], ())]
    for option, others in (("--deep", DEEP_CHECKS), ("--project", None), ("--fleet", FLEET_CHECKS)):
        mine = [
            one for one in idle if chosen_of([*checks_of_project()] if others is None else others, [one], ())
        ]
        if mine and not (option == "--project" and project is not None):
            raise RequestError(
                f"{', '.join(mine)} would not run: {option} alone runs these checks",
                remedy=given.again(option, mine if fleet or option == "--fleet" else select),
            )
    if idle:
        raise RequestError(
            f"{', '.join(idle)} would not run: there is no environment to examine beside the project",
            remedy=given.again("--env", select),
        )
    if not chosen_of(run, select, ignore):
        told = f"--select {','.join(select)}" if select else ""
        left = f"--ignore {','.join(ignore)}" if ignore else ""
        raise RequestError(
            f"{' with '.join(filter(None, (told, left)))} leaves no check to run",
            remedy=given.again("", select if ignore else ()),
        )


@dataclass(frozen=True, slots=True)
class _Given:
    """What a diagnosis was asked for, to say how it is asked for with another option."""

    select: Sequence[str]
    ignore: Sequence[str]
    environment: Environment | Path | None
    project: Project | None
    deep: bool

    def again(self, option: str, select: Sequence[str]) -> str:
        """Word the command with ``option`` and only with what goes with it."""
        words = ["mmsetup", "doctor"]
        place = self.environment.prefix if isinstance(self.environment, Environment) else self.environment
        if option == "--env":
            words += ["--env", "DIR"]
        elif place is not None and place != Path(".venv"):
            words += ["--env", str(place)]
        if option == "--fleet":
            words.append(option)
        else:
            words += ["--deep"] if self.deep or option == "--deep" else []
            words += ["--project", str(self.project.path)] if self.project is not None else []
            words += ["--project", "."] if option == "--project" else []
        words += ["--select", ",".join(select)] if select else []
        # Without an option to add, --ignore is what has to go.
        words += ["--ignore", ",".join(self.ignore)] if self.ignore and option else []
        return shlex.join(words) + ("  # by torchrun, srun or mpirun" if option == "--fleet" else "")


def checks_of_project(*, alone: bool = False) -> Iterator[Check]:
    """Give the checks of a project; ``alone``: those that need no environment."""
    from mmsetup.doctor.project.checks import CHECKS_OF_PROJECT  # noqa: PLC0415 (not for every diagnosis)

    return (one.check for one in CHECKS_OF_PROJECT if not (alone and one.needs_environment))


def _check_ids(select: Sequence[str], ignore: Sequence[str], *, checks: Sequence[Check] = CHECKS) -> None:
    """Refuse what is neither the id of a check nor the beginning of one.

    Raises:
        RequestError: there is such a one.
    """
    known = (CRASHED, CHANGED, *checks, *DEEP_CHECKS, *FLEET_CHECKS)
    unknown = [asked for asked in (*select, *ignore) if not any(matches(one.id, [asked]) for one in known)]
    if unknown:
        of_project = tuple(checks_of_project())
        unknown = [asked for asked in unknown if not any(matches(one.id, [asked]) for one in of_project)]
    if unknown:
        raise RequestError(f"no check has the id {', '.join(unknown)}", remedy="mmsetup explain  # lists all")


def chosen_of(checks: Sequence[Check], select: Sequence[str], ignore: Sequence[str]) -> list[Check]:
    """Give those of the checks that are selected and not ignored."""
    return [one for one in checks if (not select or matches(one.id, select)) and not matches(one.id, ignore)]


def matches(identifier: str, asked: Sequence[str]) -> bool:
    """Tell whether one of what is asked for is an id, or its beginning."""
    return any(beginning and identifier.startswith(beginning.upper()) for beginning in asked)
