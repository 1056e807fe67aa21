"""What the installed packages and the project itself register, and where the project's own names stand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mmsetup.doctor.context import Context
from mmsetup.doctor.project.names import Names, names_in, names_of_text
from mmsetup.doctor.project.project import Module, Project

__all__ = ["Own", "Registry", "registry_of"]

_ENGINES = ("mmengine", "mmcv")
_LOOPS = "registered_by_loops"


@dataclass(frozen=True, slots=True)
class Own:
    """A class of the project: the file that defines it, and whether anything registers it."""

    name: str
    module: Module
    is_registered: bool

    @property
    def line(self) -> int:
        """Give the line that begins its definition."""
        found = re.search(
            rf"^[ \t]*(?:class|def)[ \t]+{re.escape(self.name)}\b", self.module.source, re.MULTILINE
        )
        return self.module.source.count("\n", 0, found.start()) + 1 if found is not None else 1


@dataclass(frozen=True)
class Registry:
    """The names that exist beside a project; the sources of a package are read when they are asked for."""

    project: Project
    context: Context

    @cached_property
    def packages(self) -> Mapping[str, Names]:
        """Give the names in each installed package of the stack, or that needs one, by module."""
        found = {}
        for module in sorted(self._modules):
            folder = self.context.source(module)
            if folder is not None and not _is_within(folder, self.project.root):
                found[module] = names_in(folder)
        return found

    @cached_property
    def _modules(self) -> frozenset[str]:
        stack = self.project.rules.modules
        found = {module for module in stack if self.context.source(module) is not None}
        known = {canonicalize_name(name) for name in self.project.rules.distributions}
        for one in self.context.environment.distributions:
            if any(_name(line) in known for line in one.requires) and not one.name.startswith("torch"):
                found.update(top for top in one.top_level if top.isidentifier() and not top.startswith("_"))
        for config in self.project.configs:
            custom = config.root.at("custom_imports.imports")
            found.update(one.text.partition(".")[0] for one in (custom.each() if custom is not None else ()))
        return frozenset(found)

    def can_read(self, module: str) -> bool:
        """Tell whether a module is in the project, or in a package whose sources are read."""
        return bool(module) and (self.project.has(module) or module.partition(".")[0] in self.packages)

    @cached_property
    def loops(self) -> frozenset[str]:
        """Give the names that registries take from torch and others in loops."""
        known = self.project.tables.known[_LOOPS]
        names = set(known["names"])
        torch = self.context.source("torch")
        if torch is not None:
            for part in known["torch"]:
                place = torch / part
                files = sorted(place.glob("*.py")) if place.is_dir() else [place]
                for path in files:
                    names.update(names_of_text(_text(path)).defined)
        return frozenset(names)

    @cached_property
    def own(self) -> Mapping[str, Own]:
        """Give the classes and functions of the project's code."""
        found: dict[str, Own] = {}
        for module in self.project.known:
            if "class " not in module.source and "def " not in module.source:
                continue
            names = names_of_text(module.source)
            for name in names.own:
                if name not in found or name in names.registered:
                    found[name] = Own(name, module, name in names.registered)
        return found

    @cached_property
    def aliases(self) -> frozenset[str]:
        """Give the names under which the project's code registers something."""
        return frozenset().union(
            *(
                names_of_text(module.source).registered
                for module in self.project.known
                if "register_module" in module.source
            )
        )

    @cached_property
    def by_lower_case(self) -> Mapping[str, str]:
        """Give the names that something registers, by themselves in lower case: what may have been meant."""
        own = {name for name, one in self.own.items() if one.is_registered}
        names = own.union(*(names.registered for names in self.packages.values()), self.loops)
        return {name.lower(): name for name in sorted(names)}

    @cached_property
    def every(self) -> frozenset[str]:
        """Give all names that something installed defines or registers."""
        return self.loops.union(*(names.defined for names in self.packages.values()))

    def known_to(self, scope: str) -> frozenset[str]:
        """Give the names that a lookup in a scope finds: the package's own, the engine's and other code's."""
        kept: dict[str, frozenset[str]] = self.project.kept.setdefault("known", {})
        if scope not in kept:
            kept[scope] = self._known_to(scope)
        return kept[scope]

    def _known_to(self, scope: str) -> frozenset[str]:
        strangers = (module for module in self.packages if module not in self.project.rules.modules)
        modules = {scope, *_ENGINES, *strangers}
        return self.loops.union(
            *(names.defined for module, names in self.packages.items() if module in modules)
        )

    def registers_for(self, name: str, scope: str) -> bool:
        """Tell whether a package registers a name with the registries of another one, its ``scope``."""
        told: dict[tuple[str, str], bool] = self.project.kept.setdefault("registers for", {})
        if (name, scope) not in told:
            told[name, scope] = self._registers_for(name, scope)
        return told[name, scope]

    def _registers_for(self, name: str, scope: str) -> bool:
        taken = re.compile(rf"^\s*from {re.escape(scope)}[.\w]* import .*", re.MULTILINE)
        defined = re.compile(rf"^\s*class {re.escape(name)}\b", re.MULTILINE)
        for module, names in self.packages.items():
            folder = self.context.source(module) if name in names.registered else None
            for path in sorted(folder.rglob("*.py")) if folder is not None else ():
                source = _text(path)
                if defined.search(source) and taken.search(source):
                    return True
        return False


def registry_of(project: Project) -> Registry:
    """Give the names that exist beside a project; it needs to have an environment.

    Raises:
        ValueError: it has none.
    """
    if project.context is None:
        raise ValueError("a registry needs an environment")
    found: Registry = project.kept.setdefault("registry", Registry(project, project.context))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _name(line: str) -> str:
    try:
        return canonicalize_name(Requirement(line).name)
    except InvalidRequirement:
        return ""


def _is_within(folder: Path, root: Path) -> bool:
    try:
        # A package that lies in the project (an editable install of a fork) is installed all the same.
        return folder.resolve().is_relative_to(root.resolve()) and "site-packages" not in folder.parts
    except OSError:
        return False
