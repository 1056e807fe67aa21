"""What the checks share: the three values that they judge, and what is derived from them at most once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from mmsetup.binary import elf, libraries
from mmsetup.binary.elf import ElfFile
from mmsetup.binary.library_names import is_torch_library
from mmsetup.binary.linkage import missing_symbols
from mmsetup.binary.operators import OPS_PACKAGE
from mmsetup.catalog import Catalog, Family, Gate, gate_reader
from mmsetup.doctor import conda, declared, imports, installed
from mmsetup.doctor.breaks import concerning
from mmsetup.doctor.commands import Commands
from mmsetup.doctor.installed import Compiled
from mmsetup.doctor.loading import Taken, loads, search_path, taken
from mmsetup.doctor.operators import Operators, is_operators, read_operators
from mmsetup.doctor.patches import patches_of
from mmsetup.doctor.said import literal_version, parsed
from mmsetup.errors import IntegrityError
from mmsetup.probe.machine import Distribution, Environment, Machine

__all__ = ["MANY", "Context", "Operators", "literal_version", "parsed"]

_OF_THE_STACK = re.compile(
    r"torch(vision)?|(onedl-)?(mmcv(-full|-lite)?|mmengine(-lite)?|mmsegmentation|mmdet|mmdetection|mmdet3d"
    r"|mmcls|mmpretrain|mmpose|mmrotate|mmocr|mmyolo|mmaction2|mmrazor|mmselfsup|mmagic|mmedit|mmtrack)"
)
_LONGEST_NAME = 200
MANY = 3
"""From how many distributions on that cannot be loaded the environment as a whole is the cause."""
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (nothing is written there)
# Names that projects give to folders which are no part of them once installed.
_ANYBODYS = frozenset({"tests", "test", "docs", "doc", "tools", "examples", "benchmarks", "scripts", "demo"})
_FAMILIES_MODULES = frozenset({"torch", "torchvision", *declared.EDITIONS})


def _current() -> Path | None:
    try:
        return Path.cwd()
    except OSError:
        return None


@dataclass(frozen=True)
class Context:
    """An environment on a machine, and what is known about versions.

    ``variables`` are those of the shell that the doctor was called from, ``current`` the folder it was in
    (nothing where that is gone), ``shared_memory`` where POSIX shared memory is.
    """

    environment: Environment
    machine: Machine
    catalog: Catalog
    variables: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    current: Path | None = field(default_factory=_current)
    shared_memory: Path = field(default_factory=lambda: SHARED_MEMORY)

    @cached_property
    def family(self) -> Family | None:
        """Guess the family: that of which the most distributions are here."""

        def present(family: Family) -> int:
            found = 0
            for part in family.parts:
                version = parsed(self.environment.version_of(part.distribution))
                found += version is not None and version.major in {known.major for known in part.versions}
            return found

        best = max(self.catalog.families, key=present, default=None)
        return best if best is not None and present(best) else None

    @cached_property
    def stack(self) -> tuple[Distribution, ...]:
        """Give the distributions of torch and OpenMMLab, torch first."""
        found = [one for one in self.environment.distributions if _OF_THE_STACK.fullmatch(one.name)]
        return tuple(sorted(found, key=lambda one: (not one.name.startswith("torch"), one.name)))

    @cached_property
    def above_mmcv(self) -> tuple[str, ...]:
        """Give the names of the distributions of OpenMMLab that cannot do without mmcv: all but mmengine."""
        names = (one.name for one in self.stack if one.name.startswith(("mm", "onedl-")))
        return tuple(name for name in names if name not in declared.EDITIONS["mmengine"])

    @cached_property
    def by_name(self) -> Mapping[str, Distribution]:
        """Give the distributions by name; of two of one name that which Python would import."""
        return {one.name: one for one in reversed(self.environment.distributions)}

    @cached_property
    def markers(self) -> dict[str, str]:
        """Give the marker values of the environment's interpreter."""
        return declared.markers_of(self.environment)

    @cached_property
    def needed(self) -> frozenset[str]:
        """Give the names of the stack and of everything that it needs, declared or not."""
        omitted = self._omitted
        names = [*(one.name for one in self.stack), *(Requirement(line).name for line in omitted)]
        return declared.needed_by(names, self.by_name, self.markers)

    @cached_property
    def _omitted(self) -> tuple[str, ...]:
        """Give what the stack imports without declaring it."""
        if self.family is None:
            return ()
        here = (part for part in self.family.parts if part.distribution in self.by_name)
        return tuple(line for part in here for line in part.omits)

    @cached_property
    def versions(self) -> Mapping[str, Version]:
        """Give every version that conditions of the catalogue can speak of."""
        libc = self.machine.libc
        found = {name: parsed(one.version) for name, one in self.by_name.items()}
        found["python"] = parsed(self.environment.interpreter.minor)
        if self.environment.torch is not None:
            found["torch"] = parsed(self.environment.torch.version)
        if libc is not None and libc.name == "glibc":
            found["glibc"] = parsed(libc.version)
        return {name: version for name, version in found.items() if version is not None}

    def bounded(self, name: str) -> Requirement:
        """Give a distribution with all bounds that the breaks which hold here set to it."""
        bounds = [
            bound
            for found in concerning(self.catalog, self.versions, self.patches)
            for bound in map(Requirement, found.bounds)
            if canonicalize_name(bound.name) == name
        ]
        return Requirement(name + ",".join(sorted({str(bound.specifier) for bound in bounds})))

    @cached_property
    def patches(self) -> frozenset[str]:
        """Give the patches that the distributions of the stack were made with."""
        return frozenset(name for one in self.stack for name in patches_of(one))

    def owners(self, module: str) -> tuple[Distribution, ...]:
        """Give the distributions that own a top-level module."""
        return tuple(one for one in self.environment.distributions if module in one.top_level)

    def mixed(self, module: str) -> tuple[Distribution, ...]:
        """Give the distributions that put a top-level module over each other; nothing where one owns it."""
        owners = self.owners(module)
        is_mixed = len({one.path for one in owners}) > 1 and len({one.path.parent for one in owners}) == 1
        return owners if is_mixed else ()

    def is_of_another(self, one: Distribution, name: str) -> bool:
        """Tell whether a file is there as another distribution in the same folder installed it."""
        folder = one.path.parent
        others = (other for other in self.environment.distributions if other.path.parent == folder)
        return any(
            listed == name and size != -1 and not installed.difference(folder / name, size)
            for other in others
            if other.path != one.path
            for listed, size in self.listed[other.path]
        )

    def folder(self, module: str) -> Path | None:
        """Give the folder of a package as the interpreter would find it in site-packages."""
        if not _is_name(module):
            return None
        places = (folder / module for folder in self.environment.site_packages)
        return next((place for place in places if place.is_dir()), None)

    def source(self, module: str) -> Path | None:
        """Give the folder of a package: that in site-packages, else that of an editable install."""
        return self.folder(module) or self._editable.get(module)

    @cached_property
    def _editable(self) -> Mapping[str, Path]:
        """Give the packages that ``.pth`` files let in and site-packages does not hold."""
        found: dict[str, Path] = {}
        names = {*self.modules, *_FAMILIES_MODULES}
        for name, place in imports.beside(self.environment).items():
            if name in names:
                found.setdefault(name, place)
            elif os.sep in name:
                found = {**imports.found_in(place, names), **found}
        return {name: place for name, place in found.items() if place.is_dir()}

    @cached_property
    def before(self) -> tuple[imports.Place, ...]:
        """Give the folders that Python, started here with -c or -m, searches before site-packages."""
        return tuple(imports.before(self.environment, self.variables, self.current))

    @cached_property
    def modules(self) -> Mapping[str, Distribution]:
        """Give the top-level modules of the stack and of what it needs, each with its owner."""
        found: dict[str, Distribution] = {}
        for one in self.environment.distributions:
            if one.name in self.needed:
                for module in one.top_level:
                    if _is_name(module) and not module.startswith("_") and module not in _ANYBODYS:
                        found.setdefault(module, one)
        return found

    @cached_property
    def listed(self) -> Mapping[Path, tuple[tuple[str, int], ...]]:
        """Give the files and sizes in bytes that each distribution recorded, by its metadata folder."""
        return {one.path: installed.listed(one) for one in self.environment.distributions}

    @cached_property
    def compiled(self) -> tuple[Compiled, ...]:
        """Give the compiled files of the stack and of what it needs, each read once; on Linux alone."""
        if self.machine.os.name != "linux":
            return ()
        return tuple(
            found
            for one in self.environment.distributions
            if one.name in self.needed
            for found in installed.asking(one, (name for name, _ in self.listed[one.path]))
        )

    @cached_property
    def for_another_python(self) -> tuple[tuple[Distribution, str, tuple[str, ...]], ...]:
        """Give the distributions of which nothing can be loaded, each with the reason and the evidence.

        mmcv's operators do not count: they have a check of their own.
        """
        if self.machine.os.name != "linux":
            return ()
        processors: dict[Path, set[str]] = {}
        for found in self.compiled:
            if not is_operators(str(found.path.relative_to(found.owner.path.parent))):
                processors.setdefault(found.owner.path, set()).add(found.demands.machine)
        told = []
        for one in self.environment.distributions:
            if one.name not in self.needed:
                continue
            names = [name for name, _ in self.listed[one.path] if not is_operators(name)]
            interpreter, here = self.environment.interpreter, self.machine.cpu.architecture
            reason = installed.strange(one, names, interpreter, processors.get(one.path, set()), here)
            if reason is not None:
                told.append((one, *reason))
        return tuple(told)

    @cached_property
    def conda(self) -> Mapping[str, conda.Package]:
        """Give what conda recorded in this prefix, by its own names; nothing where conda did not make it."""
        return conda.packages(self.environment.prefix)

    def gates_of(self, one: Distribution) -> tuple[Gate, ...]:
        """Read the gates of a distribution, from the catalogue only where its source cannot be read."""
        read_any = False
        read: list[Gate] = []
        for module in one.top_level:
            folder = self.source(module)
            if folder is None or not module.startswith("mm"):
                continue
            try:
                read += gate_reader.read(folder / "__init__.py", one.name, one.version)
                read_any = True
            except (OSError, ValueError):
                continue
        version = parsed(one.version)
        if read_any or version is None:
            return tuple(read)
        return self.catalog.gates_of(one.name, version)

    def module_version(self, module: str) -> Version | None:
        """Give the version that a package says it has, else that of the distribution that owns it.

        That of a distribution may name a torch in its local part; of what gates read, no package says more
        than the public one.
        """
        folder = self.source(module)
        literal = literal_version(folder) if folder else None
        owned = next((parsed(one.version) for one in self.owners(module)), None)
        return literal or (Version(owned.public) if owned is not None else None)

    @cached_property
    def operators(self) -> Operators | None:
        """Read mmcv's compiled operators; nothing where there is no mmcv, or not on Linux."""
        folder = self.source(OPS_PACKAGE)
        if folder is None or self.machine.os.name != "linux":
            return None
        return read_operators(folder, self.environment.interpreter)

    @cached_property
    def brought(self) -> Mapping[str, Path]:
        """Give the libraries that are in the process once torch is imported, by name."""
        torch = self.environment.torch
        return {} if torch is None else libraries.brought_by_torch(torch.path)

    @cached_property
    def strange_to_torch(self) -> tuple[str, ...]:
        """Give what the operators need of torch and this torch lacks: libraries first, then symbols."""
        torch, operators = self.environment.torch, self.operators
        if torch is None or operators is None or operators.facts is None:
            return ()
        needed = operators.facts.needed
        absent = [name for name in needed if is_torch_library(name) and name not in self.brought]
        return (*absent, *sorted(self.not_in_torch(operators.facts)))

    def not_in_torch(self, extension: ElfFile) -> frozenset[str]:
        """Give the symbols of torch that an extension needs and no library of this torch exports."""
        torch = self.environment.torch
        if torch is None:
            return frozenset()
        try:
            return missing_symbols(extension, torch.path / "lib")
        except IntegrityError:
            # A damaged torch is a cause of its own, and it proves nothing about the operators.
            return frozenset()

    @cached_property
    def loader(self) -> libraries.Loader:
        """Give where this machine's loader looks."""
        return libraries.loader(self.variables)

    @cached_property
    def _search_path_of_python(self) -> tuple[Path, ...]:
        """Give the folders in DT_RPATH of the interpreter, which all that it loads inherit."""
        program = self.environment.interpreter.path.resolve()
        try:
            demands = elf.read_demands(program)
        except IntegrityError:
            return ()
        return () if demands.runpath else search_path(demands.rpath, program)

    @cached_property
    def loads(self) -> Mapping[str, Taken]:
        """Give what the loader brings in for ``import torch``, by the name that is asked for.

        torch loads its global dependencies first and its binding to Python then (torch/__init__.py).
        """
        torch = self.environment.torch
        if torch is None or self.machine.os.name != "linux":
            return {}
        roots = [torch.path / "lib" / "libtorch_global_deps.so", *sorted(torch.path.glob("_C.*so"))]
        return loads(
            [path for path in roots if path.is_file()],
            variables=self.variables,
            system=self.loader,
            inherited=self._search_path_of_python,
        )

    def taken(self, name: str, one: Compiled) -> Taken | None:
        """Give the file that the loader takes as library ``name`` for a compiled file."""
        return taken(
            name,
            one.path,
            one.demands,
            variables=self.variables,
            system=self.loader,
            inherited=self._search_path_of_python,
        )

    @cached_property
    def commands(self) -> Commands:
        """Word the commands that change the environment."""
        family = self.family
        if family is None:
            return Commands(self.environment)
        optional = (one.distribution for one in family.members if one.optional and not one.needed_by)
        return Commands(
            self.environment,
            family.name if family is not self.catalog.families[0] else "",
            tuple(name for name in optional if self.environment.version_of(name)),
        )


def _is_name(module: str) -> bool:
    """Tell whether a line of metadata can be the name of a module: a file system refuses longer ones."""
    return module.isidentifier() and len(module) <= _LONGEST_NAME
