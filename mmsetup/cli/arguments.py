"""Options that several commands share, each told once."""

from __future__ import annotations

import functools
import inspect
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

if TYPE_CHECKING:
    from mmsetup.catalog import Catalog
    from mmsetup.plan import Request
    from mmsetup.probe.machine import Machine
    from mmsetup.settings import Settings
    from mmsetup.wishes import ProjectAnswer

__all__ = ["Json", "Selectors", "Target", "again", "refuse_version", "wishes"]

Command = TypeVar("Command", bound=Callable[..., Any])

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Target = Annotated[
    Path,
    typer.Option(
        "--env", readable=False, help="The folder of the environment.", metavar="DIR", show_default=True
    ),
]

_PANEL = "What to choose"
_MACHINE = "Another machine"


def again(*more: str, without: Iterable[str] = (), without_values: Iterable[str] = ()) -> str:
    """Give the command line of this process with ``more`` behind it, to be pasted as a remedy.

    ``without`` are options that take no value, ``without_values`` options that take one: they are left out.
    """
    flags, valued = frozenset(without), frozenset(without_values)
    kept: list[str] = []
    words = iter(sys.argv[1:])
    for word in words:
        if word in valued:
            next(words, "")
        elif word not in flags and word.partition("=")[0] not in valued:
            kept.append(word)
    return shlex.join(["mmsetup", *kept, *more])


def refuse_version(python: Path | None) -> None:
    """Refuse ``--python 3.10`` where the interpreter of an environment is to be named, not a version.

    Raises:
        RequestError: it is a version, and no file has its name.
    """
    from mmsetup.errors import RequestError

    if python is None or not re.fullmatch(r"\d+(\.\d+){0,2}", str(python)) or python.exists():
        return
    way = again("--python", "DIR/bin/python", without_values=["--python"])
    raise RequestError(f"--python takes the path of an interpreter, and {python} is a version", remedy=way)


