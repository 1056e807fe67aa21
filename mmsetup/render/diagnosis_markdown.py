"""A diagnosis as Markdown, to be pasted into an issue: folded, and without what is private."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mmsetup import __version__
from mmsetup.doctor.model import Diagnosis, Finding
from mmsetup.probe.machine import Machine
from mmsetup.render.diagnosis import checks_run, harmless
from mmsetup.render.scrub import Scrubber

__all__ = ["markdown"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")
_MARKS = {"error": "🔴", "warning": "🟡", "note": "🔵"}


def markdown(diagnosis: Diagnosis, machine: Machine, scrubber: Scrubber, *, summary: str) -> str:
    """Write a diagnosis for an issue tracker: what was found, and folded below it the versions."""
    lines = [f"### mmsetup doctor: {_text(summary, scrubber)}", ""]
    for finding in diagnosis.findings:
        lines += _finding(finding, scrubber)
    title = f"Versions ({checks_run(diagnosis)})"
    lines += _folded(title, list(_versions(diagnosis, machine)), scrubber)
    return "\n".join(lines) + "\n"


def _finding(finding: Finding, scrubber: Scrubber) -> Iterator[str]:
    head = f"{_MARKS[finding.severity]} {finding.severity} {finding.id}: {_text(finding.message, scrubber)}"
    yield "<details>"
    yield f"<summary>{_html(head)}</summary>"
    yield ""
    yield from _block([harmless(scrubber.clean(line)) for line in finding.evidence])
    yield ""
    yield "To mend it:"
    yield ""
    yield from _block([harmless(scrubber.clean(finding.remedy))])
    yield ""
    yield "</details>"
    yield ""


def _versions(diagnosis: Diagnosis, machine: Machine) -> Iterator[tuple[str, str]]:
    if diagnosis.python:
        yield "environment", str(diagnosis.prefix)
        yield "Python", diagnosis.python
    if diagnosis.project:
        yield "project", diagnosis.project
    for part in diagnosis.parts:
        patched = f" (patched: {', '.join(part.patches)})" if part.patches else ""
        yield part.name, part.version + patched
    yield "system", f"{machine.os.distribution}, kernel {machine.os.kernel}, {machine.cpu.architecture}"
    if machine.libc is not None:
        yield machine.libc.name, machine.libc.version
    if machine.driver is not None:
        yield "NVIDIA driver", f"{machine.driver.version} (CUDA {machine.driver.cuda or 'unknown'})"
    for gpu in machine.gpus:
        yield f"GPU {gpu.index}", f"{gpu.name} {gpu.architecture}".strip()
    if machine.container is not None:
        yield "container", machine.container.kind
    for override in diagnosis.overrides:
        yield "pretended", override
    yield "mmsetup", __version__


def _folded(title: str, rows: Sequence[tuple[str, str]], scrubber: Scrubber) -> Iterator[str]:
    yield "<details>"
    yield f"<summary>{_html(title)}</summary>"
    yield ""
    yield "| what | version |"
    yield "|---|---|"
    for name, value in rows:
        yield f"| {_text(name, scrubber)} | {_text(value, scrubber)} |"
    yield ""
    yield "</details>"


def _block(lines: Sequence[str]) -> Iterator[str]:
    """Fence lines off with more backticks than any of them has in a row, so that nothing in them counts."""
    longest = max((len(run) for line in lines for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}text"
    for line in lines:
        yield from line.splitlines() or [""]
    yield fence


def _text(text: str, scrubber: Scrubber) -> str:
    # A zero width space behind @ keeps trackers from telling a person of that name.
    escaped = _SPECIAL.sub(r"\\\1", " ".join(harmless(scrubber.clean(text)).split()))
    return escaped.replace("@", "@\N{ZERO WIDTH SPACE}")


def _html(text: str) -> str:
    plain = re.sub(r"\\(.)", r"\1", text)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
