"""``mmsetup probe``: show what the machine and, if asked, an environment hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")] = False,
    env: Annotated[
        Path | None,
        typer.Option("--env", readable=False, metavar="DIR", help="Also describe this environment."),
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option(
            "--python",
            readable=False,
            metavar="PATH",
            help="Also describe the environment of this interpreter.",
        ),
    ] = None,
) -> None:
    """Show the machine: system, driver and GPUs, CUDA toolkits, build tools, Pythons. Nothing is changed."""
    from mmsetup.errors import RequestError
    from mmsetup.probe import environment, probe

    if env is not None and python is not None:
        raise RequestError("--env and --python both name an environment", remedy="mmsetup probe --env DIR")
    where = env or python
    target = environment(where) if where is not None else None
    machine = probe(folder=where)
    if json:
        from mmsetup.render.document import document, dump

        sys.stdout.write(dump(document("mmsetup.probe/1", machine, environment=target)) + "\n")
        return
    from mmsetup.render.machine import environment_rows, grid, lines, machine_rows

    parts = [machine_rows(machine), *([environment_rows(target)] if target is not None else [])]
    if not sys.stdout.isatty():
        sys.stdout.write("\n".join(lines(rows) for rows in parts))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for number, rows in enumerate(parts):
        if number:
            console.print()
        console.print(grid(rows))