@dataclass(frozen=True, slots=True)
class Selectors:
    """What can be asked of a plan; what is empty, or ``None``, is free."""

    project: Annotated[
        Path | None,
        typer.Option(
            "--for",
            readable=False,
            help="A project: its files tell the family and the packages.",
            metavar="PATH",
            rich_help_panel=_PANEL,
        ),
    ] = None
    family: Annotated[
        str,
        typer.Option(
            "--family", help="mmcv-full (the default), mmcv or onedl.", metavar="NAME", rich_help_panel=_PANEL
        ),
    ] = ""
    wanted: Annotated[
        list[str] | None,
        typer.Option(
            "--with", help="mmdet; or a version: mmcv-full==1.6.0.", metavar="PACKAGE", rich_help_panel=_PANEL
        ),
    ] = None
    without: Annotated[
        list[str] | None,
        typer.Option("--without", help="Leave this one out.", metavar="PACKAGE", rich_help_panel=_PANEL),
    ] = None
    python: Annotated[
        str,
        typer.Option(
            "--python",
            help="A Python version (3.10) or the path of one.",
            metavar="VERSION|PATH",
            rich_help_panel=_PANEL,
        ),
    ] = ""
    torch: Annotated[
        str,
        typer.Option(
            "--torch",
            help="A torch version (1.13.1) or its beginning.",
            metavar="VERSION",
            rich_help_panel=_PANEL,
        ),
    ] = ""
    cuda: Annotated[
        str,
        typer.Option(
            "--cuda",
            help="The CUDA variant of torch: cu117, cpu …",
            metavar="VARIANT",
            rich_help_panel=_PANEL,
        ),
    ] = ""
    build: Annotated[
        bool | None,
        typer.Option(
            "--build/--no-build",
            help="Whether the ops may be built from source.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    prebuilt: Annotated[
        bool | None,
        typer.Option(
            "--prebuilt/--no-prebuilt",
            help="Whether prebuilt ops may be used.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            help="Where prebuilt ops may come from: openmmlab, onedl …",
            metavar="NAME",
            rich_help_panel=_PANEL,
        ),
    ] = None
    mirror: Annotated[
        list[str] | None,
        typer.Option(
            "--mirror",
            help="Replaces https://download.openmmlab.com; NAME=URL another source.",
            metavar="[NAME=]URL",
            rich_help_panel=_PANEL,
        ),
    ] = None
    patch: Annotated[
        list[str] | None,
        typer.Option(
            "--patch",
            help="A recorded change of a package that is made only when asked for.",
            metavar="NAME",
            rich_help_panel=_PANEL,
        ),
    ] = None
    patches: Annotated[
        bool | None,
        typer.Option(
            "--patches/--no-patches",
            help="Whether ops may be built from a source that has to be patched.",
            show_default=False,
            rich_help_panel=_PANEL,
        ),
    ] = None
    offline: Annotated[
        bool, typer.Option("--offline", help="Use no network: caches only.", rich_help_panel=_PANEL)
    ] = False
    gpu: Annotated[
        list[str] | None,
        typer.Option(
            "--gpu",
            help="sm_90 or a name (RTX 4090); once for each; none.",
            metavar="GPU",
            rich_help_panel=_MACHINE,
        ),
    ] = None
    driver: Annotated[
        str,
        typer.Option(
            "--driver", help="The NVIDIA driver: 535.104.05.", metavar="VERSION", rich_help_panel=_MACHINE
        ),
    ] = ""
    ptx: Annotated[
        bool,
        typer.Option(
            "--ptx",
            help="Ops that are built hold PTX too: GPUs newer than the newest run them.",
            rich_help_panel=_PANEL,
        ),
    ] = False
    cuda_compat: Annotated[
        bool,
        typer.Option(
            "--cuda-compat",
            help="NVIDIA's package cuda-compat is there: a newer CUDA runs.",
            rich_help_panel=_MACHINE,
        ),
    ] = False
    glibc: Annotated[
        str, typer.Option("--glibc", help="The C library: 2.31.", metavar="VERSION", rich_help_panel=_MACHINE)
    ] = ""
    platform: Annotated[
        str,
        typer.Option(
            "--platform", help="linux-x86_64, windows-x86_64 …", metavar="NAME", rich_help_panel=_MACHINE
        ),
    ] = ""

    def request(
        self, catalog: Catalog, *, trusts_catalog: bool = False, beside_lock: bool = False
    ) -> Request:
        """Put a request together: options before variables of the environment before the project's table.

        With ``beside_lock`` a lockfile says the versions, and only options can contradict it.

        Raises:
            RequestError: the project's table, or a mirror, makes no sense.
        """
        from mmsetup.plan import Request
        from mmsetup.plan.request import DEFAULT_FAMILY

        table = _table(beside_lock=beside_lock)
        python = "" if beside_lock else os.environ.get("MMSETUP_OVERRIDE_PYTHON", "")
        offline = self.offline or bool(table.offline)
        build = self.build if self.build is not None else table.build
        patches = self.patches if self.patches is not None else table.patches
        prebuilt = self.prebuilt if self.prebuilt is not None else table.prebuilt
        return Request(
            family=self.family or table.family or DEFAULT_FAMILY,
            python=self.python or python or table.python,
            torch=self.torch or table.torch,
            cuda=self.cuda or table.cuda,
            wanted=tuple(self.wanted or _but(table.requirements, self.without or ())),
            without=tuple(self.without or table.without),
            sources=tuple(self.source or table.source),
            may_build=build is not False,
            may_use_prebuilt=prebuilt is not False,
            may_fetch_python=trusts_catalog or not offline,
            offline=offline,
            mirrors=_mirrors(self.mirror or [], catalog, table),
            trusts_catalog=trusts_catalog,
            forward_compatibility=self.cuda_compat or bool(table.cuda_compat),
            with_ptx=self.ptx or bool(table.ptx),
            may_patch=patches is not False,
            patches=tuple(self.patch or table.patch),
        )

    @property
    def is_offline(self) -> bool:
        """Tell whether the network is not to be used, by an option or by the project's table."""
        return self.offline or bool(_table(beside_lock=False).offline)

    def machine(self, here: Machine, catalog: Catalog, *, beside_lock: bool = False) -> Machine:
        """Give the machine to plan for: this one, but for what was said of another.

        Raises:
            RequestError: an unknown GPU or platform, or a malformed version.
        """
        from mmsetup.plan.elsewhere import machine_elsewhere

        table = _table(beside_lock=beside_lock)
        return machine_elsewhere(
            here,
            catalog,
            gpus=self.gpu or table.gpu,
            driver=self.driver or table.driver,
            platform=self.platform or table.platform,
            glibc=self.glibc or table.glibc,
        )

    def resolved(
        self, catalog: Catalog, here: Machine, *, trusts_catalog: bool = False, beside_lock: bool = False
    ) -> tuple[Request, Machine, ProjectAnswer | None]:
        """Give the request, the machine to plan for, and what the project wants, where one was named.

        Raises:
            RequestError: as :meth:`request` and :meth:`machine`, or nothing in the project tells a family.
        """
        from mmsetup.wishes import for_project

        request = self.request(catalog, trusts_catalog=trusts_catalog, beside_lock=beside_lock)
        machine = self.machine(here, catalog, beside_lock=beside_lock)
        if self.project is None:
            return request, machine, None
        named = bool(self.family or _table(beside_lock=beside_lock).family)
        request, answer = for_project(self.project, request, machine, catalog, named=named)
        return request, machine, answer


def wishes(command: Command) -> Command:
    """Give a command the options of :class:`Selectors`, as its parameter ``selectors``."""
    hints = get_type_hints(Selectors, include_extras=True)
    added = [
        inspect.Parameter(
            one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=hints[one.name]
        )
        for one in fields(Selectors)
    ]
    own = [
        parameter.replace(annotation=annotation, kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(command).parameters.items()
        if (annotation := get_type_hints(command, include_extras=True).get(name)) is not Selectors
    ]

    @functools.wraps(command)
    def taking(**values: Any) -> Any:
        chosen = Selectors(**{one.name: values.pop(one.name) for one in fields(Selectors)})
        return command(selectors=chosen, **values)

    taking.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
    taking.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *added)}
    return taking  # type: ignore[return-value]


