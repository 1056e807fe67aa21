"""``mmsetup catalog``: show what is known about versions, prove it, and take a newer copy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mmsetup.cli.arguments import Json

__all__ = ["app"]

app = typer.Typer(help="Show what is known about versions, prove it, and take a newer copy.")

_SCHEMA = "mmsetup.catalog/1"


@app.callback(invoke_without_command=True)
def summary(context: typer.Context) -> None:
    """Show what is known about versions, prove it, and take a newer copy."""
    if context.invoked_subcommand is None:
        show()


@app.command("show")
def show(
    topic: Annotated[
        str,
        typer.Argument(
            help="torch, wheels, gates, breaks, drivers, gpus, sources or families.", metavar="[TOPIC]"
        ),
    ] = "",
    name: Annotated[
        str,
        typer.Argument(
            help="A version, a family, a package, an id or a name in the topic.", metavar="[NAME]"
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Show the catalogue that is in use: a summary, or one topic with certainty and source."""
    from rich.console import Console

    from mmsetup.catalog.load import in_use
    from mmsetup.catalog.sums import DATA
    from mmsetup.render import catalog as render
    from mmsetup.render.catalog_topics import topic as told
    from mmsetup.render.document import document, dump

    catalog, copy = in_use()
    folder = str(copy.folder if copy else DATA)
    head = {"date": catalog.date, "digest": catalog.digest, "folder": folder}
    if topic:
        found = told(catalog, topic, name)
        if json:
            typer.echo(dump(document(_SCHEMA, head, topic=found.name, name=name, entries=found.entries)))
        else:
            render.show_topic(found, Console(highlight=False))
    elif json:
        typer.echo(dump(document(_SCHEMA, render.summary(catalog, copy), folder=folder)))
    else:
        render.show_summary(catalog, copy, folder, Console(highlight=False))


@app.command("check")
def check(
    folder: Annotated[
        Path | None,
        typer.Option("--from", readable=False, help="Another copy than the one in use.", metavar="DIR"),
    ] = None,
    json: Json = False,
) -> None:
    """Read the catalogue and prove it free of contradictions; every fault is shown."""
    from rich.console import Console

    from mmsetup.catalog.load import copy_in_use, proven
    from mmsetup.catalog.sums import DATA
    from mmsetup.render.catalog import counts, show_counts
    from mmsetup.render.document import document, dump

    if folder is None:
        used = copy_in_use()
        folder = used[1].folder if used else DATA
    catalog = proven(folder)
    if json:
        head = {"date": catalog.date, "digest": catalog.digest, "folder": str(folder)}
        typer.echo(dump(document(_SCHEMA, head, faults=[], counts=counts(catalog))))
    else:
        show_counts(catalog, str(folder), Console(highlight=False))


@app.command("update")
def update(
    origin: Annotated[
        str, typer.Option("--from", help="The folder of a copy, here or on the web.", metavar="URL|DIR")
    ] = "",
    sha256: Annotated[
        str,
        typer.Option("--sha256", help="What SHA256SUMS itself has to have; http needs it.", metavar="HEX"),
    ] = "",
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="Take a copy that is older than the one in use.")
    ] = False,
    bundled: Annotated[
        bool, typer.Option("--bundled", help="Remove the copy: use what mmsetup brings.")
    ] = False,
    json: Json = False,
) -> None:
    """Take a newer copy, signed by the hashes in its SHA256SUMS; mmsetup uses it from then on."""
    from mmsetup.catalog import update as stage
    from mmsetup.catalog.copies import forget_copy
    from mmsetup.errors import RequestError
    from mmsetup.render.document import document, dump

    if bool(origin) == bundled or (bundled and (sha256 or allow_older)):
        raise RequestError(
            "either --from names a copy to take, or --bundled goes back to what mmsetup brings",
            remedy="mmsetup catalog update --from URL|DIR",
        )
    if bundled:
        was_there = forget_copy()
        if json:
            typer.echo(dump(document(_SCHEMA, {"copy": None, "removed": was_there})))
        else:
            sys.stdout.write("the copy was removed\n" if was_there else "there was no copy\n")
        return
    copy = stage.update(origin, sha256=sha256, allow_older=allow_older)
    if json:
        typer.echo(dump(document(_SCHEMA, {"copy": copy})))
    else:
        sys.stdout.write(
            f"the catalogue of {copy.date} ({copy.digest[:12]}) from {copy.origin} is in use\n"
            f"sha256 of its SHA256SUMS: {copy.sums}\n"
        )
