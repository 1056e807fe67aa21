"""Say an error: what was attempted and found, what shows it, and what mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from mmsetup.errors import MmsetupError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["as_document", "show_failure"]


def show_failure(error: MmsetupError, console: Console) -> None:
    """Print an error for people."""
    console.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
    for line in error.evidence:
        console.print(f"  [dim]{escape(line)}[/]", highlight=False, soft_wrap=True)
    if error.remedy:
        console.print(f"[bold green]try:[/]   {escape(error.remedy)}", highlight=False, soft_wrap=True)


def as_document(error: MmsetupError) -> dict[str, Any]:
    """Give an error as a JSON document."""
    return {
        "schema": "mmsetup.error/1",
        "error": type(error).__name__,
        "message": str(error),
        "evidence": list(error.evidence),
        "remedy": error.remedy,
        "exit_code": error.exit_code,
    }
