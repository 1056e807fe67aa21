"""Judge whether a compiled file runs among given surroundings, and say why it does not.

Everything is decided from values: what :mod:`~mmsetup.binary.inspection` found, and the
:class:`~mmsetup.binary.surroundings.Surroundings`. Only torch's own libraries are read, for what they export.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmsetup.binary import elf, linkage
from mmsetup.binary.architectures import runs_on
from mmsetup.binary.fatbin import Architectures
from mmsetup.binary.floors import named_floor
from mmsetup.binary.inspection import Inspection, LibraryFacts
from mmsetup.binary.library_names import (
    is_cuda_library,
    is_cuda_runtime,
    is_driver_library,
    is_torch_library,
)
from mmsetup.binary.surroundings import AskedGpu, Surroundings
from mmsetup.binary.torch_history import history
from mmsetup.errors import IntegrityError

__all__ = ["COMPILES", "FAILS", "RUNS", "GpuAnswer", "Reason", "Verdict", "judge"]

RUNS, COMPILES, FAILS = "runs", "runs by PTX", "does not run"

_TAG = re.compile(r"(?P<python>cp|py)(?P<major>\d)(?P<minor>\d*)", re.ASCII)
_STDCXX = "libstdc++.so.6"
_MOST_SYMBOLS = 4


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something does not run.

    ``kind`` is ``python``, ``processor``, ``glibc``, ``libstdc++``, ``torch``, ``cuda``, ``library`` or
    ``gpu``.
    """

    kind: str
    message: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GpuAnswer:
    """How the code runs on a GPU: it ``runs``, it ``runs by PTX``, or it ``does not run``."""

    name: str
    architecture: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The ``outcome`` against ``against``, why it is not that it runs, and the command that mends it."""

    against: str
    outcome: str
    reasons: tuple[Reason, ...]
    gpus: tuple[GpuAnswer, ...]
    remedy: str

    @property
    def is_good(self) -> bool:
        """Tell whether it runs at all."""
        return self.outcome != FAILS


def judge(found: Inspection, around: Surroundings) -> Verdict | None:
    """Say whether what was found runs there; nothing of an environment in which nothing needs torch.

    Raises:
        IntegrityError: a library of the torch there cannot be read.
    """
    if not found.libraries and found.label is None:
        return None
    gpus = tuple(_on_gpu(found, around, gpu) for gpu in around.gpus)
    reasons = (
        *_python(found, around),
        *_processor(found, around),
        *_glibc(found, around),
        *_stdcxx(found, around),
        *_libraries(found, around),
        *_symbols(found, around),
        *_gpu(found, around, gpus),
    )
    by_ptx = any(answer.outcome == COMPILES for answer in gpus)
    outcome = FAILS if reasons else COMPILES if by_ptx else RUNS
    return Verdict(around.name, outcome, reasons, gpus, _remedy(around) if reasons else "")


def _remedy(around: Surroundings) -> str:
    """Word the command that finds ops that fit; another torch where this one cannot use the GPUs at all."""
    if around.libraries is None and any(_torch_lacks(around, gpu) for gpu in around.gpus):
        return "mmsetup plan" + "".join(f" --gpu {gpu.architecture}" for gpu in around.gpus)
    return around.mend


def _torch_lacks(around: Surroundings, gpu: AskedGpu) -> bool:
    return bool(around.sass or around.ptx) and not runs_on(gpu.architecture, around.sass, around.ptx)


def _python(found: Inspection, around: Surroundings) -> Iterator[Reason]:
    if not around.pythons:
        return
    here = " or ".join(around.pythons)
    tags = [tag.split("-")[:2] for tag in found.label.tags] if found.label else []
    if tags and not any(_fits(python, abi, here_one) for python, abi in tags for here_one in around.pythons):
        named = ", ".join(sorted({"-".join(tag) for tag in tags}))
        yield Reason("python", f"it is for {named}, and there is Python {here}")
        return
    for library in found.libraries:
        if found.label is None and library.python.startswith("cp"):
            wanted = library.python
            if not any(_fits(wanted, wanted, here_one) for here_one in around.pythons):
                yield Reason("python", f"{library.name} is for {wanted}, and there is Python {here}")


def _fits(python: str, abi: str, here: str) -> bool:
    """Tell whether a wheel's tag admits an interpreter (``3.10``; ``3.13t`` is free-threaded)."""
    found = _TAG.fullmatch(python.removesuffix("t"))
    if found is None:
        return False
    major, minor = map(int, here.rstrip("t").split("."))
    wanted = int(found["minor"] or 0)
    if int(found["major"]) != major:
        return False
    if found["python"] == "py" or abi in {"abi3", "none"}:
        return wanted <= minor and (abi != "abi3" or not here.endswith("t"))
    return wanted == minor and abi.endswith("t") == here.endswith("t")


