"""The sets that come into question, and the rules that each must pass.

A rule is a function of a candidate and the situation; it gives the reason for which the candidate is not possible, or nothing.
First come :data:`RULES`, which need no index, then :data:`PAGE_RULES`, which only a live page can answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from mmsetup.catalog import Break, Catalog, Family, IndexFile, Page, TorchRelease
from mmsetup.plan.request import Request, starts
from mmsetup.probe.machine import Interpreter, Machine

__all__ = ["DEFAULT_INDEX", "PAGE_RULES", "RULES", "Candidate", "Rule", "Situation", "candidates", "wheel_on"]

DEFAULT_INDEX = "default index"


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that the rules look at. ``pages`` maps an address to what it answered."""

    machine: Machine
    catalog: Catalog
    family: Family
    request: Request
    pages: Mapping[str, Page]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One possible set. ``torch_source`` is ``default index`` or a source's name; ``ops_source`` a source's name or ``sdist``."""

    python: str
    interpreter: Interpreter | None
    torch: TorchRelease
    variant: str
    torch_source: str
    ops: Version
    ops_source: str
    segmentation: Version

    @property
    def release(self) -> str:
        """Give the torch version as text."""
        return str(self.torch.version)

    @property
    def is_built(self) -> bool:
        """Tell whether the ops are built from source."""
        return self.ops_source == "sdist"

    @property
    def torch_series(self) -> Version:
        """Give the release that extensions are built for: ``1.13.0`` for 1.13.1."""
        return Version(f"{self.torch.version.major}.{self.torch.version.minor}.0")

    def __str__(self) -> str:
        """Say it in one line."""
        how = "built from source" if self.is_built else f"from {self.ops_source}"
        return f"Python {self.python}, torch {self.torch.version} {self.variant} ({self.torch_source}), ops {self.ops} {how}"


def candidates(situation: Situation) -> Iterator[Candidate]:
    """Give every set that the catalogue knows for the family, the possible and the impossible."""
    family, request = situation.family, situation.request
    ops_sources = [
        source.name
        for source in situation.catalog.sources
        if family.ops.distribution in source.distributions
    ]
    for release in situation.catalog.torch:
        if request.torch and not starts(str(release.version), request.torch):
            continue
        for python, interpreter in _pythons(situation, release):
            for torch_source, variant in _torch_origins(situation, release):
                for ops in family.ops.versions:
                    for ops_source in (*ops_sources, "sdist"):
                        for segmentation in family.segmentation.versions:
                            yield Candidate(
                                python,
                                interpreter,
                                release,
                                variant,
                                torch_source,
                                ops,
                                ops_source,
                                segmentation,
                            )


def _pythons(
    situation: Situation, release: TorchRelease
) -> Iterator[tuple[str, Interpreter | None]]:
    request = situation.request
    present = [found for found in situation.machine.interpreters if found.implementation == "cpython"]
    if request.wants_path:
        chosen = next((found for found in present if str(found.path) == request.python), None)
        if chosen is not None:
            yield chosen.minor, chosen
        return
    for python in release.pythons:
        if request.python and not (starts(request.python, python) or starts(python, request.python)):
            continue
        fitting = [
            found
            for found in present
            if found.minor == python and (not request.python or starts(found.version, request.python))
        ]
        # Headers first: without them nothing can be built; then the newest patch.
        fitting.sort(key=lambda found: (found.has_headers, Version(found.version)), reverse=True)
        yield python, fitting[0] if fitting else None


def _torch_origins(situation: Situation, release: TorchRelease) -> Iterator[tuple[str, str]]:
    yield DEFAULT_INDEX, release.default_variant
    for source in situation.catalog.sources:
        if "torch" in source.distributions:
            yield from ((source.name, variant) for variant in release.index_variants)


Check = Callable[[Candidate, Situation], str | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """A named check and the attributes of a candidate that it looks at: candidates that agree in them are checked once."""

    name: str
    looks_at: tuple[str, ...]
    check: Check


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
        return f"torch {candidate.torch.version} and its torchvision have no wheels for Python {candidate.python}"
    if candidate.interpreter is None and not situation.request.may_fetch_python:
        return f"no Python {candidate.python} is here and none may be fetched"
    return None


def _cuda_asked(candidate: Candidate, situation: Situation) -> str | None:
    asked, has_gpu = situation.request.cuda, bool(situation.machine.gpus)
    if asked and candidate.variant != asked:
        return f"{asked} was asked for"
    if not asked and has_gpu and candidate.variant == "cpu":
        return "there is a GPU and the cpu variant would not use it"
    return None


def _driver(candidate: Candidate, situation: Situation) -> str | None:
    driver = situation.machine.driver
    if candidate.variant == "cpu" or driver is None or not situation.machine.gpus:
        return None
    floor = situation.catalog.driver_floor(cuda_of(candidate.variant))
    return _below(candidate.variant, Version(driver.version), floor[0]) if floor else None


def _below(variant: str, driver: Version, minimum: Version) -> str | None:
    return f"{variant} needs driver {minimum} or newer, here is {driver}" if driver < minimum else None


def _architectures(candidate: Candidate, situation: Situation) -> str | None:
    if candidate.variant == "cpu":
        return None
    held = candidate.torch.architectures.get(candidate.variant)
    for gpu in situation.machine.gpus:
        if not gpu.architecture:
            continue
        if held is None:
            return f"what torch {candidate.torch.version} {candidate.variant} holds code for is not known"
        if not runs_on(gpu.architecture, held.sass, held.ptx):
            return f"torch {candidate.torch.version} {candidate.variant} holds no code for {gpu.name} ({gpu.architecture})"
    return None


def _gates(candidate: Candidate, situation: Situation) -> str | None:
    gate = situation.catalog.gate(situation.family.segmentation.distribution, candidate.segmentation)
    if gate is not None and not gate.admits(candidate.ops):
        upper = "<=" if gate.maximum_inclusive else "<"
        return f"{gate.distribution} {gate.version} asserts {gate.on} >={gate.minimum},{upper}{gate.maximum}"
    return None


def _breaks(candidate: Candidate, situation: Situation) -> str | None:
    for found in concerning(candidate, situation):
        if found.reject:
            return f"{found.id}: {found.effect}"
        if found.caution and not (situation.request.torch or situation.request.python):
            return f"{found.id}: {found.effect}; chosen only when this torch or Python is asked for"
    return None


def _build(candidate: Candidate, situation: Situation) -> str | None:
    if not candidate.is_built:
        return None
    if not situation.request.may_build:
        return "a build is excluded"
    if situation.machine.gpus and candidate.variant != "cpu":
        wanted = cuda_of(candidate.variant).major
        majors = {Version(kit.version).major for kit in situation.machine.toolkits if kit.nvcc is not None}
        if wanted not in majors:
            return f"building CUDA ops for {candidate.variant} needs an nvcc of CUDA {wanted}, here is {_named(majors)}"
    return None


def _torch_page(candidate: Candidate, situation: Situation) -> str | None:
    if candidate.torch_source == DEFAULT_INDEX:
        return None
    for name, version in torch_files(candidate):
        reason = _absent(situation, candidate, candidate.torch_source, name, version)
        if reason:
            return reason
    return None


def _ops_page(candidate: Candidate, situation: Situation) -> str | None:
    if candidate.is_built:
        return None
    name = situation.family.ops.distribution
    return _absent(situation, candidate, candidate.ops_source, name, candidate.ops)


_TORCH = ("release", "variant", "torch_source")

RULES: tuple[Rule, ...] = (
    Rule("platform", (), _platform),
    Rule("python", ("release", "python"), _python),
    Rule("cuda", ("variant",), _cuda_asked),
    Rule("driver", ("variant",), _driver),
    Rule("architectures", _TORCH, _architectures),
    Rule("gates", ("ops", "segmentation"), _gates),
    Rule("breaks", ("release", "python", "ops", "segmentation", "is_built"), _breaks),
    Rule("build", ("variant", "is_built"), _build),
)

PAGE_RULES: tuple[Rule, ...] = (
    Rule("torch page", (*_TORCH, "python"), _torch_page),
    Rule("ops page", ("release", "variant", "ops", "ops_source", "python"), _ops_page),
)


def torch_files(candidate: Candidate) -> tuple[tuple[str, Version], ...]:
    """Give the distributions that must come from torch's own source, and their versions without a local part."""
    return ("torch", candidate.torch.version), ("torchvision", Version(candidate.torch.torchvision))


