"""Tell what a wheel, a library or the compiled part of an environment is made of. Nothing of it is loaded.

What it means for a torch and a GPU is said by :mod:`~mmsetup.binary.judgement`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mmsetup.binary import elf, fatbin, torch_flags, wheel
from mmsetup.binary.elf import ElfFile
from mmsetup.binary.fatbin import Architectures, GpuCode
from mmsetup.binary.floors import Floor, floor, manylinux
from mmsetup.binary.library_names import is_torch_core
from mmsetup.binary.linkage import torch_symbols
from mmsetup.binary.operators import OPS_MODULE, OPS_PACKAGE, Operators, asked_for, operators
from mmsetup.binary.torch_history import history
from mmsetup.binary.wheel import WheelFacts
from mmsetup.errors import IntegrityError, RequestError
from mmsetup.probe import environment
from mmsetup.probe.machine import Environment

__all__ = [
    "Inspection",
    "LibraryFacts",
    "WheelLabel",
    "inspect",
    "of_wheel",
    "places",
]

_LIBRARY = re.compile(r"\.so(\.\d+)*$")
_PYTHON = re.compile(r"\.(?:cpython-(\d)(\d+)(t?)-[^.]*|(abi3))\.so$", re.ASCII)
_OPS_FILE = OPS_MODULE.rpartition(".")[2]
_MOST_FILES = 20_000
_MOST_SOURCE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class WheelLabel:
    """What a wheel says of itself; ``tags`` like ``cp310-cp310-linux_x86_64``."""

    distribution: str
    version: str
    tags: tuple[str, ...]
    requires_python: str
    sha256: str


@dataclass(frozen=True, slots=True)
class LibraryFacts:
    """A compiled library.

    ``name`` is its place in the wheel or below the environment, ``path`` the file where it lies on its own;
    ``size`` is in bytes. ``python`` is what the file name says of the interpreter (``cp310``, ``cp313t``,
    ``abi3``), empty where it says nothing. ``operators`` is told of mmcv's extension alone, ``stated`` of
    torch's binding: what torch says that its own kernels were compiled for.
    """

    name: str
    path: Path | None
    size: int
    elf: ElfFile
    code: GpuCode
    operators: Operators | None
    stated: Architectures | None = None

    @property
    def python(self) -> str:
        """Give the interpreter that the file name is for."""
        found = _PYTHON.search(self.name)
        if found is None:
            return ""
        return found[4] or f"cp{found[1]}{found[2]}{found[3]}"

    @property
    def floor(self) -> Floor:
        """Give what it asks of the system."""
        return floor([self.elf.versions_needed])

    @property
    def torch_symbols(self) -> tuple[str, ...]:
        """Give the symbols of torch that it leaves undefined."""
        return tuple(sorted(torch_symbols(self.elf)))

    @property
    def has_gpu_code(self) -> bool:
        """Tell whether there is any code for GPUs in it."""
        return self.code.binaries > 0

    @property
    def names(self) -> frozenset[str]:
        """Give the names under which others find it once it is loaded."""
        return frozenset({Path(self.name).name, self.elf.soname} - {""})


@dataclass(frozen=True, slots=True)
class Inspection:
    """What lies at ``path``: a ``wheel``, a ``library`` or an ``environment``."""

    path: Path
    kind: str
    libraries: tuple[LibraryFacts, ...]
    label: WheelLabel | None = None
    environment: Environment | None = None

    @property
    def floor(self) -> Floor:
        """Give what its libraries ask of the system, taken together."""
        return floor(library.elf.versions_needed for library in self.libraries)

    @property
    def manylinux(self) -> str:
        """Give the manylinux tag that its symbols allow, with the processor; empty where there is none."""
        machines = {library.elf.machine for library in self.libraries}
        tag = manylinux(self.floor)
        return f"{tag}_{machines.pop()}" if tag and len(machines) == 1 else ""

    @property
    def operators(self) -> Operators | None:
        """Give mmcv's operators, where they are inside."""
        return next((one.operators for one in self.libraries if one.operators is not None), None)

    @property
    def stated(self) -> Architectures | None:
        """Give what torch's own kernels are for, where torch is inside and says so."""
        return next((one.stated for one in self.libraries if one.stated is not None), None)

    def code_of(self, library: LibraryFacts) -> Architectures:
        """Give the code of a library of this file; torch's own list stands for all of torch's libraries."""
        is_of_torch = library.name.startswith("torch/lib/") and self.stated is not None
        return self.stated if is_of_torch and self.stated else library.code.architectures

    @property
    def fitting_torch(self) -> tuple[str, ...]:
        """Give the releases of torch that have all symbols which it needs, as far as is known."""
        own = {name for library in self.libraries for name in library.elf.exported}
        needed = {name for library in self.libraries for name in torch_symbols(library.elf)}
        return history().fitting(needed - own)


