"""MM11x: what distributions need of each other, declared or not."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName, default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mmsetup.doctor.context import Context, parsed
from mmsetup.doctor.model import Observation, check
from mmsetup.probe.machine import Distribution, Environment

__all__ = ["declared", "undeclared"]

# Distributions that put the same module there, so that one stands in for another.
_EDITIONS = {
    "cv2": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "mmcv": ("mmcv", "mmcv-full", "mmcv-lite", "onedl-mmcv"),
    "mmengine": ("mmengine", "mmengine-lite", "onedl-mmengine"),
}
# Extras whose contents are imported unconditionally (METADATA and mmseg/utils of mmsegmentation 1.2.2).
_IMPORTED_EXTRAS = {"mmsegmentation": ("mim", "multimodal"), "mmdet": ("mim",), "mmcls": ("mim",)}
_PARTNER = ("torchvision", "torch")


@check(
    "MM111",
    title="A declared requirement is not met",
    cause="A distribution was removed, replaced or installed without its requirements (--no-deps, a "
    "second installer, a hand-made pin), so that what another one declares to need is "
    "missing or has another version.",
    looks_at="Requires-Dist of every distribution, with its markers evaluated for the environment's "
    "interpreter. What is missing for torch, OpenMMLab or what these need is an error; "
    "another version is a warning.",
    remedy="Install the requirement that the evidence quotes.",
)
def declared(context: Context) -> Iterator[Observation]:
    """Observe requirements that are missing or out of their range."""
    environment = context.environment
    markers = _markers(environment)
    needed = _needed(context, markers)
    for one in environment.distributions:
        for wanted in _requirements(one, markers, ""):
            name = canonicalize_name(wanted.name)
            if (one.name, name) == _PARTNER:
                continue
            found = _standing_in(context, name)
            quoted = f"{one.path}: Requires-Dist {wanted}"
            if found is None:
                yield Observation(
                    "error" if one.name in needed else "warning",
                    f"{one.name} {one.version} needs {name}, and it is not here",
                    (quoted,),
                    context.install(f"{wanted.name}{wanted.specifier}"),
                )
            elif found and not _is_within(wanted, found):
                yield Observation(
                    "warning",
                    f"{one.name} {one.version} declares {wanted.name}{wanted.specifier}, here is {found}",
                    (quoted,),
                    context.install(f"{wanted.name}{wanted.specifier}"),
                )


@check(
    "MM112",
    title="A requirement that nobody declares is missing",
    cause="Some distributions import what their metadata does not name, or names only under an "
    "extra that no resolver looks at ('mim', 'multimodal'): mmcv imports torchvision and "
    "opencv, mmsegmentation 1.2 imports ftfy and regex.",
    looks_at="What the catalogue says a family imports without declaring it, and those extras.",
    remedy="Install what is missing, and write it into the project's own requirements.",
    seen_in=("open-mmlab/mmsegmentation#3704", "open-mmlab/mim#244"),
)
def undeclared(context: Context) -> Iterator[Observation]:
    """Observe what is imported, not declared and not there."""
    family = context.family
    if family is not None and context.environment.version_of(family.ops.distribution):
        for line in family.ops.omits:
            yield from _absent(context, Requirement(line), f"{family.ops.distribution}: {family.ops.source}")
    markers = _markers(context.environment)
    for one in context.stack:
        for extra in _IMPORTED_EXTRAS.get(one.name, ()):
            for wanted in _requirements(one, markers, extra):
                if canonicalize_name(wanted.name) not in _EDITIONS["mmcv"]:
                    yield from _absent(context, wanted, f"{one.path}: Requires-Dist {wanted}")


def _absent(context: Context, wanted: Requirement, evidence: str) -> Iterator[Observation]:
    if _standing_in(context, canonicalize_name(wanted.name)) is None:
        yield Observation(
            "error",
            f"{wanted.name} is imported and not here",
            (evidence,),
            context.install(f"{wanted.name}{wanted.specifier}"),
        )


def _standing_in(context: Context, name: str) -> str | None:
    """Give the version of a distribution or of its other edition: empty when unknown, nothing when absent."""
    for module, editions in _EDITIONS.items():
        if name in editions:
            versions = [context.environment.version_of(edition) for edition in editions]
            present = next(filter(None, versions), None)
            return present or ("" if context.folder(module) is not None else None)
    return context.environment.version_of(name) or None


def _is_within(wanted: Requirement, found: str) -> bool:
    version = parsed(found)
    return version is None or wanted.specifier.contains(version, prereleases=True)


def _requirements(one: Distribution, markers: dict[str, str], extra: str) -> Iterator[Requirement]:
    """Give what holds for the environment; with ``extra`` only what that extra adds."""
    for line in one.requires:
        wanted = _parsed(line)
        if wanted is None:
            continue
        plain = _holds(wanted, markers, "")
        if (not extra and plain) or (extra and not plain and _holds(wanted, markers, extra)):
            yield wanted


@cache
def _parsed(line: str) -> Requirement | None:
    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def _holds(wanted: Requirement, markers: dict[str, str], extra: str) -> bool:
    if wanted.marker is None:
        return True
    try:
        return wanted.marker.evaluate({**markers, "extra": extra})
    except (UndefinedComparison, UndefinedEnvironmentName):
        return False


def _markers(environment: Environment) -> dict[str, str]:
    """Give the marker values of the environment's interpreter, which runs on this machine as mmsetup does."""
    markers = {name: str(value) for name, value in default_environment().items()}
    interpreter = environment.interpreter
    is_cpython = interpreter.implementation == "cpython"
    markers["python_version"] = interpreter.minor
    markers["python_full_version"] = markers["implementation_version"] = interpreter.version
    markers["implementation_name"] = interpreter.implementation
    markers["platform_python_implementation"] = "CPython" if is_cpython else interpreter.implementation
    return markers


def _needed(context: Context, markers: dict[str, str]) -> frozenset[str]:
    """Give the names of the stack and of everything that it requires, as far as that is here."""
    by_name = {one.name: one for one in context.environment.distributions}
    reached: set[str] = set()
    waiting = [one.name for one in context.stack]
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in reached:
            reached.add(name)
            waiting += [
                canonicalize_name(wanted.name) for wanted in _requirements(by_name[name], markers, "")
            ]
    return frozenset(reached)