def _processor(found: Inspection, around: Surroundings) -> Iterator[Reason]:
    strange = sorted({one.elf.machine for one in found.libraries} - {around.processor})
    if around.processor and strange:
        yield Reason("processor", f"it is for {', '.join(strange)}, and there is {around.processor}")


def _glibc(found: Inspection, around: Surroundings) -> Iterator[Reason]:
    if not around.glibc:
        return
    needed = found.floor.glibc
    if needed and _numbers(needed) > _numbers(around.glibc):
        asking = [one.name for one in found.libraries if one.floor.glibc == needed]
        yield Reason("glibc", f"it needs glibc {needed}, and there is {around.glibc}", tuple(asking[:3]))
        return
    named = [named_floor(tag.split("-", 2)[2]) for tag in found.label.tags] if found.label else []
    if named and all(named) and all(_numbers(one) > _numbers(around.glibc) for one in named):
        yield Reason("glibc", f"its tag asks for glibc {named[0]}, and there is {around.glibc}")


def _stdcxx(found: Inspection, around: Surroundings) -> Iterator[Reason]:
    """Compare with the C++ library that the loader would find; one that comes along is taken to be right."""
    if around.system is None or any(_STDCXX in one.names for one in found.libraries):
        return
    wanted = {name for one in found.libraries for name in one.elf.versions_needed.get(_STDCXX, ())}
    there = around.system.find(_STDCXX)
    if not wanted or there is None:
        return
    try:
        lacking = sorted(wanted - elf.names_in(there, wanted))
    except IntegrityError:
        return
    if lacking:
        yield Reason("libstdc++", f"it needs {', '.join(lacking)} of {_STDCXX}", (str(there),))


def _libraries(found: Inspection, around: Surroundings) -> Iterator[Reason]:
    own = frozenset().union(*(one.names for one in found.libraries))
    if around.brought is None:
        yield from _runtime(found, around, own)
        return
    absent: dict[str, str] = {}
    for one in found.libraries:
        for name in one.elf.needed:
            if name in own or name in around.brought or name in absent or is_driver_library(name):
                continue
            if _lies_beside(one, name):
                continue
            if around.system is not None and around.system.find(name) is not None:
                continue
            absent[name] = one.name
    for kind, belongs in (("torch", is_torch_library), ("cuda", is_cuda_library), ("library", bool)):
        names = [name for name in absent if belongs(name)]
        if names:
            said = {
                "torch": f"it needs {', '.join(names)}, which {around.name} does not have",
                "cuda": f"it needs {', '.join(names)}, which {around.name} does not bring",
                "library": f"it needs {', '.join(names)}, which is nowhere",
            }[kind]
            asking = tuple(f"{name}: needed by {absent.pop(name)}" for name in names)
            yield Reason(kind, said, (*asking, *(_runtimes(around) if kind == "cuda" else ())))


def _lies_beside(library: LibraryFacts, name: str) -> bool:
    """Tell whether a library on its own finds another one by the search path in it."""
    if library.path is None:
        return False
    origin = str(library.path.parent)
    folders = (part.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for part in library.elf.rpath)
    return any((Path(folder) / name).is_file() for folder in folders)


