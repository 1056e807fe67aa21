"""``mmsetup build``: build the ops' wheel for a plan or a lockfile, or many, and keep them in the cache."""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsetup.cli.arguments import Json, Selectors, wishes

if TYPE_CHECKING:
    from mmsetup.catalog import Catalog


@wishes
def command(
    selectors: Selectors,
    spec: Annotated[
        str, typer.Argument(help="What to build: mmcv-full==1.7.2, mmcv, onedl-mmcv.", metavar="[SPEC]")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", readable=False, help="A folder to copy the wheel to.", metavar="DIR"),
    ] = None,
    lock_file: Annotated[
        Path | None,
        typer.Option("--lock", readable=False, help="Build what this lockfile says.", metavar="FILE"),
    ] = None,
    matrix: Annotated[
        Path | None,
        typer.Option("--matrix", readable=False, help="Build each job of this TOML file.", metavar="FILE"),
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
    from mmsetup.cli.matrix import build_all, jobs_of, print_jobs
    from mmsetup.probe import probe
    from mmsetup.render.document import document, dump
    from mmsetup.render.live import LiveProgress
    from mmsetup.render.plan import show_plan, show_wish
    from mmsetup.road import wheel_for

    _check_together(spec, lock_file, matrix, local, jobs_list=jobs_list)
    catalog = load()
    errors = Console(stderr=True)
    if matrix is not None:
        jobs = jobs_of(matrix, selectors, catalog, here := probe())
        if jobs_list:
            print_jobs(jobs, selectors, output, json=json)
        else:
            build_all(jobs, selectors, catalog, here, output, errors, json=json)
        return
    local_part(local, "", "")
    if spec:
        selectors = _specified(spec, selectors, catalog)
    request, machine, wish = selectors.resolved(catalog, probe(), beside_lock=lock_file is not None)
    # What the project's table says of installs is not said of a build.
    request = replace(request, may_build=selectors.build is not False)
    if lock_file is None and not selectors.prebuilt:
        # What is built comes from no source.
        request = replace(request, may_use_prebuilt=False, sources=tuple(selectors.source or ()))
    if wish is not None:
        show_wish(wish, errors)
    with LiveProgress(errors) as progress:
        built = wheel_for(
            request,
            machine,
            catalog,
            lock_file=lock_file,
            output=output,
            progress=progress,
            local=local,
            alone=bool(spec),
            show=lambda plan: show_plan(plan, errors),
        )
    if json:
        typer.echo(dump(document("mmsetup.build/1", built)))
    else:
        typer.echo(built.path)


def _check_together(
    spec: str, lock_file: Path | None, matrix: Path | None, local: str | None, *, jobs_list: bool
) -> None:
    """Refuse options that say what is built in two ways.

    Raises:
        RequestError: a file says it, and something beside it as well.
    """
    from mmsetup.errors import RequestError

    if matrix is None and jobs_list:
        raise RequestError(
            "--jobs-list needs a file of jobs", remedy="mmsetup build --matrix FILE --jobs-list"
        )
    for option, file, others in (
        ("--matrix", matrix, {"a lockfile": lock_file, spec: spec}),
        ("--lock", lock_file, {spec: spec}),
    ):
        beside = next((words for words, given in others.items() if given), "")
        if file is not None and beside:
            raise RequestError(
                f"{file} says what is built, and {beside} beside it has no room",
                remedy=f"mmsetup build {option} {shlex.quote(str(file))}",
            )
    if matrix is not None and local is not None:
        raise RequestError(
            f"{matrix} says what is built: the local version of a job is its key local-version",
            remedy=f"edit {shlex.quote(str(matrix))}",
        )


def _specified(spec: str, selectors: Selectors, catalog: Catalog) -> Selectors:
    """Give the selectors with what SPEC asks for: the family of these ops, and their version.

    Raises:
        RequestError: it is no requirement, or not on the ops of a family, or says more than their version, or
            another family was asked for.
    """
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    from mmsetup.errors import RequestError

    known = {family.ops.distribution: family for family in catalog.families}
    wanted = None
    with suppress(InvalidRequirement):
        wanted = Requirement(spec)
    name = str(canonicalize_name(wanted.name)) if wanted else ""
    family = known.get(name)
    if family is None:
        raise RequestError(
            f"{spec!r} names no compiled ops; these can be built: {', '.join(known)}",
            remedy=f"mmsetup build {next(iter(known))}  # or with a version: NAME==VERSION",
        )
    if wanted is not None and (wanted.extras or wanted.marker or wanted.url):
        raise RequestError(
            f"{spec!r} says more than which version is built",
            remedy=f"mmsetup build {shlex.quote(f'{name}{wanted.specifier}')}",
        )
    if selectors.family not in {"", family.name}:
        raise RequestError(
            f"{name} is of family {family.name}, and --family says {selectors.family}",
            remedy=f"mmsetup build {shlex.quote(spec)}",
        )
    return replace(selectors, family=family.name, wanted=[*(selectors.wanted or ()), spec])
