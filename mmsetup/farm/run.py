"""Do the jobs of a matrix one after another, and keep going when one fails."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmsetup.build import BuiltWheel
from mmsetup.errors import MmsetupError, TargetError
from mmsetup.farm.matrix import BuildJob
from mmsetup.farm.pairs import pair_of
from mmsetup.files import copy, refuse_unwritable, sha256
from mmsetup.progress import Progress

__all__ = ["JobResult", "run"]

_MOST_EVIDENCE = 10


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of a job.

    ``status`` is ``built``, ``kept`` (it was in the cache) or ``failed``; ``seconds`` is how long it took
    now. ``pair`` is what the wheel is for (``cu117/torch1.13.0``). Of a failed job ``error``, ``evidence``
    and ``remedy`` tell why, and ``exit_code`` is the one that it would have ended with alone.
    """

    job: BuildJob
    status: str
    seconds: float
    wheel: Path | None = None
    sha256: str = ""
    pair: str = ""
    error: str = ""
    evidence: tuple[str, ...] = ()
    remedy: str = ""
    exit_code: int = 0


def run(
    jobs: Sequence[BuildJob],
    make: Callable[[BuildJob], BuiltWheel],
    progress: Progress,
    *,
    output: Path | None = None,
) -> tuple[JobResult, ...]:
    """Do all jobs; ``make`` gives the wheel of one, in the cache.

    With ``output`` each wheel is copied to the folder of its pair in there (``cu117/torch1.13.0``) as soon
    as it is made.

    Raises:
        TargetError: nothing can be put into ``output``; nothing was built.
    """
    if output is not None:
        refuse_unwritable(output)
    made: dict[Path, BuildJob] = {}
    results: list[JobResult] = []
    for number, job in enumerate(jobs, start=1):
        progress.note(f"[{number}/{len(jobs)}] {job}")
        result = _result(job, make, output, made)
        results.append(result)
        progress.note(f"[{number}/{len(jobs)}] {_told(result)}")
        for line in result.evidence[-_MOST_EVIDENCE:]:
            progress.note(f"    {line}")
    return tuple(results)


def _result(
    job: BuildJob, make: Callable[[BuildJob], BuiltWheel], output: Path | None, made: dict[Path, BuildJob]
) -> JobResult:
    began = time.monotonic()
    try:
        built = make(job)
        pair = pair_of(built.path)
        wheel = built.path
        if output is not None:
            wheel = output / pair.folder / built.path.name
            _refuse_twice(wheel, built, made.get(wheel))
            copy(built.path, wheel)
            made[wheel] = job
    except MmsetupError as error:
        return JobResult(
            job,
            "failed",
            _since(began),
            error=str(error),
            evidence=error.evidence,
            remedy=error.remedy,
            exit_code=error.exit_code,
        )
    status = "kept" if built.from_cache else "built"
    return JobResult(job, status, _since(began), wheel, built.sha256, pair.folder)


def _refuse_twice(wheel: Path, built: BuiltWheel, first: BuildJob | None) -> None:
    if first is not None and sha256(wheel) != built.sha256:
        raise TargetError(
            f"another wheel of this name was made by another job ({first}), and one would hide the other",
            remedy=f"cp {shlex.quote(str(built.path))} ELSEWHERE",
        )


def _told(result: JobResult) -> str:
    if result.status == "failed":
        return f"failed after {result.seconds:.0f} s: {result.error}"
    if result.status == "kept":
        return f"was built before: {result.wheel}"
    return f"built in {result.seconds:.0f} s: {result.wheel}"


def _since(began: float) -> float:
    return round(time.monotonic() - began, 1)
