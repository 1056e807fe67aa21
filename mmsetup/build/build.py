"""Build a wheel once: from the cache, or in a private folder that leaves nothing behind."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path

from mmsetup import process
from mmsetup.binary import wheel
from mmsetup.binary.libraries import brought_by_torch
from mmsetup.build import cache
from mmsetup.build.cache import BuiltWheel
from mmsetup.build.environment import make_environment, variables
from mmsetup.build.label import label
from mmsetup.build.launcher import through_cache
from mmsetup.build.patching import apply
from mmsetup.build.preflight import Toolchain
from mmsetup.build.recipe import PLAIN, Recipe, key
from mmsetup.build.units import clashes, ordered
from mmsetup.build.unpack import unpack
from mmsetup.build.verdict import complaint
from mmsetup.build.watch import Watch
from mmsetup.build.whereabouts import hidden_from_nvcc, hiding
from mmsetup.build.workspace import workspace
from mmsetup.errors import IntegrityError, ProcessError
from mmsetup.files import CACHE_ELSEWHERE, sha256, writing
from mmsetup.paths import cache_folder
from mmsetup.progress import Progress

__all__ = ["CORE_SECONDS", "PLAIN_CORE_SECONDS", "Job", "Maker", "Product", "build", "make_wheel"]

CORE_SECONDS = 40.0
"""Seconds on one core for the CPU operators of mmcv-full 1.7.2 in units, as measured (gcc 12, ``-O3``)."""

PLAIN_CORE_SECONDS = 340.0
"""The same with each of the 73 files compiled alone."""

_SECONDS_AT_MOST = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Product:
    """A wheel that was made and found good, still in the private folder of its build.

    ``requires`` are its ``Requires-Dist`` lines, ``seconds`` is how long setup.py ran. ``clashes`` tells
    which source files did not compile together although nothing said so before.
    """

    path: Path
    requires: tuple[str, ...]
    seconds: float
    clashes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One build: what from and with what.

    ``expected_seconds`` is how long it is expected to take; nothing where that is not known. With ``offline``
    its environment comes from uv's cache.
    """

    recipe: Recipe
    sdist: Path
    toolchain: Toolchain
    expected_seconds: float | None
    offline: bool = False


Maker = Callable[[Job, Path, Progress], Product]
"""Make the wheel of a job inside a private folder."""


