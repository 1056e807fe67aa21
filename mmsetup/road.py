"""The whole road: probe, plan, lock, build, install, smoke, as steps that each call one stage."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from mmsetup import uv
from mmsetup.build import BuiltWheel, fetch, remove_stale
from mmsetup.build.locked import build_locked, preflight
from mmsetup.catalog import Catalog, Family, load
from mmsetup.errors import CheckFailedError, LockError, RequestError, TargetError
from mmsetup.inputs import chosen_interpreter, family_of, given_lock, interpreter_for
from mmsetup.install import Manifest, Target, examine, install, read_manifest
from mmsetup.install.changes import Limit
from mmsetup.install.manifest import fingerprint, missing_packages, write_manifest
from mmsetup.install.openmim import Company, company, digest, installs
from mmsetup.install.space import ensure_space, is_cached
from mmsetup.install.target import held, recover
from mmsetup.install.verify import verify_environment, verify_wheel
from mmsetup.install.via_mim import Errand, MimRun, gather, install_by_mim
from mmsetup.lock import Lock, lock
from mmsetup.paths import cache_folder, manifest_folder, state_folder
from mmsetup.plan import Plan, Request, planned
from mmsetup.probe import probe
from mmsetup.probe.machine import Interpreter, Machine
from mmsetup.progress import Progress
from mmsetup.render.document import document, dump, plain
from mmsetup.smoke import SmokeReport, smoke

__all__ = ["Journey", "Outcome", "travel", "wheel_for"]


@dataclass(frozen=True, slots=True)
class Journey:
    """What ``mmsetup install`` was asked to do.

    ``lock_file`` takes the place of a plan, ``elsewhere`` replaces facts of this machine by what was said of
    another. With ``by_mim`` mim installs what it can install. ``show`` is
    called with the plan before anything is done, ``show_company`` with what openmim brings along, ``confirm``
    with a question before an environment that mmsetup did not make is replaced and before openmim is put into
    one; it raises when the answer is no.
    """

    target: Path
    request: Request
    lock_file: Path | None = None
    with_smoke: bool = True
    wait: bool = True
    by_mim: bool = False
    elsewhere: Callable[[Machine], Machine] = field(default=lambda here: here)
    show: Callable[[Plan], None] = field(default=lambda _: None)
    show_company: Callable[[Company], None] = field(default=lambda _: None)
    confirm: Callable[[str], None] = field(default=lambda _: None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it.

    ``status`` is ``installed``, ``smoked`` (only the smoke run was missing) or ``unchanged``. ``seconds``
    maps each stage that ran to its duration.
    """

    status: str
    environment: Path
    python: Path
    packages: Mapping[str, str]
    plan: Plan | None = None
    wheel: BuiltWheel | None = None
    smoke: SmokeReport | None = None
    mim: MimRun | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Pinned:
    """A lock that is about to be installed: what it came from and what it is installed with."""

    lock: Lock
    plan: Plan | None
    interpreter: Interpreter
    machine: Machine


def travel(journey: Journey, progress: Progress) -> Outcome:
    """Go the whole road and end with an environment that has trained, or with the one from before.

    Raises:
        MmsetupError: what the stages raise; nothing half done is left behind.
    """
    trip = _Trip(journey, progress)
    target = examine(journey.target)
    with held(target.path, wait=journey.wait, told=progress.note):
        if words := recover(target.path):
            progress.note(words)
        return trip.go(examine(journey.target))


