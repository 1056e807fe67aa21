"""Show a fleet: which node is sick, which did not answer, and one table of where the nodes differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from mmsetup.doctor import Diagnosis, Finding
from mmsetup.doctor.fleet_checks import FLEET_CHECKS
from mmsetup.render.diagnosis import show_finding, summary
from mmsetup.render.document import document, plain

if TYPE_CHECKING:
    from rich.console import Console

    from mmsetup.doctor.fleet import Fleet, Node

__all__ = ["as_document", "as_suites", "in_a_line", "show_fleet"]

_STATES = {"sick": "bold red", "healthy": "green"}


def as_document(fleet: Fleet, *, strict: bool) -> dict[str, Any]:
    """Give a fleet as the document ``mmsetup.fleet/1``."""
    sick = fleet.sick(strict=strict)
    nodes = [
        {
            "rank": node.rank,
            "host": node.host,
            "is_healthy": node.host not in sick,
            "facts": plain(node.facts),
            "diagnosis": plain(node.diagnosis),
            "fault": node.fault,
        }
        for node in fleet.nodes
    ]
    differences = [
        {"kind": one.kind, "name": one.name, "usual": one.usual, "others": dict(one.others)}
        for one in fleet.differences
    ]
    return document(
        "mmsetup.fleet/1",
        {
            "launcher": fleet.launcher,
            "job": fleet.job,
            "world": fleet.world,
            "nodes": nodes,
            "missing": plain(fleet.missing),
            "differences": differences,
            "findings": plain(fleet.findings),
            "is_healthy": not fleet.is_bad(strict=strict),
        },
    )


def as_suites(fleet: Fleet) -> list[tuple[str, Diagnosis]]:
    """Give a fleet as the suites of a JUnit document: one for each node, and one for the comparison."""
    compared = Diagnosis(
        prefix=Path(),
        python="",
        family="",
        parts=(),
        checked=tuple(one.id for one in FLEET_CHECKS),
        findings=fleet.findings,
    )
    examined = [(f"mmsetup doctor on {one.host}", one.diagnosis) for one in fleet.nodes if one.diagnosis]
    return [("mmsetup doctor --fleet", compared), *examined]


def show_fleet(fleet: Fleet, console: Console, *, strict: bool) -> None:
    """Print the nodes, the table of differences, and each finding once with the nodes that have it."""
    sick = fleet.sick(strict=strict)
    for node in fleet.nodes:
        state = "sick" if node.host in sick else "healthy"
        words = Text.assemble((state, _STATES[state]), f"  {node.host} (rank {node.rank}): {_state(node)}")
        console.print(words, soft_wrap=True)
    for missing in fleet.missing:
        ranks = f"rank{'s' if len(missing.ranks) > 1 else ''} {', '.join(map(str, missing.ranks))}"
        which = f"{missing.name} ({ranks})" if missing.name else ranks
        console.print(Text.assemble(("missing", "bold red"), f"  {which}"), soft_wrap=True)
    if fleet.differences:
        console.print()
        console.print(_table(fleet, console))
    for finding in fleet.findings:
        console.print()
        show_finding(finding, console)
    _show_findings_of_nodes(fleet, console)
    console.print()
    console.print(Text(in_a_line(fleet, strict=strict), "bold"), soft_wrap=True)


def in_a_line(fleet: Fleet, *, strict: bool) -> str:
    """Sum a fleet up in a few words."""
    sick, missing = fleet.sick(strict=strict), sum(len(one.ranks) for one in fleet.missing)
    words = [f"{len(fleet.nodes)} node{'s' if len(fleet.nodes) != 1 else ''} of a job of {fleet.launcher}"]
    if sick:
        words.append(f"sick: {', '.join(sick)}")
    if missing:
        words.append(f"{missing} of {fleet.world} processes did not answer")
    if fleet.differences:
        words.append(f"{len(fleet.differences)} difference{'s' if len(fleet.differences) > 1 else ''}")
    return "; ".join(words if len(words) > 1 else [*words, "healthy and alike"])


def _table(fleet: Fleet, console: Console) -> Table:
    """Put the facts that differ in rows and the nodes that differ in columns, beside what is usual."""
    odd = list(dict.fromkeys(host for one in fleet.differences for host, _ in one.others))
    table = Table(box=box.SIMPLE if console.is_terminal else box.ASCII2, pad_edge=False)
    usual = len(fleet.nodes) - len(odd)
    table.add_column("what")
    table.add_column(f"usual (on {usual} of {len(fleet.nodes)} nodes everything)", overflow="fold")
    for host in odd:
        table.add_column(host, overflow="fold")
    for one in fleet.differences:
        values = dict(one.others)
        cells = [Text(values[host], "bold yellow") if host in values else Text("=", "dim") for host in odd]
        table.add_row(Text(one.name), Text(one.usual), *cells)
    return table


def _show_findings_of_nodes(fleet: Fleet, console: Console) -> None:
    hosts: dict[tuple[str, str], list[str]] = {}
    first: dict[tuple[str, str], Finding] = {}
    for node in fleet.nodes:
        for finding in node.diagnosis.findings if node.diagnosis else ():
            key = finding.id, finding.message
            hosts.setdefault(key, []).append(node.host)
            first.setdefault(key, finding)
    for key, finding in first.items():
        console.print()
        console.print(Text(f"on {', '.join(hosts[key])}:", "bold"), soft_wrap=True)
        show_finding(finding, console)


def _state(node: Node) -> str:
    if node.diagnosis is None:
        return f"could not be examined: {node.fault}"
    return summary(node.diagnosis)
