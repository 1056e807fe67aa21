"""What a journey was asked to do, what it carries on the way, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmsetup.build import BuiltWheel
from mmsetup.catalog import Catalog, load
from mmsetup.install.openmim import Company
from mmsetup.install.via_mim import MimRun
from mmsetup.lock import Lock
from mmsetup.plan import Plan, Request
from mmsetup.probe.machine import Interpreter, Machine
from mmsetup.smoke import SmokeReport

__all__ = ["Journey", "Outcome", "Pinned"]


@dataclass(frozen=True, slots=True)
class Journey:
    """What ``mmsetup install`` was asked to do.

    ``lock_file`` takes the place of a plan, ``elsewhere`` replaces facts of this machine by what was said of
    another. With ``by_mim`` mim installs what it can install; with ``anew`` an environment that already is
    what would come of it is made again. ``show`` is called with the plan before anything is done,
    ``show_company`` with what openmim brings along, ``confirm`` with a question before an environment that
    mmsetup did not make is replaced and before openmim is put into one; it raises when the answer is no.
    """

    target: Path
    request: Request
    lock_file: Path | None = None
    with_smoke: bool = True
    wait: bool = True
    by_mim: bool = False
    anew: bool = False
    catalog: Catalog = field(default_factory=load)
    elsewhere: Callable[[Machine], Machine] = field(default=lambda here: here)
    show: Callable[[Plan], None] = field(default=lambda _: None)
    show_company: Callable[[Company], None] = field(default=lambda _: None)
    confirm: Callable[[str], None] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it.

    ``status`` is ``installed``, ``smoked`` (only the smoke run was missing) or ``unchanged``. ``seconds``
    maps each stage that ran to its duration.
    """

    status: str
    environment: Path
    python: Path
    packages: Mapping[str, str]
    plan: Plan | None = None
    wheel: BuiltWheel | None = None
    smoke: SmokeReport | None = None
    mim: MimRun | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pinned:
    """A lock that is about to be installed: what it came from and what it is installed with."""

    lock: Lock
    plan: Plan | None
    interpreter: Interpreter
    machine: Machine
