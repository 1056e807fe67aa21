"""Version boundaries at which things break."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

__all__ = ["SEVERITIES", "Break"]

SEVERITIES = ("error", "warning", "gpu", "several-gpus")


@dataclass(frozen=True, slots=True)
class Break:
    """A version boundary at which something breaks.

    ``when`` maps ``torch``, ``python``, ``glibc``, ``cuda`` (the one that ops are built for GPUs with) or a
    distribution to the range in which it does; with
    ``only_built`` it concerns ops built from source alone, with ``platforms`` those platforms alone. A break
    gives ``bounds`` for the resolver, or ``reject`` (no such plan), or ``caution`` (such a plan only when it
    was asked for). ``patches`` mend it in ops that are built: of those named, the ones that fit a release are
    applied, and it breaks no more. ``severity`` is how bad it is in an environment that is there: ``error``
    when the stack cannot be imported or trained, ``warning`` when a part that not everybody uses fails,
    ``gpu`` when training on a GPU does, ``several-gpus`` when training on more than one does. ``beside`` are
    further distributions without which an environment is not concerned; no plan holds them.
    """

    id: str
    when: Mapping[str, SpecifierSet]
    only_built: bool
    effect: str
    bounds: tuple[str, ...]
    reject: bool
    caution: bool
    certainty: str
    source: tuple[str, ...]
    severity: str = "warning"
    platforms: tuple[str, ...] = ()
    patches: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    def admits(self, name: str, version: Version) -> bool:
        """Tell whether its condition on ``name``, where it has one, holds for a version."""
        return name not in self.when or self.when[name].contains(version, prereleases=True)

    def concerns(self, versions: Mapping[str, Version], *, built: bool) -> bool:
        """Tell whether all its conditions hold; one on a version that is not given does not."""
        if self.only_built and not built:
            return False
        return all(name in versions and self.admits(name, versions[name]) for name in self.when)
