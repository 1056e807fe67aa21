"""Start the payload in the target interpreter, listen to it, and make a report of what it says."""

from __future__ import annotations

import json
import re
import shlex
import signal
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mmsetup.payload
from mmsetup.errors import ProcessError, RequestError, TargetError
from mmsetup.probe import environment as look_at
from mmsetup.probe.host import Host
from mmsetup.probe.resources import cpu
from mmsetup.process import Completed, clean_environment, stream
from mmsetup.progress import Progress, Silent
from mmsetup.smoke import judge
from mmsetup.smoke.events import ProtocolError
from mmsetup.smoke.family import family_of
from mmsetup.smoke.listener import Heard, Listener
from mmsetup.smoke.report import Failure, Recipe, SmokeCheck, SmokeReport

__all__ = ["smoke"]

_PAYLOAD = Path(mmsetup.payload.__file__).parent / "smoke"
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_MOST_THREADS = 8
"""A model this small has no work for more."""


def smoke(
    environment: Path,
    *,
    output: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
    time_limit: float = 900.0,
    silence_limit: float = 240.0,
    recipe: Recipe | None = None,
) -> SmokeReport:
    """Train a small model in an environment and report whether it learned what it should.

    ``environment`` is the folder of an environment or its interpreter. ``output`` is a folder that keeps the
    checkpoint, its config, the pictures and ``report.json``; it is made when it is not there. ``device`` is
    ``auto`` (a GPU where torch can use one), ``cpu``, ``cuda`` or ``cuda:1``. ``time_limit`` holds for the
    whole run, ``silence_limit`` between two signs of life, both in seconds. An environment in which the run
    crashes, hangs or cannot import gives a report with a failure, not an error.

    Raises:
        RequestError: a device or a seed that does not exist, or a GPU that torch does not see.
        TargetError: there is no environment, it holds no mmsegmentation that the payload knows, or ``output``
            cannot be written.
    """
    if not _DEVICE.fullmatch(device):
        raise RequestError(f"{device!r} is no device", remedy="--device auto, cpu, cuda or cuda:1")
    if not 0 <= seed < 2**31:
        raise RequestError(f"the seed {seed} is not between 0 and {2**31 - 1}", remedy="--seed 0")
    recipe = recipe or Recipe()
    target = look_at(environment)
    family = family_of(target)
    python = target.interpreter.path
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mmsetup-smoke-", ignore_cleanup_errors=True) as scratch:
        keep = _folder(output or Path(scratch) / "output")
        listener = Listener(progress or Silent())
        job = {
            "family": family,
            "seed": seed,
            "device": device,
            "threads": min(cpu(Host()).usable_cores, _MOST_THREADS),
            "scratch": scratch,
            "output": str(keep),
            **asdict(recipe),
        }
        failure = _listen(python, job, listener, limit=time_limit, silence=silence_limit)
    heard = listener.heard
    if heard.no_gpu:
        raise RequestError(
            f"there is no GPU {device} that torch sees: {heard.no_gpu}",
            remedy=f"mmsetup smoke --env {shlex.quote(str(target.prefix))} --device cpu",
        )
    checks = tuple(heard.checks) + _unmeasured(heard, failure)
    report = SmokeReport(
        passed=failure is None and all(check.passed for check in checks),
        environment=target.prefix,
        python=python,
        seed=seed,
        recipe=recipe,
        checks=checks,
        device=heard.device,
        device_name=heard.device_name,
        threads=heard.threads,
        versions=heard.versions,
        training=heard.training,
        mean_iou=heard.mean_iou,
        chance_mean_iou=heard.chance_mean_iou,
        per_class_iou=heard.per_class_iou,
        failure=failure,
        seconds=heard.seconds,
        total_seconds=round(time.monotonic() - began, 3),
        output=keep if output else None,
        pictures=tuple(heard.pictures) if output else (),
        checkpoint=heard.checkpoint if output else None,
        config=heard.config if output else None,
    )
    if output:
        from mmsetup.render.document import document, dump  # noqa: PLC0415 (only where a report is kept)

        (keep / "report.json").write_text(dump(document("mmsetup.smoke/1", report)) + "\n", encoding="utf-8")
    return report


def _folder(output: Path) -> Path:
    try:
        output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output).close()
    except OSError as error:
        raise TargetError(
            f"{output} cannot hold the results: {error.strerror}", remedy="mmsetup smoke --output DIR"
        ) from error
    return output.resolve()


def _listen(
    python: Path, job: dict[str, Any], listener: Listener, *, limit: float, silence: float
) -> Failure | None:
    scratch = Path(job["scratch"])
    job_file = scratch / "job.json"
    job_file.write_text(json.dumps(job), encoding="utf-8")
    temporary = scratch / "tmp"
    temporary.mkdir()
    env = clean_environment(
        # Threads that spin while they wait make a busy machine many times slower: 250 s, not 60 s.
        OMP_WAIT_POLICY="PASSIVE",
        MPLBACKEND="Agg",
        MPLCONFIGDIR=str(scratch / "matplotlib"),
        XDG_CACHE_HOME=str(scratch / "cache"),
        TORCH_HOME=str(scratch / "torch"),
        TMPDIR=str(temporary),
    )
    began = time.monotonic()
    try:
        done = stream(
            [python, "-I", "-B", "-u", _PAYLOAD, job_file],
            listener.take,
            env=env,
            cwd=scratch,
            timeout=limit,
            silence=silence,
            check=False,
        )
    except ProtocolError as error:
        return listener.failure(f"the payload said what mmsetup does not understand: {error}")
    except ProcessError as error:
        message = str(error)
        if began + limit <= time.monotonic():
            message = f"it was stopped at the time limit of {limit:g} s"
        elif listener.last_sign + silence <= time.monotonic():
            message = f"it gave no sign of life for {silence:g} s and was stopped"
        return listener.failure(message)
    return _ending(done, listener)


def _ending(done: Completed, listener: Listener) -> Failure | None:
    """Give what is wrong with how the payload ended, if anything is."""
    if listener.heard.raised:
        return listener.failure(judge.explained(listener.heard.raised))
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return listener.failure(f"the interpreter was killed by {name}", name)
    if done.returncode or not listener.heard.ended:
        return listener.failure(f"the interpreter ended with exit status {done.returncode} and no result")
    return None


def _unmeasured(heard: Heard, failure: Failure | None) -> tuple[SmokeCheck, ...]:
    """Turn what ended the run, and operators that nobody measured, into failed checks."""
    if failure is not None:
        return (
            SmokeCheck("runs to the end", passed=False, detail=f"{failure.message} (in {failure.stage})"),
        )
    return tuple(
        SmokeCheck(op, passed=False, detail="the payload did not measure it")
        for op in judge.EXPECTED_OPS
        if op not in heard.ops
    )