def _runtime(found: Inspection, around: Surroundings, own: frozenset[str]) -> Iterator[Reason]:
    """Compare the CUDA runtime alone: of a torch in the catalogue nothing else is known."""
    if not around.variant:
        return
    needed = {name: one.name for one in found.libraries for name in one.elf.needed if is_cuda_runtime(name)}
    strange = sorted(name for name in needed if name != around.runtime and name not in own)
    if strange:
        brings = around.runtime or "no CUDA"
        yield Reason(
            "cuda",
            f"it needs {', '.join(strange)}, and {around.name} brings {brings}",
            tuple(f"{name}: needed by {needed[name]}" for name in strange),
        )


def _runtimes(around: Surroundings) -> tuple[str, ...]:
    there = sorted(name for name in around.brought or () if is_cuda_runtime(name))
    return (f"{around.name} brings {', '.join(there) or 'no CUDA runtime'}",)


def _symbols(found: Inspection, around: Surroundings) -> Iterator[Reason]:
    if not around.torch:
        return
    own = frozenset().union(*(one.elf.exported for one in found.libraries))
    known = history()
    for one in found.libraries:
        needed = set(one.torch_symbols) - own
        if around.libraries is not None:
            missing = sorted(linkage.missing_symbols(one.elf, around.libraries) - own) if needed else []
        else:
            missing = list(known.lacking(needed, around.torch))
        if missing:
            few = tuple(
                f"missing: {name}" + (f" (in {said})" if (said := known.told(name)) else "")
                for name in sorted(missing, key=lambda name: not known.told(name))[:_MOST_SYMBOLS]
            )
            more = (f"and {len(missing) - len(few)} more",) if len(missing) > len(few) else ()
            fitting = known.fitting(needed)
            built = (f"its symbols are those of {known.spelled(fitting)}",) if fitting else ()
            count = f"{len(missing)} names" if len(missing) > 1 else "a name"
            yield Reason(
                "torch", f"{one.name} needs {count} that {around.name} does not have", (*few, *more, *built)
            )


def _gpu(found: Inspection, around: Surroundings, gpus: tuple[GpuAnswer, ...]) -> Iterator[Reason]:
    for gpu, answer in zip(around.gpus, gpus, strict=True):
        shown = gpu.name if gpu.name == gpu.architecture else f"{gpu.name} ({gpu.architecture})"
        if _torch_lacks(around, gpu):
            yield Reason(
                "gpu",
                f"{around.name} itself has no code for {shown}",
                (_held(Architectures(around.sass, around.ptx)),),
            )
        elif answer.outcome == FAILS:
            lacking = [
                one for one in _with_code(found) if _how(found.code_of(one), gpu.architecture) == FAILS
            ]
            if not lacking:
                yield Reason("gpu", f"its operators were compiled for the CPU alone, and not for {shown}")
                continue
            told = tuple(f"{one.name}: {_held(found.code_of(one))}" for one in lacking)
            yield Reason("gpu", f"it holds no code for {shown}", told)


def _on_gpu(found: Inspection, around: Surroundings, gpu: AskedGpu) -> GpuAnswer:
    ways = {_how(found.code_of(one), gpu.architecture) for one in _with_code(found)}
    without = found.operators is not None and not ways
    if _torch_lacks(around, gpu):
        ways.add(FAILS)
    worst = FAILS if FAILS in ways or without else COMPILES if COMPILES in ways else RUNS
    return GpuAnswer(gpu.name, gpu.architecture, worst)


def _with_code(found: Inspection) -> list[LibraryFacts]:
    """Give the libraries with code for GPUs; torch's own are not judged one by one."""
    return [
        one
        for one in found.libraries
        if one.has_gpu_code and not (found.kind == "environment" and one.name.startswith("torch/"))
    ]


def _how(code: Architectures, architecture: str) -> str:
    if runs_on(architecture, code.sass, ()):
        return RUNS
    return COMPILES if runs_on(architecture, (), code.ptx) else FAILS


def _held(code: Architectures) -> str:
    held = [*code.sass, *(f"{one} (PTX)" for one in code.ptx)]
    return ", ".join(held) or "nothing that half of its kernels share"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
