"""Choose the best of the possible sets and tell it as a plan.

Preferred, in this order: prebuilt ops over built ones; the family's proven sets; an interpreter that is here over one to be fetched; the
proven set that stands first, fewer cautions; for a machine without a GPU the smaller ``cpu`` build where a source lists it; newer over older.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from packaging.requirements import Requirement
from packaging.version import Version

from mmsetup.catalog import Catalog, Family, IndexFile, Page, Proven, read_pages
from mmsetup.errors import InterpreterError, NoPlanError
from mmsetup.plan.candidate import (
    DEFAULT_INDEX,
    PAGE_RULES,
    RULES,
    Candidate,
    Rule,
    Situation,
    candidates,
    concerning,
    cuda_of,
    page_address,
    torch_files,
    wheel_on,
)
from mmsetup.plan.model import Bound, Choice, OpsOrigin, Plan, Rejection, SourceReport
from mmsetup.plan.request import Request, checked
from mmsetup.probe.machine import Machine

__all__ = ["plan"]

_MOST_PAGES = 16
_MOST_REJECTIONS = 24
Ask = Callable[[Iterable[str]], Mapping[str, Page]]


def plan(machine: Machine, catalog: Catalog, request: Request, *, ask: Ask = read_pages) -> Plan:
    """Choose one version of everything for a machine.

    ``ask`` reads the live pages, all at once and within two seconds; with ``request.offline`` it is not called.

    Raises:
        RequestError, InterpreterError: the request makes no sense (see :func:`mmsetup.plan.request.checked`).
        NoPlanError: nothing fits; ``evidence`` holds the nearest sets and the rule that excludes each.
    """
    family = checked(request, catalog)
    _check_interpreter(machine, request)
    before = Situation(machine, catalog, family, request, {})
    survivors, rejections = _sift(candidates(before), before, RULES)
    survivors.sort(key=lambda candidate: _rank(candidate, before))
    pages = {} if request.offline else ask(_addresses(survivors, before))
    situation = Situation(machine, catalog, family, request, pages)
    possible, unlisted = _sift(survivors, situation, PAGE_RULES)
    if not possible:
        raise _no_plan(request, [*unlisted, *rejections])
    best = min(possible, key=lambda candidate: _rank(candidate, situation))
    return _told(best, situation, (*unlisted, *rejections))


def _check_interpreter(machine: Machine, request: Request) -> None:
    if request.wants_path and all(str(found.path) != request.python for found in machine.interpreters):
        raise InterpreterError(
            f"{request.python} is not a Python that can be run",
            remedy="mmsetup probe  # lists the interpreters that are here",
        )


def _sift(
    wanted: Iterable[Candidate], situation: Situation, rules: tuple[Rule, ...]
) -> tuple[list[Candidate], list[Rejection]]:
    kept: list[Candidate] = []
    verdicts: dict[tuple[object, ...], str | None] = {}
    rejections: dict[tuple[str, str], Rejection] = {}
    for candidate in wanted:
        for rule in rules:
            key = (rule.name, *(getattr(candidate, name) for name in rule.looks_at))
            if key not in verdicts:
                verdicts[key] = rule.check(candidate, situation)
            reason = verdicts[key]
            if reason is not None:
                if (rule.name, reason) not in rejections:
                    rejections[rule.name, reason] = Rejection(str(candidate), rule.name, reason)
                break
        else:
            kept.append(candidate)
    return kept, list(rejections.values())


def _rank(candidate: Candidate, situation: Situation) -> tuple[object, ...]:
    proof = _proof(candidate, situation.family)
    has_gpu = bool(situation.machine.gpus)
    return (
        candidate.is_built,
        proof is None,
        candidate.interpreter is None,
        sum(found.caution for found in concerning(candidate, situation)),
        0 if proof is None else situation.family.proven.index(proof),
        not has_gpu and candidate.variant != "cpu",
        candidate.torch_source != DEFAULT_INDEX,
        _newest_first(candidate.torch.version),
        _newest_first(candidate.ops),
        _newest_first(candidate.segmentation),
        _newest_first(Version("0") if candidate.variant == "cpu" else cuda_of(candidate.variant)),
        _newest_first(Version(candidate.python)),
    )


def _newest_first(version: Version) -> tuple[int, ...]:
    return tuple(-number for number in (*version.release, 0, 0, 0)[:4])


def _proof(candidate: Candidate, family: Family) -> Proven | None:
    return next(
        (
            proof
            for proof in family.proven
            if candidate.python in proof.pythons
            and (candidate.torch.version, candidate.ops, candidate.segmentation)
            == (proof.torch, proof.ops, proof.segmentation)
        ),
        None,
    )


def _addresses(survivors: Iterable[Candidate], situation: Situation) -> list[str]:
    family = situation.family.ops.distribution
    documented = {
        (group.variant, group.torch) for group in situation.catalog.wheels if group.distribution == family
    }

    def needed() -> Iterable[str]:
        for candidate in survivors:
            known = (candidate.variant, candidate.torch_series) in documented
            if not candidate.is_built and (known or candidate.ops_source in situation.request.mirrors):
                yield page_address(situation, candidate.ops_source, candidate, family)
            if candidate.torch_source != DEFAULT_INDEX:
                for name, _ in torch_files(candidate):
                    yield page_address(situation, candidate.torch_source, candidate, name)

    return list(islice(dict.fromkeys(needed()), _MOST_PAGES))


def _no_plan(request: Request, rejections: list[Rejection]) -> NoPlanError:
    asked = [
        f"{name} {value}"
        for name, value in (("Python", request.python), ("torch", request.torch), ("CUDA", request.cuda))
        if value
    ]
    wish = f" with {', '.join(asked)}" if asked else ""
    remedy = "leave one of the wishes away" if asked else "mmsetup probe  # what was found here"
    if not request.may_build:
        remedy = "leave --no-build away: the ops can be built from source"
    return NoPlanError(
        f"no set of versions of family {request.family} fits this machine{wish}",
        evidence=[f"{found.candidate}: {found.reason}" for found in rejections[:_MOST_REJECTIONS]],
        remedy=remedy,
    )


def _told(best: Candidate, situation: Situation, rejections: tuple[Rejection, ...]) -> Plan:
    family, machine = situation.family, situation.machine
    proof = _proof(best, family)
    return Plan(
        family=family.name,
        python=best.python,
        interpreter=best.interpreter,
        variant=best.variant,
        ops=_ops_origin(best, situation),
        choices=_choices(best, situation, proof),
        bounds=tuple(
            Bound(requirement, found.id, found.effect, found.source[0])
            for found in concerning(best, situation)
            for requirement in found.bounds
        ),
        sources=_reports(situation),
        rejections=rejections[:_MOST_REJECTIONS],
        cautions=tuple(found.effect for found in concerning(best, situation) if found.caution),
        notes=_notes(best, machine, proof),
        proof=proof.source if proof else "",
        catalog_digest=situation.catalog.digest,
    )


def _ops_origin(best: Candidate, situation: Situation) -> OpsOrigin:
    if not best.is_built:
        return OpsOrigin("prebuilt", best.ops_source)
    with_cuda = bool(situation.machine.gpus) and best.variant != "cpu"
    architectures = sorted({gpu.architecture for gpu in situation.machine.gpus if gpu.architecture})
    return OpsOrigin("built", "sdist", with_cuda, tuple(architectures) if with_cuda else ())


def _choices(best: Candidate, situation: Situation, proof: Proven | None) -> tuple[Choice, ...]:
    family, release = situation.family, best.torch
    files = {name: _file(situation, best, best.torch_source, name, version) for name, version in torch_files(best)}
    choices = [
        Choice(
            "torch",
            str(release.version),
            best.torch_source,
            _torch_reason(best, situation, proof),
            proof.source if proof else release.sources.get("default_variant", ""),
            files["torch"],
        ),
        Choice(
            "torchvision",
            release.torchvision,
            best.torch_source,
            f"the partner of torch {release.version}",
            "torchvision's own requirement",
            files["torchvision"],
        ),
        Choice(
            family.ops.distribution,
            str(best.ops),
            best.ops_source,
            _ops_reason(best, situation),
            family.ops.source,
            None
            if best.is_built
            else _file(situation, best, best.ops_source, family.ops.distribution, best.ops),
        ),
        Choice(
            family.segmentation.distribution,
            str(best.segmentation),
            DEFAULT_INDEX,
            _gate_reason(best, situation),
            family.segmentation.source,
        ),
    ]
    return tuple(choices)


def _file(
    situation: Situation, best: Candidate, source: str, name: str, version: Version
) -> IndexFile | None:
    if source == DEFAULT_INDEX:
        return None
    page = situation.pages[page_address(situation, source, best, name)]
    return wheel_on(page, name, version, best.python, best.variant)


def _torch_reason(best: Candidate, situation: Situation, proof: Proven | None) -> str:
    why = "proven to train with this family" if proof else "the newest that passes every rule"
    if situation.request.torch:
        why = "asked for"
    if best.variant == "cpu" or situation.machine.gpus:
        return f"{why}; {best.variant}"
    return f"{why}; {best.variant} build, which also runs on the CPU"


def _ops_reason(best: Candidate, situation: Situation) -> str:
    if not best.is_built:
        return f"{best.ops_source} lists a wheel for {best.variant} and torch {best.torch_series}"
    if situation.request.offline:
        return "built from source: offline, no index was asked"
    refusals = {page.error for page in situation.pages.values() if page.error}
    if refusals:
        return f"built from source: no prebuilt wheel can be had ({'; '.join(sorted(refusals))})"
    return "built from source: no index lists a wheel that fits"


def _gate_reason(best: Candidate, situation: Situation) -> str:
    gate = situation.catalog.gate(situation.family.segmentation.distribution, best.segmentation)
    if gate is None:
        return "asserts no range of mmcv"
    upper = "<=" if gate.maximum_inclusive else "<"
    return f"its gate {gate.on} >={gate.minimum},{upper}{gate.maximum} admits {best.ops}"


def _reports(situation: Situation) -> tuple[SourceReport, ...]:
    def source_of(address: str) -> str:
        for source in situation.catalog.sources:
            if address.startswith(situation.request.mirrors.get(source.name, source.base).rstrip("/")):
                return source.name
        return "index"

    return tuple(
        SourceReport(
            source_of(address),
            address,
            page.answered,
            page.error or f"{len(page.files)} files listed",
            round(page.seconds, 3),
        )
        for address, page in situation.pages.items()
    )


def _notes(best: Candidate, machine: Machine, proof: Proven | None) -> tuple[str, ...]:
    notes = []
    if proof is None:
        notes.append("this set passes every rule, but it was not trained before mmsetup was released")
    if best.interpreter is None:
        notes.append(f"no Python {best.python} is here: uv fetches one")
    if machine.gpus and machine.driver is None:
        notes.append("no driver was found: what CUDA it carries was not checked")
    notes.extend(f"pretended: {override}" for override in machine.overrides)
    return tuple(notes)


def requirements(plan: Plan, family: Family) -> tuple[str, ...]:
    """Give what the resolver has to fulfil: every choice exactly, and what the ops import without declaring it."""
    named = {Requirement(choice.requirement).name for choice in plan.choices}
    omitted = [line for line in family.ops.omits if Requirement(line).name not in named]
    return (*(choice.requirement for choice in plan.choices), *omitted)
