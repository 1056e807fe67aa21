"""``mmsetup index``: the address of the page with the wheel of the compiled ops."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsetup.cli.arguments import Json, Selectors, wishes

if TYPE_CHECKING:
    from mmsetup.plan.index import WheelIndex


@wishes
def command(
    selectors: Selectors,
    env: Annotated[
        Path | None,
        typer.Option(
            "--env",
            readable=False,
            help="An environment whose torch the wheel has to fit; the active one, where it has torch.",
            metavar="DIR",
        ),
    ] = None,
    pip: Annotated[
        bool, typer.Option("--pip", help="Print the whole argument list for pip install.")
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write",
            readable=False,
            help="Make a folder of built wheels an index: write the pages for any web server into it.",
            metavar="DIR",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print the address of the index page for pip install -f, and nothing else."""
    if write is not None:
        _write(write, selectors, asks_more=pip or env is not None, json=json)
        return
    from mmsetup.catalog import load
    from mmsetup.plan.asking import asking
    from mmsetup.plan.index import request_beside, wheel_index, without_passwords
    from mmsetup.probe import probe
    from mmsetup.render.document import document, dump
    from mmsetup.wishes import environment_beside

    catalog = load()
    beside = environment_beside(env)
    request, machine, _ = selectors.resolved(catalog, probe(), trusts_catalog=True)
    if env is None and (request.torch or request.cuda or selectors.platform):
        beside = None
    if beside is not None:
        request = request_beside(beside, request)
    has_torch = beside is not None and beside.torch is not None
    found = wheel_index(machine, catalog, request, has_torch=has_torch, ask=asking(offline=request.offline))
    if json:
        typer.echo(dump(document("mmsetup.index/1", without_passwords(found))))
        return
    typer.echo(" ".join(found.pip) if pip else found.url)
    for line in _told(found, shlex.join(without_passwords(found).ops)):
        typer.echo(line, err=True)
    if beside is not None and beside.torch is not None:
        typer.echo(f"for torch {beside.torch.version} of {beside.prefix}", err=True)


def _write(folder: Path, selectors: Selectors, *, asks_more: bool, json: bool) -> None:
    from rich.console import Console

    from mmsetup.errors import RequestError
    from mmsetup.farm import gather, publish
    from mmsetup.render.document import document, dump
    from mmsetup.render.farm import show_pages

    if asks_more or selectors != Selectors():
        raise RequestError(
            "--write takes all wheels of its folder; what else was asked for has no room beside it",
            remedy=f"mmsetup index --write {shlex.quote(str(folder))}",
        )
    written = publish(gather(folder), folder)
    if json:
        typer.echo(dump(document("mmsetup.farm/1", written)))
        return
    for path in written.written:
        typer.echo(folder / path)
    show_pages(written, Console(stderr=True))


def _told(found: WheelIndex, ops: str) -> list[str]:
    """Say on standard error what stands behind the address, and how pip takes that wheel alone."""
    plan, best = found.plan, found.candidates[0]
    name = next(choice.name for choice in plan.choices if choice.origin == plan.ops.source)
    told = f"{name} {best.ops} for torch {best.torch} {best.variant}, Python {best.python}"
    if best.certainty == "listed":
        told += ": listed there" + (f" {best.age_seconds / 60:.0f} minutes ago" if best.age_seconds else "")
    else:
        why = (
            "the page was not asked" if best.answered is None else f"the page did not answer ({best.outcome})"
        )
        told += f": {best.certainty} according to the catalogue; {why}"
    patched = (
        f"{patch.package} has to be patched ({patch.name}), which mmsetup install does and pip does not"
        for patch in plan.patches
    )
    return [told, f"python -m pip install {ops}", *patched]
