"""What distributions declare to need, evaluated for the environment's interpreter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName, default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mmsetup.probe.machine import Distribution, Environment

__all__ = ["EDITIONS", "markers_of", "needed_by", "requirements_of"]

# Distributions that put the same module there, so that one stands in for another.
EDITIONS = {
    "cv2": (
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "mmcv": ("mmcv", "mmcv-full", "mmcv-lite", "onedl-mmcv"),
    "mmengine": ("mmengine", "mmengine-lite", "onedl-mmengine"),
}


def requirements_of(one: Distribution, markers: dict[str, str], extra: str = "") -> Iterator[Requirement]:
    """Give what a distribution needs where the markers hold; with ``extra`` only what that extra adds."""
    for line in one.requires:
        wanted = _parsed(line)
        if wanted is None:
            continue
        plain = _holds(wanted, markers, "")
        if (not extra and plain) or (extra and not plain and _holds(wanted, markers, extra)):
            yield wanted


def markers_of(environment: Environment) -> dict[str, str]:
    """Give the marker values of the environment's interpreter, which runs on this machine as mmsetup does."""
    markers = {name: str(value) for name, value in default_environment().items()}
    interpreter = environment.interpreter
    is_cpython = interpreter.implementation == "cpython"
    markers["python_version"] = interpreter.minor
    markers["python_full_version"] = markers["implementation_version"] = interpreter.version
    markers["implementation_name"] = interpreter.implementation
    markers["platform_python_implementation"] = "CPython" if is_cpython else interpreter.implementation
    return markers


def needed_by(
    names: list[str], distributions: Mapping[str, Distribution], markers: dict[str, str]
) -> frozenset[str]:
    """Give ``names`` and all that these require, as far as it or another edition of it is here."""
    reached: set[str] = set()
    waiting = list(names)
    while waiting:
        for name in _editions(waiting.pop()):
            if name in distributions and name not in reached:
                reached.add(name)
                waiting += [
                    canonicalize_name(wanted.name) for wanted in requirements_of(distributions[name], markers)
                ]
    return frozenset(reached)


def _editions(name: str) -> tuple[str, ...]:
    return next((editions for editions in EDITIONS.values() if name in editions), (name,))


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
