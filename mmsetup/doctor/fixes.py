"""The repairs that several checks give, worked out from what they saw."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import Version

from mmsetup.binary.operators import OPS_PACKAGE
from mmsetup.doctor.context import Context, parsed
from mmsetup.doctor.declared import EDITIONS
from mmsetup.doctor.model import Fix
from mmsetup.probe.machine import Distribution

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["installing", "is_chosen_jointly", "keeping_one", "partner_of_torch", "without_windows"]


def is_chosen_jointly(name: str) -> bool:
    """Tell whether only a plan may change a distribution: torch, what it brings, and what is built for it."""
    return name in {"torch", "triton", *EDITIONS[OPS_PACKAGE]} or name.startswith("nvidia-")


def installing(context: Context, wanted: Requirement) -> Fix | None:
    """Give the repair of a requirement that does not hold; none where it takes a plan."""
    name: str = canonicalize_name(wanted.name)
    if is_chosen_jointly(name):
        return None
    if name == "torchvision":
        return partner_of_torch(context)
    if name in EDITIONS["cv2"]:
        if any(edition in context.by_name for edition in EDITIONS["cv2"]):
            name = next(edition for edition in EDITIONS["cv2"] if edition in context.by_name)
        elif not name.endswith("-headless"):
            name += "-headless"
    extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
    return Fix(install=(f"{name}{extras}{wanted.specifier}",))


def partner_of_torch(context: Context) -> Fix | None:
    """Give the torchvision of this torch, from the index that this build of torch came from.

    The default index holds one CUDA variant of each release, under a version without a local part; the
    others have one, so that an index which lacks them has nothing to give.
    """
    torch = context.environment.torch
    installed = parsed(torch.version) if torch else None
    if torch is None or installed is None or torch.is_vendor_build:
        return None
    public = Version(installed.public)
    release = next((one for one in context.catalog.torch if one.version == public), None)
    platform = release.platforms.get(f"linux-{context.machine.cpu.architecture}") if release else None
    if release is None or platform is None:
        return None
    local = "" if torch.variant == platform.default_variant else f"+{torch.variant}"
    return Fix(install=(f"torchvision=={release.torchvision}{local}",))


def keeping_one(context: Context, module: str, owners: Collection[Distribution]) -> Fix | None:
    """Give what leaves one of the distributions that own a module.

    Of mmcv that which the family needs stays. Of opencv the one without windows stays, but never one without
    the contributed modules where one with them is here.
    """
    names = {one.name for one in owners}
    if len(names) != len(owners):
        return None
    kept = ""
    if module == OPS_PACKAGE and context.family is not None:
        kept = context.family.ops.distribution
    elif module == "cv2":
        kept = max(names, key=lambda name: ("contrib" in name, name.endswith("-headless")))
    if kept not in names:
        return None
    return Fix(remove=tuple(sorted(names - {kept})), again=(kept,))


def without_windows(owner: Distribution) -> Fix | None:
    """Give the edition of opencv that needs no libGL, in the version that is here."""
    version = parsed(owner.version)
    if version is None or owner.name not in EDITIONS["cv2"] or owner.name.endswith("-headless"):
        return None
    return Fix(install=(f"{owner.name}-headless=={version.public}",), remove=(owner.name,))