class _Trip:
    """One journey under way: its steps in their order, and how long each took."""

    def __init__(self, journey: Journey, progress: Progress) -> None:
        self._journey = journey
        self._progress = progress
        self._seconds: dict[str, float] = {}

    def go(self, target: Target) -> Outcome:
        remove_stale(cache_folder("builds"))
        with self._stage("probe", "Looking at the machine"):
            machine, catalog = self._journey.elsewhere(probe(folder=target.path)), load()
        given = given_lock(self._journey.lock_file, self._journey.request, catalog)
        way = f"mim {digest()}" if self._journey.by_mim else ""
        mark = fingerprint(self._journey.request, machine, catalog, given.digest if given else "", way=way)
        known = self._unchanged(target, mark)
        if known is not None:
            return self._complete(target, known)
        self._announce(target)
        pinned = self._pinned(machine, catalog, given)
        ensure_space(
            pinned.lock,
            [target.path.parent, uv.cache_folder()],
            cached=lambda: is_cached(pinned.lock, pinned.interpreter.path),
        )
        beside = self._beside(pinned, catalog) if self._journey.by_mim else None
        built = self._built(pinned)
        wheels = self._wheels(pinned, built, catalog)
        errand = self._errand(pinned, wheels, beside) if beside else None
        return self._installed(target, pinned, mark, wheels, built, errand=errand)

    @contextmanager
    def _stage(self, name: str, title: str) -> Iterator[None]:
        self._progress.stage(title)
        began = time.monotonic()
        yield
        self._seconds[name] = round(time.monotonic() - began, 3)

    def _unchanged(self, target: Target, mark: str) -> Manifest | None:
        manifest = read_manifest(target.path) if target.state == "ours" else None
        if manifest is None or manifest.fingerprint != mark:
            return None
        drift = missing_packages(target.path, manifest.everything)
        for line in drift[:5]:
            self._progress.note(f"changed since it was installed: {line}")
        return None if drift else manifest

    def _complete(self, target: Target, manifest: Manifest) -> Outcome:
        python = target.path / "bin" / "python"
        report = None
        if self._journey.with_smoke and not manifest.smoke:
            report = self._smoked(target.path, python, present=True)
            write_manifest(target.path, manifest.with_smoke(plain(report)))
        return Outcome(
            status="smoked" if report else "unchanged",
            environment=target.path,
            python=python,
            packages=manifest.packages,
            smoke=report,
            seconds=self._seconds,
        )

    def _announce(self, target: Target) -> None:
        if target.state == "foreign":
            self._journey.confirm(
                f"{target.path} is an environment that mmsetup did not make. Replace it with a new one?"
            )
        if target.state == "ours":
            self._progress.note(f"{target.path} stays as it is until the new environment has passed")

    def _pinned(self, machine: Machine, catalog: Catalog, given: Lock | None) -> _Pinned:
        offline = self._journey.request.offline
        if given is not None:
            self._check_trainable(
                family_of(catalog, given.family), [package.name for package in given.packages]
            )
            interpreter = interpreter_for(given, machine, offline=offline)
            if given.build is not None:
                preflight(machine, interpreter)
            return _Pinned(given, None, interpreter, machine)
        with self._stage("plan", "Choosing versions that belong together"):
            made, machine = planned(self._journey.request, machine, catalog, fetch_python=not offline)
        self._journey.show(made)
        self._check_trainable(family_of(catalog, made.family), [choice.name for choice in made.choices])
        interpreter = chosen_interpreter(made)
        if made.ops.is_built:
            preflight(machine, interpreter)
        with self._stage("lock", "Pinning every file"):
            locked = lock(made, family_of(catalog, made.family), name="default", offline=offline)
        return _Pinned(locked, made, interpreter, machine)

    def _check_trainable(self, family: Family, names: Collection[str]) -> None:
        member = family.member("segmentation")
        if self._journey.with_smoke and member is not None and member.distribution not in names:
            raise RequestError(
                f"without {member.distribution} there is nothing that the smoke run could train",
                remedy="mmsetup install --no-smoke  # with the same options",
            )

    def _beside(self, pinned: _Pinned, catalog: Catalog) -> Company:
        """Find what openmim brings along, show it, and have it agreed to."""
        installs(pinned.lock, family_of(catalog, pinned.lock.family).ops.distribution)
        limits = (
            [Limit(bound.requirement, bound.reason) for bound in pinned.plan.bounds] if pinned.plan else []
        )
        with self._stage("openmim", "Asking what openmim would change"):
            python, offline = pinned.interpreter.path, self._journey.request.offline
            found = company(pinned.lock, python, limits, offline=offline)
        self._journey.show_company(found)
        self._journey.confirm(
            f"Put openmim and {len(found.packages) - 1} more packages into the environment?"
        )
        return found

    def _errand(self, pinned: _Pinned, wheels: Mapping[str, Path], beside: Company) -> Errand:
        with self._stage("fetch for mim", "Fetching what mim installs"):
            python, offline = pinned.interpreter.path, self._journey.request.offline
            return gather(pinned.lock, wheels, beside, python, self._progress, offline=offline)

    def _built(self, pinned: _Pinned) -> BuiltWheel | None:
        locked = pinned.lock.build
        if locked is None:
            return None
        with self._stage("build", f"Building {locked.name} {locked.version} for this torch"):
            built = build_locked(
                pinned.lock,
                pinned.interpreter,
                pinned.machine,
                progress=self._progress,
                offline=self._journey.request.offline,
            )
        self._progress.note(_told(built))
        return built

    def _wheels(self, pinned: _Pinned, built: BuiltWheel | None, catalog: Catalog) -> dict[str, Path]:
        """Give the ops' wheel: the built one, or the prebuilt one, fetched and looked into."""
        package = pinned.lock.package(family_of(catalog, pinned.lock.family).ops.distribution)
        if built is not None:
            return {package.name: built.path}
        file = package.files[0]
        with self._stage("fetch", f"Fetching {file.filename} and looking inside"):
            offline = self._journey.request.offline
            wheel = fetch(file.url, file.sha256, progress=self._progress, offline=offline)
            verify_wheel(wheel, package.name, package.version)
        return {package.name: wheel}

    def _installed(
        self,
        target: Target,
        pinned: _Pinned,
        mark: str,
        wheels: Mapping[str, Path],
        built: BuiltWheel | None,
        *,
        errand: Errand | None,
    ) -> Outcome:
        reports: list[SmokeReport] = []
        runs: list[MimRun] = []
        offline = self._journey.request.offline

        def finish(new: Path, python: Path) -> None:
            self._seconds["install"] = round(time.monotonic() - began, 3)
            if errand is not None:
                with self._stage("mim", f"Installing {len(errand.wheels)} packages by mim"):
                    made = install_by_mim(errand, new, python, target.path, self._progress, offline=offline)
                runs.append(made)

        def accept(new: Path, python: Path) -> None:
            verify_environment(new, pinned.lock)
            if self._journey.with_smoke:
                reports.append(_moved(self._smoked(new, python), new, target.path))
            write_manifest(new, _manifest(mark, pinned, built, reports, runs))

        later = tuple(errand.wheels) if errand else ()
        self._progress.stage(f"Installing {len(pinned.lock.packages) - len(later)} packages")
        began = time.monotonic()
        installed = install(
            pinned.lock,
            target,
            pinned.interpreter.path,
            wheels=wheels,
            accept=accept,
            progress=self._progress,
            offline=offline,
            later=later,
            finish=finish,
        )
        return Outcome(
            status="installed",
            environment=installed.path,
            python=installed.python,
            packages=installed.packages,
            plan=pinned.plan,
            wheel=built,
            smoke=reports[0] if reports else None,
            mim=runs[0] if runs else None,
            seconds=self._seconds,
        )

    def _smoked(self, new: Path, python: Path, *, present: bool = False) -> SmokeReport:
        with self._stage("smoke", "Training a small model"):
            report = smoke(python, output=manifest_folder(new) / "smoke", progress=self._progress)
        if not report.passed:
            kept = state_folder("logs") / "smoke"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(manifest_folder(new) / "smoke", kept)
            which = f"of {new}" if present else "of the new environment; nothing was changed"
            keep = "" if present else f"mmsetup install --no-smoke --env {self._journey.target} && "
            raise CheckFailedError(
                f"the smoke run did not pass: that {which}. Its report: {kept}",
                evidence=[f"{check.name}: {check.detail}" for check in report.checks if not check.passed],
                remedy=f"{keep}mmsetup doctor --env {self._journey.target}  # looks for the cause",
            )
        return report


