"""All checks: one module a family of causes, and the hundreds of the ids follow the modules."""

from __future__ import annotations

from mmsetup.doctor.checks import (
    building,
    compiled,
    distributions,
    edited,
    installers,
    loading,
    machine,
    manifest,
    operators,
    permissions,
    requirements,
    resources,
    shadows,
    torch,
    versions,
)
from mmsetup.doctor.model import Check

__all__ = ["CHECKS"]

_MODULES = (
    distributions,
    permissions,
    edited,
    requirements,
    compiled,
    shadows,
    loading,
    installers,
    operators,
    building,
    torch,
    versions,
    machine,
    resources,
    manifest,
)

CHECKS: tuple[Check, ...] = tuple(
    sorted(
        (value for module in _MODULES for value in vars(module).values() if isinstance(value, Check)),
        key=lambda one: one.id,
    )
)