def build(
    recipe: Recipe,
    *,
    sdist: Path,
    toolchain: Toolchain,
    progress: Progress,
    core_seconds: float | None = None,
    make: Maker | None = None,
    offline: bool = False,
) -> BuiltWheel:
    """Give the wheel of ``recipe``, from the cache or built from ``sdist``.

    When another process builds the same wheel it is waited for. ``core_seconds`` is how long one core takes
    the first time: ``CORE_SECONDS`` when not given, and for GPUs not known. Afterwards the duration of the
    last build for as many GPUs is used. With ``offline`` nothing is downloaded. Killed at any moment, this
    leaves at most a private folder, which the next build removes.

    Raises:
        IntegrityError: the sdist is not the one of the recipe.
        NetworkError: ``offline``, and uv's cache lacks a package of the build environment.
        DiskSpaceError, TargetError: the private folder, the cache or the log cannot be written.
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
        progress.note(_announced(recipe, toolchain, expected))
        with workspace(cache_folder("builds"), name[:16]) as folder:
            job = Job(recipe, sdist, toolchain, expected, offline=offline)
            with writing(folder, remedy=CACHE_ELSEWHERE):
                product = (make or make_wheel)(job, folder, progress)
            built = cache.keep(
                name,
                product.path,
                recipe,
                seconds=product.seconds,
                jobs=toolchain.jobs,
                requires=product.requires,
                clashes=product.clashes,
            )
    return replace(built, from_cache=False)


def make_wheel(job: Job, folder: Path, progress: Progress) -> Product:
    """Unpack, prepare, compile, inspect and label.

    Raises:
        BuildError: as :func:`build`.
        IntegrityError: the sdist is damaged.
    """
    recipe = job.recipe
    progress.update("preparing the build environment", seconds_left=job.expected_seconds)
    source = unpack(job.sdist, folder / "source")
    apply(recipe.patches, source, f"{recipe.distribution} {recipe.version}")
    environment = make_environment(recipe, folder, offline=job.offline)
    out = folder / "wheel"
    out.mkdir()
    order, report = folder / "order.json", folder / "units.json"
    seen = variables(recipe, environment, job.toolchain, os.environ)
    hidden = hiding(folder, seen)
    seen |= hidden_from_nvcc(hidden) if recipe.architectures else {}
    compilers = f"{job.toolchain.nvcc}; {job.toolchain.compiler}"
    launched = through_cache(seen, folder, gpu=bool(recipe.architectures), compilers=compilers)
    order.write_text(json.dumps(ordered(recipe, job.toolchain, report, hidden)), encoding="utf-8")
    with Watch(recipe, progress, job.expected_seconds) as watch, as_file(files("mmsetup.payload")) as payload:
        try:
            process.stream(
                [environment.python, "-u", payload / "build_wheel.py", out, order],
                watch.take,
                env={**seen, **launched},
                cwd=source,
                timeout=_SECONDS_AT_MOST,
            )
        except ProcessError as error:
            raise watch.failure(str(error)) from error
        seconds = watch.seconds
        made = sorted(out.glob("*.whl"))
        if len(made) != 1:
            raise watch.failure(f"setup.py made {len(made)} wheels")
        try:
            facts = wheel.inspect(made[0], expect=wheel.Expected(recipe.distribution, recipe.version))
        except IntegrityError as error:
            raise watch.failure(str(error), search=False) from error
        fault = complaint(facts, recipe.architectures, environment.torch, libc=recipe.libc)
        if fault:
            raise watch.failure(fault, search=not facts.has_ops)
        brought = brought_by_torch(environment.torch) if environment.torch else {}
        finished = label(made[0], facts, recipe, folder, brought=brought.keys())
    return Product(finished, facts.requires, seconds, clashes(report))


def _verify(sdist: Path, recipe: Recipe) -> None:
    try:
        found = sha256(sdist)
    except OSError as error:
        raise IntegrityError(
            f"cannot read {sdist}: {error.strerror}", remedy="mmsetup build  # fetches it again"
        ) from error
    if found != recipe.sdist_sha256.lower():
        raise IntegrityError(
            f"{sdist} is not the source of {recipe.distribution} {recipe.version}: sha256 {found}, "
            f"not {recipe.sdist_sha256}",
            remedy=f"rm {shlex.quote(str(sdist))}  # then run the command again: it is fetched anew",
        )


def _expected(recipe: Recipe, toolchain: Toolchain, core_seconds: float | None) -> float | None:
    gpus = len(recipe.architectures)
    usual = PLAIN_CORE_SECONDS if recipe.way == PLAIN else CORE_SECONDS
    first = core_seconds if gpus else core_seconds or usual
    known = cache.last_seconds(recipe.distribution, recipe.version, gpus=gpus, way=recipe.way) or first
    return known / toolchain.jobs if known else None


def _announced(recipe: Recipe, toolchain: Toolchain, expected: float | None) -> str:
    duration = f"takes about {_minutes(expected)}" if expected else "takes a time that is not known yet"
    compilers = "one compiler" if toolchain.jobs == 1 else f"{toolchain.jobs} compilers at once"
    target = f" for {', '.join(recipe.architectures)}" if recipe.architectures else ""
    return (
        f"building {recipe.distribution} {recipe.version}{target} with {compilers} {duration}; "
        "the wheel is kept for the next time"
    )


def _minutes(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return "a minute" if minutes == 1 else f"{minutes} minutes"
