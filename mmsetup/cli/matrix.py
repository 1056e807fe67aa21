"""The jobs of ``mmsetup build --matrix``: read, printed one a line, or built one after another."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from mmsetup.cli.arguments import Selectors

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from mmsetup.build import BuiltWheel
    from mmsetup.catalog import Catalog
    from mmsetup.farm import BuildJob
    from mmsetup.probe.machine import Machine

__all__ = ["build_all", "jobs_of", "of_job", "print_jobs"]


def jobs_of(path: Path, selectors: Selectors, catalog: Catalog, here: Machine) -> tuple[BuildJob, ...]:
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
            request, _, _ = of_job(job, selectors).resolved(catalog, here)
            settled(request, catalog)
            local_part(job.local_version or None, "", "")
        except (RequestError, InterpreterError) as fault:  # noqa: PERF203 (all faults are told at once)
            faults.append(f"build[{number}]: {fault}")
    if faults:
        raise RequestError(
            f"{path}: {'; '.join(faults)}", evidence=faults, remedy=f"edit {shlex.quote(str(path))}"
        )
    return jobs


def of_job(job: BuildJob, selectors: Selectors) -> Selectors:
    """Give the selectors of one job, with those that stand beside the file."""
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
        ptx=job.ptx,
        patch=list(job.patch) or None,
        patches=None if job.patches else False,
        prebuilt=False,
    )


def print_jobs(jobs: tuple[BuildJob, ...], selectors: Selectors, output: Path | None, *, json: bool) -> None:
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


def build_all(
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
            request, machine, _ = of_job(job, selectors).resolved(catalog, here)
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
