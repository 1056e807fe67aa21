"""The commands that several checks name, worked out from what is here and what was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from mmsetup.doctor.declared import EDITIONS
from mmsetup.doctor.fixes import installing, is_chosen_jointly
from mmsetup.doctor.recorded import differences
from mmsetup.doctor.said import parsed

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

    from mmsetup.doctor.context import Context
    from mmsetup.probe.machine import Distribution

__all__ = ["again", "bring", "planned"]


def planned(context: Context) -> str:
    """Word the command for what only a plan may choose: as it was recorded, if that is not what is here.

    The record keeps what was asked for: a torch, an mmdet. Where it is as it was, another plan is needed.
    """
    commands = context.commands
    return commands.restore if differences(context.environment) else commands.make_again


def again(context: Context, one: Distribution, version: str = "") -> str:
    """Word the command that installs a distribution again, in ``version`` if that is not as it is written.

    torch and what is built for it are not to be had so: an installer builds mmcv without operators, and the
    default index has no version with a local part.
    """
    version = version or one.version
    is_of_nvidia = one.name.startswith("nvidia-")
    if (is_chosen_jointly(one.name) and not is_of_nvidia) or one.name == "torchvision" or "+" in version:
        return context.commands.restore
    return context.commands.install("--force-reinstall", "--no-deps", f"{one.name}=={version}")


def bring(context: Context, wanted: Requirement) -> str:
    """Word the command for a requirement that does not hold.

    The bounds that what is here sets count as well: no installer knows them, and each takes the newest.
    Where nothing is within both, other versions have to be chosen.
    """
    fix = None if _lies_over_another(context, wanted) else installing(context, wanted)
    if fix is None or any("+" in one for one in fix.install):
        return planned(context)
    lines = []
    for line in map(Requirement, fix.install):
        bounds = context.bounded(canonicalize_name(line.name)).specifier
        if not _go_together(line.specifier, bounds):
            return planned(context)
        line.specifier &= bounds
        lines.append(str(line))
    options = ["--no-deps"] if _brings_another_opencv(context, wanted) else []
    return context.commands.install(*options, *lines)


def _lies_over_another(context: Context, wanted: Requirement) -> bool:
    """Tell whether it is mmengine, which would be installed over another edition of itself."""
    name = canonicalize_name(wanted.name)
    editions = EDITIONS["mmengine"]
    return name in editions and any(one in context.by_name for one in editions if one != name)


def _brings_another_opencv(context: Context, wanted: Requirement) -> bool:
    """Tell whether it is mmengine, which declares opencv-python, beside another edition of that."""
    here = {edition for edition in EDITIONS["cv2"] if edition in context.by_name}
    return canonicalize_name(wanted.name) in EDITIONS["mmengine"] and bool(here - {"opencv-python"})


def _go_together(one: SpecifierSet, other: SpecifierSet) -> bool:
    """Tell whether a version is within both: the lowest of all that are is a bound, or right above one."""
    both = one & other
    return any(both.contains(version, prereleases=True) for version in _lowest(both))


def _lowest(specifiers: SpecifierSet) -> Iterator[Version]:
    yield Version("0")
    for specifier in specifiers:
        bound = specifier.version.removesuffix(".*")
        for text in (bound, f"{bound}.0.0.0.1"):
            if (version := parsed(text)) is not None:
                yield version
