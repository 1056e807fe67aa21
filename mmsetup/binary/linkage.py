"""Compare what a compiled extension needs with what the libraries around it offer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from mmsetup.binary import elf
from mmsetup.binary.elf import ElfFile
from mmsetup.errors import IntegrityError

__all__ = ["missing_libraries", "missing_symbols"]

_TORCH_NAME = re.compile(
    r"""_Z(T[VISTWH]|GV|GR)?          # a function, or a table, a type, a guard of one
        (N[rVKRO]*(2at|3c10|5torch|6caffe2)   # inside a namespace of torch
        |N8pybind116detail11type_casterIN(2at|3c10|5torch)
        |\d+THP)                     # of its Python binding
      |THP""",
    re.VERBOSE,
)
_LIBRARY_NAME = re.compile(r"\.so(\.\d+)*$")
_FIRST = frozenset({"libc10", "libtorch_python", "libtorch_cpu"})
_OF_THE_SYSTEM = frozenset(
    {
        "ld-linux-aarch64.so.1",
        "ld-linux-x86-64.so.2",
        "libc.so.6",
        "libdl.so.2",
        "libgcc_s.so.1",
        "libm.so.6",
        "libpthread.so.0",
        "librt.so.1",
        "libstdc++.so.6",
        "libutil.so.1",
    }
)


def missing_symbols(extension: ElfFile, torch_lib_folder: Path) -> frozenset[str]:
    """Give the symbols of torch that ``extension`` needs and no library in torch's ``lib`` folder exports.

    A symbol of torch is a C++ name in the namespaces ``at``, ``c10``, ``caffe2`` or ``torch``, or one of its
    Python binding (``THP...``). Any result means that the extension was compiled against another torch and
    that its import will fail with ``undefined symbol``.

    Raises:
        IntegrityError: the folder holds no library, or one that cannot be read.
    """
    missing = {name for name in extension.undefined if _TORCH_NAME.match(name)}
    named = (path for path in torch_lib_folder.glob("*.so*") if _LIBRARY_NAME.search(path.name))
    libraries = sorted(named, key=_promising)
    if not libraries:
        raise IntegrityError(f"{torch_lib_folder} holds no library", remedy="Install torch again.")
    for library in libraries:
        if not missing:
            break
        missing -= elf.read(library).exported
    return frozenset(missing)


def _promising(library: Path) -> tuple[bool, int]:
    """Put first the libraries that hold nearly everything, so that most of the others are never read."""
    return library.name.split(".")[0] not in _FIRST, library.stat().st_size


def missing_libraries(extension: ElfFile, folders: Iterable[Path]) -> tuple[str, ...]:
    """Give the libraries that ``extension`` needs and that neither ``folders`` nor every Linux has.

    What a system has is the list of PEP 599 as far as it belongs to glibc and the compiler's runtime.
    ``folders`` are those that will be searched when the extension is loaded: torch's ``lib``, the
    ``nvidia/*/lib`` beside it.
    """
    places = tuple(folders)
    return tuple(
        name
        for name in extension.needed
        if name not in _OF_THE_SYSTEM and not any((folder / name).is_file() for folder in places)
    )
