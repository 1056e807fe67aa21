"""``mmsetup build``: build the ops' wheel for a plan or a lockfile and keep it in the cache."""

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
        Path | None, typer.Option("--output", "-o", help="A folder to copy the wheel to.", metavar="DIR")
    ] = None,
    lock_file: Annotated[
        Path | None, typer.Option("--lock", help="Build what this lockfile says.", metavar="FILE")
    ] = None,
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
    """Build the compiled ops for the torch of the plan; print the path of the wheel."""
    from rich.console import Console

    from mmsetup.catalog import load
    from mmsetup.render.document import document, dump
    from mmsetup.render.live import LiveProgress
    from mmsetup.road import wheel_for

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
    with LiveProgress(Console(stderr=True)) as progress:
        built = wheel_for(request, catalog, lock_file=lock_file, output=output, progress=progress)
    if json:
        typer.echo(dump(document("mmsetup.build/1", built)))
    else:
        typer.echo(built.path)
