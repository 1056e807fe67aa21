"""The rules that each set must pass.

A rule gives the reason for which something is not possible, or nothing. :data:`BUILD_RULES` look at a build
of torch, :data:`OPS_RULES` at the ops that go with it. What versions accept each other is settled before, in
:mod:`mmsetup.plan.code`. A reason speaks of the rule and not of the candidate wherever it can, so that all
that it excludes is told as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter

from packaging.version import Version

from mmsetup.binary.architectures import runs_on
from mmsetup.catalog.model import TorchArchitectures
from mmsetup.plan.builds import TorchBuild, is_usable
from mmsetup.plan.candidate import Candidate, cuda_of
from mmsetup.plan.offers import wheel_on
from mmsetup.plan.situation import Situation, host_of
from mmsetup.plan.toolkits import nvcc_for
from mmsetup.probe.machine import Gpu

__all__ = ["BUILD_RULES", "OPS_RULES", "TORCH_PAGE", "BuildRule", "Judge", "torch_page"]

_BUILDING = "linux-x86_64"


@dataclass(frozen=True, slots=True)
class BuildRule:
    """A check of a build and the attributes that it looks at: builds that agree in them are checked once."""

    name: str
    looks_at: tuple[str, ...]
    check: Callable[[TorchBuild, Situation], str | None]


class Judge:
    """Asks the rules about builds of torch in one situation."""

    def __init__(self, situation: Situation) -> None:
        self._rules: list[tuple[BuildRule, attrgetter[object], dict[object, str | None]]] = [
            (rule, attrgetter(*rule.looks_at), {}) for rule in BUILD_RULES
        ]
        self._situation = situation

    def objections(self, build: TorchBuild) -> Iterator[tuple[str, str]]:
        """Give the name of each rule that excludes a build, and its reason."""
        for rule, seen_by, verdicts in self._rules:
            key = seen_by(build)
            if key in verdicts:
                reason = verdicts[key]
            else:
                reason = verdicts[key] = rule.check(build, self._situation)
            if reason is not None:
                yield rule.name, reason


def _platform(build: TorchBuild, situation: Situation) -> str | None:
    libc = situation.machine.libc
    if libc is not None and libc.name != "glibc":
        return f"torch has no wheels for {libc.name}"
    if build.wheels is None:
        return f"this torch has no wheels for {situation.platform}"
    return None


def _glibc(build: TorchBuild, situation: Situation) -> str | None:
    glibc = situation.glibc
    if build.wheels is None or not build.wheels.glibc or glibc is None:
        return None
    if glibc >= Version(build.wheels.glibc):
        return None
    return f"this torch's wheels need glibc {build.wheels.glibc}, here is {glibc}"


def _python(build: TorchBuild, situation: Situation) -> str | None:
    targets = situation.catalog.targets.pythons
    if build.python and not targets.contains(build.python):
        return f"what mmsetup runs in an environment needs Python {targets}"
    if build.wheels is not None and build.python not in build.wheels.pythons:
        return f"this torch and its torchvision have no wheels for Python {build.python}"
    if build.interpreter is None and not situation.request.may_fetch_python:
        wanted = max(build.python, situation.request.python, key=len)
        return f"no Python {wanted} is here and none may be fetched"
    return None


def _interpreter(build: TorchBuild, situation: Situation) -> str | None:
    found = build.interpreter
    if found is None or is_usable(found, situation.platform):
        return None
    threads = ", free-threaded" if found.free_threaded else ""
    return f"{found.path} is {found.implementation} for {found.platform}{threads}: torch has no wheels for it"


def _cuda(build: TorchBuild, situation: Situation) -> str | None:
    asked, has_gpu = situation.request.cuda, bool(situation.gpus)
    if asked:
        return None if build.variant == asked else f"{asked} was asked for"
    if has_gpu and build.variant == "cpu":
        return "there is a GPU and the cpu variant would not use it"
    return None


def _driver(build: TorchBuild, situation: Situation) -> str | None:
    driver, catalog = situation.machine.driver, situation.catalog
    if build.variant == "cpu" or driver is None or not situation.gpus:
        return None
    cuda = cuda_of(build.variant)
    if not driver.version:
        # A driver of which nothing is known is not too old for that.
        if not driver.cuda or Version(driver.cuda).major >= cuda.major:
            return None
        return f"{build.variant} needs a driver with CUDA {cuda.major}, here is one with {driver.cuda}"
    windows = situation.platform.startswith("windows") or situation.machine.os.wsl
    floor = catalog.driver_floor(cuda, windows=windows)
    here = Version(driver.version)
    if floor is None or here >= floor[0] or is_carried_forward(cuda, here, situation):
        return None
    minimum = as_nvidia_writes(floor[0])
    return f"{build.variant} needs driver {minimum} or newer, here is {driver.version}"


def is_carried_forward(cuda: Version, driver: Version, situation: Situation) -> bool:
    """Tell whether NVIDIA's package of forward compatibility, where asked for, runs a newer CUDA here."""
    if not situation.request.forward_compatibility or situation.machine.os.wsl:
        return False
    if not situation.platform.startswith("linux"):
        return False
    floors = (row for row in situation.catalog.forward_compatibility if row.major == cuda.major)
    return any(driver >= row.linux_minimum for row in floors) and all(
        _is_for_data_centres(gpu, situation) for gpu in situation.gpus
    )


