"""Show a diagnosis to people, worst first, and the story behind a check."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.padding import Padding
from rich.text import Text

from mmsetup.doctor.model import SEVERITIES, Check, Diagnosis, Finding
from mmsetup.render.document import document, plain

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "as_document",
    "checks_run",
    "explanations",
    "harmless",
    "show_check",
    "show_checks",
    "show_diagnosis",
    "show_finding",
    "summary",
]

_COLOURS = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}
# Control characters, but for tabulators and ends of lines.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ISSUES = "https://github.com/{}/issues/{}"


def as_document(diagnosis: Diagnosis) -> dict[str, Any]:
    """Give a diagnosis as the document ``mmsetup.doctor/1``."""
    return document("mmsetup.doctor/1", diagnosis, is_healthy=diagnosis.is_healthy)


def show_diagnosis(diagnosis: Diagnosis, console: Console) -> None:
    """Print what was looked at, each finding with its evidence and its remedy, and the sum.

    On a terminal what does not fit on one screen is told without evidence, the least important first.
    """
    for number, line in enumerate(_preamble(diagnosis)):
        console.print(Text(line, "dim" if number else "bold"), soft_wrap=True)
    full = _fitting(diagnosis, console)
    for finding in diagnosis.findings[:full]:
        console.print()
        show_finding(finding, console)
    if rest := diagnosis.findings[full:]:
        console.print()
        for finding in rest:
            console.print(_head(finding), overflow="ellipsis", no_wrap=True)
        console.print(Text("  the same command with | less tells of these, too, what was found", "dim"))
    console.print()
    console.print(Text(f"{summary(diagnosis)} ({checks_run(diagnosis)})", "bold"), soft_wrap=True)


def checks_run(diagnosis: Diagnosis) -> str:
    """Word how many checks ran."""
    count = len(diagnosis.checked)
    return f"{count} check{'s' if count != 1 else ''}"


def _preamble(diagnosis: Diagnosis) -> list[str]:
    """Give what was looked at, then what of it is patched, and which hardware is pretended."""
    stack = ", ".join(f"{part.name} {part.version}" for part in diagnosis.parts) or "no stack"
    if diagnosis.python:
        told = f"{_short(diagnosis)}: Python {diagnosis.python}, {stack}"
        beside = f"; beside it the project {diagnosis.project}" if diagnosis.project else ""
    else:
        told, beside = f"the project {diagnosis.project}", ", without an environment"
    patched = [
        f"{part.name} is patched: {', '.join(part.patches)}" for part in diagnosis.parts if part.patches
    ]
    return [f"{told}{beside}", *patched, *(f"pretended: {override}" for override in diagnosis.overrides)]


def show_finding(finding: Finding, console: Console) -> None:
    """Print a finding, what it was found by, and what mends it."""
    console.print(_head(finding), soft_wrap=not console.is_terminal)
    for line in finding.evidence:
        console.print(Text(f"  found  {harmless(line)}", "dim"), soft_wrap=True)
    console.print(Text.assemble(("  mend   ", "green"), harmless(finding.remedy)), soft_wrap=True)


def harmless(text: str) -> str:
    """Give a text without what steers a terminal: lines of code and names of files may hold anything."""
    return _STEERING.sub("?", text)


def _head(finding: Finding) -> Text:
    words = (f"{finding.severity} {finding.id}", _COLOURS[finding.severity])
    return Text.assemble(words, f"  {harmless(finding.message)}")


def _fitting(diagnosis: Diagnosis, console: Console) -> int:
    """Give how many findings fit on the screen in full when each other one takes a line; at least one."""
    count = len(diagnosis.findings)
    if not console.is_terminal:
        return count
    width = console.size.width
    # The head, what is patched or pretended, an empty line, the sum, and the prompt; below an unhealthy one
    # stand the error and what to try.
    used = sum(_rows(line, width) for line in _preamble(diagnosis)) + 3 + (0 if diagnosis.is_healthy else 2)
    fitting = 0
    for number, finding in enumerate(diagnosis.findings, start=1):
        quoted = (*finding.evidence, finding.remedy)
        used += 1 + len(_head(finding).wrap(console, width))
        used += sum(_rows(f"{'found':9}{harmless(line)}", width) for line in quoted)
        # Those without evidence have an empty line above them and a hint below.
        beside = count - number + 2 if number < count else 0
        if used + beside <= console.size.height:
            fitting = number
    return max(fitting, 1)


def _rows(line: str, width: int) -> int:
    """Give how many rows of a terminal a line takes that nothing wraps but the terminal."""
    return max(1, -(-cell_len(line) // width))


def summary(diagnosis: Diagnosis) -> str:
    """Sum a diagnosis up in a few words."""
    counts = [
        f"{len(found)} {severity}{'s' if len(found) > 1 else ''}"
        for severity in SEVERITIES
        if (found := diagnosis.of(severity))
    ]
    if not counts:
        return "healthy: nothing was found"
    return f"{'healthy: ' if diagnosis.is_healthy else ''}{', '.join(counts)}"


def show_checks(checks: Iterable[Check], console: Console) -> None:
    """Print the ids and titles of checks, a line each."""
    for one in checks:
        console.print(Text.assemble((one.id, "bold"), f"  {one.title}"), soft_wrap=True)


def show_check(one: Check, console: Console) -> None:
    """Print the story of one check."""
    console.print(Text.assemble((one.id, "bold"), f"  {one.title}"))
    told = (
        ("cause", one.cause),
        ("looked at", one.looks_at),
        ("remedy", one.remedy),
        ("seen in", "\n".join(_links(one))),
    )
    for label, text in told:
        if text:
            console.print()
            console.print(Text(label, "bold"))
            console.print(Padding(Text(text, overflow="fold"), (0, 0, 0, 2), expand=False))


def explanations(checks: Iterable[Check]) -> dict[str, Any]:
    """Give checks as the document ``mmsetup.explain/1``."""
    told = [
        {
            "id": one.id,
            "title": one.title,
            "cause": one.cause,
            "looks_at": one.looks_at,
            "remedy": one.remedy,
            "seen_in": _links(one),
        }
        for one in checks
    ]
    return document("mmsetup.explain/1", {"checks": plain(told)})


def _links(one: Check) -> list[str]:
    return [_ISSUES.format(*issue.split("#")) for issue in one.seen_in]


def _short(diagnosis: Diagnosis) -> str:
    relative = os.path.relpath(diagnosis.prefix)
    return relative if len(relative) < len(str(diagnosis.prefix)) else str(diagnosis.prefix)