def versions_of(candidate: Candidate, situation: Situation) -> dict[str, Version]:
    """Give the versions that conditions of the catalogue speak of."""
    libc = situation.machine.libc
    versions = {
        "torch": candidate.torch.version,
        "python": Version(candidate.python),
        situation.family.ops.distribution: candidate.ops,
        situation.family.segmentation.distribution: candidate.segmentation,
    }
    if libc is not None and libc.name == "glibc":
        versions["glibc"] = Version(libc.version)
    return versions


def concerning(candidate: Candidate, situation: Situation) -> tuple[Break, ...]:
    """Give the known breaks whose conditions the candidate meets."""
    versions = versions_of(candidate, situation)
    return tuple(
        found
        for found in situation.catalog.breaks
        if found.concerns(versions, built=candidate.is_built)
    )


def cuda_of(variant: str) -> Version:
    """Give the CUDA version of a variant: ``11.7`` for cu117, ``9.2`` for cu92."""
    digits = variant.removeprefix("cu")
    return Version(f"{digits[:-1]}.{digits[-1]}")


def runs_on(architecture: str, sass: tuple[str, ...], ptx: tuple[str, ...]) -> bool:
    """Tell whether code for these architectures runs on a GPU.

    Machine code runs on its own major version and an equal or higher minor; PTX on anything newer (CUDA C++ Programming Guide,
    "Application Compatibility").
    """
    major, minor = _capability(architecture)
    if any(_capability(held)[0] == major and _capability(held)[1] <= minor for held in sass):
        return True
    return any(_capability(held) <= (major, minor) for held in ptx)


