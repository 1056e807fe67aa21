"""Fetch the prebuilt wheel of the ops, and hold it against what it is going to run with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mmsetup.binary.judgement import Verdict
from mmsetup.binary.surroundings import planned_surroundings
from mmsetup.build import fetch
from mmsetup.catalog import Catalog
from mmsetup.errors import IntegrityError, NoPlanError
from mmsetup.install.verify import verify_wheel
from mmsetup.progress import Progress
from mmsetup.road.journey import Pinned

__all__ = ["MOST_WHEELS", "Prebuilt", "fetched", "refused"]

MOST_WHEELS = 3
"""How many wheels that do not run are fetched, each from another page, before only a build is left."""


@dataclass(frozen=True, slots=True)
class Prebuilt:
    """A wheel that was opened; ``page`` is the address that lists it, as shown, empty for a given lock."""

    distribution: str
    path: Path
    page: str
    verdict: Verdict

    @property
    def fault(self) -> str:
        """Say that it does not run and why."""
        why = "; ".join(reason.message for reason in self.verdict.reasons)
        return f"{self.path.name} does not run here: {why}"


def fetched(
    pinned: Pinned, distribution: str, catalog: Catalog, progress: Progress, *, offline: bool
) -> Prebuilt:
    """Fetch the wheel that a lock names for the ops, and judge it for the GPUs that are to be served.

    Raises:
        NetworkError: it cannot be fetched.
        IntegrityError: it is damaged, another file, or holds no compiled ops.
    """
    package, torch = pinned.lock.package(distribution), pinned.lock.package("torch")
    file = package.files[0]
    wheel = fetch(file.url, file.sha256, progress=progress, offline=offline)
    plan, machine = pinned.plan, pinned.machine
    if plan is not None:
        machine = replace(machine, gpus=tuple(gpu for gpu in machine.gpus if gpu not in plan.left_out))
    around = planned_surroundings(torch.version, pinned.lock.variant, pinned.interpreter, machine, catalog)
    verdict = verify_wheel(wheel, package.name, package.version, around)
    return Prebuilt(package.name, wheel, plan.ops.page if plan else "", verdict)


def refused(found: Prebuilt, remedy: str, *, without_it: NoPlanError | None = None) -> IntegrityError:
    """Give the error for a wheel that does not run; ``without_it`` says why nothing else fits."""
    told = [line for reason in found.verdict.reasons for line in reason.evidence]
    if without_it is not None:
        told += [f"without it {without_it}", *without_it.evidence]
    return IntegrityError(
        found.fault, evidence=told, remedy=remedy.replace("mmsetup plan", "mmsetup install", 1)
    )
