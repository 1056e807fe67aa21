"""``mmsetup build``: build the ops' wheel for a plan or a lockfile and keep it in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsetup.cli.arguments import Json, Selectors, wishes


@wishes
def command(
    selectors: Selectors,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A folder to copy the wheel to.", metavar="DIR")
    ] = None,
    lock_file: Annotated[
        Path | None, typer.Option("--lock", help="Build what this lockfile says.", metavar="FILE")
    ] = None,
    json: Json = False,
) -> None:
    """Build the compiled ops for the torch of the plan; print the path of the wheel."""
    from rich.console import Console

    from mmsetup.catalog import load
    from mmsetup.probe import probe
    from mmsetup.render.document import document, dump
    from mmsetup.render.live import LiveProgress
    from mmsetup.render.plan import show_wish
    from mmsetup.road import wheel_for

    catalog = load()
    errors = Console(stderr=True)
    request, machine, wish = selectors.resolved(catalog, probe())
    if wish is not None:
        show_wish(wish, errors)
    with LiveProgress(errors) as progress:
        built = wheel_for(request, machine, catalog, lock_file=lock_file, output=output, progress=progress)
    if json:
        typer.echo(dump(document("mmsetup.build/1", built)))
    else:
        typer.echo(built.path)
