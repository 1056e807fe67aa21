"""Find shared libraries as the dynamic loader would, without loading any.

The order is that of ld.so(8): the search paths in the file itself, ``LD_LIBRARY_PATH``, the cache that
ldconfig writes, the default folders.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmsetup.binary import elf
from mmsetup.errors import IntegrityError, ProcessError
from mmsetup.process import clean_environment, run

__all__ = ["Loader", "Missing", "beside", "brought_by_torch", "loader", "missing", "provided"]

_CACHED = re.compile(r"^\s+(\S+) \([^)]*\) => (/.+)$", re.MULTILINE)
_DEFAULT = ("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib")
_SECONDS = 5.0
_MOST_FILES = 400


@dataclass(frozen=True, slots=True)
class Loader:
    """Where the system's loader looks: the folders ``first``, the paths ``cached`` by name, ``default``."""

    first: tuple[Path, ...]
    cached: Mapping[str, tuple[Path, ...]]
    default: tuple[Path, ...]

    def find(self, name: str) -> Path | None:
        """Give the library of that name, or nothing."""
        return next((path for path in self._places(name) if path.is_file()), None)

    def _places(self, name: str) -> Iterator[Path]:
        yield from (folder / name for folder in self.first)
        yield from self.cached.get(name, ())
        yield from (folder / name for folder in self.default)


@dataclass(frozen=True, slots=True)
class Missing:
    """A library that is nowhere, and the file that needs it."""

    library: str
    needed_by: Path


def loader(environ: Mapping[str, str] = os.environ) -> Loader:
    """Read where the loader of this machine looks."""
    own = tuple(Path(part) for part in environ.get("LD_LIBRARY_PATH", "").split(":") if part)
    default = tuple(Path(folder) for folder in _DEFAULT)
    triplets = [path for folder in ("/lib", "/usr/lib") for path in Path(folder).glob("*-linux-gnu")]
    cached: dict[str, list[Path]] = {}
    for name, path in _CACHED.findall(_printed_cache()):
        cached.setdefault(name, []).append(Path(path))
    return Loader(own, {name: tuple(paths) for name, paths in cached.items()}, (*default, *triplets))


def provided(folders: tuple[Path, ...]) -> Mapping[str, Path]:
    """Give the libraries in ``folders`` by every name under which they are found once loaded.

    A loaded library satisfies whoever needs its soname, whatever its file is called, because the loader
    compares names with the sonames of what is loaded. Wheels rely on that: they carry copies with a hash in
    the file name (``libcudart-e409450e.so.11.0``) that kept their soname.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.so*")):
            found.setdefault(path.name, path)
            try:
                soname = elf.read_soname(path)
            except IntegrityError:
                continue
            if soname:
                found.setdefault(soname, path)
    return found


def brought_by_torch(torch: Path) -> Mapping[str, Path]:
    """Give the libraries that are in the process once the package ``torch`` is imported, by name.

    They lie in its own ``lib`` and, since torch 2.0, in the ``nvidia/*/lib`` beside it.
    """
    return provided((torch / "lib", *sorted((torch.parent / "nvidia").glob("*/lib"))))


def missing(module: Path, system: Loader, loaded: Mapping[str, Path]) -> tuple[Missing, ...]:
    """Give the libraries that loading ``module`` would not find.

    ``loaded`` are those that are in the process already. Libraries that came beside the module are followed,
    those of the system are taken to be whole.

    Raises:
        IntegrityError: ``module`` or a library beside it cannot be read.
    """
    absent: dict[str, Missing] = {}
    seen: set[Path] = set()
    waiting: list[tuple[Path, tuple[Path, ...]]] = [(module, ())]
    while waiting and len(seen) < _MOST_FILES:
        path, inherited = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        facts = elf.read(path)
        search = (*beside(facts, path), *inherited)
        for name in facts.needed:
            if name in loaded or name in absent:
                continue
            own = next((folder / name for folder in search if (folder / name).is_file()), None)
            if own is not None:
                waiting.append((own, search))
            elif system.find(name) is None:
                absent[name] = Missing(name, path)
    return tuple(absent.values())


def beside(facts: elf.ElfFile, path: Path) -> tuple[Path, ...]:
    """Give the folders that a file names as its own search path."""
    origin = str(path.parent)
    return tuple(
        Path(part.replace("$ORIGIN", origin).replace("${ORIGIN}", origin)).resolve() for part in facts.rpath
    )


def _printed_cache() -> str:
    places = os.pathsep.join((os.environ.get("PATH", ""), "/sbin", "/usr/sbin"))
    program = shutil.which("ldconfig", path=places)
    if program is None:
        return ""
    try:
        return run([program, "-p"], env=clean_environment(LC_ALL="C"), timeout=_SECONDS).stdout
    except ProcessError:
        return ""
