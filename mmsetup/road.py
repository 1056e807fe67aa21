"""The whole road: probe, plan, lock, build, install, smoke, as a list of steps that each call one stage."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mmsetup import uv
from mmsetup.build import BuiltWheel, fetch
from mmsetup.build.locked import build_locked, preflight
from mmsetup.catalog import Catalog, Family, load
from mmsetup.errors import CheckFailedError, InterpreterError, LockError, TargetError
from mmsetup.install import Installed, Manifest, Target, examine, install, read_manifest
from mmsetup.install.environment import ensure_space
from mmsetup.install.manifest import fingerprint, missing_packages, write_manifest
from mmsetup.install.target import held, recover
from mmsetup.install.verify import verify_environment, verify_wheel
from mmsetup.lock import Lock, lock, read
from mmsetup.paths import manifest_folder
from mmsetup.plan import Plan, Request, planned
from mmsetup.probe import environment, probe
from mmsetup.probe.machine import Interpreter, Machine
from mmsetup.progress import Progress
from mmsetup.render.document import plain
from mmsetup.smoke import SmokeReport, smoke

__all__ = ["Journey", "Outcome", "travel", "wheel_for"]


@dataclass(frozen=True, slots=True)
class Journey:
    """What ``mmsetup install`` was asked to do.

    ``lock_file`` takes the place of a plan. ``show`` is called with the plan before anything is done, ``confirm`` with a question before an
    environment that mmsetup did not make is replaced; it raises when the answer is no.
    """

    target: Path
    request: Request
    lock_file: Path | None = None
    with_smoke: bool = True
    wait: bool = True
    show: Callable[[Plan], None] = field(default=lambda _: None)
    confirm: Callable[[str], None] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it: ``status`` is ``installed``, ``smoked`` (only the smoke run was missing) or ``unchanged``.

    ``seconds`` maps each stage that ran to its duration.
    """

    status: str
    environment: Path
    python: Path
    packages: dict[str, str]
    plan: Plan | None
    wheel: BuiltWheel | None
    smoke: SmokeReport | None
    seconds: dict[str, float]


class _Clock:
    def __init__(self, progress: Progress) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[None]:
        self._progress.stage(title)
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 3)


def travel(journey: Journey, progress: Progress) -> Outcome:
    """Go the whole road and end with an environment that has trained, or with the one from before.

    Raises:
        MmsetupError: what the stages raise; nothing half done is left behind.
    """
    clock = _Clock(progress)
    target = examine(journey.target)
    with held(target.path, wait=journey.wait, told=progress.note):
        if words := recover(target.path):
            progress.note(words)
        target = examine(journey.target)
        with clock.stage("probe", "Looking at the machine"):
            machine = probe(folder=target.path)
            catalog = load()
        given = read(journey.lock_file) if journey.lock_file else None
        mark = fingerprint(journey.request, machine, catalog, given.digest if given else "")
        known = _unchanged(target, mark, progress)
        if known is not None:
            return _finish(journey, target, known, clock, progress)
        if target.state == "foreign":
            journey.confirm(
                f"{target.path} is an environment that mmsetup did not make. Replace it with a new one?"
            )
        if target.state == "ours" and read_manifest(target.path) is not None:
            progress.note(f"{target.path} was made by mmsetup and is replaced once the new one has passed")
        return _make(journey, target, machine, catalog, given, mark, clock, progress)


def _unchanged(target: Target, mark: str, progress: Progress) -> Manifest | None:
    manifest = read_manifest(target.path) if target.state == "ours" else None
    if manifest is None or manifest.fingerprint != mark:
        return None
    drift = missing_packages(target.path, manifest.packages)
    for line in drift[:5]:
        progress.note(f"changed since it was installed: {line}")
    return None if drift else manifest


