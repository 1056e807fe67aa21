"""Show a plan: what was chosen, from where and why, what was asked, and on request what was rejected."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.markup import escape

from mmsetup.plan import Bound, Choice, Plan, SourceReport

if TYPE_CHECKING:
    from rich.console import Console

    from mmsetup.wishes import ProjectAnswer

__all__ = ["show_plan", "show_wish"]

_WIDE = 120
_MOST_CLUES = 6
_SHORT = {"default index": "index", "sdist": "source"}


def show_plan(plan: Plan, console: Console, *, explain: bool = False) -> None:
    """Print a plan for people.

    Each package is one line. On a terminal a reason that does not fit is cut, unless ``explain`` asks for
    everything; elsewhere (a log, a pipe) nothing is cut.
    """
    width = max(len(choice.name) for choice in plan.choices)
    for name, version, origin, why in _rows(plan, with_path=explain or console.width >= _WIDE):
        head = f"{name:<{width}}  {version:<8}  {origin:<9}  "
        words = why if explain else _fitted(why, console, len(head))
        console.print(f"[bold]{head}[/]{escape(words)}", highlight=False, soft_wrap=True)
    for bounds, reason in _bounds(plan):
        head = f"{bounds}: "
        words = reason if explain else _fitted(reason, console, len(head))
        console.print(f"[bold]{escape(head)}[/]{escape(words)}", highlight=False, soft_wrap=True)
    for line in _asked(plan.sources):
        console.print(escape(line), highlight=False, style="dim", soft_wrap=True)
    for patch in plan.patches:
        head = f"patch {patch.name} of {patch.package}: "
        words = f"{patch.changes}: {patch.reason}" if explain else _fitted(patch.changes, console, len(head))
        console.print(f"[bold]{escape(head)}[/]{escape(words)}", highlight=False, soft_wrap=True)
    for caution in plan.cautions:
        console.print(f"[yellow]caution:[/] {escape(caution)}", highlight=False, soft_wrap=True)
    for note in plan.notes:
        console.print(f"note: {escape(note)}", highlight=False, soft_wrap=True)
    if explain:
        _show_grounds(plan, console)


def show_wish(answer: ProjectAnswer, console: Console) -> None:
    """Print what a project wants, with the lines that told it."""
    wish = answer.wish
    beside = f" with {', '.join(wish.packages)}" if wish.packages else ""
    console.print(f"[bold]{escape(wish.path)} wants family {wish.family}{beside}[/]:", highlight=False)
    for clue in wish.clues[:_MOST_CLUES]:
        console.print(f"  {escape(str(clue))}", highlight=False, soft_wrap=True)
    if len(wish.clues) > _MOST_CLUES:
        console.print(f"  … and {len(wish.clues) - _MOST_CLUES} more lines")
    for clue in wish.against[:_MOST_CLUES]:
        console.print(f"  against it: {escape(str(clue))}", highlight=False, soft_wrap=True)
    for words, lines in (("kept", answer.kept), ("not possible here, so left free", answer.dropped)):
        if lines:
            console.print(f"  versions {words}: {escape(', '.join(lines))}", highlight=False, soft_wrap=True)
    for note in answer.notes:
        console.print(f"note: {escape(note)}", highlight=False, soft_wrap=True)
    console.print()


def _rows(plan: Plan, *, with_path: bool) -> Iterator[tuple[str, str, str, str]]:
    why = "proven to train with this family" if plan.proof else "the best of those that have wheels"
    if plan.interpreter is None:
        place = ("uv", f"{why}; uv fetches it") if plan.fetches_python else ("not here", why)
        yield ("python", plan.python, *place)
    else:
        where = f"; {plan.interpreter.path}" if with_path else ""
        yield "python", plan.interpreter.version, plan.interpreter.source, why + where
    for choice in plan.choices:
        yield choice.name, choice.version, _short_origin(choice), choice.reason


def _short_origin(choice: Choice) -> str:
    return _SHORT.get(choice.origin, choice.origin)


def _fitted(words: str, console: Console, taken: int) -> str:
    left = console.width - taken
    if not console.is_terminal or len(words) <= left or left < 1:
        return words
    return words[: left - 1].rstrip() + "…"


def _bounds(plan: Plan) -> Iterator[tuple[str, str]]:
    """Give the bounds on packages that come with the plan, those with one reason together."""
    shown: defaultdict[str, list[Bound]] = defaultdict(list)
    for bound in plan.bounds:
        if bound.package in plan.brings:
            shown[bound.reason].append(bound)
    for reason, bounds in shown.items():
        yield ", ".join(bound.requirement for bound in bounds), reason


def _asked(sources: tuple[SourceReport, ...]) -> Iterator[str]:
    """Say once for each host what it answered, how long that took, and what follows from it."""
    by_host: defaultdict[str, list[SourceReport]] = defaultdict(list)
    for report in sources:
        by_host[urlsplit(report.url).netloc.rpartition("@")[2]].append(report)
    for host, reports in by_host.items():
        outcomes = "; ".join(dict.fromkeys(report.outcome for report in reports))
        slowest = max(report.seconds for report in reports)
        follows = "; ".join(dict.fromkeys(report.follows for report in reports if report.follows))
        pages = f"{len(reports)} page{'' if len(reports) == 1 else 's'}"
        oldest = max(report.age for report in reports)
        if oldest:
            pages += f", read up to {_span(oldest)} ago"
        yield f"{host} ({pages}, {slowest:.1f} s): {outcomes} → {follows}"


def _span(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _show_grounds(plan: Plan, console: Console) -> None:
    console.print("\nevidence:", style="bold")
    for choice in plan.choices:
        console.print(f"  {choice.name}: [dim]{escape(choice.evidence)}[/]", highlight=False, soft_wrap=True)
    for bound in plan.bounds:
        line = f"  {escape(bound.requirement)}: [dim]{escape(bound.break_id)}, {escape(bound.evidence)}[/]"
        console.print(line, highlight=False, soft_wrap=True)
    for patch in plan.patches:
        line = f"  patch {escape(patch.name)}: [dim]{escape(patch.evidence)}[/]"
        console.print(line, highlight=False, soft_wrap=True)
    console.print("\nrejected:", style="bold")
    for rejection in plan.rejections:
        more = f" (and {rejection.others} more)" if rejection.others else ""
        why = f"[dim]{rejection.rule}: {escape(rejection.reason)}[/]"
        console.print(f"  {escape(rejection.candidate)}{more}\n    {why}", highlight=False, soft_wrap=True)
