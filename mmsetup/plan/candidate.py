"""A possible set: a build of torch, the code around it, and where the compiled ops come from."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.version import Version

from mmsetup.catalog import Break, Family, Proven
from mmsetup.plan.builds import TorchBuild
from mmsetup.plan.code import Code
from mmsetup.plan.offers import Offer

__all__ = ["SDIST", "Candidate", "cuda_of"]

SDIST = "sdist"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One possible set. Without an ``offer`` the ops are built from source.

    ``breaks`` are the known breaks whose conditions it meets; ``proof`` tells that it trains, where that was
    shown. ``torch_confirmed``: torch comes from the default index or from a page that was read. ``mended``
    are the breaks that do not concern it because patches mend them.
    """

    build: TorchBuild
    code: Code
    offer: Offer | None
    breaks: tuple[Break, ...]
    proof: Proven | None
    torch_confirmed: bool
    mended: tuple[Break, ...] = ()

    @property
    def is_built(self) -> bool:
        """Tell whether the ops are built from source."""
        return self.offer is None

    @property
    def ops_source(self) -> str:
        """Give the source of the ops, or ``sdist``."""
        return self.offer.source if self.offer else SDIST

    @property
    def versions(self) -> dict[str, Version]:
        """Give the members' versions by distribution."""
        return dict(self.code.members)

    @property
    def is_confirmed(self) -> bool:
        """Tell whether pages were read that list all files that do not come from the default index."""
        return self.torch_confirmed and (self.offer is None or self.offer.file is not None)

    def described(self, family: Family) -> str:
        """Say it in one line."""
        how = f"from {self.offer.source}" if self.offer else "built from source"
        return f"{self.build.described}, {family.ops.distribution} {self.code.ops} {how}"


def cuda_of(variant: str) -> Version:
    """Give the CUDA version of a variant: ``11.7`` for cu117, ``9.2`` for cu92."""
    digits = variant.removeprefix("cu")
    return Version(f"{digits[:-1]}.{digits[-1]}")
