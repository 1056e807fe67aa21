"""MM14x: what the dynamic loader takes instead of the libraries that came with torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmsetup.binary import elf
from mmsetup.binary.library_names import is_cuda_library, is_torch_library
from mmsetup.doctor.context import Context
from mmsetup.doctor.loading import Taken
from mmsetup.doctor.model import Observation, check
from mmsetup.errors import IntegrityError

__all__ = ["other_cuda_libraries", "other_torch_libraries"]

_FEW = 5
_SHELLS = {"LD_LIBRARY_PATH", "LD_PRELOAD"}


@check(
    "MM141",
    title="LD_LIBRARY_PATH makes torch load another torch's libraries",
    cause="LD_LIBRARY_PATH or LD_PRELOAD names a folder with libtorch of another release or build (a "
    "libtorch for C++, another environment's torch/lib). Builds of torch whose search path is a "
    "DT_RUNPATH, such as those made from source, look there first.",
    looks_at="For each library that torch's own need, which file the loader finds first: the DT_RPATH and "
    "DT_RUNPATH of those that ask, LD_PRELOAD and LD_LIBRARY_PATH, in the order of ld.so(8).",
    remedy="Unset the variable, or take the folder out of it.",
    seen_in=("pytorch/pytorch#10234",),
)
def other_torch_libraries(context: Context) -> Iterator[Observation]:
    """Observe libraries of another torch that are taken for this one's."""
    torch = context.environment.torch
    strange = [(name, found) for name, found in _strange(context) if is_torch_library(name)]
    if torch is not None and strange:
        sources = sorted({found.source for _, found in strange})
        yield Observation(
            "error",
            f"{sources[0]} makes torch {torch.version} load {len(strange)} library(s) of another torch",
            tuple(
                f"{name}: {found.path} instead of {context.brought[name]}" for name, found in strange[:_FEW]
            ),
            _unset(sources[0], strange[0][1].path),
        )


@check(
    "MM142",
    title="LD_LIBRARY_PATH makes torch load other CUDA libraries than it came with",
    cause="LD_LIBRARY_PATH names a CUDA toolkit or a cuDNN of the system. torch then runs with another "
    "build of the library than it was tested with; an older cuDNN is refused at its first use.",
    looks_at="As MM141, for the libraries of CUDA, cuDNN and NCCL that came with torch. It is an error "
    "where the other one lacks symbols that are asked of it and that torch's own has.",
    remedy="Unset the variable, or take the folder out of it: torch brings its own libraries.",
    seen_in=("pytorch/pytorch#119989", "pytorch/pytorch#144244"),
)
def other_cuda_libraries(context: Context) -> Iterator[Observation]:
    """Observe CUDA libraries from elsewhere that are taken for those that came with torch."""
    strange = [(name, found) for name, found in _strange(context) if is_cuda_library(name)]
    if strange:
        sources = sorted({found.source for _, found in strange})
        lacking = [line for name, found in strange for line in _lacks(context.brought[name], found)]
        yield Observation(
            "error" if lacking else "warning",
            f"{sources[0]} makes torch load {', '.join(name for name, _ in strange[:3])} from elsewhere"
            + (", which lacks what is needed of it" if lacking else ""),
            (
                *(
                    f"{name}: {found.path} instead of {context.brought[name]}"
                    for name, found in strange[:_FEW]
                ),
                *lacking[:_FEW],
            ),
            _unset(sources[0], strange[0][1].path),
        )


def _strange(context: Context) -> Iterator[tuple[str, Taken]]:
    """Give the libraries of torch in place of which a variable makes the loader take another."""
    if not any(context.variables.get(name) for name in _SHELLS):
        return
    for name, found in context.loads.items():
        own = context.brought.get(name)
        if found.source in _SHELLS and own is not None and not _is_same(own, found.path):
            yield name, found


def _lacks(own: Path, found: Taken) -> Iterator[str]:
    """Give the symbols asked of a library that torch's own has and the one that is taken has not."""
    try:
        wanted = elf.read(found.asked_by).undefined & elf.read(own).exported
        absent = sorted(wanted - elf.read(found.path).exported)
    except IntegrityError:
        return
    for symbol in absent[:1]:
        yield f"{found.asked_by} needs {symbol} and {len(absent) - 1} more of {found.path}"


def _is_same(own: Path, other: Path) -> bool:
    """Tell whether two files are one, or copies as far as their sizes tell."""
    try:
        return own.samefile(other) or own.stat().st_size == other.stat().st_size
    except OSError:
        return False


def _unset(variable: str, path: Path) -> str:
    return f"unset {variable}  # or take {path.parent} out of it"
