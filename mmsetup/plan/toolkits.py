"""Which nvcc builds CUDA ops for a torch: one of the machine's toolkits, or the toolkit in wheels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from mmsetup.binary.architectures import capability
from mmsetup.catalog.model import Catalog, ToolkitLimits, ToolkitWheels, parsed
from mmsetup.probe.machine import Machine, Toolkit

if TYPE_CHECKING:
    from packaging.version import Version

__all__ = ["Nvcc", "nvcc_for", "objection"]


@dataclass(frozen=True, slots=True)
class Nvcc:
    """The nvcc of a build: that of a ``toolkit`` of the machine, else of ``wheels``; or why there is none.

    ``requirements`` are those on the wheels.
    """

    toolkit: Toolkit | None = None
    wheels: ToolkitWheels | None = None
    requirements: tuple[str, ...] = ()
    refusal: str = ""

    def words(self, cuda: Version) -> str:
        """Name it in a line."""
        if self.toolkit is not None:
            return f"nvcc of CUDA {self.toolkit.version} in {self.toolkit.path}"
        return f"nvcc of CUDA {cuda.major}.{cuda.minor} from the wheels {', '.join(self.requirements)}"


def nvcc_for(
    cuda: Version,
    architectures: Iterable[str],
    machine: Machine,
    catalog: Catalog,
    *,
    platform: str,
    compiler: str | None = None,
) -> Nvcc:
    """Choose the nvcc that compiles for a torch of ``cuda`` and for all ``architectures`` (``sm_90``).

    A toolkit of the machine with the CUDA of torch comes first, whatever ``CUDA_HOME`` and the search path
    name; then the wheels, which are of that CUDA as well; then one of the same major version: the nearest
    older one before the newer ones, because what a newer nvcc writes may call what torch's runtime lacks.
    ``compiler`` is the version of g++, that of the one which nvcc would run here when not given, and empty
    where it is another compiler or none.
    """
    if compiler is None:
        # Where none was found, the build says so before it begins.
        host = machine.compiler_of_nvcc
        compiler = host.version if host is not None and host.name in {"g++", "gcc"} else ""
    kits = [kit for kit in machine.toolkits if kit.nvcc is not None and not kit.lacks]
    wheels = next((row for row in catalog.toolkit_wheels if _is_of(row, cuda, platform)), None)
    chosen, refusal = _choice(
        (cuda.major, cuda.minor),
        tuple(kit.version for kit in kits),
        tuple(architectures),
        compiler,
        catalog.toolkit_limits,
        has_wheels=wheels is not None,
    )
    if refusal:
        return Nvcc(refusal=refusal)
    if chosen is not None:
        return Nvcc(toolkit=kits[chosen])
    return Nvcc(wheels=wheels, requirements=wheels.requirements(cuda) if wheels else ())


def _is_of(wheels: ToolkitWheels, cuda: Version, platform: str) -> bool:
    minor = parsed(f"{cuda.major}.{cuda.minor}")
    return platform in wheels.platforms and wheels.first <= minor <= wheels.last


@lru_cache(maxsize=256)
def _choice(
    wanted: tuple[int, int],
    versions: tuple[str, ...],
    architectures: tuple[str, ...],
    compiler: str,
    limits: tuple[ToolkitLimits, ...],
    *,
    has_wheels: bool,
) -> tuple[int | None, str]:
    """Give the place of the version to use, or none for the wheels; and why neither can be used."""
    major, minor = wanted
    here = [(parsed(version), place) for place, version in enumerate(versions)]
    here = [(kit, place) for kit, place in here if kit.major == major]
    here.sort(key=lambda one: (one[0].minor > minor, abs(one[0].minor - minor)))
    able = [place for kit, place in here if not objection(kit, architectures, compiler, limits)]
    exact = [place for place in able if parsed(versions[place]).minor == minor]
    if exact:
        return exact[0], ""
    if has_wheels:
        refusal = objection(parsed(f"{major}.{minor}"), architectures, compiler, limits)
        if not refusal or not able:
            return None, refusal
    if able:
        return able[0], ""
    if not here:
        majors = sorted({parsed(version).major for version in versions})
        named = ", ".join(f"CUDA {known}" for known in majors) or "none"
        return None, f"building CUDA ops needs an nvcc of CUDA {major}, here is {named}"
    return None, _refusal([kit for kit, _ in here], architectures, compiler, limits)


def _refusal(
    kits: Sequence[Version], architectures: Sequence[str], compiler: str, limits: tuple[ToolkitLimits, ...]
) -> str:
    """Say why none of the toolkits will do; a g++ can be exchanged, so it is told last."""
    able = sorted(kits)
    for architecture in architectures:
        able = [kit for kit in able if _compiles(kit, architecture, limits)]
        if not able:
            named = ", ".join(dict.fromkeys(map(str, sorted(kits))))
            return f"the nvcc of CUDA {named} that is here does not compile for {architecture}"
    return _gcc(able[-1], compiler, limits)


def objection(
    kit: Version, architectures: Iterable[str], compiler: str, limits: tuple[ToolkitLimits, ...]
) -> str:
    """Say why a toolkit does not compile for an architecture or with a version of g++, or nothing."""
    for architecture in architectures:
        if not _compiles(kit, architecture, limits):
            return f"the nvcc of CUDA {kit} does not compile for {architecture}"
    return _gcc(kit, compiler, limits)


def _compiles(kit: Version, architecture: str, known: tuple[ToolkitLimits, ...]) -> bool:
    """Tell whether a toolkit knows an architecture; one that the catalogue does not know may do so."""
    limits = _limits(kit, known)
    if limits is None:
        return True
    reach = capability(limits.lowest) <= capability(architecture) <= capability(limits.highest)
    return reach and architecture not in limits.lacks


def _gcc(kit: Version, compiler: str, known: tuple[ToolkitLimits, ...]) -> str:
    """Say why a toolkit does not take a g++: torch refuses it before nvcc does."""
    limits = _limits(kit, known)
    if limits is None or not compiler:
        return ""
    major = parsed(compiler).major
    if limits.gcc is not None and major > limits.gcc:
        taken, other = f"up to {limits.gcc}", f"g++ {limits.gcc} or older"
    elif limits.gcc_minimum is not None and major < limits.gcc_minimum:
        taken, other = f"from {limits.gcc_minimum} on", f"g++ {limits.gcc_minimum} or newer"
    else:
        return ""
    mending = f"put {other} first on PATH, or name it in CXX"
    return f"the nvcc of CUDA {kit} takes gcc {taken}, here is g++ {compiler}: {mending}"


def _limits(kit: Version, known: tuple[ToolkitLimits, ...]) -> ToolkitLimits | None:
    minor = parsed(f"{kit.major}.{kit.minor}")
    return next((limits for limits in known if limits.first <= minor <= limits.last), None)
