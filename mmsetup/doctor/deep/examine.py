"""Ask and judge: from a context to what the deep checks observe."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmsetup.doctor.context import Context
from mmsetup.doctor.deep.checks import judged_by
from mmsetup.doctor.deep.children import Target, ask
from mmsetup.doctor.deep.judge import judge
from mmsetup.doctor.deep.questions import framework, lanes
from mmsetup.doctor.model import Check, Finding
from mmsetup.progress import Progress

__all__ = ["examine"]

_CHILD_BYTES = 1 << 30
"""What a child takes that imports a torch with CUDA and trains nothing, with its workers."""
_MOST_CHILDREN = 8
_OF_WORKERS = "pymp-"
"""How multiprocessing begins the name of the folder for its sockets. Their paths have a limit (man 7 unix):
it lies where it would for the user, and its name is as long."""
_RELATIVE = ("PYTHONPATH", "LD_LIBRARY_PATH")


def examine(
    context: Context,
    chosen: Sequence[Check],
    findings: Sequence[Finding],
    progress: Progress,
    *,
    seconds: float,
) -> list[Check]:
    """Ask what the chosen checks want to know, and give them with what they observe.

    ``findings`` are those of the static checks, ``seconds`` how long one question may take.
    """
    asked = lanes(context, {one.id for one in chosen})
    machine = context.machine
    room = machine.memory.available_bytes // _CHILD_BYTES
    with (
        tempfile.TemporaryDirectory(prefix="mmsetup-doctor-", ignore_cleanup_errors=True) as scratch,
        tempfile.TemporaryDirectory(prefix=_OF_WORKERS, ignore_cleanup_errors=True) as sockets,
    ):
        target = Target(
            python=context.environment.interpreter.path,
            variables=_variables(context, Path(scratch)),
            scratch=Path(scratch),
            sockets=Path(sockets),
            framework=framework(context),
            bytecode=_bytecode(context, Path(scratch)),
            threads=1,
            seconds=seconds,
            side_by_side=max(1, min(machine.cpu.usable_cores, room, _MOST_CHILDREN)),
        )
        answers = ask(target, asked, progress)
    questions = [question for lane in asked for question in lane]
    return judged_by(judge(context, questions, answers, findings), chosen)


def _variables(context: Context, scratch: Path) -> Mapping[str, str]:
    """Give the user's variables, and those that keep what is written in ``scratch``.

    The children run in another folder than the user: what is relative there is made absolute. Where a
    variable is only a default, the user's own stays.
    """
    variables = dict(context.variables)
    for name in _RELATIVE:
        if variables.get(name) and context.current is not None:
            here = context.current
            variables[name] = os.pathsep.join(
                str(here / place) for place in variables[name].split(os.pathsep)
            )
    temporary = scratch / "tmp"
    temporary.mkdir()
    # Threads that spin while they wait make a busy machine many times slower.
    defaults = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "MPLBACKEND": "Agg"}
    kept = {
        "MPLCONFIGDIR": str(scratch / "matplotlib"),
        "XDG_CACHE_HOME": str(scratch / "cache"),
        "TORCH_HOME": str(scratch / "torch"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(temporary),
    }
    return {**defaults, **variables, **kept}


def _bytecode(context: Context, scratch: Path) -> str:
    """Give the folder in which children share what they compile, or nothing where the environment has it."""
    torch = context.source("torch")
    has_none = torch is not None and not (torch / "__pycache__").is_dir()
    return str(scratch / "bytecode") if has_none else ""
