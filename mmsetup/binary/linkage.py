"""Compare what a compiled extension needs with what the libraries around it offer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mmsetup.binary.elf import ElfFile
from mmsetup.binary.libraries import Loader, loader
from mmsetup.binary.symbol_hash import offered
from mmsetup.errors import IntegrityError

__all__ = ["is_of_torch", "missing_libraries", "missing_symbols", "torch_symbols"]

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


def is_of_torch(symbol: str) -> bool:
    """Tell whether a symbol is one of torch's."""
    return _TORCH_NAME.match(symbol) is not None


def torch_symbols(extension: ElfFile) -> frozenset[str]:
    """Give the symbols that ``extension`` leaves undefined and that are torch's, as told below."""
    return frozenset(filter(is_of_torch, extension.undefined))


def missing_symbols(extension: ElfFile, torch_lib_folder: Path) -> frozenset[str]:
    """Give the symbols of torch that ``extension`` needs and no library in torch's ``lib`` folder exports.

    A symbol of torch is a C++ name in the namespaces ``at``, ``c10``, ``caffe2`` or ``torch``, or one of its
    Python binding (``THP...``). Any result means that the extension was compiled against another torch and
    that its import will fail with ``undefined symbol``.

    Raises:
        IntegrityError: the folder holds no library, or one that cannot be read.
    """
    missing = set(torch_symbols(extension))
    named = (path for path in torch_lib_folder.glob("*.so*") if _LIBRARY_NAME.search(path.name))
    libraries = sorted(named, key=_promising)
    if not libraries:
        raise IntegrityError(f"{torch_lib_folder} holds no library", remedy="install torch again")
    for library in libraries:
        if not missing:
            break
        missing -= offered(library, missing)
    return frozenset(missing)


def _promising(library: Path) -> tuple[bool, int]:
    """Put first the libraries that hold nearly everything, so that most of the others are never read."""
    return library.name.split(".")[0] not in _FIRST, library.stat().st_size


def missing_libraries(
    extension: ElfFile, loaded: Mapping[str, Path], system: Loader | None = None
) -> tuple[str, ...]:
    """Give the libraries that ``extension`` needs and that would not be found when it is loaded.

    ``loaded`` are those that are in the process by then, by name
    (:func:`mmsetup.binary.libraries.brought_by_torch`); all others are looked up where the loader of
    ``system`` does, which is this machine's when not given. Its own search path counts where the extension
    lies in its place: :func:`mmsetup.binary.libraries.missing` follows it.
    """
    absent = [name for name in extension.needed if name not in loaded]
    if not absent:
        return ()
    found = system or loader()
    return tuple(name for name in absent if found.find(name) is None)
