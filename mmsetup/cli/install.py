"""``mmsetup install``: the whole road, from a bare machine to a stack that has trained."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsetup.cli.arguments import Json, Selectors, Target, again, wishes

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console


class Way(str, Enum):
    """What installs the OpenMMLab packages."""

    UV = "uv"
    MIM = "mim"


@wishes
def command(
    selectors: Selectors,
    env: Target = Path(".venv"),
    lock_file: Annotated[
        Path | None,
        typer.Option(
            "--lock", readable=False, help="Install this lockfile instead of a new plan.", metavar="FILE"
        ),
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke/--no-smoke", help="Whether to train a small model before it counts.")
    ] = True,
    via: Annotated[
        Way, typer.Option("--via", help="What installs the OpenMMLab packages; mim brings openmim along.")
    ] = Way.UV,
    reinstall: Annotated[
        bool, typer.Option("--reinstall", help="Make it again even if nothing about it has changed.")
    ] = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            "-y",
            help="Replace an environment that mmsetup did not make; agree to what openmim brings.",
        ),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for another mmsetup that works on the same folder.")
    ] = True,
    json: Json = False,
) -> None:
    """Make an environment with torch, mmcv and mmsegmentation, and prove that it trains."""
    from rich.console import Console

    from mmsetup.catalog import load
    from mmsetup.probe import probe
    from mmsetup.render.changes import show_changes
    from mmsetup.render.document import document, dump
    from mmsetup.render.live import LiveProgress
    from mmsetup.render.outcome import show_outcome
    from mmsetup.render.plan import show_plan, show_wish
    from mmsetup.road import Journey, travel

    errors = Console(stderr=True)
    catalog, locked = load(), lock_file is not None
    request = selectors.request(catalog, beside_lock=locked)
    if selectors.project is not None:
        request, _, wish = selectors.resolved(catalog, probe(folder=env), beside_lock=locked)
        if wish is not None:
            show_wish(wish, errors)
    with LiveProgress(errors) as progress:
        journey = Journey(
            target=env,
            request=request,
            lock_file=lock_file,
            with_smoke=smoke,
            wait=wait,
            by_mim=via is Way.MIM,
            anew=reinstall,
            catalog=catalog,
            elsewhere=lambda here: selectors.machine(here, catalog, beside_lock=locked),
            show=lambda made: show_plan(made, errors),
            show_company=lambda found: show_changes(found, errors),
            confirm=_confirm(yes, via, progress.pause, errors),
        )
        outcome = travel(journey, progress)
    if json:
        typer.echo(dump(document("mmsetup.install/1", outcome)))
    else:
        show_outcome(outcome, errors)


def _confirm(yes: bool, via: Way, pause: Callable[[], None], errors: Console) -> Callable[[str], None]:
    def confirm(question: str) -> None:
        import sys

        from rich.prompt import Confirm

        from mmsetup.errors import ConfirmationError

        if yes:
            return
        if sys.stdin is None or not sys.stdin.isatty():
            raise ConfirmationError(f"{question} There is no terminal to ask on.", remedy=again("--yes"))
        pause()
        if not Confirm.ask(question, console=errors, default=False):
            otherwise = (
                "mmsetup install  # uv installs the same files"
                if via is Way.MIM
                else "mmsetup install --env DIR"
            )
            raise ConfirmationError("not agreed to; nothing was changed", remedy=otherwise)

    return confirm
