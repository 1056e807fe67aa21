"""``mmsetup plan``: choose versions for this machine or another and say why; nothing is installed."""

from __future__ import annotations

from typing import Annotated

import typer

from mmsetup.cli.arguments import Json, Selectors, wishes


@wishes
def command(
    selectors: Selectors,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what was rejected, and by which rule.")
    ] = False,
    json: Json = False,
) -> None:
    """Choose the versions that belong together on this machine, or another, with reasons."""
    from rich.console import Console

    from mmsetup.catalog import load
    from mmsetup.plan import planned
    from mmsetup.probe import probe
    from mmsetup.render.document import document, dump
    from mmsetup.render.plan import show_plan, show_wish

    catalog = load()
    request, machine, wish = selectors.resolved(catalog, probe(), trusts_catalog=selectors.is_offline)
    made, _ = planned(request, machine, catalog, fetch_python=False)
    if json:
        typer.echo(dump(document("mmsetup.plan/2", made, project=wish)))
        return
    if wish is not None:
        show_wish(wish, Console())
    show_plan(made, Console(), explain=explain)