def _capability(architecture: str) -> tuple[int, int]:
    digits = "".join(letter for letter in architecture.removeprefix("sm_") if letter.isdigit())
    return int(digits[:-1]), int(digits[-1])


def page_address(situation: Situation, source_name: str, candidate: Candidate, distribution: str) -> str:
    """Give the address of the page on which a source would list a file of the candidate."""
    source = situation.catalog.source(source_name)
    if source is None:
        raise LookupError(source_name)
    return source.page.format(
        base=situation.request.mirrors.get(source.name, source.base).rstrip("/"),
        variant=candidate.variant,
        torch=candidate.torch_series,
        distribution=distribution,
    )


def wheel_on(page: Page, name: str, version: Version, python: str, variant: str) -> IndexFile | None:
    """Give the wheel for Linux x86-64 that a page lists for a distribution, version, Python and variant.

    A local version part, where a file name has one, must name the variant.
    """
    interpreter = "cp" + python.replace(".", "")
    for file in page.files:
        try:
            found, listed, _, tags = parse_wheel_filename(file.filename)
        except InvalidWheelFilename:
            continue
        if found != name or Version(listed.public) != version:
            continue
        if listed.local and variant not in listed.local.split("."):
            continue
        if any(_fits(tag, interpreter) for tag in tags):
            return file
    return None


def _fits(tag: Tag, interpreter: str) -> bool:
    platform = tag.platform == "linux_x86_64" or (
        tag.platform.startswith("manylinux") and tag.platform.endswith("x86_64")
    )
    return tag.interpreter == interpreter and platform


def _absent(
    situation: Situation, candidate: Candidate, source: str, name: str, version: Version
) -> str | None:
    page = situation.pages.get(page_address(situation, source, candidate, name))
    if page is None:
        return f"no page of {source} for {candidate.variant} and torch {candidate.torch_series} was asked"
    if page.missing:
        return f"{source} has no page for {candidate.variant} and torch {candidate.torch_series}"
    if page.error:
        return f"{source} did not answer: {page.error}"
    if wheel_on(page, name, version, candidate.python, candidate.variant) is None:
        return f"{source} lists no {name} {version} for Python {candidate.python} on linux x86_64"
    return None


def _named(majors: set[int]) -> str:
    return ", ".join(f"CUDA {major}" for major in sorted(majors)) or "none"
