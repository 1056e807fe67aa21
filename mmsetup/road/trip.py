"""The steps of the road in their order: probe, plan, lock, build, install, smoke."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from mmsetup import uv
from mmsetup.binary.judgement import COMPILES
from mmsetup.build import BuiltWheel, remove_stale
from mmsetup.build.locked import build_locked, preflight
from mmsetup.catalog import Catalog, Family
from mmsetup.errors import CheckFailedError, NoPlanError, RequestError
from mmsetup.inputs import chosen_interpreter, family_of, given_lock, interpreter_for
from mmsetup.install import Manifest, Target, examine, install, read_manifest
from mmsetup.install.changes import Limit
from mmsetup.install.contents import changed_files, missing_packages
from mmsetup.install.manifest import fingerprint, write_manifest
from mmsetup.install.openmim import Company, company, digest, installs
from mmsetup.install.space import ensure_space, is_cached
from mmsetup.install.target import held, recover
from mmsetup.install.verify import verify_environment
from mmsetup.install.via_mim import Errand, MimRun, gather, install_by_mim
from mmsetup.lock import Lock, lock
from mmsetup.paths import cache_folder, manifest_folder, state_folder
from mmsetup.plan import Request, planned
from mmsetup.plan.refusal import command_for
from mmsetup.probe import probe
from mmsetup.probe.machine import Machine
from mmsetup.progress import Progress
from mmsetup.render.document import plain
from mmsetup.road.building import told
from mmsetup.road.journey import Journey, Outcome, Pinned
from mmsetup.road.patched import packages_to_patch, patched_wheels
from mmsetup.road.prebuilt import MOST_WHEELS, Prebuilt, fetched, refused
from mmsetup.road.record import manifest_of, moved
from mmsetup.smoke import SmokeReport, smoke

__all__ = ["travel"]

_MOST_NAMED = 5


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
        self._drift: tuple[str, ...] | None = None

    def go(self, target: Target) -> Outcome:
        remove_stale(cache_folder("builds"))
        with self._stage("probe", "Looking at the machine"):
            machine = self._journey.elsewhere(probe(folder=target.path))
        catalog = self._journey.catalog
        given = given_lock(self._journey.lock_file, self._journey.request, catalog)
        way = f"mim {digest()}" if self._journey.by_mim else ""
        mark = fingerprint(self._journey.request, machine, catalog, given.digest if given else "", way=way)
        known = self._known(target, mark=mark)
        if known is not None:
            return self._complete(target, known)
        if target.state == "foreign":
            self._journey.confirm(
                f"{target.path} is an environment that mmsetup did not make. Replace it with a new one?"
            )
        pinned, prebuilt = self._settled(target, machine, catalog, given)
        content = fingerprint(self._journey.request, machine, catalog, pinned.lock.digest, way=way)
        known = self._known(target, content=content)
        if known is not None:
            return self._complete(target, replace(known, fingerprint=mark))
        if target.state == "ours":
            self._progress.note(f"{target.path} stays as it is until the new environment has passed")
        beside = self._beside(pinned, catalog) if self._journey.by_mim else None
        built = self._built(pinned, catalog)
        wheels = {prebuilt.distribution: prebuilt.path} if prebuilt else {}
        if built is not None and pinned.lock.build is not None:
            wheels[pinned.lock.build.name] = built.path
        if names := packages_to_patch(pinned):
            with self._stage("patch", f"Patching {', '.join(names)}"):
                offline = self._journey.request.offline
                wheels |= patched_wheels(pinned, catalog, self._progress, offline=offline)
        errand = self._errand(pinned, catalog, wheels, beside) if beside else None
        return self._installed(target, pinned, (mark, content), wheels, built, errand=errand)

    @contextmanager
    def _stage(self, name: str, title: str) -> Iterator[None]:
        self._progress.stage(title)
        began = time.monotonic()
        yield
        self._seconds[name] = round(self._seconds.get(name, 0.0) + time.monotonic() - began, 3)

    def _known(self, target: Target, *, mark: str = "", content: str = "") -> Manifest | None:
        """Give what is known of a whole environment that came of the same request, or of the same files."""
        manifest = read_manifest(target.path) if target.state == "ours" else None
        if manifest is None or self._journey.anew:
            return None
        is_same = manifest.fingerprint == mark if mark else manifest.content == content
        return manifest if is_same and self._is_whole(target, manifest) else None

    def _is_whole(self, target: Target, manifest: Manifest) -> bool:
        if self._drift is None:
            self._drift = missing_packages(target.path, manifest.everything)
            self._drift += changed_files(target.path, manifest.ops.get("files", {}))
            for line in self._drift[:_MOST_NAMED]:
                self._progress.note(f"changed since it was installed: {line}")
            if len(self._drift) > _MOST_NAMED:
                self._progress.note(f"and {len(self._drift) - _MOST_NAMED} more")
        return not self._drift

    def _complete(self, target: Target, manifest: Manifest) -> Outcome:
        python = target.path / "bin" / "python"
        report = None
        if self._journey.with_smoke and not manifest.smoke:
            report = self._smoked(target.path, python, present=True)
            manifest = manifest.with_smoke(plain(report))
        if manifest != read_manifest(target.path):
            write_manifest(target.path, manifest)
        return Outcome(
            status="smoked" if report else "unchanged",
            environment=target.path,
            python=python,
            packages=manifest.packages,
            smoke=report,
            seconds=self._seconds,
        )

    def _settled(
        self, target: Target, machine: Machine, catalog: Catalog, given: Lock | None
    ) -> tuple[Pinned, Prebuilt | None]:
        """Pin until the ops are to be built or are a wheel that runs here; one that does not is passed over.

        It is fetched, opened and judged before anything is installed.
        """
        request = self._journey.request
        found: list[Prebuilt] = []
        while True:
            try:
                pinned = self._pinned(machine, catalog, given, found)
            except NoPlanError as error:
                if not found:
                    raise
                raise refused(found[-1], error.remedy, without_it=error) from error
            ensure_space(
                pinned.lock,
                [target.path.parent, uv.cache_folder()],
                cached=partial(is_cached, pinned.lock, pinned.interpreter.path),
            )
            if pinned.lock.build is not None:
                return pinned, None
            prebuilt = self._opened(pinned, catalog)
            if prebuilt.verdict.is_good:
                return pinned, prebuilt
            found.append(prebuilt)
            if given is not None:
                raise refused(prebuilt, command_for(Request(family=given.family), machine))
            if len(found) == MOST_WHEELS and (request.sources or not request.may_build):
                building = replace(request, may_use_prebuilt=False, may_build=True, sources=())
                raise refused(prebuilt, command_for(building, machine, instead_of=request))
            self._progress.note(f"{prebuilt.fault}; planning again without the page that lists it")

    def _opened(self, pinned: Pinned, catalog: Catalog) -> Prebuilt:
        distribution = family_of(catalog, pinned.lock.family).ops.distribution
        named = pinned.lock.package(distribution).files[0].filename
        with self._stage("fetch", f"Fetching {named} and looking inside"):
            offline = self._journey.request.offline
            found = fetched(pinned, distribution, catalog, self._progress, offline=offline)
        for answer in found.verdict.gpus:
            if found.verdict.is_good and answer.outcome == COMPILES:
                self._progress.note(
                    f"the ops hold no machine code for {answer.name}: the driver translates them from PTX at "
                    "their first use"
                )
        return found

    def _pinned(
        self, machine: Machine, catalog: Catalog, given: Lock | None, unfit: Sequence[Prebuilt]
    ) -> Pinned:
        request = self._journey.request
        if len(unfit) == MOST_WHEELS:
            request = replace(request, may_use_prebuilt=False)
        if given is not None:
            self._check_trainable(
                family_of(catalog, given.family), [package.name for package in given.packages]
            )
            interpreter = interpreter_for(given, machine, offline=request.offline)
            if given.build is not None:
                preflight(given, interpreter, machine, catalog)
            return Pinned(given, None, interpreter, machine)
        with self._stage("plan", "Choosing versions that belong together"):
            made, machine = planned(
                request,
                machine,
                catalog,
                fetch_python=not request.offline,
                passing_over={one.page: one.fault for one in unfit},
            )
        self._journey.show(made)
        self._check_trainable(family_of(catalog, made.family), [choice.name for choice in made.choices])
        interpreter = chosen_interpreter(made)
        if made.ops.is_built:
            preflight(made, interpreter, machine, catalog)
        with self._stage("lock", "Pinning every file"):
            locked = lock(made, family_of(catalog, made.family), name="default", offline=request.offline)
        return Pinned(locked, made, interpreter, machine)

    def _check_trainable(self, family: Family, names: Collection[str]) -> None:
        member = family.member("segmentation")
        if self._journey.with_smoke and member is not None and member.distribution not in names:
            raise RequestError(
                f"without {member.distribution} there is nothing that the smoke run could train",
                remedy="mmsetup install --no-smoke  # with the same options",
            )

    def _beside(self, pinned: Pinned, catalog: Catalog) -> Company:
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

    def _errand(
        self, pinned: Pinned, catalog: Catalog, wheels: Mapping[str, Path], beside: Company
    ) -> Errand:
        ops = family_of(catalog, pinned.lock.family).ops.distribution
        with self._stage("fetch for mim", "Fetching what mim installs"):
            python, offline = pinned.interpreter.path, self._journey.request.offline
            return gather(pinned.lock, wheels, beside, python, self._progress, ops=ops, offline=offline)

    def _built(self, pinned: Pinned, catalog: Catalog) -> BuiltWheel | None:
        locked = pinned.lock.build
        if locked is None:
            return None
        with self._stage("build", f"Building {locked.name} {locked.version} for this torch"):
            built = build_locked(
                pinned.lock,
                pinned.interpreter,
                pinned.machine,
                catalog,
                progress=self._progress,
                offline=self._journey.request.offline,
            )
        self._progress.note(told(built))
        return built

    def _installed(
        self,
        target: Target,
        pinned: Pinned,
        marks: tuple[str, str],
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
                reports.append(moved(self._smoked(new, python), new, target.path))
            write_manifest(new, manifest_of(new, pinned, built, reports, runs, marks=marks))

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
