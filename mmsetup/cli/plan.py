"""``mmsetup plan``: choose versions for this machine and say why; nothing is installed."""

from __future__ import annotations

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
    family: Family = "mmcv-full",
    python: Python = "",
    torch: Torch = "",
    cuda: Cuda = "",
    build: Build = True,
    prebuilt: Prebuilt = True,
    offline: Offline = False,
    mirror: Mirror = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what was rejected, and by which rule.")
    ] = False,
    json: Json = False,
) -> None:
    """Choose the versions that belong together on this machine, with reasons."""
    from rich.console import Console

    from mmsetup.catalog import load
    from mmsetup.plan import planned
    from mmsetup.probe import probe
    from mmsetup.render.document import document, dump
    from mmsetup.render.plan import show_plan

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
    made, _ = planned(request, probe(), catalog, fetch_python=False)
    if json:
        typer.echo(dump(document("mmsetup.plan/1", made)))
    else:
        show_plan(made, Console(), explain=explain)
