"""``mmsetup doctor``: find what is wrong with an environment, from outside."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmsetup.cli.arguments import Json, again, refuse_version
from mmsetup.cli.doctor_options import refuse_alone, refuse_together

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from mmsetup.doctor import Diagnosis
    from mmsetup.doctor.fix import Mended
    from mmsetup.doctor.project import Project
    from mmsetup.probe.machine import Machine

__all__ = ["Examination", "command", "write_junit"]

_DEFAULT = Path(".venv")
_FORMS = "What is printed"
_MENDING = "Mending"
_FLEET = "Many nodes"
_PROJECT = "Your own code"
_TIMEOUT = 120.0


def command(
    *,
    env: Annotated[
        Path | None,
        typer.Option(
            "--env",
            readable=False,
            help="The folder of the environment: .venv, else the active one.",
            metavar="DIR",
        ),
    ] = None,
    python: Annotated[
        Path | None,
        typer.Option("--python", readable=False, help="The environment of this interpreter.", metavar="PATH"),
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option("--select", help="Run these checks alone: MM204, or MM2.", metavar="ID"),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", help="Leave these checks out.", metavar="ID")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Let warnings count as errors.")] = False,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep", help="Ask the environment too: imports, operators, workers; in child processes."
        ),
    ] = False,
    project: Annotated[
        Path | None,
        typer.Option(
            "--project",
            readable=False,
            help="Read your code and configurations too; without an environment, them alone.",
            metavar="DIR",
            rich_help_panel=_PROJECT,
        ),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", help="Do not ask whether weights can be fetched.", rich_help_panel=_PROJECT
        ),
    ] = False,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Mend what has a safe repair, in one step or not at all; shows it and asks before.",
            rich_help_panel=_MENDING,
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Agree to what --fix shows.", rich_help_panel=_MENDING)
    ] = False,
    fleet: Annotated[
        bool,
        typer.Option(
            "--fleet",
            help="Examine every node of a job and compare them; run it by torchrun, srun or mpirun.",
            rich_help_panel=_FLEET,
        ),
    ] = False,
    fleet_dir: Annotated[
        Path | None,
        typer.Option(
            "--fleet-dir",
            readable=False,
            help="A folder that all nodes share; else they connect to MASTER_ADDR.",
            metavar="DIR",
            rich_help_panel=_FLEET,
        ),
    ] = None,
    fleet_timeout: Annotated[
        float | None,
        typer.Option(
            "--fleet-timeout",
            help="For how long the first node waits for the others.",
            metavar="SECONDS",
            min=1.0,
            max=86_400.0,
            show_default=f"{_TIMEOUT:g}",
            rich_help_panel=_FLEET,
        ),
    ] = None,
    markdown: Annotated[
        bool,
        typer.Option(
            "--markdown",
            help="Print Markdown for an issue, without secrets, home folders and names.",
            rich_help_panel=_FORMS,
        ),
    ] = False,
    junit: Annotated[
        Path | None,
        typer.Option(
            "--junit",
            readable=False,
            help="Write the checks as JUnit XML, for GitLab, Jenkins and GitHub.",
            metavar="FILE",
            rich_help_panel=_FORMS,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Find the cause when nothing imports; without --deep the environment is read, not run."""
    refuse_version(python)
    named = project is not None
    refuse_together(json=json, markdown=markdown, fleet=fleet, fix=fix, deep=deep, project=named)
    refuse_alone(
        yes=yes,
        offline=offline,
        of_fleet=fleet_dir is not None or fleet_timeout is not None,
        fix=fix,
        deep=deep,
        fleet=fleet,
        project=named,
    )
    if junit is not None and not fleet:
        # Of a fleet one process writes it, and its folder need not be on the other nodes.
        from mmsetup.files import refuse_unwritable_file

        refuse_unwritable_file(junit, remedy=_junit_elsewhere())
    beside = _project(project, offline=offline) if project is not None else None
    examination = Examination(_separate(select), _separate(ignore), deep=deep, project=beside, fleet=fleet)
    if fleet:
        from mmsetup.cli.doctor_fleet import Meeting, examine_fleet

        limit = _TIMEOUT if fleet_timeout is None else fleet_timeout
        meeting = Meeting(fleet_dir, limit, strict=strict, json=json, junit=junit)
        raise typer.Exit(examine_fleet(lambda: _where(env, python), examination, meeting))
    where = _where_of(env, python, project) if project is not None else _where(env, python)
    if where is None:
        _examine_alone(
            examination, deep=deep, strict=strict, junit=junit, form=_form(json=json, markdown=markdown)
        )
        return
    examination.prepare(where)
    mended = _mended(where, examination, yes=yes) if fix else None
    diagnosis = mended.diagnosis if mended else examination.of(where)
    if junit is not None:
        write_junit(junit, [(f"mmsetup doctor {diagnosis.prefix}", diagnosis)], strict=strict)
    _tell(diagnosis, examination.machine, mended, strict=strict, form=_form(json=json, markdown=markdown))


