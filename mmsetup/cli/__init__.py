"""The command line: parse, call one stage, render. It decides nothing.

A command's module is imported with the others, its stage only when it runs, so that ``--help`` answers at
once.
"""

from __future__ import annotations

import errno
import logging
import os
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from typer.exceptions import TyperException

from mmsetup import __version__
from mmsetup.cli import build, catalog, doctor, explain, index, inspect, install, lock, plan, probe, smoke
from mmsetup.cli.arguments import again
from mmsetup.cli.output import told_streams
from mmsetup.errors import (
    FULL,
    ConfirmationError,
    DiskSpaceError,
    InternalError,
    InterruptedByUserError,
    MmsetupError,
    RequestError,
    TargetError,
)

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
app.command("index")(index.command)
app.command("inspect")(inspect.command)
app.add_typer(catalog.app, name="catalog")
app.command("lock")(lock.command)
app.command("build")(build.command)
app.command("smoke")(smoke.command)
app.command("doctor")(doctor.command)
app.command("explain")(explain.command)


_INTERRUPTED = 130


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
    # A terminal that is closed clears up as well; under nohup it does not end the run.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _interrupted)
    told_streams()
    try:
        status = _run()
        sys.stdout.flush()
        sys.exit(status)
    except MmsetupError as error:
        _fail(error)
    except KeyboardInterrupt:
        _fail(InterruptedByUserError("interrupted", remedy="run the same command again: it starts clean"))
    except Exception as error:
        if os.environ.get("MMSETUP_TRACEBACK"):
            raise
        _fail(_translated(error))


def _run() -> int:
    try:
        status = app(prog_name="mmsetup", standalone_mode=False) or 0
    except typer.Abort as abort:
        raise ConfirmationError("the question was not answered", remedy=again("--yes")) from abort
    except TyperException as error:
        if not str(error):
            # The help was asked for by giving no command, and has been shown.
            return RequestError.exit_code
        raise _misused(error) from error
    if status == _INTERRUPTED:
        # typer turns an interrupt into this status and says nothing.
        raise KeyboardInterrupt
    return int(status)


def _misused(error: TyperException) -> RequestError:
    """Say which option or argument was wrong, and where the right ones are listed."""
    # typer words a refusal by pydantic in pydantic's way.
    message = error.format_message().replace(": Value error, ", ": ").rstrip(".")
    command = getattr(getattr(error, "ctx", None), "command_path", "mmsetup")
    return RequestError(message, remedy=f"{command} --help")


def _translated(error: Exception) -> MmsetupError:
    """Say what an error means that no stage foresaw; what is none of the system's is a fault of mmsetup."""
    if isinstance(error, OSError) and error.errno in FULL:
        return DiskSpaceError(f"the disk ran full: {error}", remedy="uv cache prune  # or free some space")
    if isinstance(error, OSError) and error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return TargetError(
            f"{error.filename or 'a file'} cannot be written or read: {error.strerror}",
            remedy=_way_to(error.filename),
        )
    return InternalError(
        f"mmsetup itself failed: {type(error).__name__}: {error}",
        remedy="MMSETUP_TRACEBACK=1 shows where; please report it with that",
    )


def _way_to(name: object) -> str:
    """Word what mends a refusal: caches can be elsewhere, of all else the owner gives the right."""
    from mmsetup.paths import is_kept_by_mmsetup

    place = Path(os.path.abspath(os.fsdecode(name))) if isinstance(name, (str, bytes)) else None  # noqa: PTH100
    if place is None or is_kept_by_mmsetup(place):
        return "MMSETUP_CACHE_DIR=DIR MMSETUP_STATE_DIR=DIR mmsetup install --env DIR"
    return f"namei -l {shlex.quote(str(place))}  # shows whose it is; that user may give the right"


def _interrupted(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fail(error: MmsetupError) -> None:
    from rich.console import Console

    from mmsetup.render.failure import as_document, show_failure

    # Where an error cannot be told either, its exit code still tells it.
    with suppress(MmsetupError):
        show_failure(error, Console(stderr=True))
    if "--json" in sys.argv[1:]:
        import json

        with suppress(MmsetupError):
            typer.echo(json.dumps(as_document(error), indent=2))
    sys.exit(error.exit_code)
