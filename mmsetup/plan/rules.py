"""The rules that each set must pass.

A rule is a function of a candidate and the situation; it gives the reason for which the candidate is not
possible, or nothing. First come :data:`RULES`, which need no index, then :data:`PAGE_RULES`, which only a
live page can answer. A reason speaks of the rule and not of the candidate wherever it can, so that all
candidates that it excludes are told as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter

from packaging.version import Version

from mmsetup.plan.candidate import DEFAULT_INDEX, Candidate, Situation, cuda_of, is_usable, runs_on
from mmsetup.plan.offers import page_address, wheel_on

__all__ = ["PAGE_RULES", "RULES", "Judge", "Rule"]

Check = Callable[[Candidate, Situation], str | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A named check and the attributes that it looks at: candidates that agree in them are checked once."""

    name: str
    looks_at: tuple[str, ...]
    check: Check


class Judge:
    """Asks rules about candidates in one situation."""

    def __init__(self, rules: tuple[Rule, ...], situation: Situation) -> None:
        self._rules: list[tuple[Rule, attrgetter[object], dict[object, str | None]]] = [
            (rule, attrgetter(*rule.looks_at), {}) for rule in rules
        ]
        self._situation = situation

    def objections(self, candidate: Candidate) -> Iterator[tuple[str, str]]:
        """Give the name of each rule that excludes a candidate, and its reason."""
        for rule, seen_by, verdicts in self._rules:
            key = seen_by(candidate)
            if key in verdicts:
                reason = verdicts[key]
            else:
                reason = verdicts[key] = rule.check(candidate, self._situation)
            if reason is not None:
                yield rule.name, reason


def _platform(_: Candidate, situation: Situation) -> str | None:
    os, cpu = situation.machine.os, situation.machine.cpu
    if (os.name, cpu.architecture) != ("linux", "x86_64"):
        return f"no wheels of this family are known for {os.name} {cpu.architecture}; nearest: linux x86_64"
    libc = situation.machine.libc
    if libc is not None and libc.name != "glibc":
        return f"torch has no wheels for {libc.name}"
    return None


def _python(candidate: Candidate, situation: Situation) -> str | None:
    if candidate.python not in candidate.torch.pythons:
        return f"this torch and its torchvision have no wheels for Python {candidate.python}"
    if candidate.interpreter is None and not situation.request.may_fetch_python:
        wanted = max(candidate.python, situation.request.python, key=len)
        return f"no Python {wanted} is here and none may be fetched"
    return None


def _interpreter(candidate: Candidate, _: Situation) -> str | None:
    found = candidate.interpreter
    if found is None or is_usable(found):
        return None
    threads = ", free-threaded" if found.free_threaded else ""
    return f"{found.path} is {found.implementation} for {found.platform}{threads}: torch has no wheels for it"


def _cuda(candidate: Candidate, situation: Situation) -> str | None:
    asked, has_gpu = situation.request.cuda, bool(situation.machine.gpus)
    if asked:
        return None if candidate.variant == asked else f"{asked} was asked for"
    if has_gpu and candidate.variant == "cpu":
        return "there is a GPU and the cpu variant would not use it"
    if not has_gpu and candidate.variant != "cpu" and candidate.torch_source != DEFAULT_INDEX:
        return "there is no GPU: a cpu variant does the same with less to download"
    return None


def _driver(candidate: Candidate, situation: Situation) -> str | None:
    driver = situation.machine.driver
    if candidate.variant == "cpu" or driver is None or not situation.machine.gpus:
        return None
    cuda = cuda_of(candidate.variant)
    if not driver.version:
        carried = Version(driver.cuda or "0")
        if carried.major >= cuda.major:
            return None
        return f"{candidate.variant} needs a driver with CUDA {cuda.major}, here is one with {driver.cuda}"
    floor = situation.catalog.driver_floor(cuda)
    if floor is None or Version(driver.version) >= floor[0]:
        return None
    minimum = _as_nvidia_writes(floor[0])
    return f"{candidate.variant} needs driver {minimum} or newer, here is {driver.version}"


def _as_nvidia_writes(driver: Version) -> str:
    first, *others = driver.release
    return ".".join([str(first), *(f"{number:02d}" for number in others)])


