"""Choose what trains: the edition of mmsegmentation that an environment holds decides."""

from __future__ import annotations

from packaging.version import InvalidVersion, Version

from mmsetup.errors import TargetError
from mmsetup.probe.machine import Environment

__all__ = ["family_of"]

_DISTRIBUTIONS = ("mmsegmentation", "onedl-mmsegmentation")
"""What brings the package ``mmseg``."""

_FAMILIES = ("mmseg0", "mmseg1")
"""What the payload can train: ``mmseg`` and the first number of its version."""


def family_of(environment: Environment) -> str:
    """Give the payload's name for what ``environment`` holds, by its metadata: ``mmseg0`` or ``mmseg1``.

    Raises:
        TargetError: it holds no mmsegmentation, one that the payload does not know, or two that differ.
    """
    held = [(name, environment.version_of(name)) for name in _DISTRIBUTIONS]
    held = [(name, version) for name, version in held if version]
    told = " and ".join(" ".join(one) for one in held)
    families = {_family(version) for _, version in held}
    if not families:
        raise TargetError(
            f"{environment.prefix} holds no mmsegmentation: there is nothing to train with",
            remedy=f"mmsetup install --env {environment.prefix}",
        )
    if len(families) > 1:
        raise TargetError(
            f"{environment.prefix} holds {told}, and both fill the package mmseg",
            remedy=f"mmsetup doctor --env {environment.prefix}",
        )
    (family,) = families
    if family not in _FAMILIES:
        raise TargetError(
            f"{environment.prefix} holds {told}, which the smoke run does not know",
            remedy=f"mmsetup doctor --env {environment.prefix}",
        )
    return family


def _family(version: str) -> str:
    try:
        return f"mmseg{Version(version).major}"
    except InvalidVersion:
        return ""
