"""The command line: parse, call one stage, render. It decides nothing.

A command's module is imported with the others, its stage only when it runs, so that ``--help`` answers at
once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from mmsetup import __version__
from mmsetup.cli import build, doctor, explain, install, lock, plan, probe, smoke
from mmsetup.errors import InternalError, InterruptedByUserError, MmsetupError

__all__ = ["app", "main"]

app = typer.Typer(
    name="mmsetup",
    help="From a bare machine to an OpenMMLab segmentation stack that is proven to train.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("install")(install.command)
app.command("probe")(probe.command)
app.command("plan")(plan.command)
app.command("lock")(lock.command)
app.command("build")(build.command)
app.command("smoke")(smoke.command)
app.command("doctor")(doctor.command)
app.command("explain")(explain.command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mmsetup {__version__}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log to standard error what is done.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Take what goes for every command."""
    del version
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )


def main() -> None:
    """Run the command line and end with the documented exit code."""
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        app(standalone_mode=True)
    except MmsetupError as error:
        _fail(error)
    except KeyboardInterrupt:
        _fail(InterruptedByUserError("interrupted", remedy="run the same command again: it starts clean"))
    except Exception as error:
        if os.environ.get("MMSETUP_TRACEBACK"):
            raise
        _fail(
            InternalError(
                f"mmsetup itself failed: {type(error).__name__}: {error}",
                remedy="MMSETUP_TRACEBACK=1 shows where; please report it with that",
            )
        )


def _interrupted(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fail(error: MmsetupError) -> None:
    from rich.console import Console

    from mmsetup.render.failure import as_document, show_failure

    if "--json" in sys.argv[1:]:
        import json

        typer.echo(json.dumps(as_document(error), indent=2))
    show_failure(error, Console(stderr=True))
    sys.exit(error.exit_code)
