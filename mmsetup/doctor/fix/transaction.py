"""The transaction: resolve, show, ask, mend a copy, examine it, exchange the two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mmsetup.catalog import Catalog
from mmsetup.doctor.context import Context
from mmsetup.doctor.diagnose import doctor
from mmsetup.doctor.fix import twin
from mmsetup.doctor.fix.merge import merge
from mmsetup.doctor.fix.repair import Repair
from mmsetup.doctor.fix.scope import changeable
from mmsetup.doctor.model import Diagnosis, Finding
from mmsetup.errors import FULL, BusyError, CheckFailedError, DiskSpaceError, TargetError
from mmsetup.install.target import held, recover, remove, staged, staging_folder, swap
from mmsetup.probe import environment as look_at
from mmsetup.probe.machine import Environment, Machine
from mmsetup.progress import Progress

__all__ = ["Mended", "fix"]


@dataclass(frozen=True, slots=True)
class _Case:
    """What is to be mended, as it was found: ``state`` tells later whether somebody else changed it."""

    target: Path
    environment: Environment
    state: frozenset[tuple[str, int]]
    before: Diagnosis
    repair: Repair
    machine: Machine
    catalog: Catalog


@dataclass(frozen=True, slots=True)
class Mended:
    """What was done, in commands, and how the environment is now; ``diagnosis`` is the last one."""

    repair: Repair
    commands: tuple[str, ...]
    diagnosis: Diagnosis


def fix(
    where: Path,
    machine: Machine,
    catalog: Catalog,
    *,
    diagnose: Callable[[Path], Diagnosis],
    agree: Callable[[Repair, tuple[str, ...]], None],
    progress: Progress,
) -> Mended:
    """Mend the environment at ``where`` as far as its findings offer safe repairs.

    ``diagnose`` examines an environment; it is called for the one that is there, for the mended copy, and
    for what is there in the end. ``agree`` is shown the repair and its commands, and raises to stop it.

    Raises:
        TargetError: the environment is not one to be changed, or was changed meanwhile.
        LockError: what is to be installed cannot be.
        CheckFailedError: the mended copy has an error that the environment has not, or still that one.
        NetworkError, IntegrityError, DiskSpaceError, ProcessError: as uv tells. Nothing was changed.
    """
    _clear_up(where, progress)
    described = look_at(where)
    prefix = described.prefix
    if not any(finding.fix for finding in diagnose(where).findings):
        return Mended(Repair(), (), diagnose(where))
    target = changeable(described)
    with held(target.path, wait=False, told=progress.note):
        _recovered(target.path, progress)
        described = look_at(where)
        before = diagnose(where)
        seen = twin.state(described.site_packages)
        progress.update("asking uv which versions mend it")
        # What a kill leaves of this lies where the next run clears up.
        with staged(target.path) as staging:
            repair = merge(Context(described, machine, catalog), before.findings, within=staging)
        commands = repair.commands(described.interpreter.path)
        if repair.is_empty:
            return Mended(repair, (), before)
        agree(repair, commands)
        try:
            _exchange(
                _Case(target.path, described, seen, before, repair, machine, catalog), diagnose, progress
            )
        except OSError as error:
            if error.errno in FULL:
                raise DiskSpaceError(
                    f"the disk of {prefix} ran full; nothing was changed", remedy="uv cache prune"
                ) from error
            if twin.state(described.site_packages) != seen:
                raise _changed_meanwhile(prefix) from error
            raise TargetError(
                f"{prefix} cannot be mended: {error.filename or ''} {error.strerror or error}",
                remedy="mmsetup install --env DIR",
            ) from error
        for path in repair.delete_after:
            with suppress(OSError):
                remove(path)
    return Mended(repair, commands, diagnose(where))


def _clear_up(where: Path, progress: Progress) -> None:
    """Undo what a killed run left, also where it left no environment or one with nothing to mend."""
    prefix = (look_at(where).prefix if where.is_file() else where).resolve()
    if staging_folder(prefix).is_dir():
        with held(prefix, wait=False, told=progress.note):
            _recovered(prefix, progress)


def _recovered(target: Path, progress: Progress) -> None:
    if words := recover(target):
        progress.note(words)


def _changed_meanwhile(prefix: Path) -> BusyError:
    return BusyError(
        f"{prefix} was changed by somebody else meanwhile; the repair was thrown away",
        remedy="wait for it, then run the same command again",
    )


def _exchange(case: _Case, diagnose: Callable[[Path], Diagnosis], progress: Progress) -> None:
    repair, environment = case.repair, case.environment
    if not (repair.remove or repair.install or repair.delete):
        return
    with staged(case.target) as staging:
        new = staging / "new"
        progress.update("copying the environment")
        twin.copy(case.target, new)
        progress.update("mending the copy")
        twin.change(new, environment, repair)
        progress.update("examining the copy")
        with twin.in_its_place(new, environment.prefix):
            examined = diagnose(new), doctor(new, case.machine, case.catalog)
        _accept(case, *examined)
        if twin.state(environment.site_packages) != case.state:
            raise _changed_meanwhile(environment.prefix)
        progress.update("putting the environment in place")
        swap(new, case.target)


def _accept(case: _Case, after: Diagnosis, thorough: Diagnosis) -> None:
    """Let the copy pass only where no error is new, and no error that was to be mended is left.

    What is new is asked of all checks (``thorough``), also where the user selected some.
    """
    old = _errors(doctor(case.environment.prefix, case.machine, case.catalog))
    now = _errors(thorough)
    left_out = {(one.id, one.message.replace(str(case.before.prefix), "")) for one in case.repair.left_out}
    mended = {
        told
        for finding in case.before.of("error")
        if finding.fix and (told := _told(finding, case.before.prefix)) not in left_out
    }
    new_ones = ((now | _errors(after)) - (old | _errors(case.before))).elements()
    worse = list(dict.fromkeys([*new_ones, *(told for told in _errors(after) if told in mended)]))
    if worse:
        raise CheckFailedError(
            "the repair was made in a copy of the environment and did not mend it; nothing was changed",
            evidence=[f"{identifier}: {message}" for identifier, message in worse],
            remedy=f"mmsetup explain {worse[0][0]}",
        )


def _errors(diagnosis: Diagnosis) -> Counter[tuple[str, str]]:
    return Counter(_told(finding, diagnosis.prefix) for finding in diagnosis.of("error"))


def _told(finding: Finding, prefix: Path) -> tuple[str, str]:
    return finding.id, finding.message.replace(str(prefix), "")