def _finish(
    journey: Journey, target: Target, manifest: Manifest, clock: _Clock, progress: Progress
) -> Outcome:
    python = target.path / "bin" / "python"
    report = None
    if journey.with_smoke and not manifest.smoke:
        with clock.stage("smoke", "Training a small model"):
            report = _smoked(target.path, python, progress)
        write_manifest(target.path, manifest.with_smoke(plain(report)))
    status = "smoked" if report else "unchanged"
    return Outcome(
        status, target.path, python, dict(manifest.packages), None, None, report, clock.seconds
    )


def _make(
    journey: Journey,
    target: Target,
    machine: Machine,
    catalog: Catalog,
    given: Lock | None,
    mark: str,
    clock: _Clock,
    progress: Progress,
) -> Outcome:
    made: Plan | None = None
    if given is None:
        with clock.stage("plan", "Choosing versions that belong together"):
            made, machine = planned(journey.request, machine, catalog, fetch_python=not journey.request.offline)
        journey.show(made)
        interpreter = _chosen(made)
    else:
        interpreter = _interpreter_for(given, machine)
    if _builds(given, made):
        preflight(machine, interpreter)
    with clock.stage("lock", "Pinning every file"):
        locked = given or _lock(made, catalog, offline=journey.request.offline)
    ensure_space(locked, [target.path.parent, uv.cache_folder()])
    built: BuiltWheel | None = None
    wheels: dict[str, Path] = {}
    if locked.build is not None:
        with clock.stage("build", f"Building {locked.build.name} {locked.build.version} for this torch"):
            built = build_locked(
                locked, interpreter, machine, progress=progress, offline=journey.request.offline
            )
        wheels[locked.build.name] = built.path
        progress.note(_told(built))
    else:
        wheels.update(_prebuilt(locked, catalog, progress))
    reports: list[SmokeReport] = []

    def accept(new: Path, python: Path) -> None:
        clock.seconds["install"] = round(time.monotonic() - began, 3)
        verify_environment(new, locked)
        if journey.with_smoke:
            with clock.stage("smoke", "Training a small model"):
                reports.append(_smoked(new, python, progress))
        write_manifest(new, _manifest(mark, locked, machine, made, built, reports))

    progress.stage(f"Installing {len(locked.packages)} packages")
    began = time.monotonic()
    installed = install(
        locked,
        target,
        interpreter.path,
        wheels=wheels,
        accept=accept,
        progress=progress,
        offline=journey.request.offline,
    )
    return _outcome(installed, made, built, reports, clock)


def _outcome(
    installed: Installed,
    made: Plan | None,
    built: BuiltWheel | None,
    reports: list[SmokeReport],
    clock: _Clock,
) -> Outcome:
    return Outcome(
        status="installed",
        environment=installed.path,
        python=installed.python,
        packages=dict(installed.packages),
        plan=made,
        wheel=built,
        smoke=reports[0] if reports else None,
        seconds=clock.seconds,
    )


def _chosen(made: Plan) -> Interpreter:
    if made.interpreter is None:
        raise InterpreterError(
            f"the plan needs Python {made.python}, which is not here",
            remedy=f"uv python install {made.python}  # or leave --offline away",
        )
    return made.interpreter


def _interpreter_for(given: Lock, machine: Machine) -> Interpreter:
    if given.platform != _platform(machine):
        raise LockError(
            f"the lock is for {given.platform}, this machine is {_platform(machine)}", remedy="mmsetup lock"
        )
    fitting = [
        found
        for found in machine.interpreters
        if found.minor == given.python and found.implementation == "cpython"
    ]
    fitting.sort(key=lambda found: found.has_headers, reverse=True)
    if fitting:
        return fitting[0]
    return environment(uv.fetch_interpreter(given.python)).interpreter


def _platform(machine: Machine) -> str:
    return f"{machine.os.name}-{machine.cpu.architecture}"


def _builds(given: Lock | None, made: Plan | None) -> bool:
    return given.build is not None if given else made is not None and made.ops.is_built


