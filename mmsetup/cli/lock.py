"""``mmsetup lock``: pin a plan into lockfiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmsetup.cli.arguments import (
    Build,
    Cuda,
    Family,
    Json,
    Mirror,
    Offline,
    Prebuilt,
    Python,
    Torch,
    request_from,
)


def command(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder to write to.", metavar="DIR")
    ] = Path(),
    name: Annotated[
        str, typer.Option("--name", help="The middle of the file names; the family by default.")
    ] = "",
    family: Family = "mmcv-full",
    python: Python = "",
    torch: Torch = "",
    cuda: Cuda = "",
    build: Build = True,
    prebuilt: Prebuilt = True,
    offline: Offline = False,
    mirror: Mirror = "",
    json: Json = False,
) -> None:
    """Write pylock.NAME.toml and requirements.NAME.txt with the sha256 of every file."""
    from rich.console import Console

    from mmsetup.catalog import load
    from mmsetup.lock import lock, write
    from mmsetup.plan import planned
    from mmsetup.plan.request import checked
    from mmsetup.probe import probe
    from mmsetup.render.document import document, dump
    from mmsetup.render.live import LiveProgress
    from mmsetup.render.plan import show_plan

    errors = Console(stderr=True)
    catalog = load()
    request = request_from(
        catalog,
        family=family,
        python=python,
        torch=torch,
        cuda=cuda,
        build=build,
        prebuilt=prebuilt,
        offline=offline,
        mirror=mirror,
    )
    with LiveProgress(errors) as progress:
        progress.stage("Choosing versions that belong together")
        made, _ = planned(request, probe(), catalog, fetch_python=not offline)
        show_plan(made, errors)
        progress.stage("Pinning every file")
        locked = lock(made, checked(request, catalog), name=name or family, offline=offline)
        files = write(locked, output)
    if json:
        typer.echo(dump(document("mmsetup.lock/1", locked, digest=locked.digest, files=files)))
    else:
        for path in files:
            typer.echo(path)