def _is_for_data_centres(gpu: Gpu, situation: Situation) -> bool:
    """Tell whether a GPU, by its name or for want of one by its architecture, is one for data centres."""
    words = gpu.name.lower().replace("-", " ").split()
    models = situation.catalog.gpus
    if any(model.kind == "datacenter" and model.name.split()[-1].lower() in words for model in models):
        return True
    kinds = {model.kind for model in models if model.architecture == gpu.architecture}
    return gpu.name.startswith("sm_") and kinds == {"datacenter"}


def as_nvidia_writes(driver: Version) -> str:
    """Write the version of a driver with the zeros that NVIDIA writes: ``525.60.13``, ``450.80.02``."""
    first, *others = driver.release
    return ".".join([str(first), *(f"{number:02d}" for number in others)])


def _architectures(build: TorchBuild, situation: Situation) -> str | None:
    if build.variant == "cpu":
        return None
    held = build.release.architectures.get((situation.platform, build.variant))
    for gpu in situation.gpus:
        if not gpu.architecture:
            continue
        if held is None:
            return "what this torch holds code for is not known"
        if not runs_on(gpu.architecture, held.sass, held.ptx):
            also = "" if gpu.name == gpu.architecture else f" ({gpu.architecture})"
            return f"this torch holds no code for {gpu.name}{also}"
    return None


_RELEASE = "release.version"
BUILD_RULES: tuple[BuildRule, ...] = (
    BuildRule("platform", (_RELEASE, "wheels"), _platform),
    BuildRule("glibc", (_RELEASE, "wheels"), _glibc),
    BuildRule("cuda", ("variant", "source"), _cuda),
    BuildRule("interpreter", ("interpreter",), _interpreter),
    BuildRule("python", (_RELEASE, "python", "interpreter"), _python),
    BuildRule("driver", ("variant",), _driver),
    BuildRule("architectures", (_RELEASE, "variant"), _architectures),
)


def _prebuilt(candidate: Candidate, situation: Situation) -> str | None:
    offer = candidate.offer
    if offer is None:
        return None
    if not situation.request.may_use_prebuilt:
        return "prebuilt wheels are excluded"
    group = offer.group
    if group is None:
        return None
    glibc = situation.glibc
    # A page's own file names say it more truly, unless they only say Linux.
    is_told = offer.file is not None and "manylinux" in offer.file.filename
    if not is_told and group.glibc and glibc is not None and glibc < Version(group.glibc):
        return f"the wheels of {offer.source} for this pair need glibc {group.glibc}, here is {glibc}"
    if candidate.build.variant != "cpu" and group.architectures is not None:
        held = group.architectures
        for gpu in situation.gpus:
            if gpu.architecture and not runs_on(gpu.architecture, held.sass, held.ptx):
                return f"the ops of {offer.source} hold no code for {gpu.name} ({gpu.architecture})"
    return None


def _build(candidate: Candidate, situation: Situation) -> str | None:
    if not candidate.is_built:
        return None
    if not situation.request.may_build:
        return "a build is excluded"
    if situation.platform != _BUILDING:
        return f"the ops are built on {_BUILDING} alone, not on {situation.platform}"
    if situation.request.sources:
        return f"prebuilt ops from {' or '.join(situation.request.sources)} were asked for"
    if situation.gpus and candidate.build.variant != "cpu":
        wanted, catalog = situation.architectures, situation.catalog
        nvcc = nvcc_for(
            cuda_of(candidate.build.variant),
            wanted,
            situation.machine,
            catalog,
            platform=situation.platform,
        )
        return nvcc.refusal or _extensions(
            candidate.build.release.version, wanted, catalog.torch_architectures
        )
    return None


@lru_cache(maxsize=256)
def _extensions(
    torch: Version, architectures: tuple[str, ...], known: tuple[TorchArchitectures, ...]
) -> str | None:
    """Say for which architecture a release of torch lets nothing be compiled, whatever nvcc knows."""
    for row in known:
        if row.torch.contains(torch):
            for architecture in architectures:
                if architecture not in row.architectures:
                    return f"this torch takes no {architecture} in TORCH_CUDA_ARCH_LIST for a build"
    return None


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


OPS_RULES: tuple[tuple[str, Callable[[Candidate, Situation], str | None]], ...] = (
    ("prebuilt", _prebuilt),
    ("build", _build),
    ("breaks", _breaks),
)

TORCH_PAGE = "torch page"


def torch_page(
    build: TorchBuild,
    situation: Situation,
    addresses: tuple[tuple[str, str], ...],
    dead: frozenset[str] = frozenset(),
) -> str | None:
    """Say why the pages of torch's own index exclude a build, where they do.

    ``addresses`` are the pages by distribution; one that was not read excludes nothing here, unless its host
    is ``dead``.
    """
    for (name, version), (_, address) in zip(build.files, addresses, strict=True):
        page = situation.pages.get(address)
        if page is None:
            if dead and host_of(address) in dead and not situation.request.trusts_catalog:
                return f"{build.source} cannot be reached"
            continue
        if page.error:
            if situation.request.trusts_catalog and not page.missing:
                continue
            return f"{build.source} did not give its page for this torch and variant: {page.error}"
        if wheel_on(page, name, version, build, situation) is None:
            return f"{build.source} lists no wheel of this {name} for Python {build.python} and this machine"
    return None