def places(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Give what can be inspected at ``paths``: a folder that is no environment stands for what is in it.

    Raises:
        RequestError: a path does not exist, or a folder holds nothing to inspect, or more than 20 000 files.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise RequestError(f"{path} does not exist", remedy=f"ls {shlex.quote(str(path.parent))}")
        found += [path] if not path.is_dir() or _is_environment(path) else _within(path)
    return tuple(dict.fromkeys(found))


def inspect(path: Path) -> Inspection:
    """Look at the wheel, the library or the environment at ``path``.

    Of an environment, that is torch's own libraries and all that are linked with them. Those of them that
    cannot be read are left to ``mmsetup doctor``, but for mmcv's extension.

    Raises:
        RequestError: it is named like none of them.
        IntegrityError: it is damaged, or not what its name says.
        DiskSpaceError, TargetError: the libraries in a wheel cannot be unpacked into the temporary folder,
            or an environment does not work.
    """
    if path.is_dir():
        return _of_environment(environment(path))
    if path.suffix == ".whl":
        return of_wheel(path, wheel.inspect(path))
    if not _is_library(path):
        raise RequestError(
            f"{path} is neither a wheel (.whl) nor a library (.so), a folder of them or an environment",
            remedy="mmsetup inspect FILE.whl",
        )
    return Inspection(path, "library", (_library(path, path.name),))


def _is_environment(folder: Path) -> bool:
    signs = ("pyvenv.cfg", "conda-meta", "bin/python", "bin/python3")
    return any((folder / sign).exists() or (folder / sign).is_symlink() for sign in signs)


def _within(folder: Path) -> list[Path]:
    libraries = (path for path in _libraries_below(folder) if not path.is_symlink())
    found = sorted([*(path for path in folder.rglob("*.whl") if path.is_file()), *libraries])
    if not found or len(found) > _MOST_FILES:
        what = f"{len(found)} wheels and libraries" if found else "neither a wheel nor a library"
        raise RequestError(f"{folder} holds {what}, and is no environment", remedy="mmsetup inspect FILE.whl")
    return found


def _of_environment(made: Environment) -> Inspection:
    found = (
        _in_environment(path, path.relative_to(folder).as_posix())
        for folder in made.site_packages
        for path in _libraries_below(folder)
    )
    return Inspection(made.prefix, "environment", tuple(filter(None, found)), None, made)


def _in_environment(path: Path, name: str) -> LibraryFacts | None:
    """Look at a library of an environment, where it belongs to torch or needs it."""
    is_ops = _is_operators(path)
    try:
        if name.startswith("torch/"):
            concerns = name.startswith("torch/lib/") and is_torch_core(path.name)
        else:
            concerns = is_ops or any(map(is_torch_core, elf.read_needed(path)))
        return _library(path, name) if concerns else None
    except IntegrityError:
        if is_ops:
            raise
        return None


def of_wheel(path: Path, facts: WheelFacts) -> Inspection:
    """Give what :func:`mmsetup.binary.wheel.inspect` found in the wheel at ``path``, as of all others."""
    label = WheelLabel(facts.distribution, facts.version, facts.tags, facts.requires_python, facts.sha256)
    libraries = tuple(
        LibraryFacts(one.member, None, one.size, one.elf, one.code, one.operators, one.stated)
        for one in facts.extensions
    )
    return Inspection(path, "wheel", libraries, label)


def _library(path: Path, name: str) -> LibraryFacts:
    facts = elf.read(path)
    held = operators(path, facts, asked_for(_sources(path.parent / "ops"))) if _is_operators(path) else None
    said = torch_flags.stated(path) if path.name == torch_flags.BINDING else None
    return LibraryFacts(name, path, path.stat().st_size, facts, fatbin.gpu_code(path), held, said)


def _is_operators(path: Path) -> bool:
    """Tell whether a file is mmcv's extension: in its package, or taken out of it and in no other."""
    if path.name.split(".")[0] != _OPS_FILE:
        return False
    return path.parent.name == OPS_PACKAGE or not (path.parent / "__init__.py").exists()


def _sources(folder: Path) -> Iterator[str]:
    """Read the modules of ``mmcv.ops`` beside an extension, where they are."""
    for path in sorted(folder.glob("*.py")):
        try:
            if path.stat().st_size <= _MOST_SOURCE_BYTES:
                yield path.read_text(encoding="utf-8", errors="replace")
        except OSError:  # noqa: PERF203 (what cannot be read names nothing)
            continue


def _libraries_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.so*") if _is_library(path) and path.is_file())


def _is_library(path: Path) -> bool:
    return _LIBRARY.search(path.name) is not None
