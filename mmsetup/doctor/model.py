"""The values of a diagnosis: what a check is, what it observes, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mmsetup.doctor.context import Context

__all__ = ["SEVERITIES", "Check", "Diagnosis", "Finding", "Fix", "Observation", "Part", "Severity", "check"]

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Fix:
    """A repair that is safe to make without knowing what the environment is for.

    ``install`` are requirements that have to hold afterwards (``ftfy``, ``numpy<2``), ``remove`` the names of
    distributions that go, ``again`` the names of those that are put back as they were recorded: where the
    files of a distribution are still as its RECORD says, nothing is fetched for that. ``delete`` are files
    and folders that no distribution owns: leftovers in the environment, entries of caches.
    """

    install: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    delete: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """What a check found: in one sentence, with what was read, and the command or the step that mends it.

    ``fix`` is the same remedy as a value, where ``mmsetup doctor --fix`` may apply it.
    """

    severity: Severity
    message: str
    evidence: tuple[str, ...]
    remedy: str
    fix: Fix | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A check for one cause.

    ``id`` never changes its meaning. ``cause``, ``looks_at`` and ``remedy`` are what ``mmsetup explain``
    tells; ``seen_in`` are public issues (``open-mmlab/mmcv#2059``) in which the cause was met.
    """

    id: str
    title: str
    cause: str
    looks_at: str
    remedy: str
    seen_in: tuple[str, ...]
    run: Callable[[Context], Iterable[Observation]]


@dataclass(frozen=True, slots=True)
class Finding:
    """An observation under the id and the title of its check."""

    id: str
    severity: Severity
    title: str
    message: str
    evidence: tuple[str, ...]
    remedy: str
    fix: Fix | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A distribution of the stack, its version, and the patches that it was made with."""

    name: str
    version: str
    patches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was looked at and what was found, worst first.

    ``family`` is a guess from what is installed, or empty; ``parts`` are its distributions that are there;
    ``checked`` are the ids of the checks that ran; ``overrides`` what stood in for hardware. ``project`` is
    the folder or file that was examined beside the environment, empty where none was; where it was examined
    without an environment, it is the ``prefix`` as well, and ``python`` is empty.
    """

    prefix: Path
    python: str
    family: str
    parts: tuple[Part, ...]
    checked: tuple[str, ...]
    findings: tuple[Finding, ...]
    overrides: tuple[str, ...] = ()
    project: str = ""

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """Give the findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    @property
    def is_healthy(self) -> bool:
        """Tell whether there is no finding of severity error."""
        return not self.of("error")


def check(
    number: str, *, title: str, cause: str, looks_at: str, remedy: str, seen_in: tuple[str, ...] = ()
) -> Callable[[Callable[[Context], Iterable[Observation]]], Check]:
    """Make a check of a function that gives what it observes."""

    def made(run: Callable[[Context], Iterable[Observation]]) -> Check:
        return Check(number, title, cause, looks_at, remedy, seen_in, run)

    return made
