"""``mmsetup build``: build the ops' wheel for a plan or a lockfile, or many, and keep them in the cache."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsetup.cli.arguments import Json, Selectors, wishes

if TYPE_CHECKING:
    from rich.console import Console

    from mmsetup.build import BuiltWheel
    from mmsetup.catalog import Catalog
    from mmsetup.farm import BuildJob
    from mmsetup.probe.machine import Machine


@wishes
def command(
    selectors: Selectors,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A folder to copy the wheel to.", metavar="DIR")
    ] = None,
    lock_file: Annotated[
        Path | None, typer.Option("--lock", help="Build what this lockfile says.", metavar="FILE")
    ] = None,
    matrix: Annotated[
        Path | None,
        typer.Option("--matrix", help="Build each [[build]] of this TOML file.", metavar="FILE"),
    ] = None,
    local: Annotated[
        str | None,
        typer.Option(
            "--local-version",
            help="The local part of the wheel's version, or none; by default the pair: pt1.13.1cu117.",
            metavar="TEXT",
        ),
    ] = None,
    jobs_list: Annotated[
        bool,
        typer.Option("--jobs-list", help="Build nothing: print the command of each job of the matrix."),
    ] = False,
    json: Json = False,
) -> None:
    """Build the compiled ops for the torch of the plan; print the path of the wheel."""
    from rich.console import Console

    from mmsetup.build.label import local_part
    from mmsetup.catalog import load
    from mmsetup.errors import RequestError
    from mmsetup.probe import probe
    from mmsetup.render.document import document, dump
    from mmsetup.render.live import LiveProgress
    from mmsetup.render.plan import show_wish
    from mmsetup.road import wheel_for

    if jobs_list and matrix is None:
        raise RequestError(
            "--jobs-list needs a file of jobs", remedy="mmsetup build --matrix FILE --jobs-list"
        )
    catalog = load()
    errors = Console(stderr=True)
    if matrix is not None:
        if lock_file is not None:
            raise RequestError(
                f"{matrix} says what is built, and a lockfile beside it has no room",
                remedy=f"mmsetup build --matrix {shlex.quote(str(matrix))}",
            )
        if local is not None:
            raise RequestError(
                f"{matrix} says what is built: the local version of a job is its key local-version",
                remedy=f"edit {shlex.quote(str(matrix))}",
            )
        jobs = _jobs(matrix, selectors, catalog, here := probe())
        if jobs_list:
            _print_jobs(jobs, selectors, output, json=json)
        else:
            _build_all(jobs, selectors, catalog, here, output, errors, json=json)
        return
    local_part(local, "", "")
    request, machine, wish = selectors.resolved(catalog, probe(), beside_lock=lock_file is not None)
    if wish is not None:
        show_wish(wish, errors)
    with LiveProgress(errors) as progress:
        built = wheel_for(
            request, machine, catalog, lock_file=lock_file, output=output, progress=progress, local=local
        )
    if json:
        typer.echo(dump(document("mmsetup.build/1", built)))
    else:
        typer.echo(built.path)


def _jobs(path: Path, selectors: Selectors, catalog: Catalog, here: Machine) -> tuple[BuildJob, ...]:
    """Read the jobs, and refuse what makes no sense before anything is built.

    Raises:
        RequestError: the file or one of its jobs makes no sense, or selectors beside it say what is built.
    """
    from mmsetup.build.label import local_part
    from mmsetup.errors import InterpreterError, RequestError
    from mmsetup.farm import read_matrix
    from mmsetup.plan.request import settled

    prebuilt = None if selectors.prebuilt is False else selectors.prebuilt
    if replace(selectors, mirror=None, offline=False, prebuilt=prebuilt) != Selectors():
        raise RequestError(
            f"{path} says what is built; beside it are only --mirror and --offline",
            remedy=f"mmsetup build --matrix {shlex.quote(str(path))}",
        )
    jobs = read_matrix(path)
    faults = []
    for number, job in enumerate(jobs):
        try:
            request, _, _ = _of(job, selectors).resolved(catalog, here)
            settled(request, catalog)
            local_part(job.local_version or None, "", "")
        except (RequestError, InterpreterError) as fault:  # noqa: PERF203 (all faults are told at once)
            faults.append(f"build[{number}]: {fault}")
    if faults:
        raise RequestError(
            f"{path}: {'; '.join(faults)}", evidence=faults, remedy=f"edit {shlex.quote(str(path))}"
        )
    return jobs


def _of(job: BuildJob, selectors: Selectors) -> Selectors:
    return replace(
        selectors,
        family=job.family,
        python=job.python,
        torch=job.torch,
        cuda=job.cuda,
        gpu=list(job.gpu) or None,
        wanted=list(job.wanted) or None,
        without=list(job.without) or None,
        driver=job.driver,
        glibc=job.glibc,
        prebuilt=False,
    )


def _print_jobs(jobs: tuple[BuildJob, ...], selectors: Selectors, output: Path | None, *, json: bool) -> None:
    """Print a command a line; as JSON, what a job matrix of GitHub Actions is made of, and nothing else."""
    from mmsetup.farm import command_line, stated_pair
    from mmsetup.render.document import dump

    more = [word for address in selectors.mirror or () for word in ("--mirror", address)]
    more += ["--offline"] if selectors.offline else []
    lines = []
    for job in jobs:
        pair = stated_pair(job.torch, job.cuda)
        place = output / pair.folder if output is not None and pair is not None else output
        lines.append(command_line(job, (*more, "--output", str(place)) if place is not None else tuple(more)))
    if json:
        rows = [
            {"name": str(job), "command": line, **job.wishes} for job, line in zip(jobs, lines, strict=True)
        ]
        typer.echo(dump({"include": rows}))
        return
    for line in lines:
        typer.echo(line)


def _build_all(
    jobs: tuple[BuildJob, ...],
    selectors: Selectors,
    catalog: Catalog,
    here: Machine,
    output: Path | None,
    errors: Console,
    *,
    json: bool,
) -> None:
    """Build all, print the paths of the wheels, and fail where one did.

    Raises:
        CheckFailedError: some jobs failed.
    """
    from mmsetup.errors import CheckFailedError
    from mmsetup.farm import command_line, run
    from mmsetup.render.document import document, dump, plain
    from mmsetup.render.farm import show_results
    from mmsetup.render.live import LiveProgress
    from mmsetup.road import wheel_for

    with LiveProgress(errors) as progress:

        def make(job: BuildJob) -> BuiltWheel:
            request, machine, _ = _of(job, selectors).resolved(catalog, here)
            local = job.local_version or None
            return wheel_for(
                request, machine, catalog, lock_file=None, output=None, progress=progress, local=local
            )

        results = run(jobs, make, progress, output=output)
    failed = [result for result in results if result.status == "failed"]
    if json:
        rows = [
            {**plain(result), "job": plain(result.job.wishes), "command": command_line(result.job)}
            for result in results
        ]
        typer.echo(dump(document("mmsetup.builds/1", {"jobs": rows})))
        if failed:
            # The results are the one document; an error that is raised would print a second one.
            raise typer.Exit(CheckFailedError.exit_code)
        return
    for result in results:
        if result.wheel is not None:
            typer.echo(result.wheel)
    show_results(results, errors)
    if failed:
        raise CheckFailedError(
            f"{len(failed)} of {len(results)} builds failed",
            evidence=[f"{result.job}: {result.error}" for result in failed],
            remedy=failed[0].remedy or command_line(failed[0].job),
        )
