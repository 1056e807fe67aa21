"""Build a wheel once: from the cache, or in a private folder that leaves nothing behind."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.resources import as_file, files
from pathlib import Path
from typing import IO

from mmsetup import process
from mmsetup.binary import linkage, wheel
from mmsetup.build import cache, log
from mmsetup.build.cache import BuiltWheel
from mmsetup.build.environment import BuildEnvironment, make_environment, variables
from mmsetup.build.preflight import Toolchain
from mmsetup.build.recipe import Recipe, key
from mmsetup.build.unpack import unpack
from mmsetup.build.workspace import workspace
from mmsetup.errors import BuildError, IntegrityError, ProcessError
from mmsetup.paths import cache_folder, state_folder
from mmsetup.progress import Progress

__all__ = ["CORE_SECONDS", "Job", "Maker", "Product", "build", "make_wheel"]

CORE_SECONDS = 340.0
"""Seconds on one core for the CPU operators of mmcv-full 1.7.2, as measured (73 files, gcc 12, ``-O3``)."""

_TAIL_LINES = 4000
_EVIDENCE_LINES = 25
_LOGS_KEPT = 20
_SECONDS_AT_MOST = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Product:
    """A wheel that was made and found good, still in the private folder of its build."""

    path: Path
    requires: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """One build: what from, with what, and how many seconds it is expected to take."""

    recipe: Recipe
    sdist: Path
    toolchain: Toolchain
    expected_seconds: float


Maker = Callable[[Job, Path, Progress], Product]
"""Make the wheel of a job inside a private folder."""


def build(
    recipe: Recipe,
    *,
    sdist: Path,
    toolchain: Toolchain,
    progress: Progress,
    core_seconds: float = CORE_SECONDS,
    make: Maker | None = None,
) -> BuiltWheel:
    """Give the wheel of ``recipe``, from the cache or built from ``sdist``.

    When another process builds the same wheel it is waited for. ``core_seconds`` is how long one core takes
    the first time; afterwards the duration of the last build is used. Killed at any moment, this leaves at
    most a private folder, which the next build removes.

    Raises:
        IntegrityError: the sdist is not the one of the recipe.
        BuildError: it did not become a wheel with usable operators; the evidence is the cause and the end of
            the log.
    """
    name = key(recipe)
    if found := cache.find(name):
        return found
    with cache.only_builder(name, progress):
        if found := cache.find(name):
            return found
        _verify(sdist, recipe)
        expected = _expected(recipe, toolchain, core_seconds)
        progress.note(
            f"Building {recipe.distribution} {recipe.version} with {toolchain.jobs} compilers at once "
            f"takes about {_minutes(expected)}; the wheel is kept for the next time."
        )
        began = time.monotonic()
        with workspace(cache_folder("builds"), name[:16]) as folder:
            product = (make or make_wheel)(Job(recipe, sdist, toolchain, expected), folder, progress)
            built = cache.keep(
                name,
                product.path,
                recipe,
                seconds=time.monotonic() - began,
                jobs=toolchain.jobs,
                requires=product.requires,
            )
    return BuiltWheel(
        path=built.path,
        sha256=built.sha256,
        key=name,
        from_cache=False,
        seconds=built.seconds,
        jobs=built.jobs,
        requires=built.requires,
    )


def make_wheel(job: Job, folder: Path, progress: Progress) -> Product:
    """Unpack, prepare, compile and inspect.

    Raises:
        BuildError: as :func:`build`.
        IntegrityError: the sdist is damaged.
    """
    recipe = job.recipe
    progress.update("Preparing the build environment", seconds_left=job.expected_seconds)
    source = unpack(job.sdist, folder / "source")
    environment = make_environment(recipe, folder)
    out = folder / "wheel"
    out.mkdir()
    watch = _Watch(progress, job.expected_seconds)
    path = _log_path(recipe)
    with (
        path.open("w", encoding="utf-8") as watch.file,
        as_file(files("mmsetup.payload") / "build_wheel.py") as script,
    ):
        try:
            process.stream(
                [environment.python, "-u", script, out, *recipe.flags],
                watch.take,
                env=variables(recipe, environment, job.toolchain, os.environ),
                cwd=source,
                timeout=_SECONDS_AT_MOST,
            )
        except ProcessError as error:
            raise _failed(recipe, str(error), watch, path) from error
    if watch.fault:
        raise _failed(recipe, f"the compiler was not given what it should: {watch.fault}", watch, path)
    made = sorted(out.glob("*.whl"))
    if len(made) != 1:
        raise _failed(recipe, f"setup.py made {len(made)} wheels", watch, path)
    return _inspected(made[0], recipe, environment, watch, path)


@dataclass
class _Watch:
    """Follow what the build prints: into the log, to the progress, and for what the compiler is given."""

    progress: Progress
    expected: float
    began: float = field(default_factory=time.monotonic)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    fault: str = ""
    file: IO[str] | None = None

    def take(self, _stream: process.Stream, line: str) -> None:
        """Take a line of either stream."""
        self.tail.append(line)
        if self.file is not None:
            self.file.write(line + "\n")
        if arguments := log.given_to_compiler(line):
            self.fault = self.fault or log.unoptimised(arguments)
        if step := log.read_step(line):
            self.progress.update(
                f"Compiled {step.file}", done=step.done, total=step.total, seconds_left=self._left(step)
            )

    def _left(self, step: log.Step) -> float:
        """Trust the expectation at first and the pace of this build more with every file."""
        spent = time.monotonic() - self.began
        share = step.done / step.total
        return max(0.0, (1 - share) * (share * spent / share + (1 - share) * self.expected))


def _inspected(
    path: Path, recipe: Recipe, environment: BuildEnvironment, watch: _Watch, log_path: Path
) -> Product:
    try:
        facts = wheel.inspect(path, expect=wheel.Expected(recipe.distribution, recipe.version))
    except IntegrityError as error:
        raise _failed(recipe, str(error), watch, log_path) from error
    if facts.ops is None:
        raise _failed(
            recipe, f"the wheel holds no {wheel.OPS_MODULE}: no operators were compiled", watch, log_path
        )
    needs = facts.ops.elf
    if absent := linkage.missing_libraries(needs, environment.library_folders):
        raise _failed(
            recipe,
            f"{wheel.OPS_MODULE} needs libraries that are not there: {', '.join(absent)}",
            watch,
            log_path,
        )
    if environment.torch_libraries and (
        unknown := linkage.missing_symbols(needs, environment.torch_libraries)
    ):
        raise _failed(
            recipe,
            f"torch {recipe.torch} does not export {len(unknown)} symbols that {wheel.OPS_MODULE} needs, "
            f"such as {min(unknown)}",
            watch,
            log_path,
        )
    if lacking := sorted(set(recipe.architectures) - set(facts.ops.architectures.sass)):
        raise _failed(recipe, f"{wheel.OPS_MODULE} holds no code for {', '.join(lacking)}", watch, log_path)
    return Product(path, facts.requires)


def _failed(recipe: Recipe, what: str, watch: _Watch, path: Path) -> BuildError:
    cause, remedy = log.diagnose(watch.tail)
    because = f": {cause}" if cause else f": {what}"
    return BuildError(
        f"{recipe.distribution} {recipe.version} could not be built{because}",
        remedy=f"{remedy} The whole log: {path}".strip(),
        evidence=[what, *list(watch.tail)[-_EVIDENCE_LINES:]],
    )


def _verify(sdist: Path, recipe: Recipe) -> None:
    try:
        found = cache.digest(sdist)
    except OSError as error:
        raise IntegrityError(f"cannot read {sdist}: {error.strerror}", remedy="Fetch it again.") from error
    if found != recipe.sdist_sha256.lower():
        raise IntegrityError(
            f"{sdist} is not the source of {recipe.distribution} {recipe.version}: sha256 {found}, "
            f"not {recipe.sdist_sha256}",
            remedy=f"Delete {sdist} and fetch it again.",
        )


def _expected(recipe: Recipe, toolchain: Toolchain, core_seconds: float) -> float:
    last = cache.last_seconds(recipe.distribution, recipe.version, gpu=bool(recipe.architectures))
    return (last or core_seconds) / toolchain.jobs


def _minutes(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return "a minute" if minutes == 1 else f"{minutes} minutes"


def _log_path(recipe: Recipe) -> Path:
    folder = state_folder("logs")
    for old in sorted(folder.glob("build-*.log"))[: -_LOGS_KEPT + 1]:
        old.unlink(missing_ok=True)
    now = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    return folder / f"build-{now}-{recipe.distribution}-{recipe.version}-{os.getpid()}.log"
