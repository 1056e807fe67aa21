"""The checks of a project: one module a family of checks, and the tens of the ids follow the modules."""

from __future__ import annotations

from mmsetup.doctor.project.checks import (
    code,
    dockerfiles,
    family,
    labels,
    lookups,
    reading,
    training,
    trees,
    weights,
)
from mmsetup.doctor.project.model import ProjectCheck

__all__ = ["CHECKS_OF_PROJECT"]

_MODULES = (family, lookups, training, code, trees, labels, weights, dockerfiles, reading)

CHECKS_OF_PROJECT: tuple[ProjectCheck, ...] = tuple(
    sorted(
        (value for module in _MODULES for value in vars(module).values() if isinstance(value, ProjectCheck)),
        key=lambda one: one.check.id,
    )
)