class Examination:
    """What every examination of a command has in common: the machine, the catalogue, the chosen checks."""

    def __init__(
        self,
        select: tuple[str, ...],
        ignore: tuple[str, ...],
        *,
        deep: bool = False,
        project: Project | None = None,
        fleet: bool = False,
    ) -> None:
        self.select, self.ignore, self.deep, self.project = select, ignore, deep, project
        self.fleet = fleet

    def prepare(self, where: Path) -> None:
        """Look at the machine and read the catalogue."""
        from mmsetup.catalog import load
        from mmsetup.probe import probe

        self.machine, self.catalog = probe(folder=where), load()

    def of(self, where: Path) -> Diagnosis:
        """Examine an environment."""
        from mmsetup.doctor import doctor

        if not self.deep:
            return doctor(
                where,
                self.machine,
                self.catalog,
                select=self.select,
                ignore=self.ignore,
                project=self.project,
                fleet=self.fleet,
            )
        from rich.console import Console

        from mmsetup.render.live import LiveProgress

        with LiveProgress(Console(stderr=True)) as progress:
            progress.stage("Asking the environment")
            return doctor(
                where,
                self.machine,
                self.catalog,
                select=self.select,
                ignore=self.ignore,
                deep=True,
                progress=progress,
                project=self.project,
            )


def _mended(where: Path, examination: Examination, *, yes: bool) -> Mended:
    from rich.console import Console

    from mmsetup.doctor.fix import fix
    from mmsetup.render.diagnosis_fix import show_repair
    from mmsetup.render.live import LiveProgress

    errors = Console(stderr=True, highlight=False)
    with LiveProgress(errors) as progress:

        def agree(repair: Any, commands: tuple[str, ...]) -> None:
            progress.pause()
            show_repair(repair, commands, errors)
            if not yes:
                _ask(errors)

        mended = fix(
            where,
            examination.machine,
            examination.catalog,
            diagnose=examination.of,
            agree=agree,
            progress=progress,
        )
    if not mended.commands:
        show_repair(mended.repair, (), errors)
        errors.print("there is nothing that --fix may mend", soft_wrap=True)
    return mended


def _ask(errors: Any) -> None:
    import sys

    from rich.prompt import Confirm

    from mmsetup.errors import ConfirmationError

    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfirmationError(
            "what --fix would do has to be agreed to, and there is no terminal to ask on",
            remedy=again("--yes"),
        )
    if not Confirm.ask("Do this?", console=errors, default=False):
        raise ConfirmationError("not agreed to; nothing was changed", remedy=again(without=["--fix"]))


def _form(*, json: bool, markdown: bool) -> str:
    if json:
        return "json"
    return "markdown" if markdown else "text"