def _table(*, beside_lock: bool) -> Settings:
    from mmsetup.settings import settings

    found = settings(Path())
    return found.beside_lock() if beside_lock else found


def _but(lines: Iterable[str], without: Iterable[str]) -> list[str]:
    """Give the requirements of the project's table but for those that an option leaves out."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    names = {canonicalize_name(name) for name in without}
    return [line for line in lines if canonicalize_name(Requirement(line).name) not in names]


def _mirrors(asked: list[str], catalog: Catalog, table: Settings) -> dict[str, str]:
    from mmsetup.catalog.addresses import shown
    from mmsetup.errors import RequestError

    main = next(source for source in catalog.sources if "MMSETUP_MIRROR" in source.mirror_variables)
    mirrors = dict(table.mirrors)
    if unknown := sorted(name for name in mirrors if catalog.source(name) is None):
        known = ", ".join(source.name for source in catalog.sources)
        raise RequestError(
            f"{table.path}: tool.mmsetup.mirrors names {', '.join(unknown)}, and the sources are {known}",
            remedy=f"mmsetup plan --mirror {main.name}=https://HOST/FOLDER",
        )
    if table.mirror:
        mirrors[main.name] = table.mirror
    for source in catalog.sources:
        named = [os.environ.get(name, "") for name in source.mirror_variables]
        if address := next((address for address in named if address), ""):
            mirrors[source.name] = address
    for text in asked:
        name, separator, address = text.partition("=")
        if not separator or "/" in name:
            name, address = main.name, text
        if catalog.source(name) is None:
            known = ", ".join(source.name for source in catalog.sources)
            raise RequestError(
                f"--mirror {shown(text)}: there is no source {name!r}; known: {known}",
                remedy=f"mmsetup plan --mirror {main.name}=https://HOST/FOLDER",
            )
        mirrors[name] = address
    return mirrors
