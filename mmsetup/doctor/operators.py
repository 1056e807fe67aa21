"""mmcv's compiled operators as they lie on the disk: which file the interpreter loads, and what it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmsetup.binary import elf, fatbin
from mmsetup.binary.elf import ElfFile
from mmsetup.binary.fatbin import Architectures
from mmsetup.binary.operators import OPS_MODULE, OPS_PACKAGE
from mmsetup.errors import IntegrityError
from mmsetup.probe.machine import Interpreter

__all__ = ["Operators", "is_operators", "read_operators"]

_EXTENSION = OPS_MODULE.removeprefix(f"{OPS_PACKAGE}.")


@dataclass(frozen=True, slots=True)
class Operators:
    """mmcv's compiled operators as they lie on the disk.

    ``candidates`` are all files that could be ``mmcv._ext``, ``path`` is that which the interpreter loads.
    ``facts`` and ``architectures`` are nothing where ``path`` cannot be read, and ``fault`` says why.
    """

    folder: Path
    candidates: tuple[Path, ...]
    path: Path | None
    facts: ElfFile | None
    architectures: Architectures | None
    fault: str


def is_operators(name: str) -> bool:
    """Tell whether a file in site-packages, as a RECORD names it, is mmcv's compiled operators."""
    return name.startswith(f"{OPS_PACKAGE}/{_EXTENSION}.")


def read_operators(folder: Path, interpreter: Interpreter) -> Operators:
    """Read the operators in the folder of mmcv, as an interpreter finds them."""
    candidates = tuple(sorted(folder.glob(f"{_EXTENSION}.*so")))
    path = next((one for one in candidates if _is_loadable(one, interpreter)), None)
    if path is None:
        return Operators(folder, candidates, None, None, None, "")
    try:
        facts = elf.read(path)
        return Operators(folder, candidates, path, facts, fatbin.architectures(path), "")
    except IntegrityError as error:
        return Operators(folder, candidates, path, None, None, str(error))


def _is_loadable(path: Path, interpreter: Interpreter) -> bool:
    tag = path.name.removeprefix(_EXTENSION).removesuffix("so").strip(".")
    if interpreter.implementation != "cpython" or tag in {"", "abi3"}:
        return True
    threading = "t" if interpreter.free_threaded else ""
    return tag.startswith(f"cpython-{interpreter.minor.replace('.', '')}{threading}-")
