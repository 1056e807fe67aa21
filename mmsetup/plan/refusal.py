"""Say why nothing fits, and what, if it changed, would make something fit."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from packaging.version import Version

from mmsetup.catalog import TorchRelease
from mmsetup.catalog.addresses import shown
from mmsetup.catalog.model import parsed
from mmsetup.errors import MmsetupError, NoPlanError
from mmsetup.plan.candidate import Candidate, cuda_of
from mmsetup.plan.model import Rejection
from mmsetup.plan.patching import idle
from mmsetup.plan.request import DEFAULT_FAMILY, Request, askable_patches, settled
from mmsetup.plan.rules import as_nvidia_writes
from mmsetup.plan.selection import Selection
from mmsetup.plan.situation import Situation
from mmsetup.plan.vendor import vendor_evidence, vendor_remedy
from mmsetup.probe.machine import Driver, Libc, Machine, Toolkit

__all__ = ["command_for", "refusal"]

_MOST_REJECTIONS = 6
_BOUNDLESS = "9999"


@dataclass(frozen=True, slots=True)
class _Way:
    """What would have to change, in words, and the command that asks for it."""

    words: str
    command: str


@dataclass(frozen=True, slots=True)
class _Fit:
    """A set that would fit, in words, and the request that gives it."""

    candidate: Candidate
    words: str
    request: Request


def refusal(situation: Situation) -> NoPlanError:
    """Make the error for a situation in which no candidate passes every rule."""
    request = situation.request
    asked = [
        f"{name} {value}"
        for name, value in (
            ("Python", request.python),
            ("torch", request.torch),
            ("CUDA", request.cuda),
            ("", ", ".join(request.wanted)),
        )
        if value
    ]
    base = Selection(situation)
    ways = list(_ways_out(base))
    nearest = base.nearest(situation)
    return NoPlanError(
        f"no set of versions of family {request.family} fits this machine"
        + (f" with {', '.join(words.strip() for words in asked)}" if asked else ""),
        evidence=[
            *vendor_evidence(situation),
            *(_told(found) for found in islice(nearest, _MOST_REJECTIONS)),
            *dict.fromkeys(_unanswered(situation)),
            *(way.words for way in ways),
        ],
        remedy=next((way.command for way in ways), "")
        or vendor_remedy(situation)
        or "mmsetup probe  # what was found here",
    )


def _told(found: Rejection) -> str:
    more = f" (and {found.others} more)" if found.others else ""
    return f"{found.candidate}{more}: {found.reason}"


def _unanswered(situation: Situation) -> Iterator[str]:
    for page in situation.pages.values():
        if not page.answered:
            host = urlsplit(page.shown_url).netloc
            yield f"{host} did not answer ({page.error}): what it lists is not known"


def _ways_out(base: Selection) -> Iterator[_Way]:
    situation = base.situation
    yield from _with_less(base)
    if situation.gpus and situation.request.cuda != "cpu":
        yield from _with_nvcc(base)
        yield from _with_newer_driver(base)
    yield from _with_patches(base)
    yield from _with_a_weakness(base)
    yield from _with_another_family(base)
    yield from _with_newer_glibc(base)
    yield from _on_the_cpu(base)
    yield from _without_segmentation(base)
    yield from _by_the_catalog(base)


def _by_the_catalog(base: Selection) -> Iterator[_Way]:
    """Where only pages are missing, say what the catalogue knows of them."""
    situation, request = base.situation, base.situation.request
    if request.trusts_catalog or not any(not page.answered for page in situation.pages.values()):
        return
    trusting = replace(request, trusts_catalog=True, offline=True, may_fetch_python=True)
    if fit := _fit(base, replace(situation, request=trusting, pages={})):
        yield _Way(
            f"if those pages list what they should, this fits: {fit.words}",
            command_for(fit.request, situation.machine),
        )


def _without_segmentation(base: Selection) -> Iterator[_Way]:
    situation, request = base.situation, base.situation.request
    member = situation.family.member("segmentation")
    if member is None or member.distribution in request.without:
        return
    without = replace(request, without=(*request.without, member.distribution))
    if fit := _fit(base, replace(situation, request=without)):
        yield _Way(
            f"without {member.distribution}, for other code, this fits: {fit.words}",
            command_for(fit.request, situation.machine),
        )


def _with_less(base: Selection) -> Iterator[_Way]:
    """Give up each wish, and all of them where no single one is enough."""
    situation = base.situation
    request = situation.request
    free: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("--no-build", {"may_build": True}),
        ("--no-prebuilt", {"may_use_prebuilt": True}),
        ("--source", {"sources": ()}),
        ("--no-patches", {"may_patch": True}),
        ("--python", {"python": ""}),
        ("--torch", {"torch": ""}),
        ("--cuda", {"cuda": ""}),
        ("--with", {"wanted": ()}),
        ("--offline", {"offline": False, "may_fetch_python": True}),
    )
    less = [(option, replace(request, **changes)) for option, changes in free]
    less = [(option, other) for option, other in less if other != request]
    found = list(_fitting(less, base))
    if not found and len(less) > 1:
        everything = {key: value for _, changes in free for key, value in changes.items()}
        found = list(
            _fitting([(" and ".join(option for option, _ in less), replace(request, **everything))], base)
        )
    yield from found


def _fitting(less: list[tuple[str, Request]], base: Selection) -> Iterator[_Way]:
    situation = base.situation
    for option, other in less:
        fit = _fit(base, replace(situation, request=other))
        if fit is not None and not _is_plain(fit, base):
            yield _Way(
                f"without {option} this fits: {fit.words}",
                command_for(fit.request, situation.machine, instead_of=situation.request),
            )


def _with_newer_glibc(base: Selection) -> Iterator[_Way]:
    situation = base.situation
    machine, here = situation.machine, situation.glibc
    needed = [wheels.glibc for release in situation.catalog.torch for wheels in release.platforms.values()]
    needed += [group.glibc for group in situation.catalog.wheels]
    if here is None or machine.libc is None or here >= max(parsed(glibc) for glibc in needed if glibc):
        return
    fit = _fit(base, replace(situation, machine=replace(machine, libc=Libc("glibc", _BOUNDLESS))))
    if fit is not None and not _is_plain(fit, base):
        yield _Way(
            f"with a newer glibc than {machine.libc.version} this fits: {fit.words}",
            f"{command_for(fit.request, machine)}  # in a newer container image",
        )


def _on_the_cpu(base: Selection) -> Iterator[_Way]:
    situation = base.situation
    request = situation.request
    if not situation.gpus or request.cuda == "cpu":
        return
    if fit := _fit(base, replace(situation, request=replace(request, cuda="cpu"))):
        yield _Way(f"on the CPU alone this fits: {fit.words}", command_for(fit.request, situation.machine))


def _with_nvcc(base: Selection) -> Iterator[_Way]:
    situation = base.situation
    machine = situation.machine
    cudas = {
        cuda_of(variant) for release in situation.catalog.torch for variant in _variants(situation, release)
    }
    kits = tuple(Toolkit(Path("/usr/local/cuda"), str(cuda), Path("nvcc")) for cuda in sorted(cudas))
    fit = _fit(base, replace(situation, machine=replace(machine, toolkits=(*machine.toolkits, *kits))))
    if fit is not None and fit.candidate.is_built and not _is_plain(fit, base):
        cuda = cuda_of(fit.candidate.build.variant)
        yield _Way(
            f"with an nvcc of CUDA {cuda} this fits: {fit.words}",
            f"apt-get install cuda-nvcc-{cuda.major}-{cuda.minor} && {command_for(fit.request, machine)}",
        )


def _variants(situation: Situation, release: TorchRelease) -> set[str]:
    wheels = release.platforms.get(situation.platform)
    return {*wheels.index_variants, wheels.default_variant} - {"cpu", ""} if wheels else set()


def _with_newer_driver(base: Selection) -> Iterator[_Way]:
    situation = base.situation
    driver = situation.machine.driver
    if driver is None:
        return
    newest = replace(situation.machine, driver=Driver(_BOUNDLESS, "", "request"))
    fit = _fit(base, replace(situation, machine=newest))
    if fit is None or fit.candidate.build.variant == "cpu" or _is_plain(fit, base):
        return
    windows = situation.platform.startswith("windows") or situation.machine.os.wsl
    floor = situation.catalog.driver_floor(cuda_of(fit.candidate.build.variant), windows=windows)
    if floor is None or (driver.version and Version(driver.version) >= floor[0]):
        return
    minimum = as_nvidia_writes(floor[0])
    others = tuple(said for said in situation.machine.overrides if not said.startswith("--driver"))
    yield _Way(
        f"with driver {minimum} or newer this fits: {fit.words}",
        f"{command_for(fit.request, replace(situation.machine, overrides=others))} --driver {minimum}",
    )


def _with_another_family(base: Selection) -> Iterator[_Way]:
    situation = base.situation
    request = situation.request
    for family in situation.catalog.families:
        if family.name == request.family:
            continue
        other = replace(request, family=family.name, wanted=(), without=(), sources=(), patches=())
        try:
            other, _ = settled(other, situation.catalog)
        except MmsetupError:
            continue
        if fit := _fit(base, replace(situation, request=other, family=family)):
            yield _Way(
                f"in family {family.name} this fits: {fit.words}",
                command_for(fit.request, situation.machine),
            )


def _with_a_weakness(base: Selection) -> Iterator[_Way]:
    fit = _fit(base, base.situation)
    if fit is not None and any(known.caution for known in fit.candidate.breaks):
        yield _Way(f"asked for, this fits: {fit.words}", command_for(fit.request, base.situation.machine))


def _with_patches(base: Selection) -> Iterator[_Way]:
    """Try each patch that has to be asked for, then all of them, until a set has no weakness."""
    situation, request = base.situation, base.situation.request
    askable = askable_patches(situation.catalog, situation.family)
    known = tuple(name for name in askable if name not in request.patches)
    plain = _fit(base, situation) if known else None
    best: tuple[_Fit, tuple[str, ...]] | None = None
    for tried in dict.fromkeys([*((name,) for name in known), known]):
        patches = (*request.patches, *tried)
        catalog = situation.catalog.with_patched_gates(patches)
        patched = replace(situation, catalog=catalog, request=replace(request, patches=patches))
        fit = _fit(base, patched) if tried else None
        if fit is None or (plain is not None and plain.words == fit.words):
            continue
        useless = set(idle(fit.candidate, patched))
        found = fit, tuple(name for name in patches if name not in useless)
        if not any(broken.caution for broken in fit.candidate.breaks):
            best = found
            break
        best = best or found
    if best is not None:
        fit, used = best
        yield _Way(
            f"with {' '.join(f'--patch {name}' for name in used)} this fits: {fit.words}",
            command_for(replace(fit.request, patches=used), situation.machine),
        )


def _is_plain(fit: _Fit, base: Selection) -> bool:
    """Tell whether a set would fit as well with nothing changed but its weakness asked for."""
    plain = _fit(base, base.situation)
    return plain is not None and plain.words == fit.words


def _fit(base: Selection, situation: Situation) -> _Fit | None:
    """Give the best set, or else the best one with a known weakness, which has to be asked for.

    Pages that were not read are taken for what the catalogue says of them.
    """
    family, request = situation.family, situation.request
    for accepting in (request, replace(request, accepts_cautions=True)):
        sifted = Selection(replace(situation, request=accepting), like=base).sifted()
        best = next(iter(sifted.possible), None)
        if best is None:
            continue
        words = best.described(family) + ("" if best.is_confirmed else " (as the catalogue says)")
        if accepting is request:
            return _Fit(best, words, request)
        if any(known.caution for known in best.breaks):
            cautions = "; ".join(known.effect for known in best.breaks if known.caution)
            asking = replace(request, torch=str(best.build.release.version))
            return _Fit(best, f"{words}; but {cautions}", asking)
    return None


def command_for(request: Request, machine: Machine, *, instead_of: Request | None = None) -> str:
    """Give the command that plans for a request, with what was said of another machine.

    What the request allows and ``instead_of`` forbids is allowed by name: it may be the project's table that
    forbids it, which leaving an option away does not change.
    """
    words = ["mmsetup plan"]
    if request.family != DEFAULT_FAMILY:
        words += ["--family", request.family]
    for option, value in (("--python", request.python), ("--torch", request.torch), ("--cuda", request.cuda)):
        if value:
            words += [option, shlex.quote(value)]
    for option, values in (
        ("--with", request.wanted),
        ("--without", request.without),
        ("--source", request.sources),
        ("--patch", request.patches),
    ):
        words += [word for value in values for word in (option, shlex.quote(value))]
    before = instead_of or request
    for option, is_allowed, was_allowed in (
        ("build", request.may_build, before.may_build),
        ("prebuilt", request.may_use_prebuilt, before.may_use_prebuilt),
        ("patches", request.may_patch, before.may_patch),
    ):
        if not is_allowed or not was_allowed:
            words.append(f"--{option}" if is_allowed else f"--no-{option}")
    for option, is_set in (
        ("--offline", request.offline),
        ("--cuda-compat", request.forward_compatibility),
        ("--ptx", request.with_ptx),
    ):
        if is_set:
            words.append(option)
    for name, address in request.mirrors.items():
        words += ["--mirror", shlex.quote(f"{name}={shown(address)}")]
    words += [said for said in machine.overrides if said.startswith("--")]
    return " ".join(words)
