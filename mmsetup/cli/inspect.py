"""``mmsetup inspect``: look inside of compiled files, and say whether they run here or elsewhere."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsetup.cli.arguments import Json

if TYPE_CHECKING:
    from mmsetup.binary.inspection import Inspection
    from mmsetup.binary.judgement import Verdict

__all__ = ["command"]


def command(
    paths: Annotated[
        list[Path],
        typer.Argument(
            readable=False, help="A wheel, a library, a folder of them, or an environment.", metavar="PATH..."
        ),
    ],
    env: Annotated[
        Path | None,
        typer.Option(
            "--env",
            readable=False,
            help="Hold it against this environment; the active one, where it has torch.",
            metavar="DIR",
        ),
    ] = None,
    torch: Annotated[
        str, typer.Option("--torch", help="Hold it against this torch of the catalogue.", metavar="VERSION")
    ] = "",
    cuda: Annotated[
        str, typer.Option("--cuda", help="The variant of that torch: cu117, 11.7, cpu.", metavar="VARIANT")
    ] = "",
    gpu: Annotated[
        list[str] | None,
        typer.Option("--gpu", help="A GPU to run on: sm_90 or a name (RTX 4090); none.", metavar="GPU"),
    ] = None,
    json: Json = False,
) -> None:
    """Tell what compiled files need and hold, and whether they run; nothing of them is loaded.

    A wheel whose version names its torch is held against that one where no other is named.
    """
    from mmsetup.binary.inspection import inspect, places
    from mmsetup.binary.judgement import judge
    from mmsetup.binary.surroundings import asked_gpus, of_environment, of_label, surroundings
    from mmsetup.catalog import load
    from mmsetup.errors import CheckFailedError, IntegrityError, MmsetupError
    from mmsetup.probe import probe
    from mmsetup.render.document import dump
    from mmsetup.render.inspection import as_document, show_inspection, summary
    from mmsetup.wishes import environment_beside

    gpus = asked_gpus(gpu, load)
    machine = functools.cache(probe)
    around = surroundings(
        load,
        environment_beside(env) if env is not None or not torch else None,
        machine,
        torch=torch,
        cuda=cuda,
        gpus=gpus,
    )
    found: list[tuple[Inspection, Verdict | None]] = []
    faults: list[tuple[Path, MmsetupError]] = []
    for path in places(paths):
        try:
            seen = inspect(path)
            itself = of_environment(seen.environment, machine(), gpus) if seen.environment else around
            itself = of_label(seen.label.version, load, itself) if seen.label else itself
            found.append((seen, judge(seen, itself) if itself is not None else None))
        except IntegrityError as error:  # noqa: PERF203 (the others are still told)
            faults.append((path, error))
    if len(faults) == 1 and not found:
        raise faults[0][1]
    verdicts = [verdict for _, verdict in found if verdict is not None]
    bad = [verdict for verdict in verdicts if not verdict.is_good]
    if json:
        typer.echo(dump(as_document(found, faults)))
        if faults or bad:
            # What was found is the one document; an error that is raised would print a second one.
            raise typer.Exit(IntegrityError.exit_code if faults else CheckFailedError.exit_code)
        return
    from rich.console import Console

    console = Console(highlight=False)
    for number, (inspection, verdict) in enumerate(found):
        if number:
            console.print()
        show_inspection(inspection, verdict, console)
    if faults:
        raise IntegrityError(
            f"{len(faults)} of {len(found) + len(faults)} cannot be read: {faults[0][1]}",
            remedy=faults[0][1].remedy,
            evidence=[str(error) for _, error in faults[1:]],
        )
    if bad:
        raise CheckFailedError(summary(verdicts), remedy=bad[0].remedy)
