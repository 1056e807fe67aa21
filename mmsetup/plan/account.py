"""Tell the chosen set as a plan: what, from where, why, and on what evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmsetup.catalog import Family, IndexFile, Page, Proven, Source
from mmsetup.plan.candidate import DEFAULT_INDEX, Candidate, Situation
from mmsetup.plan.model import Bound, Choice, OpsOrigin, Plan, Rejection, SourceReport
from mmsetup.plan.offers import page_address, wheel_on
from mmsetup.plan.selection import proof_of

if TYPE_CHECKING:
    from packaging.version import Version

__all__ = ["account", "requirements"]

_MOST_REJECTIONS = 24


def account(best: Candidate, situation: Situation, rejections: tuple[Rejection, ...]) -> Plan:
    """Make the plan of the chosen set."""
    family = situation.family
    proof = proof_of(best, family)
    return Plan(
        family=family.name,
        python=best.python,
        interpreter=best.interpreter,
        variant=best.variant,
        ops=_ops_origin(best, situation),
        choices=tuple(_choices(best, situation, proof)),
        bounds=tuple(
            Bound(requirement, found.id, found.effect, found.source[0])
            for found in best.breaks
            for requirement in found.bounds
        ),
        sources=tuple(_reports(best, situation)),
        rejections=rejections[:_MOST_REJECTIONS],
        cautions=tuple(found.effect for found in best.breaks if found.caution),
        notes=tuple(_notes(best, situation, proof)),
        proof=proof.source if proof else "",
        catalog_digest=situation.catalog.digest,
        brings=tuple(_brought(best, situation)),
    )


def _ops_origin(best: Candidate, situation: Situation) -> OpsOrigin:
    if not best.is_built:
        return OpsOrigin("prebuilt", best.ops_source)
    gpus = situation.machine.gpus
    with_cuda = bool(gpus) and best.variant != "cpu"
    architectures = sorted({gpu.architecture for gpu in gpus if gpu.architecture})
    return OpsOrigin("built", "sdist", with_cuda, tuple(architectures) if with_cuda else ())


def _choices(best: Candidate, situation: Situation, proof: Proven | None) -> Iterator[Choice]:
    family, release = situation.family, best.torch
    files = {
        name: _file(situation, best, best.torch_source, name, version) for name, version in best.torch_files
    }
    yield Choice(
        "torch",
        str(release.version),
        best.torch_source,
        _torch_reason(best, situation, proof),
        proof.source if proof else release.sources.get("default_variant", ""),
        files["torch"],
    )
    yield Choice(
        "torchvision",
        release.torchvision,
        best.torch_source,
        f"partner of torch {release.version}",
        "torchvision's own requirement",
        files["torchvision"],
    )
    yield Choice(
        family.ops.distribution,
        str(best.ops),
        best.ops_source,
        _ops_reason(best, situation),
        family.ops.source,
        _file(situation, best, best.ops_source, family.ops.distribution, best.ops),
    )
    gate = situation.catalog.gate(family.segmentation.distribution, best.segmentation)
    yield Choice(
        family.segmentation.distribution,
        str(best.segmentation),
        DEFAULT_INDEX,
        f"accepts {gate.range}" if gate else "accepts any version of the ops",
        gate.source if gate else family.segmentation.source,
    )


def _file(
    situation: Situation, best: Candidate, source_name: str, name: str, version: Version
) -> IndexFile | None:
    source = situation.catalog.source(source_name)
    if source is None:
        return None
    address = page_address(
        source, situation.request.mirrors, variant=best.variant, series=best.series, distribution=name
    )
    return wheel_on(
        situation.pages[address],
        name,
        version,
        python=best.python,
        variant=best.variant,
        libc=situation.machine.libc,
    )


def _torch_reason(best: Candidate, situation: Situation, proof: Proven | None) -> str:
    why = "proven to train" if proof else "newest that fits"
    if situation.request.torch:
        why = "asked for"
    if best.variant == "cpu":
        return f"{why}; there is no GPU" if not situation.request.cuda else f"{why}; cpu"
    if situation.machine.gpus:
        held = sorted({gpu.architecture for gpu in situation.machine.gpus if gpu.architecture})
        return f"{why}; {best.variant} runs {', '.join(held)}" if held else f"{why}; {best.variant}"
    return f"{why}; {best.variant} runs on a CPU too"


def _ops_reason(best: Candidate, situation: Situation) -> str:
    if not best.is_built:
        return f"a wheel for {best.variant} and torch {best.series}"
    if not situation.request.may_use_prebuilt:
        return "built from source, as asked"
    if situation.request.offline:
        return "built from source: offline"
    return "built from source: no wheel can be had"


def _reports(best: Candidate, situation: Situation) -> Iterator[SourceReport]:
    for address, page in situation.pages.items():
        source = _source_of(address, situation)
        yield SourceReport(
            source.name if source else "index",
            address,
            page.answered,
            page.error or _listing(page),
            round(page.seconds, 3),
            _follows(best, situation, source) if source else "",
        )


def _source_of(address: str, situation: Situation) -> Source | None:
    mirrors = situation.request.mirrors
    return next(
        (
            source
            for source in situation.catalog.sources
            if address.startswith(mirrors.get(source.name, source.base).rstrip("/") + "/")
        ),
        None,
    )


def _listing(page: Page) -> str:
    count = len(page.files)
    return f"{count} file{'' if count == 1 else 's'} listed" if count else "the page lists no files"


def _follows(best: Candidate, situation: Situation, source: Source) -> str:
    ops = situation.family.ops.distribution
    if ops in source.distributions:
        return f"{ops} is built from source" if best.is_built else f"{ops} is taken from {best.ops_source}"
    if best.torch_source == source.name:
        return f"torch is taken from {source.name}"
    return f"torch is taken from the {DEFAULT_INDEX}"


def _notes(best: Candidate, situation: Situation, proof: Proven | None) -> Iterator[str]:
    machine = situation.machine
    if proof is None:
        yield "this set passes every rule, but it was not trained before mmsetup was released"
    if best.interpreter is None:
        yield f"no Python {situation.request.python or best.python} is here: uv fetches one"
    if machine.gpus and machine.driver is None:
        yield "no driver was found: what CUDA it carries was not checked"
    yield from (f"pretended: {override}" for override in machine.overrides)


def _brought(best: Candidate, situation: Situation) -> Iterable[str]:
    family = situation.family
    lines = chain(
        ("torch", "torchvision", family.ops.distribution, family.segmentation.distribution),
        family.ops.requires,
        family.ops.omits,
        family.build.requires if best.is_built else (),
    )
    return dict.fromkeys(canonicalize_name(Requirement(line).name) for line in lines)


def requirements(plan: Plan, family: Family) -> tuple[str, ...]:
    """Give what the resolver has to fulfil: every choice exactly, and what the ops import undeclared."""
    chosen = {choice.name for choice in plan.choices}
    omitted = [line for line in family.ops.omits if Requirement(line).name not in chosen]
    return (*(choice.requirement for choice in plan.choices), *omitted)
