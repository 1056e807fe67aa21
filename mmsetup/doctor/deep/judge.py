"""Judge the answers: pure functions from what came back to what is observed, each cause once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmsetup.doctor.context import Context
from mmsetup.doctor.deep.answers import Answer, Failure
from mmsetup.doctor.deep.children import START
from mmsetup.doctor.deep.explained import explanation
from mmsetup.doctor.deep.questions import Question
from mmsetup.doctor.model import Finding, Observation, Severity
from mmsetup.smoke.judge import judge_op

__all__ = ["judge"]

_MOST_FRAMES = 4
_MOST_LINES = 3
_LONGEST_LINE = 300
_AT_START = (
    "Error in sitecustomize",
    "Error in usercustomize",
    "Error processing line",
    "Fatal Python error",
)
_REMEDIES = (
    ("AF_UNIX path too long", "TMPDIR=/tmp  # or another folder whose name is short"),
    ("Too many open files", "ulimit -n 4096"),
)
"""What mends a failure whose own words name the cause."""
_NOT_EVERYBODYS = ("MM726",)
"""Checks of what only part of the users need: they warn."""


def judge(
    context: Context, questions: Sequence[Question], answers: Sequence[Answer], findings: Sequence[Finding]
) -> Mapping[str, tuple[Observation, ...]]:
    """Give what is observed, by the id of the check.

    ``findings`` are those of the static checks. One that is an error and explains a failure has told its
    cause: the failure becomes a note that says so. What fails for the reason of another failure is told
    there.
    """
    by_name = {answer.question: answer for answer in answers}
    observed: list[tuple[str, Observation]] = _of_start(by_name.get(START), context)
    causes: list[tuple[Question, Failure, list[str]]] = []
    for question in questions:
        answer = by_name.get(question.name)
        if answer is None:
            continue
        if answer.failure is not None:
            primary = _same(question, answer.failure, causes)
            if primary is None:
                causes.append((question, answer.failure, []))
            else:
                primary.append(question.about)
        elif answer.state == "unasked":
            for first, failure, also in causes:
                if failure.kind == "hang" and first.name.removeprefix("import ") in answer.reason.split():
                    also.append(question.about)
        elif question.kind == "ops":
            observed += [("MM721", one) for one in _of_operators(answer, context, findings)]
    observed += [_of_failure(*cause, context, findings) for cause in causes]
    return {name: tuple(one for number, one in observed if number == name) for name, _ in observed}


def _same(
    question: Question, failure: Failure, causes: Sequence[tuple[Question, Failure, list[str]]]
) -> list[str] | None:
    """Find the failure that has the same cause: it looks the same, or is that of a module it needs."""
    for first, before, also in causes:
        module = first.name.removeprefix("import ")
        is_need = first.kind == "import" and module in question.needs and question.kind != "import"
        if before.signature == failure.signature or (is_need and failure.kind == before.kind):
            return also
    return None


def _of_start(answer: Answer | None, context: Context) -> list[tuple[str, Observation]]:
    python = context.environment.interpreter.path
    if answer is None:
        return []
    if answer.failure is not None:
        failure = answer.failure
        what = _ending(failure) if failure.kind != "raised" else failure.what
        message = f"{python} does not come to run a program: {what}"
        return [("MM711", Observation("error", message, _evidence(failure), f"{python} -v -c pass"))]
    lines = tuple(_short(line) for line in answer.measured.get("printed", ()))
    if not lines:
        return []
    fails = [line for line in lines if line.startswith(_AT_START)]
    severity: Severity = "warning" if fails else "note"
    message = (
        f"code that runs at every start fails: {fails[0]}" if fails else "something prints at every start"
    )
    return [("MM711", Observation(severity, message, lines[-_MOST_LINES:], f"{python} -v -c pass"))]


def _of_operators(answer: Answer, context: Context, findings: Sequence[Finding]) -> list[Observation]:
    """Observe the operators of one device that fail or differ, in one sentence."""
    bad = [check for check in map(judge_op, answer.measured.get("ops", ())) if not check.passed]
    if not bad:
        return []
    evidence = tuple(_short(f"{check.name}: {check.detail}{_measured(check.measured)}") for check in bad)
    names = ", ".join(check.name.partition(" on ")[0] for check in bad)
    device = bad[0].name.partition(" on ")[2]
    failure = Failure("raised", "\n".join(evidence))
    message = f"{names} on {device} {'does' if len(bad) == 1 else 'do'} not give what torchvision gives"
    return [_explained(message, evidence, context.commands.restore, "error", explanation(failure, findings))]


def _measured(value: float | None) -> str:
    return f" ({value:.3g})" if value is not None else ""


def _of_failure(
    question: Question, failure: Failure, also: Sequence[str], context: Context, findings: Sequence[Finding]
) -> tuple[str, Observation]:
    number = _number(question, failure)
    evidence = _evidence(failure)
    if also:
        evidence = (*evidence, f"fails for the same reason: {', '.join(dict.fromkeys(also))}")
    severity: Severity = "warning" if number in _NOT_EVERYBODYS else "error"
    if failure.kind == "raised":
        message = f"{question.about} raises {_short(failure.what)}"
    else:
        message = f"{question.about}: {_ending(failure)}"
    remedy = _remedy(question, failure, context)
    return number, _explained(message, evidence, remedy, severity, explanation(failure, findings))


def _number(question: Question, failure: Failure) -> str:
    """Give the check that a failure concerns: how it ended decides where the process died."""
    if failure.kind in {"signal", "exit"}:
        return "MM713"
    if question.kind == "import":
        return "MM714" if failure.kind == "hang" else "MM712"
    return question.checks[0]


def _explained(
    message: str, evidence: tuple[str, ...], remedy: str, severity: Severity, cause: Finding | None
) -> Observation:
    """Observe a failure: as a note, where a finding that is an error has told its cause."""
    if cause is None:
        return Observation(severity, message, evidence, remedy)
    if cause.severity == "error":
        return Observation("note", f"{message}, as {cause.id} explains", evidence, cause.remedy)
    told = f"{cause.id} explains it: {cause.message}"
    return Observation(severity, message, (told, *evidence), cause.remedy)


def _ending(failure: Failure) -> str:
    """Word how a process ended, and in which library, if that is known."""
    place = failure.place
    where = f" in {_tail(place.library)}" if place is not None and place.library else ""
    if failure.kind == "hang":
        # Whatever waits, waits in the C library.
        return f"{failure.what}{where if place is not None and not place.is_anybodys else ''}"
    if failure.kind == "exit":
        return f"the process ended with {failure.what}{where}"
    return f"the process was killed by {failure.what}{where}"


def _evidence(failure: Failure) -> tuple[str, ...]:
    lines = []
    if failure.root:
        lines.append(f"raised from {_short(failure.root)}")
    place = failure.place
    if place is not None:
        nowhere = "" if failure.kind == "exit" else "at an address that is in no file, below "
        lines.append(f"in {place.innermost}" if place.innermost else f"{nowhere or 'in '}{place.library}")
        if place.callers:
            lines.append(f"on the stack: {', '.join(map(_tail, place.callers))}")
    elif failure.kind == "signal":
        lines.append("in which library could not be seen")
    lines += [f"at {frame}" for frame in failure.frames[:_MOST_FRAMES]]
    if failure.kind != "raised":
        lines += [f"it said: {_short(line)}" for line in failure.last_lines[-_MOST_LINES:]]
    return tuple(lines)


def _remedy(question: Question, failure: Failure, context: Context) -> str:
    """Word what to do where no finding explains a failure."""
    if failure.kind == "signal" and failure.what == "SIGKILL":
        return "free memory or raise the limit of the container: nothing but the system kills by SIGKILL"
    said = "\n".join((failure.what, *failure.last_lines))
    told = next((remedy for sign, remedy in _REMEDIES if sign in said), "")
    if told:
        return told
    fixed = {
        "MM725": "docker run --shm-size=8g, or --ipc=host",
        "MM726": "GLOO_SOCKET_IFNAME=lo  # or the interface that reaches this host",
        "MM727": "nvidia-smi",
    }
    number = _number(question, failure)
    if number in fixed:
        return fixed[number]
    library = failure.place.library if failure.place is not None else ""
    owner = _owner(library or failure.file, context)
    if owner and not owner.startswith(("torch", "mm", "onedl")):
        return context.commands.install(
            "--force-reinstall", f"{owner}=={context.environment.version_of(owner)}"
        )
    return context.commands.restore


def _owner(file: str, context: Context) -> str:
    """Name the distribution of a file in site-packages."""
    for folder in context.environment.site_packages:
        try:
            top = Path(file).relative_to(folder).parts[0]
        except (ValueError, IndexError):
            continue
        owners = context.owners(top.partition(".")[0])
        if owners:
            return owners[0].name
    return ""


def _tail(path: str) -> str:
    """Shorten a path to its last two parts: ``mmcv/_ext.cpython-310-x86_64-linux-gnu.so``."""
    return "/".join(Path(path).parts[-2:]) if path.startswith("/") else path


def _short(text: str) -> str:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return first if len(first) <= _LONGEST_LINE else f"{first[:_LONGEST_LINE]}…"
