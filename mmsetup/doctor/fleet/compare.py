"""Compare the nodes: where they differ, which did not answer, and which is sick."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from mmsetup.doctor.fleet.launcher import Place
from mmsetup.doctor.fleet.node import Node
from mmsetup.doctor.fleet_checks import no_answer, not_examined, other_machine, other_stack, other_variables
from mmsetup.doctor.model import SEVERITIES, Check, Diagnosis, Finding, Severity

__all__ = ["Difference", "Fleet", "Missing", "compare"]

_NOTHING = "not there"
# They say which machine it is, not what runs on it.
_TOLD_ONLY = {"kernel", "system", "container", "mmsetup"}


@dataclass(frozen=True, slots=True)
class Difference:
    """A fact that is not the same everywhere: what most nodes have, and what the others have instead."""

    kind: str
    name: str
    usual: str
    others: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """Processes that did not answer in time, and what is known of where they run."""

    ranks: tuple[int, ...]
    name: str


@dataclass(frozen=True, slots=True)
class Fleet:
    """The nodes in the order of their ranks, where they differ, and what was found by comparing them."""

    launcher: str
    job: str
    world: int
    nodes: tuple[Node, ...]
    missing: tuple[Missing, ...]
    differences: tuple[Difference, ...]
    findings: tuple[Finding, ...]

    def sick(self, *, strict: bool = False) -> tuple[str, ...]:
        """Give the hosts that have a finding that counts, or that could not be examined."""
        return tuple(
            node.host for node in self.nodes if node.fault or _counted(node.diagnosis, strict=strict)
        )

    def is_bad(self, *, strict: bool = False) -> bool:
        """Tell whether the exit code is 1."""
        counts = {"error", "warning"} if strict else {"error"}
        return bool(self.sick(strict=strict)) or any(one.severity in counts for one in self.findings)


def _counted(diagnosis: Diagnosis | None, *, strict: bool) -> bool:
    return diagnosis is not None and bool(diagnosis.of("error") or (strict and diagnosis.of("warning")))


_OF_KIND = {"stack": other_stack, "machine": other_machine, "variable": other_variables}


def compare(
    place: Place, answers: Sequence[Node], *, select: Collection[str] = (), ignore: Collection[str] = ()
) -> Fleet:
    """Compare what the processes said; ``select`` and ``ignore`` are ids or their beginnings.

    Of several processes of one host, where the launcher does not number these, the first counts. Hosts of
    one name are told apart by their ranks.
    """
    nodes: dict[tuple[str, int], Node] = {}
    for node in sorted(answers, key=lambda one: one.rank):
        if node.is_report:
            nodes.setdefault((node.host, node.rank if node.is_first else -1), node)
    named = Counter(node.host for node in nodes.values())
    nodes = {
        key: replace(node, host=f"{node.host}#{node.rank}") if named[node.host] > 1 else node
        for key, node in nodes.items()
    }
    missing = tuple(_missing(place, answers))
    differences = tuple(_differences(list(nodes.values())))
    faults = [node for node in nodes.values() if node.fault]
    findings = [*_unanswered(place, missing), *_differing(differences), *map(_not_examined, faults)]
    kept = [
        one
        for one in findings
        if (not select or one.id.startswith(tuple(start.upper() for start in select)))
        and not one.id.startswith(tuple(start.upper() for start in ignore))
    ]
    return Fleet(
        launcher=place.launcher,
        job=place.job,
        world=place.world,
        nodes=tuple(nodes.values()),
        missing=missing,
        differences=differences,
        findings=tuple(sorted(kept, key=lambda one: (SEVERITIES.index(one.severity), one.id))),
    )


def _missing(place: Place, answers: Sequence[Node]) -> Iterator[Missing]:
    silent = sorted(set(range(place.world)) - {node.rank for node in answers})
    seen = {_short(node.host) for node in answers}
    unseen = [name for name in place.names if _short(name) not in seen]
    if not silent:
        return
    if not _are_blocks(place, answers):
        if len(unseen) == len(silent):
            yield from (Missing((rank,), name) for rank, name in zip(silent, unseen, strict=True))
        else:
            yield Missing(tuple(silent), ", ".join(unseen))
        return
    # A node of which some processes answered is known by its name: it is one of its processes that is gone.
    hosts = {node.rank // place.per_node: node.host for node in answers}
    blocks = sorted({rank // place.per_node for rank in silent})
    unknown = [block for block in blocks if block not in hosts]
    if len(unknown) == len(unseen):
        hosts.update(zip(unknown, unseen, strict=True))
    for block in blocks:
        ranks = tuple(rank for rank in silent if rank // place.per_node == block)
        yield Missing(ranks, hosts.get(block, f"node {block}"))


def _are_blocks(place: Place, answers: Sequence[Node]) -> bool:
    """Tell whether each node has as many processes as this one, with ranks that follow each other.

    torchrun and most jobs number so; ``mpirun --map-by node`` deals the ranks out one by one.
    """
    if not place.per_node or place.world % place.per_node:
        return False
    if place.names and len(place.names) * place.per_node != place.world:
        return False
    pairs = {(_short(node.host), node.rank // place.per_node) for node in answers}
    return len({host for host, _ in pairs}) == len({block for _, block in pairs}) == len(pairs)


def _short(host: str) -> str:
    return host.partition(".")[0]


def _unanswered(place: Place, missing: Sequence[Missing]) -> Iterator[Finding]:
    for one in missing:
        ranks = f"rank{'s' if len(one.ranks) > 1 else ''} {', '.join(map(str, one.ranks))}"
        message = f"{one.name} ({ranks}) did not answer" if one.name else f"{ranks} did not answer"
        evidence = f"{place.launcher} counts {place.world} processes; this is rank {place.rank}"
        yield _found(no_answer, "error", message, (evidence,), "mmsetup doctor  # on that node, by itself")


def _not_examined(node: Node) -> Finding:
    message = f"{node.host} could not be examined: {node.fault}"
    return _found(not_examined, "error", message, (f"rank {node.rank}",), "mmsetup doctor  # on that node")


def _differing(differences: Sequence[Difference]) -> Iterator[Finding]:
    severities: dict[str, Severity] = {"stack": "error", "machine": "warning", "variable": "warning"}
    remedies = {
        "stack": "mmsetup install --lock FILE  # the same file on every node",
        "machine": "ask the scheduler for nodes of one kind",
        "variable": "export them in the job's script, and pass them on: srun --export=ALL, mpirun -x NAME",
    }
    for kind, one in _OF_KIND.items():
        here = [difference for difference in differences if difference.kind == kind]
        if here:
            only_told = all(difference.name in _TOLD_ONLY for difference in here) and kind == "machine"
            hosts = list(dict.fromkeys(host for difference in here for host, _ in difference.others))
            message = f"{', '.join(hosts)}: {', '.join(difference.name for difference in here)} differ"
            evidence = [
                f"{difference.name}: {difference.usual} is usual; "
                + ", ".join(f"{host} has {value}" for host, value in difference.others)
                for difference in here
            ]
            severity: Severity = "note" if only_told else severities[kind]
            yield _found(one, severity, message, tuple(evidence), remedies[kind])


def _differences(nodes: Sequence[Node]) -> Iterator[Difference]:
    examined = [node for node in nodes if not node.fault]
    for kind in _OF_KIND:
        names = dict.fromkeys(name for node in examined for name in node.facts.get(kind, {}))
        for name in names:
            values = [node.facts.get(kind, {}).get(name, _NOTHING) for node in examined]
            # Of equally many the value of the lower rank is the usual one: Counter keeps their order.
            usual = Counter(values).most_common(1)[0][0]
            others = [
                (node.host, value) for node, value in zip(examined, values, strict=True) if value != usual
            ]
            if others:
                yield Difference(kind, name, usual, tuple(others))


def _found(one: Check, severity: Severity, message: str, evidence: tuple[str, ...], remedy: str) -> Finding:
    return Finding(one.id, severity, one.title, message, evidence, remedy)
