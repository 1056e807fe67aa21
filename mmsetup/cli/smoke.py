"""``mmsetup smoke``: train a small model in an environment and see whether it learned."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsetup.cli.arguments import Json, again, refuse_version

if TYPE_CHECKING:
    from mmsetup.smoke import SmokeReport

__all__ = ["command"]

_DEFAULT = Path(".venv")
_TIME_LIMIT = 900.0


def command(
    *,
    env: Annotated[
        Path,
        typer.Option(
            "--env", readable=False, help="The folder of the environment.", metavar="DIR", show_default=True
        ),
    ] = _DEFAULT,
    python: Annotated[
        Path | None,
        typer.Option("--python", readable=False, help="The environment of this interpreter.", metavar="PATH"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            readable=False,
            help="Keep checkpoint, config, pictures and report here.",
            metavar="DIR",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Draws the images and starts the weights.", min=0)] = 0,
    device: Annotated[
        str, typer.Option("--device", help="auto (a GPU where there is one), cpu, cuda or cuda:1.")
    ] = "auto",
    time_limit: Annotated[
        float, typer.Option("--time-limit", help="Seconds after which it is stopped.", min=1)
    ] = _TIME_LIMIT,
    json: Json = False,
) -> None:
    """Train a small model on built-in images in under a minute: the proof that the stack works."""
    from rich.console import Console

    from mmsetup.errors import CheckFailedError, RequestError
    from mmsetup.render.document import dump
    from mmsetup.render.live import LiveProgress
    from mmsetup.render.smoke import as_document, show_smoke
    from mmsetup.smoke import smoke

    refuse_version(python)
    if python is not None and env != _DEFAULT:
        raise RequestError(
            "--env and --python both name an environment", remedy=again(without_values=["--python"])
        )
    with LiveProgress(Console(stderr=True)) as progress:
        progress.stage("Training a small model")
        report = smoke(
            python or env, output=output, seed=seed, device=device, progress=progress, time_limit=time_limit
        )
    if json:
        typer.echo(dump(as_document(report)))
        if not report.passed:
            # The report is the one document; an error that is raised would print a second one.
            raise typer.Exit(CheckFailedError.exit_code)
        return
    show_smoke(report, Console(highlight=False))
    if not report.passed:
        raise CheckFailedError(
            f"the smoke run in {report.environment} did not pass",
            evidence=[f"{check.name}: {check.detail}" for check in report.checks if not check.passed],
            remedy=_way_on(report, time_limit),
        )


def _way_on(report: SmokeReport, time_limit: float) -> str:
    """Word what to do about a run that did not pass: a slow machine is no fault that the doctor finds."""
    if report.failure is not None and not report.failure.signal and report.total_seconds >= time_limit:
        longer = f"{max(_TIME_LIMIT, 2 * time_limit):g}"
        return again("--time-limit", longer, without_values=["--time-limit"])
    return f"mmsetup doctor --env {shlex.quote(str(report.environment))}"
