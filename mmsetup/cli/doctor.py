"""``mmsetup doctor``: find what is wrong with an environment, from outside."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsetup.cli.arguments import Json

if TYPE_CHECKING:
    from mmsetup.doctor import Diagnosis

__all__ = ["command"]

_DEFAULT = Path(".venv")


def command(
    *,
    env: Annotated[
        Path | None,
        typer.Option(
            "--env", help="The folder of the environment: .venv, else the active one.", metavar="DIR"
        ),
    ] = None,
    python: Annotated[
        Path | None, typer.Option("--python", help="The environment of this interpreter.", metavar="PATH")
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option("--select", help="Run these checks alone: MM204, or MM2.", metavar="ID"),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", help="Leave these checks out.", metavar="ID")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings count as errors.")] = False,
    json: Json = False,
) -> None:
    """Find the cause when nothing imports; the environment is read, not run."""
    from mmsetup.catalog import load
    from mmsetup.doctor import doctor
    from mmsetup.errors import CheckFailedError
    from mmsetup.probe import probe
    from mmsetup.render.diagnosis import as_document, show_diagnosis, summary
    from mmsetup.render.document import dump

    where = _where(env, python)
    diagnosis = doctor(where, probe(folder=where), load(), select=_separate(select), ignore=_separate(ignore))
    if json:
        typer.echo(dump(as_document(diagnosis)))
        if _is_bad(diagnosis, strict=strict):
            # The diagnosis is the one document; an error that is raised would print a second one.
            raise typer.Exit(CheckFailedError.exit_code)
        return
    from rich.console import Console

    show_diagnosis(diagnosis, Console(highlight=False))
    if _is_bad(diagnosis, strict=strict):
        worst = diagnosis.findings[0]
        raise CheckFailedError(
            f"{diagnosis.prefix} is not healthy: {summary(diagnosis)}", remedy=f"mmsetup explain {worst.id}"
        )


def _where(env: Path | None, python: Path | None) -> Path:
    from mmsetup.errors import RequestError, TargetError

    if env is not None and python is not None:
        raise RequestError("--env and --python both name an environment", remedy="mmsetup doctor --env DIR")
    active = os.environ.get("VIRTUAL_ENV", "")
    where = env or python or (_DEFAULT if _DEFAULT.exists() or not active else Path(active))
    if where is _DEFAULT and not where.exists():
        raise TargetError(
            f"there is no {_DEFAULT} in {Path.cwd()} and no environment is active",
            remedy="mmsetup doctor --env DIR  # or: mmsetup install",
        )
    return where


def _separate(asked: list[str] | None) -> tuple[str, ...]:
    return tuple(part.strip() for text in asked or () for part in text.split(",") if part.strip())


def _is_bad(diagnosis: Diagnosis, *, strict: bool) -> bool:
    return not diagnosis.is_healthy or (strict and bool(diagnosis.of("warning")))
