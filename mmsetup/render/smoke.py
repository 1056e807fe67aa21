"""Show what a smoke run found: what was tested, the numbers beside their thresholds, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from mmsetup.render.document import document
from mmsetup.render.live import duration

if TYPE_CHECKING:
    from rich.console import Console

    from mmsetup.smoke import Failure, SmokeCheck, SmokeReport

__all__ = ["as_document", "show_smoke"]

_SHOWN = ("torch", "torchvision", "mmcv", "mmengine", "mmseg", "numpy")


def as_document(report: SmokeReport) -> dict[str, Any]:
    """Give a report as the document ``mmsetup.smoke/1``."""
    return document("mmsetup.smoke/1", report)


def show_smoke(report: SmokeReport, console: Console) -> None:
    """Print a report for people."""
    held = ", ".join(f"{name} {report.versions[name]}" for name in _SHOWN if name in report.versions)
    where = report.device_name or report.device or "no device reached"
    threads = f", {report.threads} threads" if report.threads else ""
    console.print(Text(f"smoke run on {where}{threads}, seed {report.seed}: {held or report.python}", "bold"))
    if report.training is not None:
        recipe, training = report.recipe, report.training
        console.print(
            f"  ResNet-18 with FPN head from a config of mmsegmentation: {training.iterations} steps of"
            f" {recipe.batch} images in {duration(training.seconds)},"
            f" on {recipe.train_images} images of tools on a bench",
            highlight=False,
            soft_wrap=True,
        )
    for check in report.checks:
        console.print(_line(check), soft_wrap=True)
    if report.per_class_iou:
        console.print(_classes(report))
    if report.failure is not None:
        _show_failure(report.failure, console)
    _show_verdict(report, console)


def _line(check: SmokeCheck) -> Text:
    if not check.available and check.passed:
        return Text.assemble(("  - ", "dim"), (f"{check.name}: {check.detail}", "dim"))
    mark = ("  ✓ ", "green") if check.passed else ("  ✗ ", "bold red")
    numbers = ""
    if check.measured is not None and check.threshold is not None:
        numbers = f" ({check.measured:.3g}, threshold {check.threshold:.3g})"
    return Text.assemble(mark, f"{check.name}: {check.detail}", (numbers, "dim"))


def _classes(report: SmokeReport) -> Table:
    table = Table(box=None, padding=(0, 2), show_header=True, header_style="dim")
    table.add_column("  class")
    table.add_column("IoU", justify="right")
    for name, iou in report.per_class_iou.items():
        table.add_row(f"  {name}", f"{iou:.3f}")
    if report.mean_iou is not None and report.chance_mean_iou is not None:
        table.add_row("  mean", f"{report.mean_iou:.3f}", style="bold")
        table.add_row("  chance (all bench)", f"{report.chance_mean_iou:.3f}", style="dim")
    return table


def _show_failure(failure: Failure, console: Console) -> None:
    console.print(Text(f"  it ended while at: {failure.stage}", "red"), soft_wrap=True)
    for line in failure.last_lines:
        console.print(Text(f"    {line}", "dim"), soft_wrap=True)


def _show_verdict(report: SmokeReport, console: Console) -> None:
    took = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.seconds.items())
    verdict = ("passed", "bold green") if report.passed else ("failed", "bold red")
    console.print(
        Text.assemble(
            verdict, f" in {duration(report.total_seconds)}", (f" ({took})" if took else "", "dim")
        ),
        soft_wrap=True,
    )
    for picture in report.pictures:
        console.print(Text(f"  picture: {picture}"), soft_wrap=True)
    if report.checkpoint is not None:
        console.print(Text(f"  checkpoint: {report.checkpoint}"), soft_wrap=True)