def _architectures(candidate: Candidate, situation: Situation) -> str | None:
    if candidate.variant == "cpu":
        return None
    held = candidate.torch.architectures.get(candidate.variant)
    for gpu in situation.machine.gpus:
        if not gpu.architecture:
            continue
        if held is None:
            return "what this torch holds code for is not known"
        if not runs_on(gpu.architecture, held.sass, held.ptx):
            return f"this torch holds no code for {gpu.name} ({gpu.architecture})"
    return None


def _gates(candidate: Candidate, situation: Situation) -> str | None:
    gate = situation.catalog.gate(situation.family.segmentation.distribution, candidate.segmentation)
    return None if gate is None or gate.admits(candidate.ops) else f"{gate.distribution} asserts {gate.range}"


def _breaks(candidate: Candidate, situation: Situation) -> str | None:
    request = situation.request
    for found in candidate.breaks:
        if found.reject:
            return f"{found.effect} ({found.id})"
    if request.torch or request.python or request.accepts_cautions:
        return None
    for found in candidate.breaks:
        if found.caution:
            return f"{found.effect} ({found.id}); chosen only when this torch or Python is asked for"
    return None


def _build(candidate: Candidate, situation: Situation) -> str | None:
    if not candidate.is_built:
        return None if situation.request.may_use_prebuilt else "prebuilt wheels are excluded"
    if not situation.request.may_build:
        return "a build is excluded"
    if situation.machine.gpus and candidate.variant != "cpu":
        wanted = cuda_of(candidate.variant).major
        majors = {Version(kit.version).major for kit in situation.machine.toolkits if kit.nvcc is not None}
        if wanted not in majors:
            return f"building CUDA ops needs an nvcc of CUDA {wanted}, here is {_named(majors)}"
    return None


def _torch_page(candidate: Candidate, situation: Situation) -> str | None:
    if candidate.torch_source == DEFAULT_INDEX:
        return None
    for name, version in candidate.torch_files:
        reason = _absent(situation, candidate, candidate.torch_source, name, version)
        if reason:
            return reason
    return None


def _ops_page(candidate: Candidate, situation: Situation) -> str | None:
    if candidate.is_built:
        return None
    name = situation.family.ops.distribution
    return _absent(situation, candidate, candidate.ops_source, name, candidate.ops)


_RELEASE = "torch.version"

RULES: tuple[Rule, ...] = (
    Rule("platform", ("torch_source",), _platform),
    Rule("cuda", ("variant", "torch_source"), _cuda),
    Rule("interpreter", ("interpreter",), _interpreter),
    Rule("python", (_RELEASE, "python"), _python),
    Rule("driver", ("variant",), _driver),
    Rule("architectures", (_RELEASE, "variant"), _architectures),
    Rule("gates", ("ops", "segmentation"), _gates),
    Rule("build", ("variant", "is_built"), _build),
    Rule("breaks", (_RELEASE, "python", "ops", "segmentation", "is_built"), _breaks),
)

PAGE_RULES: tuple[Rule, ...] = (
    Rule("torch page", (_RELEASE, "variant", "torch_source", "python"), _torch_page),
    Rule("ops page", (_RELEASE, "variant", "ops", "ops_source", "python"), _ops_page),
)


def _absent(
    situation: Situation, candidate: Candidate, source_name: str, name: str, version: Version
) -> str | None:
    source = situation.catalog.source(source_name)
    if source is None:
        return f"there is no source {source_name}"
    if situation.request.offline:
        return f"offline: {source_name} was not asked"
    address = page_address(
        source,
        situation.request.mirrors,
        variant=candidate.variant,
        series=candidate.series,
        distribution=name,
    )
    page = situation.pages.get(address)
    if page is None:
        return f"{source_name} is not known to have {name} for this torch and variant"
    if page.error:
        return f"{source_name} did not give its page for this torch and variant: {page.error}"
    libc = situation.machine.libc
    if wheel_on(page, name, version, python=candidate.python, variant=candidate.variant, libc=libc):
        return None
    return f"{source_name} lists no wheel of this {name} for Python {candidate.python} and this machine"


def _named(majors: set[int]) -> str:
    return ", ".join(f"CUDA {major}" for major in sorted(majors)) or "none"
