"""``mmsetup explain``: the story behind a finding's id."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsetup.cli.arguments import Json

__all__ = ["command"]


def command(
    id: Annotated[  # noqa: A002 (the name is what --help shows)
        str | None, typer.Argument(help="The id of a finding (MM204), or its beginning.", metavar="[ID]")
    ] = None,
    json: Json = False,
) -> None:
    """Explain a finding of doctor: cause, what is looked at, remedy. Without an id, list all."""
    from mmsetup.doctor.diagnose import every_check
    from mmsetup.errors import RequestError
    from mmsetup.render.diagnosis import explanations, show_check, show_checks
    from mmsetup.render.document import dump

    asked = (id or "").upper()
    checks = [one for one in every_check() if one.id.startswith(asked)]
    if not checks:
        raise RequestError(f"no check has the id {id}", remedy="mmsetup explain  # lists all")
    if json:
        typer.echo(dump(explanations(checks)))
        return
    from rich.console import Console

    console = Console(highlight=False)
    if len(checks) == 1:
        show_check(checks[0], console)
    else:
        show_checks(checks, console)
