"""Show a plan: what was chosen, from where and why, what was asked, and with ``explain`` what was rejected."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mmsetup.plan import Plan

__all__ = ["show_plan"]


def show_plan(plan: Plan, console: Console, *, explain: bool = False) -> None:
    """Print a plan for people."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("", "version", "from", "why"):
        table.add_column(title, overflow="fold")
    table.add_row("python", _python_version(plan), *(escape(words) for words in _python_origin(plan)))
    for choice in plan.choices:
        table.add_row(choice.name, choice.version, escape(choice.origin), escape(choice.reason))
    console.print(table)
    bounds: dict[str, list[str]] = {}
    for bound in plan.bounds:
        bounds.setdefault(bound.reason, []).append(bound.requirement)
    for reason, requirements in bounds.items():
        console.print(
            f"keeps to [bold]{escape(', '.join(requirements))}[/]: {escape(reason)}", highlight=False
        )
    for words in _asked(plan):
        console.print(escape(words), highlight=False, style="dim")
    for caution in plan.cautions:
        console.print(f"[yellow]caution:[/] {escape(caution)}", highlight=False)
    for note in plan.notes:
        console.print(f"note: {escape(note)}", highlight=False)
    if explain:
        console.print("\nrejected:", style="bold")
        for rejection in plan.rejections:
            console.print(
                f"  {escape(rejection.candidate)}\n    [dim]{rejection.rule}: {escape(rejection.reason)}[/]",
                highlight=False,
            )


def _python_version(plan: Plan) -> str:
    return plan.interpreter.version if plan.interpreter else plan.python


def _python_origin(plan: Plan) -> tuple[str, str]:
    why = "the family is proven to train with it" if plan.proof else "the best of those that have wheels"
    if plan.interpreter is None:
        return "uv", f"{why}; none is here, uv fetches it"
    return plan.interpreter.source, f"{why}; {plan.interpreter.path}"


def _asked(plan: Plan) -> list[str]:
    lines = []
    for name in dict.fromkeys(report.source for report in plan.sources):
        reports = [report for report in plan.sources if report.source == name]
        outcomes = list(dict.fromkeys(report.outcome for report in reports))
        slowest = max(report.seconds for report in reports)
        lines.append(f"asked {name} ({len(reports)} pages, {slowest:.1f} s): {'; '.join(outcomes)}")
    return lines