def _moved(report: SmokeReport, new: Path, place: Path) -> SmokeReport:
    """Give the report of an environment that was tried as ``new`` and will lie in ``place``."""

    def moved(path: Path) -> Path:
        return place / path.relative_to(new) if path.is_relative_to(new) else path

    after = replace(
        report,
        environment=moved(report.environment),
        python=moved(report.python),
        output=moved(report.output) if report.output else None,
        pictures=tuple(moved(path) for path in report.pictures),
        checkpoint=moved(report.checkpoint) if report.checkpoint else None,
        config=moved(report.config) if report.config else None,
    )
    text = dump(document("mmsetup.smoke/1", after)) + "\n"
    (manifest_folder(new) / "smoke" / "report.json").write_text(text, encoding="utf-8")
    return after


def wheel_for(
    request: Request,
    machine: Machine,
    catalog: Catalog,
    *,
    lock_file: Path | None,
    output: Path | None,
    progress: Progress,
) -> BuiltWheel:
    """Give the wheel of the ops for a plan or a lockfile, built now or taken from the cache.

    With ``output`` it is copied into that folder.

    Raises:
        LockError: the plan or the lock needs no build.
        MmsetupError: what the stages raise.
    """
    locked = given_lock(lock_file, request, catalog)
    if locked is not None:
        interpreter = interpreter_for(locked, machine, offline=request.offline)
    else:
        progress.stage("Choosing versions that belong together")
        made, machine = planned(request, machine, catalog, fetch_python=not request.offline)
        if not made.ops.is_built:
            raise LockError(
                f"nothing is to be built: {made.ops.source} has a wheel for this plan",
                remedy="mmsetup install  # takes it from there",
            )
        interpreter = chosen_interpreter(made)
        preflight(machine, interpreter)
        progress.stage("Pinning every file")
        locked = lock(made, family_of(catalog, made.family), name="default", offline=request.offline)
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


def _told(built: BuiltWheel) -> str:
    if built.from_cache:
        return f"{built.path.name} was built before ({built.seconds:.0f} s then) and is taken from the cache"
    return f"{built.path.name} was built in {built.seconds:.0f} s"


def _manifest(
    mark: str,
    pinned: _Pinned,
    built: BuiltWheel | None,
    reports: list[SmokeReport],
    runs: list[MimRun],
) -> Manifest:
    ops = {"origin": "prebuilt"}
    if built is not None:
        ops = {"origin": "built", "key": built.key, "sha256": built.sha256, "wheel": built.path.name}
    packages = pinned.lock.packages
    return Manifest(
        fingerprint=mark,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        lock_digest=pinned.lock.digest,
        python=pinned.lock.python,
        packages={package.name: package.version for package in packages},
        file_hashes={package.name: [file.sha256 for file in package.files] for package in packages},
        ops=ops,
        machine=plain(pinned.machine),
        plan=plain(pinned.plan) if pinned.plan else {},
        smoke=plain(reports[0]) if reports else {},
        mim=plain(runs[0]) if runs else {},
    )
