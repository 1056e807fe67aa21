"""Options of ``mmsetup doctor`` that do not go together, or mean nothing without another one."""

from __future__ import annotations

from mmsetup.cli.arguments import again
from mmsetup.errors import RequestError

__all__ = ["refuse_alone", "refuse_together"]

_FIXING = ("--fix", "--yes", "-y")
_OF_FLEET = ("--fleet-dir", "--fleet-timeout")


def refuse_together(*, json: bool, markdown: bool, fleet: bool, fix: bool, deep: bool, project: bool) -> None:
    """Refuse options that contradict each other; the remedy keeps all others.

    Raises:
        RequestError: two of them do not go together.
    """
    if json and markdown:
        raise RequestError(
            "--json and --markdown both want standard output", remedy=again(without=["--markdown"])
        )
    if fleet and (fix or markdown):
        raise RequestError(
            f"--fleet does not go with {'--fix' if fix else '--markdown'}",
            remedy=again(without=[*_FIXING, "--markdown"]),
        )
    for name, is_given in (("--deep", deep), ("--project", project)):
        if is_given and (fix or fleet):
            raise RequestError(
                f"{name} does not go with {'--fix' if fix else '--fleet'}",
                remedy=again(without=[*_FIXING, "--fleet"], without_values=_OF_FLEET),
            )


def refuse_alone(
    *, yes: bool, offline: bool, of_fleet: bool, fix: bool, deep: bool, fleet: bool, project: bool
) -> None:
    """Refuse an option that would do nothing, since the one that it is about was not given.

    ``of_fleet`` says that an option of how nodes meet was given.

    Raises:
        RequestError: an option is about another one that is not there.
    """
    if yes and not fix:
        may_fix = not (deep or fleet or project)
        raise RequestError(
            "--yes agrees to what --fix shows, and there is no --fix",
            remedy=again("--fix") if may_fix else again(without=_FIXING),
        )
    if offline and not project:
        raise RequestError(
            "--offline is about the weights of a --project, and there is none",
            remedy=again(without=["--offline"]),
        )
    if of_fleet and not fleet:
        may_meet = not (deep or fix or project)
        raise RequestError(
            f"{' and '.join(_OF_FLEET)} are about a --fleet, and there is none",
            remedy=again("--fleet") if may_meet else again(without_values=_OF_FLEET),
        )