def _tell(diagnosis: Diagnosis, machine: Machine, mended: Mended | None, *, strict: bool, form: str) -> None:
    """Print a diagnosis and end with its exit code."""
    from rich.console import Console

    from mmsetup.errors import CheckFailedError
    from mmsetup.render.diagnosis import as_document, show_diagnosis, summary
    from mmsetup.render.diagnosis_fix import as_field
    from mmsetup.render.diagnosis_markdown import markdown
    from mmsetup.render.document import dump
    from mmsetup.render.scrub import of_this_machine

    if form == "json":
        typer.echo(dump({**as_document(diagnosis), **({"repair": as_field(mended)} if mended else {})}))
    elif form == "markdown":
        scrubber = of_this_machine(spared=[part.name for part in diagnosis.parts])
        typer.echo(markdown(diagnosis, machine, scrubber, summary=summary(diagnosis)), nl=False)
    else:
        show_diagnosis(diagnosis, Console(highlight=False))
    if not _is_bad(diagnosis, strict=strict):
        return
    if form != "text":
        # The diagnosis is the one document; an error that is raised would print a second one.
        raise typer.Exit(CheckFailedError.exit_code)
    worst = diagnosis.findings[0]
    found = summary(diagnosis).removeprefix("healthy: ")
    counted = ", and --strict counts them" if diagnosis.is_healthy else ""
    raise CheckFailedError(
        f"{diagnosis.prefix} is not healthy: {found}{counted}", remedy=f"mmsetup explain {worst.id}"
    )


def write_junit(place: Path, suites: Sequence[tuple[str, Diagnosis]], *, strict: bool) -> None:
    """Write diagnoses into a JUnit file, at once or not at all."""
    from mmsetup.doctor.diagnose import every_check
    from mmsetup.files import write_whole
    from mmsetup.render.diagnosis_junit import junit

    text = junit(suites, {check.id: check.title for check in every_check()}, strict=strict)
    write_whole(place, text, remedy=_junit_elsewhere())


def _junit_elsewhere() -> str:
    way = again("--junit", "FILE", without_values=["--junit"])
    return f"{way}  # in a folder that can be written to"


def _where(env: Path | None, python: Path | None) -> Path:
    from mmsetup.errors import RequestError, TargetError

    if env is not None and python is not None:
        raise RequestError(
            "--env and --python both name an environment", remedy=again(without_values=["--python"])
        )
    active = os.environ.get("VIRTUAL_ENV", "")
    where = env or python or (_DEFAULT if _DEFAULT.exists() or not active else Path(active))
    if where is _DEFAULT and not where.exists():
        raise TargetError(
            f"there is no {_DEFAULT} in {Path.cwd()} and no environment is active",
            remedy=f"{again('--env', 'DIR')}  # or: mmsetup install",
        )
    return where


def _project(path: Path, *, offline: bool) -> Project:
    """Give the project to examine; the table of the current folder may say that there is no network."""
    from mmsetup.doctor.project import Project
    from mmsetup.settings import settings

    return Project(path, is_offline=offline or bool(settings(Path()).offline))


def _where_of(env: Path | None, python: Path | None, project: Path) -> Path | None:
    """Find the environment of a project: what was named, its own .venv, the one here, the active one."""
    own = project / _DEFAULT
    try:
        is_there = own.is_dir()
    except OSError:
        # What is wrong with the path is told by who reads it.
        is_there = False
    if env is None and python is None and is_there:
        return own
    if env is None and python is None and not _DEFAULT.exists() and not os.environ.get("VIRTUAL_ENV"):
        return None
    return _where(env, python)


def _examine_alone(
    examination: Examination, *, deep: bool, strict: bool, junit: Path | None, form: str
) -> None:
    """Examine a project where there is no environment."""
    from mmsetup.doctor.diagnose import doctor_of_project
    from mmsetup.errors import TargetError
    from mmsetup.probe import probe

    if examination.project is None or deep:
        raise TargetError("--deep asks an environment, and there is none", remedy=again("--env", "DIR"))
    diagnosis = doctor_of_project(examination.project, select=examination.select, ignore=examination.ignore)
    if junit is not None:
        write_junit(junit, [(f"mmsetup doctor {diagnosis.prefix}", diagnosis)], strict=strict)
    _tell(diagnosis, probe(), None, strict=strict, form=form)


def _separate(asked: list[str] | None) -> tuple[str, ...]:
    return tuple(part.strip() for text in asked or () for part in text.split(",") if part.strip())


def _is_bad(diagnosis: Diagnosis, *, strict: bool) -> bool:
    return not diagnosis.is_healthy or (strict and bool(diagnosis.of("warning")))
