"""Show what is inside of compiled files to people, and whether it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from mmsetup.binary.floors import is_allowed, named_floor, toolkit_of
from mmsetup.binary.inspection import Inspection, LibraryFacts
from mmsetup.binary.judgement import COMPILES, RUNS, Verdict
from mmsetup.render.document import document
from mmsetup.render.machine import size

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from mmsetup.errors import MmsetupError

__all__ = ["as_document", "show_inspection", "summary"]

Row = tuple[str, str]
_COLOURS = {RUNS: "bold green", COMPILES: "bold yellow"}
_MOST_SHOWN = 6
_MOST_OPERATORS = 8


def as_document(
    found: Sequence[tuple[Inspection, Verdict | None]], faults: Sequence[tuple[Path, MmsetupError]] = ()
) -> dict[str, Any]:
    """Give what was found as the document ``mmsetup.inspect/1``."""
    return document(
        "mmsetup.inspect/1",
        {
            "items": [_item(inspection, verdict) for inspection, verdict in found],
            "faults": [
                {"path": path, "message": str(error), "remedy": error.remedy} for path, error in faults
            ],
        },
    )


def show_inspection(found: Inspection, verdict: Verdict | None, console: Console) -> None:
    """Print what a file holds and, where it was held against something, whether it runs there."""
    console.print(Text(_title(found), "bold"), soft_wrap=True)
    rows = [*_label(found), *_libraries(found), *_needs(found)]
    width = max((len(label) for label, _ in rows), default=0)
    for label, text in rows:
        console.print(Text.assemble((f"  {label:<{width}}  ", "dim"), text), soft_wrap=True)
    if verdict is not None:
        _show_verdict(verdict, console)


def summary(verdicts: Sequence[Verdict]) -> str:
    """Say in a line how many of several do not run: ``2 of 5 do not run``."""
    bad = sum(not verdict.is_good for verdict in verdicts)
    return f"{bad} of {len(verdicts)} do not run" if len(verdicts) > 1 else "it does not run"


def _item(found: Inspection, verdict: Verdict | None) -> dict[str, Any]:
    return {
        "path": found.path,
        "kind": found.kind,
        "wheel": found.label,
        "floor": found.floor,
        "manylinux": found.manylinux,
        "fitting_torch": found.fitting_torch,
        "torch_kernels": found.stated,
        "libraries": [_library(one) for one in found.libraries],
        "verdict": verdict,
    }


def _library(one: LibraryFacts) -> dict[str, Any]:
    return {
        "name": one.name,
        "size": one.size,
        "machine": one.elf.machine,
        "soname": one.elf.soname,
        "python": one.python,
        "needed": one.elf.needed,
        "rpath": one.elf.rpath,
        "versions_needed": one.elf.versions_needed,
        "floor": one.floor,
        "gpu_code": one.code if one.has_gpu_code else None,
        "operators": one.operators,
        "torch_symbols": one.torch_symbols,
    }


def _title(found: Inspection) -> str:
    if found.label is not None:
        return f"{found.path}: wheel of {found.label.distribution} {found.label.version}"
    count = (
        f", {len(found.libraries)} libraries of torch or linked with it"
        if found.kind == "environment"
        else ""
    )
    return f"{found.path}: {found.kind}{count}"


def _label(found: Inspection) -> Iterator[Row]:
    torch = found.environment.torch if found.environment else None
    if torch is not None:
        ptx = f"; PTX: {', '.join(torch.ptx)}" if torch.ptx else ""
        yield "torch", f"{torch.version}, its kernels are for {', '.join(torch.sass) or 'no GPU'}{ptx}"
    if found.label is None:
        return
    if found.stated is not None:
        yield "kernels", f"torch's own are for {', '.join(found.stated.sass)}"
    yield "tags", ", ".join(found.label.tags)
    if found.label.requires_python:
        yield "Python", found.label.requires_python
    yield "sha256", found.label.sha256


def _libraries(found: Inspection) -> Iterator[Row]:
    if not found.libraries:
        yield "compiled", "nothing: it holds no library"
    shown = found.libraries if len(found.libraries) <= _MOST_SHOWN else _telling(found.libraries)
    for one in shown:
        yield "library", f"{one.name}, {size(one.size)}, {one.elf.machine}"
        yield "", f"needs {', '.join(one.elf.needed) or 'no other library'}"
        if one.elf.rpath:
            yield "", f"looks in {':'.join(one.elf.rpath)}"
        yield from (("", text) for text in _inside(one))
    if len(shown) < len(found.libraries):
        yield "", f"and {len(found.libraries) - len(shown)} more libraries (--json tells all)"


def _telling(libraries: Sequence[LibraryFacts]) -> list[LibraryFacts]:
    """Choose the libraries that people look for: those with operators or GPU code, then those of torch."""
    order = sorted(
        libraries,
        key=lambda one: (one.operators is None, not one.has_gpu_code, not one.torch_symbols, one.name),
    )
    return order[:_MOST_SHOWN]


def _inside(one: LibraryFacts) -> Iterator[str]:
    code = one.code.architectures
    if one.has_gpu_code:
        yield f"GPU code: {', '.join(code.sass) or 'none'}; PTX: {', '.join(code.ptx) or 'none'}"
        if code.partial:
            yield f"in fewer than half of its {one.code.binaries} GPU programs: {', '.join(code.partial)}"
        tools = [f"CUDA {release}" for release in one.code.tools]
        tools += [
            f"PTX {ptx}" + (f", that of CUDA {toolkit}" if (toolkit := toolkit_of(ptx)) else "")
            for ptx in one.code.ptx_versions
        ]
        if tools:
            yield f"written by the tools of {'; '.join(tools)}"
    elif one.operators is not None:
        yield "GPU code: none, it was compiled for the CPU alone"
    if one.operators is not None:
        yield _operators(one)
    if one.torch_symbols:
        yield f"{len(one.torch_symbols)} symbols of torch are left to be found"


def _operators(one: LibraryFacts) -> str:
    held = one.operators
    if held is None:
        return ""
    if not held.compared:
        few = ", ".join(held.present[:_MOST_OPERATORS])
        return f"{len(held.present)} operators: {few}{' …' if len(held.present) > _MOST_OPERATORS else ''}"
    total = len(held.present) + len(held.absent)
    if not held.absent:
        return f"all {total} operators that mmcv.ops loads"
    return f"{len(held.present)} of the {total} operators that mmcv.ops loads; not {', '.join(held.absent)}"


def _needs(found: Inspection) -> Iterator[Row]:
    floor = found.floor
    parts = (("glibc", floor.glibc), ("GLIBCXX", floor.glibcxx), ("CXXABI", floor.cxxabi))
    told = ", ".join(f"{name} {version}" for name, version in parts if version)
    if told:
        yield "at least", told
    if found.manylinux and found.environment is None:
        yield "true tag", _tag(found)
    if found.fitting_torch and found.environment is None:
        known = found.fitting_torch
        yield "symbols", f"those of torch {known[0]}" + (f" to {known[-1]}" if len(known) > 1 else "")


def _tag(found: Inspection) -> str:
    own = {name for one in found.libraries for name in one.names}
    outside = sorted(
        {name for one in found.libraries for name in one.elf.needed if not is_allowed(name)} - own
    )
    text = f"{found.manylinux} by its symbols"
    if outside:
        text += f", but for what it does not bring: {', '.join(outside[:_MOST_SHOWN])}"
        text += " …" if len(outside) > _MOST_SHOWN else ""
    for tag in found.label.tags if found.label else ():
        platform = tag.split("-", 2)[2]
        promised = named_floor(platform)
        if promised and _numbers(promised) < _numbers(named_floor(found.manylinux)):
            return f"{text}; its name promises {platform}, which is not true"
    return text


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _show_verdict(verdict: Verdict, console: Console) -> None:
    colour = _COLOURS.get(verdict.outcome, "bold red")
    head = Text.assemble(("  ", ""), (verdict.outcome, colour), f" with {verdict.against}")
    if verdict.outcome == COMPILES:
        head.append(": the driver compiles it when it first starts")
    console.print(head, soft_wrap=True)
    for gpu in verdict.gpus:
        named = gpu.name if gpu.name == gpu.architecture else f"{gpu.name} ({gpu.architecture})"
        console.print(
            Text.assemble("  on ", named, ": ", (gpu.outcome, _COLOURS.get(gpu.outcome, "bold red"))),
            soft_wrap=True,
        )
    for reason in verdict.reasons:
        console.print(Text.assemble(("  why   ", "red"), reason.message), soft_wrap=True)
        for line in reason.evidence:
            console.print(Text(f"  found  {line}", "dim"), soft_wrap=True)
    if verdict.remedy:
        console.print(Text.assemble(("  mend  ", "green"), verdict.remedy), soft_wrap=True)
