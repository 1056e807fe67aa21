"""Tell the chosen set as a plan: what, from where, why, and on what evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from mmsetup.binary.architectures import capability
from mmsetup.catalog import Family, Source
from mmsetup.catalog.addresses import shown
from mmsetup.catalog.links import IndexFile
from mmsetup.catalog.pages import Page
from mmsetup.plan.builds import DEFAULT_INDEX
from mmsetup.plan.candidate import SDIST, Candidate, cuda_of
from mmsetup.plan.model import Bound, Choice, OpsOrigin, Plan, Rejection, SourceReport
from mmsetup.plan.offers import Offers, wheel_on
from mmsetup.plan.patching import applied, idle
from mmsetup.plan.selection import torch_addresses
from mmsetup.plan.situation import Situation
from mmsetup.plan.toolkits import nvcc_for
from mmsetup.plan.vendor import vendor_notes

__all__ = ["account", "requirements"]

_MOST_REJECTIONS = 48


def account(best: Candidate, situation: Situation, rejections: tuple[Rejection, ...]) -> Plan:
    """Make the plan of the chosen set."""
    family, ops = situation.family, _ops_origin(best, situation)
    return Plan(
        family=family.name,
        python=best.build.python,
        interpreter=best.build.interpreter,
        variant=best.build.variant,
        ops=ops,
        choices=tuple(_choices(best, situation)),
        bounds=tuple(
            Bound(requirement, found.id, found.effect, found.source[0])
            for found in best.breaks
            for requirement in found.bounds
        ),
        sources=tuple(_reports(best, situation)),
        rejections=rejections[:_MOST_REJECTIONS],
        cautions=tuple(found.effect for found in best.breaks if found.caution),
        notes=tuple(_notes(best, situation, ops)),
        proof=best.proof.source if best.proof else "",
        catalog_digest=situation.catalog.digest,
        brings=tuple(_brought(best, situation)),
        platform=situation.platform,
        left_out=tuple(gpu for gpu in situation.machine.gpus if gpu not in situation.gpus),
        unconfirmed=tuple(_unconfirmed(best, situation)),
        glibc=str(situation.glibc)
        if any("glibc" in said.lower() for said in situation.machine.overrides)
        else "",
        fetches_python=best.build.interpreter is None
        and situation.catalog.targets.fetched.contains(best.build.python),
        patches=tuple(applied(best, situation)),
    )


def _ops_origin(best: Candidate, situation: Situation) -> OpsOrigin:
    if best.offer is not None:
        return OpsOrigin("prebuilt", best.offer.source, page=shown(best.offer.page))
    offers = Offers(situation)
    page = next((pages[0] for pages in offers.wanted(best.build)), "")
    if not situation.gpus or best.build.variant == "cpu":
        return OpsOrigin("built", SDIST, page=shown(page))
    machine_code = sorted(situation.architectures, key=capability)
    ptx = machine_code[-1:] if situation.request.with_ptx else []
    cuda = cuda_of(best.build.variant)
    nvcc = nvcc_for(cuda, machine_code, situation.machine, situation.catalog, platform=situation.platform)
    return OpsOrigin(
        "built",
        SDIST,
        with_cuda=True,
        architectures=(*machine_code, *(newest.replace("sm_", "compute_") for newest in ptx)),
        page=shown(page),
        nvcc=nvcc.words(cuda),
        nvcc_wheels=nvcc.requirements,
    )


def _choices(best: Candidate, situation: Situation) -> Iterator[Choice]:
    family, build = situation.family, best.build
    release = build.release
    pages = dict(torch_addresses(build, situation))
    files = {
        name: _file(situation, best, pages.get(name, ""), name, version) for name, version in build.files
    }
    yield Choice(
        "torch",
        str(release.version),
        build.source,
        _torch_reason(best, situation),
        best.proof.source if best.proof else release.sources.get("default_variant", ""),
        files["torch"],
    )
    yield Choice(
        "torchvision",
        release.torchvision,
        build.source,
        f"partner of torch {release.version}",
        "torchvision's own requirement",
        files["torchvision"],
    )
    offer = best.offer
    yield Choice(
        family.ops.distribution,
        str(best.code.ops),
        best.ops_source,
        _ops_reason(best, situation),
        offer.group.source if offer and offer.group else family.ops.source,
        offer.file if offer else None,
    )
    for name, version in best.code.members:
        gates = situation.catalog.gates_of(name, version)
        member = family.named(name)
        yield Choice(
            name,
            str(version),
            DEFAULT_INDEX,
            f"accepts {', '.join(gate.range for gate in gates)}"
            if gates
            else "accepts any version of the others",
            gates[0].source if gates else (member.source if member else ""),
        )


def _file(
    situation: Situation, best: Candidate, address: str, name: str, version: Version
) -> IndexFile | None:
    page = situation.pages.get(address)
    return None if page is None else wheel_on(page, name, version, best.build, situation)


def _torch_reason(best: Candidate, situation: Situation) -> str:
    why = "newest that fits"
    if best.proof:
        is_same = best.is_built and (best.build.variant == "cpu" or not situation.gpus)
        why = "proven to train" if is_same else "trained on a CPU, its ops built from source"
    if situation.request.torch:
        why = "asked for"
    variant = best.build.variant
    if variant == "cpu":
        return f"{why}; there is no GPU" if not situation.request.cuda else f"{why}; cpu"
    if situation.gpus:
        held = sorted(situation.architectures)
        return f"{why}; {variant} runs {', '.join(held)}" if held else f"{why}; {variant}"
    return f"{why}; {variant} runs on a CPU too"


def _ops_reason(best: Candidate, situation: Situation) -> str:
    if best.offer is not None:
        series = best.build.release.series
        return f"a wheel for {best.build.variant} and torch {series}" + (
            "" if best.offer.file else ", as the catalogue says"
        )
    if not situation.request.may_use_prebuilt:
        return "built from source, as asked"
    if situation.request.offline:
        return "built from source: offline"
    return "built from source: no wheel can be had"


def _unconfirmed(best: Candidate, situation: Situation) -> Iterator[str]:
    if best.offer is not None and best.offer.file is None:
        yield situation.family.ops.distribution
    if not best.torch_confirmed:
        yield from (name for name, _ in best.build.files)


def _reports(best: Candidate, situation: Situation) -> Iterator[SourceReport]:
    for address, page in situation.pages.items():
        source = _source_of(address, situation)
        yield SourceReport(
            source.name if source else "index",
            page.shown_url,
            page.answered,
            page.error or _listing(page),
            round(page.seconds, 3),
            _follows(best, situation, source) if source else "",
            round(page.age),
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
    words = f"{count} file{'' if count == 1 else 's'} listed" if count else "the page lists no files"
    return words + (f"; {page.refused} link(s) refused: {page.refusals[0]}" if page.refused else "")


def _follows(best: Candidate, situation: Situation, source: Source) -> str:
    ops = situation.family.ops.distribution
    if ops in source.distributions:
        return f"{ops} is built from source" if best.is_built else f"{ops} is taken from {best.ops_source}"
    if best.build.source == source.name:
        return f"torch is taken from {source.name}"
    return f"torch is taken from the {DEFAULT_INDEX}"


def _notes(best: Candidate, situation: Situation, ops: OpsOrigin) -> Iterator[str]:
    machine, build = situation.machine, best.build
    if best.proof is None:
        yield "this set passes every rule, but it was not trained before mmsetup was released"
    else:
        asked = dict.fromkeys(Requirement(line).name for line in situation.request.wanted)
        if more := [name for name in asked if name not in best.proof.versions]:
            yield f"what was trained did not have {', '.join(more)}"
    if build.interpreter is None:
        wanted = situation.request.python or build.python
        if situation.catalog.targets.fetched.contains(build.python):
            yield f"no Python {wanted} is here: uv fetches one"
        else:
            yield f"no Python {wanted} is here, and uv has none: pyenv install {build.python}"
    if ops.nvcc:
        yield f"the ops are compiled for {', '.join(ops.architectures) or 'GPUs'} by the {ops.nvcc}"
    yield from _of_gpus(best, situation)
    if machine.os.wsl:
        yield "under WSL the driver is that of Windows: its version was compared with Windows' minimums"
    yield from vendor_notes(situation, build)
    yield from (f"the patch {name} has nothing to change in this set" for name in idle(best, situation))
    yield from _differences(best, situation)
    yield from (f"pretended: {override}" for override in machine.overrides)


def _of_gpus(best: Candidate, situation: Situation) -> Iterator[str]:
    machine, build = situation.machine, best.build
    driver = machine.driver
    if machine.gpus and (driver is None or not (driver.version or driver.cuda)):
        yield "no driver was found: what CUDA it carries was not checked"
    left_out = dict.fromkeys(
        (gpu.name, gpu.architecture) for gpu in machine.gpus if gpu not in situation.gpus
    )
    kept = ",".join(str(gpu.index) for gpu in situation.gpus)
    for name, architecture in left_out:
        yield (
            f"{name} ({architecture}) is left out: no set serves it together with the others; "
            f"CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES={kept} hides it"
        )
    for name in dict.fromkeys(gpu.name for gpu in situation.gpus if not gpu.architecture):
        yield f"the architecture of {name} is not known: whether there is code for it was not checked"
    yield from _of_compatibility(best, situation)
    slices = sorted({gpu.mig for gpu in situation.gpus if gpu.mig})
    if slices:
        yield f"MIG divides the GPU ({', '.join(slices)}): a process sees one slice and its memory alone"
    if not situation.gpus or build.variant == "cpu":
        return
    held = build.release.architectures.get((situation.platform, build.variant))
    if held is not None and held.certainty not in {"measured", "documented"}:
        yield f"which GPUs this build of torch holds code for is {held.certainty}, not read from the file"
    if best.offer is not None and (best.offer.group is None or best.offer.group.architectures is None):
        yield (
            f"which GPUs the ops of {best.offer.source} hold code for is written nowhere: the wheel is "
            "opened before it is installed"
        )


def _of_compatibility(best: Candidate, situation: Situation) -> Iterator[str]:
    driver, variant = situation.machine.driver, best.build.variant
    if driver is not None and not situation.machine.gpus:
        yield "no GPU was found or named: the driver plays no part"
    if (
        not situation.request.forward_compatibility
        or variant == "cpu"
        or driver is None
        or not driver.version
    ):
        return
    cuda = cuda_of(variant)
    floor = situation.catalog.driver_floor(cuda, windows=situation.machine.os.wsl)
    if floor is not None and Version(driver.version) < floor[0]:
        yield (
            f"{variant} runs on driver {driver.version} only with NVIDIA's package "
            f"cuda-compat-{cuda.major}-{cuda.minor}"
        )


def _differences(best: Candidate, situation: Situation) -> Iterator[str]:
    """Tell where the chosen page lists more or less than the catalogue says."""
    offers, ops = Offers(situation), situation.family.ops.distribution
    for source in situation.catalog.sources:
        if source.name not in situation.ops_sources:
            continue
        for address in offers.addresses(source, best.build):
            page = situation.pages.get(address)
            if page is None or not page.answered or page.missing:
                continue
            listed = set(offers.listed(page))
            said = {version for group in offers.groups(source, best.build) for version in group.versions}
            for words, versions in (("more", listed - said), ("less", said - listed)):
                if versions:
                    named = ", ".join(map(str, sorted(versions)))
                    yield f"{source.name} lists {words} for this pair than the catalogue says: {ops} {named}"


def _brought(best: Candidate, situation: Situation) -> Iterable[str]:
    family = situation.family
    chosen = [member for member in family.members if best.code.version(member.distribution)]
    lines = chain(
        ("torch", "torchvision", family.ops.distribution),
        (member.distribution for member in chosen),
        family.ops.requires,
        family.ops.omits,
        (
            line
            for member in chosen
            for line in (*member.omits, *(member.sdist.requires if member.sdist else ()))
        ),
        family.build.requires if best.is_built else (),
    )
    return dict.fromkeys(canonicalize_name(Requirement(line).name) for line in lines)


def requirements(plan: Plan, family: Family) -> tuple[str, ...]:
    """Give what the resolver has to fulfil: every choice exactly, and what they import undeclared."""
    chosen = {choice.name for choice in plan.choices}
    members = [member for member in family.members if member.distribution in chosen]
    lines = dict.fromkeys([*family.ops.omits, *(line for member in members for line in member.omits)])
    omitted = [line for line in lines if Requirement(line).name not in chosen]
    return (*(choice.requirement for choice in plan.choices), *omitted)
