"""MM20x: mmcv's compiled operators against the interpreter and the torch beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmsetup.binary.libraries import beside
from mmsetup.binary.library_names import is_cuda_library
from mmsetup.binary.operators import OPS_PACKAGE
from mmsetup.doctor.context import MANY, Context
from mmsetup.doctor.model import Observation, check

__all__ = [
    "are_missing",
    "need_another_cuda",
    "need_another_torch",
    "unloadable",
]

_MOST_SYMBOLS = 4


@check(
    "MM201",
    title="The compiled operators are missing",
    cause="The edition of mmcv without operators was installed, or its wheel was built without "
    "them: build isolation hid torch from setup.py, which then leaves the extension out and "
    "still succeeds.",
    looks_at="Files mmcv/_ext*.so on the disk and in the RECORD of the distribution.",
    remedy="Install a wheel that holds mmcv/_ext, for exactly this torch and CUDA variant.",
    seen_in=("open-mmlab/mmcv#2059", "open-mmlab/mmdetection#11475", "open-mmlab/mmcv#3319"),
)
def are_missing(context: Context) -> Iterator[Observation]:
    """Observe that there is no extension at all."""
    operators = context.operators
    owners = context.owners(OPS_PACKAGE)
    if operators is None or operators.candidates or not owners:
        return
    if not (operators.folder / "__init__.py").is_file():
        # The whole package is gone: MM106.
        return
    evidence = [f"{operators.folder}: no file _ext*.so"]
    for owner in owners:
        listed = [line.partition(",")[0] for line in _record(owner.path) if line.startswith("mmcv/_ext")]
        state = f"its RECORD lists {listed[0]}, which is gone" if listed else "its RECORD lists no mmcv/_ext"
        by = f", installed by {owner.installer}" if owner.installer else ""
        evidence.append(f"{owner.name} {owner.version}{by}: {state}")
    yield Observation(
        "error", "mmcv has no _ext, so import mmcv.ops fails", tuple(evidence), context.commands.restore
    )


@check(
    "MM202",
    title="The compiled operators cannot be loaded by this interpreter",
    cause="mmcv/_ext was built for another Python version or another processor, or the file is "
    "damaged: cut short by a full disk or an interrupted copy.",
    looks_at="The tag in the file name (cpython-310) against the interpreter, and the headers of the "
    "ELF file.",
    remedy="Install a wheel for this Python.",
    seen_in=("open-mmlab/mmcv#1386",),
)
def unloadable(context: Context) -> Iterator[Observation]:
    """Observe an extension that this interpreter does not find or cannot open."""
    operators, interpreter = context.operators, context.environment.interpreter
    if operators is None or not operators.candidates or len(context.for_another_python) >= MANY:
        return
    name = f"{interpreter.implementation} {interpreter.version}"
    if operators.path is None:
        found = tuple(str(path) for path in operators.candidates)
        yield Observation("error", f"mmcv/_ext is not for {name}", found, context.commands.restore)
    elif operators.facts is None:
        yield Observation("error", "mmcv/_ext is damaged", (operators.fault,), context.commands.restore)
    elif operators.facts.machine != (here := context.machine.cpu.architecture):
        yield Observation(
            "error",
            f"mmcv/_ext is for {operators.facts.machine}, this machine is {here}",
            (str(operators.path),),
            context.commands.make_again,
        )


@check(
    "MM203",
    title="The compiled operators need another CUDA runtime than torch brings",
    cause="mmcv was taken for the CUDA of nvcc or nvidia-smi instead of the one that torch was built with.",
    looks_at="DT_NEEDED of mmcv/_ext (libcudart.so.11.0) against the names and sonames in torch/lib "
    "and nvidia/*/lib, the extension's own search path, and the libraries of the system.",
    remedy="Install the mmcv that was built for torch.version.cuda.",
    seen_in=("open-mmlab/mmcv#3187", "open-mmlab/mmsegmentation#690", "open-mmlab/mmdetection#6229"),
)
def need_another_cuda(context: Context) -> Iterator[Observation]:
    """Observe CUDA libraries that the extension wants and torch does not have."""
    operators, torch = context.operators, context.environment.torch
    if operators is None or operators.facts is None or operators.path is None or torch is None:
        return
    own = beside(operators.facts, operators.path)
    strange = [
        name
        for name in operators.facts.needed
        if is_cuda_library(name)
        and name not in context.brought
        and not any((folder / name).is_file() for folder in own)
    ]
    if not strange or context.strange_to_torch:
        return
    elsewhere = {name: context.loader.find(name) for name in strange}
    brings = f"CUDA {torch.cuda}" if torch.cuda else "no CUDA"
    yield Observation(
        "warning" if all(elsewhere.values()) else "error",
        f"mmcv/_ext needs {', '.join(strange)}, torch {torch.version} brings {brings}",
        (
            str(operators.path),
            *(f"{name}: {place or 'nowhere'}" for name, place in elsewhere.items()),
            *_runtimes(context),
        ),
        context.commands.restore,
    )


@check(
    "MM204",
    title="The compiled operators were built for another torch",
    cause="mmcv was built against another torch release, or torch was replaced afterwards: its C++ "
    "interface changes with every release.",
    looks_at="The torch symbols and libraries that mmcv/_ext needs, minus those in torch/lib. Nothing "
    "may remain.",
    remedy="Install the mmcv that was built for this torch; after any change of torch, install mmcv again.",
    seen_in=("open-mmlab/mmcv#2514", "open-mmlab/mmcv#2106", "fundamentalvision/BEVFormer#233"),
)
def need_another_torch(context: Context) -> Iterator[Observation]:
    """Observe torch symbols and libraries that this torch does not have."""
    operators, torch = context.operators, context.environment.torch
    if operators is None or operators.path is None or torch is None:
        return
    if missing := context.strange_to_torch:
        few = tuple(f"missing: {name}" for name in missing[:_MOST_SYMBOLS])
        more = (f"and {len(missing) - len(few)} more",) if len(missing) > len(few) else ()
        yield Observation(
            "error",
            f"mmcv/_ext needs {len(missing)} name(s) that torch {torch.version} does not have",
            (str(operators.path), *few, *more),
            context.commands.restore,
        )


def _runtimes(context: Context) -> tuple[str, ...]:
    found = [path for name, path in context.brought.items() if name.startswith("libcudart")]
    return tuple(f"torch's own: {path}" for path in dict.fromkeys(found)) or ("torch's own: none",)


def _record(folder: Path) -> list[str]:
    try:
        return (folder / "RECORD").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
