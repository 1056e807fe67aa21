"""``mmsetup install``: the whole road, from a bare machine to a stack that has trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    Target,
    Torch,
    request_from,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console


def command(
    env: Target = Path(".venv"),
    family: Family = "mmcv-full",
    python: Python = "",
    torch: Torch = "",
    cuda: Cuda = "",
    build: Build = True,
    prebuilt: Prebuilt = True,
    lock_file: Annotated[
        Path | None,
        typer.Option("--lock", help="Install this lockfile instead of a new plan.", metavar="FILE"),
    ] = None,
    smoke: Annotated[
        bool, typer.Option("--smoke/--no-smoke", help="Whether to train a small model before it counts.")
    ] = True,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Replace an environment that mmsetup did not make.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for another mmsetup that works on the same folder.")
    ] = True,
    offline: Offline = False,
    mirror: Mirror = "",
    json: Json = False,
) -> None:
    """Make an environment with torch, mmcv-full and mmsegmentation, and prove that it trains."""
    from rich.console import Console

    from mmsetup.catalog import load
    from mmsetup.render.document import document, dump
    from mmsetup.render.live import LiveProgress
    from mmsetup.render.outcome import show_outcome
    from mmsetup.render.plan import show_plan
    from mmsetup.road import Journey, travel

    errors = Console(stderr=True)
    request = request_from(
        load(),
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
        journey = Journey(
            target=env,
            request=request,
            lock_file=lock_file,
            with_smoke=smoke,
            wait=wait,
            show=lambda made: show_plan(made, errors),
            confirm=_confirm(yes, progress.pause, errors),
        )
        outcome = travel(journey, progress)
    if json:
        typer.echo(dump(document("mmsetup.install/1", outcome)))
    else:
        show_outcome(outcome, errors)


def _confirm(yes: bool, pause: Callable[[], None], errors: Console) -> Callable[[str], None]:
    def confirm(question: str) -> None:
        import sys

        from rich.prompt import Confirm

        from mmsetup.errors import ConfirmationError

        if yes:
            return
        if sys.stdin is None or not sys.stdin.isatty():
            raise ConfirmationError(
                f"{question} There is no terminal to ask on.", remedy="mmsetup install --yes"
            )
        pause()
        if not Confirm.ask(question, console=errors, default=False):
            raise ConfirmationError("not replaced", remedy="mmsetup install --env DIR")

    return confirm