def _lock(made: Plan | None, catalog: Catalog, *, offline: bool) -> Lock:
    if made is None:
        raise LockError("there is neither a plan nor a lockfile")
    return lock(made, _family(catalog, made.family), name="default", offline=offline)


def _family(catalog: Catalog, name: str) -> Family:
    family = catalog.family(name)
    if family is None:
        raise LockError(f"the lock is for a family {name!r} that is not known", remedy="mmsetup lock")
    return family


def _prebuilt(locked: Lock, catalog: Catalog, progress: Progress) -> dict[str, Path]:
    """Fetch the ops' wheel and open it before it is installed."""
    name = _family(catalog, locked.family).ops.distribution
    package = locked.package(name)
    file = package.files[0]
    wheel = fetch(file.url, file.sha256, progress=progress)
    verify_wheel(wheel, package.name, package.version)
    return {name: wheel}


def _told(built: BuiltWheel) -> str:
    if built.from_cache:
        return f"{built.path.name} was built before ({built.seconds:.0f} s then) and is taken from the cache"
    return f"{built.path.name} was built in {built.seconds:.0f} s"


def _smoked(new: Path, python: Path, progress: Progress) -> SmokeReport:
    report = smoke(python, output=manifest_folder(new) / "smoke", progress=progress)
    if not report.passed:
        raise CheckFailedError(
            "the environment was made, but the smoke run did not pass; nothing was changed",
            evidence=[f"{check.name}: {check.detail}" for check in report.checks if not check.passed],
            remedy="mmsetup install --no-smoke && mmsetup doctor  # keeps the environment and looks for the cause",
        )
    return report


def _manifest(
    mark: str,
    locked: Lock,
    machine: Machine,
    made: Plan | None,
    built: BuiltWheel | None,
    reports: list[SmokeReport],
) -> Manifest:
    ops: dict[str, Any] = {"origin": "built" if built else "prebuilt"}
    if built is not None:
        ops.update(key=built.key, sha256=built.sha256, wheel=built.path.name)
    return Manifest(
        fingerprint=mark,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        lock_digest=locked.digest,
        python=locked.python,
        packages={package.name: package.version for package in locked.packages},
        file_hashes={
            package.name: ", ".join(file.sha256 for file in package.files) for package in locked.packages
        },
        ops=ops,
        machine=plain(machine),
        plan=plain(made) if made else {},
        smoke=plain(reports[0]) if reports else {},
    )


def wheel_for(
    request: Request, catalog: Catalog, *, lock_file: Path | None, output: Path | None, progress: Progress
) -> BuiltWheel:
    """Give the wheel of the ops for a plan or a lockfile, built now or taken from the cache; copy it to ``output``.

    Raises:
        LockError: the plan or the lock needs no build.
        MmsetupError: what the stages raise.
    """
    progress.stage("Looking at the machine")
    machine = probe()
    if lock_file is not None:
        locked = read(lock_file)
        interpreter = _interpreter_for(locked, machine)
    else:
        progress.stage("Choosing versions that belong together")
        made, machine = planned(request, machine, catalog, fetch_python=not request.offline)
        if not made.ops.is_built:
            raise LockError(
                f"nothing is to be built: {made.ops.source} has a wheel for this plan",
                remedy="mmsetup install  # takes it from there",
            )
        interpreter = _chosen(made)
        preflight(machine, interpreter)
        progress.stage("Pinning every file")
        locked = _lock(made, catalog, offline=request.offline)
    progress.stage("Building the compiled ops")
    built = build_locked(locked, interpreter, machine, progress=progress, offline=request.offline)
    progress.note(_told(built))
    if output is None:
        return built
    try:
        output.mkdir(parents=True, exist_ok=True)
        return replace(built, path=Path(shutil.copy(built.path, output)))
    except OSError as error:
        raise TargetError(
            f"the wheel cannot be copied to {output}: {error.strerror}", remedy=f"take it from {built.path}"
        ) from error
