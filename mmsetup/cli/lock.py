"""``mmsetup lock``: pin a plan into lockfiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsetup.cli.arguments import Json, Selectors, wishes


@wishes
def command(
    selectors: Selectors,
    output: Annotated[
        Path, typer.Option("--output", "-o", readable=False, help="The folder to write to.", metavar="DIR")
    ] = Path(),
    name: Annotated[
        str, typer.Option("--name", help="The middle of the file names; the family by default.")
    ] = "",
    json: Json = False,
) -> None:
    """Write pylock.NAME.toml and requirements.NAME.txt with the sha256 of every file."""
    from rich.console import Console

    from mmsetup.catalog import load
    from mmsetup.inputs import family_of
    from mmsetup.lock import lock, write
    from mmsetup.plan import planned
    from mmsetup.probe import probe
    from mmsetup.render.document import document, dump
    from mmsetup.render.live import LiveProgress
    from mmsetup.render.plan import show_plan, show_wish

    errors = Console(stderr=True)
    catalog = load()
    request, machine, wish = selectors.resolved(catalog, probe())
    if wish is not None:
        show_wish(wish, errors)
    with LiveProgress(errors) as progress:
        progress.stage("Choosing versions that belong together")
        made, _ = planned(request, machine, catalog, fetch_python=not request.offline)
        show_plan(made, errors)
        progress.stage("Pinning every file")
        family = family_of(catalog, made.family)
        locked = lock(made, family, name=name or family.name, offline=request.offline)
        files = write(locked, output)
    if json:
        typer.echo(dump(document("mmsetup.lock/1", locked, digest=locked.digest, files=files)))
    else:
        for path in files:
            typer.echo(path)
