"""Merge the repairs of findings into one, and say of each that cannot take part why."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import platformdirs

from mmsetup.doctor.context import Context
from mmsetup.doctor.fix import files
from mmsetup.doctor.fix.repair import LeftOut, Repair, Replacement
from mmsetup.doctor.fix.resolve import resolve
from mmsetup.doctor.fix.scope import is_own
from mmsetup.doctor.fixes import is_chosen_jointly
from mmsetup.doctor.model import Finding, Fix
from mmsetup.errors import LockError
from mmsetup.files import sha256
from mmsetup.paths import cache_folder

__all__ = ["merge"]

Item = TypeVar("Item")
Resolver = Callable[[Context, Sequence[str], Sequence[str], Sequence[str], Path], tuple[Replacement, ...]]
_Ask = Callable[[Context, Sequence[str], Sequence[str], Sequence[str]], tuple[Replacement, ...]]


@dataclass(frozen=True, slots=True)
class _Wish:
    """A finding, its repair, and the wheels of what it puts back."""

    finding: Finding
    fix: Fix
    again: tuple[Replacement, ...] = ()
    kept: tuple[str, ...] = field(default=())


def merge(
    context: Context, findings: Sequence[Finding], *, within: Path | None = None, resolver: Resolver = resolve
) -> Repair:
    """Give the one repair for all findings, worst first: as many of them as go together.

    ``within`` is the folder in which uv gets its files, else the system's for what is temporary.

    Raises:
        LockError: none of what is to be installed can be, with what uv said and the ways out.
        NetworkError, ProcessError: as uv tells.
    """
    possible: list[_Wish] = []
    left: list[LeftOut] = []
    for finding in findings:
        wish = _possible(context, finding)
        if isinstance(wish, LeftOut):
            left.append(wish)
        elif wish is not None:
            possible.append(wish)
    chosen, pins, refused = _resolved(context, possible, _in_folder(resolver, within))
    again = {one.name: one for wish in chosen for one in wish.again}
    again.update({one.name: one for one in pins})
    removed = _each_once(name for wish in chosen for name in wish.fix.remove)
    deleted = _each_once(path for wish in chosen for path in wish.fix.delete)
    return Repair(
        remove=removed,
        kept=_each_once(name for wish in chosen for name in wish.kept if name not in again),
        install=tuple(again[name] for name in sorted(again) if name not in removed),
        delete=tuple(path for path in deleted if is_own(context.environment, path)),
        delete_after=tuple(path for path in deleted if not is_own(context.environment, path)),
        mends=_each_once(wish.finding.id for wish in chosen),
        left_out=(*left, *refused),
    )


def _in_folder(resolver: Resolver, within: Path | None) -> _Ask:
    def ask(
        context: Context, install: Sequence[str], remove: Sequence[str], again: Sequence[str]
    ) -> tuple[Replacement, ...]:
        with tempfile.TemporaryDirectory(prefix="mmsetup-fix-", dir=within) as made:
            return resolver(context, install, remove, again, Path(made))

    return ask


def _possible(context: Context, finding: Finding) -> _Wish | LeftOut | None:
    """Look whether a repair may be made at all; nothing where the finding has none."""
    fix = finding.fix
    if fix is None:
        return None
    reason = _obstacle(context, fix)
    found = {} if reason else {name: _put_back(context, name) for name in fix.again}
    reason = reason or next((one for one in found.values() if isinstance(one, str)), "")
    if reason:
        return LeftOut(finding.id, finding.message, reason)
    return _Wish(
        finding,
        fix,
        again=tuple(one for one in found.values() if isinstance(one, Replacement)),
        kept=tuple(name for name, one in found.items() if one is None),
    )


def _obstacle(context: Context, fix: Fix) -> str:
    """Say what keeps a repair from being made, or nothing."""
    for name in (*fix.remove, *fix.again):
        one = context.by_name.get(name)
        if one is None:
            return f"{name} is not here any more"
        if not is_own(context.environment, one.path):
            return f"{name} lies in {one.path.parent}, which is not part of the environment"
        if not files.has_record(one):
            return f"{name} has no RECORD, so which files are its own is not known"
    for path in fix.delete:
        if not is_own(context.environment, path) and not any(map(path.is_relative_to, _caches())):
            return f"{path} lies neither in the environment nor in a cache"
    return ""


def _put_back(context: Context, name: str) -> Replacement | str | None:
    """Give where a distribution is to be had again; nothing where it is whole, or why it cannot be had."""
    one = context.by_name[name]
    wrong = files.different(one)
    if not wrong:
        return None
    wheel = files.wheel_of(one)
    if wheel is not None:
        return Replacement(name, one.version, one.version, (f"sha256:{sha256(wheel)}",), wheel)
    if is_chosen_jointly(name):
        return (
            f"{len(wrong)} files of {name} {one.version} were replaced, and its wheel is not on this machine"
        )
    return Replacement(name, one.version, one.version)


def _resolved(
    context: Context, wishes: Sequence[_Wish], ask: _Ask
) -> tuple[list[_Wish], tuple[Replacement, ...], list[LeftOut]]:
    """Find the most wishes that go together: all of them, else one after the other in their order."""
    try:
        return list(wishes), _pins(context, wishes, ask), []
    except LockError as error:
        if len(wishes) == 1:
            raise _without_way(wishes[0], error) from error
        last = error
    chosen: list[_Wish] = []
    pins: tuple[Replacement, ...] = ()
    refused: list[LeftOut] = []
    for wish in wishes:
        tried = _tried(context, [*chosen, wish], ask)
        if isinstance(tried, LockError):
            words = " ".join(tried.evidence) or str(tried)
            refused.append(LeftOut(wish.finding.id, wish.finding.message, words))
        else:
            pins = tried
            chosen.append(wish)
    if not chosen:
        raise _without_way(wishes[0], last) from last
    return chosen, pins, refused


def _tried(context: Context, wishes: Sequence[_Wish], ask: _Ask) -> tuple[Replacement, ...] | LockError:
    try:
        return _pins(context, wishes, ask)
    except LockError as error:
        return error


def _pins(context: Context, wishes: Sequence[_Wish], ask: _Ask) -> tuple[Replacement, ...]:
    install = _each_once(line for wish in wishes for line in wish.fix.install)
    remove = _each_once(name for wish in wishes for name in wish.fix.remove)
    again = _each_once(one.name for wish in wishes for one in wish.again if one.wheel is None)
    if not (install or again):
        return ()
    found = ask(context, install, remove, again)
    for replaced in found:
        one = context.by_name.get(replaced.name)
        if one is not None and is_own(context.environment, one.path) and not files.has_record(one):
            raise LockError(
                f"{one.name} {one.version} would have to go, and without a RECORD its files are not known"
            )
    return found


def _without_way(wish: _Wish, error: LockError) -> LockError:
    return LockError(
        f"no versions mend {wish.finding.id} ({wish.finding.message}) and leave the stack as it is",
        evidence=error.evidence,
        remedy=f"{wish.finding.remedy}  # by hand; or a new environment: mmsetup install --env DIR",
    )


def _caches() -> Iterator[Path]:
    yield cache_folder()
    for variable, application in (("PIP_CACHE_DIR", "pip"), ("UV_CACHE_DIR", "uv")):
        named = os.environ.get(variable)
        yield Path(named or platformdirs.user_cache_dir(application, appauthor=False))


def _each_once(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(dict.fromkeys(items))
