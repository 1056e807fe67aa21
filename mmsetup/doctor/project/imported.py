"""Which of the project's own modules a run imports: what its scripts and ``custom_imports`` lead to."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from mmsetup.doctor.project.project import Module, Project

__all__ = ["Imports"]

_MAIN = re.compile(r"^if\s+__name__\s*==\s*['\"]__main__['\"]", re.MULTILINE)
_ASIDE = frozenset({"setup.py", "conftest.py"})


@dataclass(frozen=True)
class Imports:
    """The imports among the modules of a project.

    A module is found by the end of its path, as any folder may be on ``PYTHONPATH``.
    """

    project: Project

    def reaches(self, module: Module, begun: Iterable[str]) -> bool:
        """Tell whether a script of the project, or one of the modules ``begun``, leads to a module."""
        path = module.text.path
        return path in self._from_scripts or path in self._closed(
            {found for name in begun for found in self._found(name)}
        )

    @cached_property
    def _from_scripts(self) -> frozenset[str]:
        return self._closed({module.text.path for module in self._scripts})

    @cached_property
    def _scripts(self) -> tuple[Module, ...]:
        imported = frozenset().union(*self._edges.values())
        configs = {config.path for config in self.project.configs}
        return tuple(
            module
            for module in self._code
            if _MAIN.search(module.source)
            or (
                module.text.path not in imported
                and module.text.path not in configs
                and not module.is_package
                and not module.is_test
                and module.text.name not in _ASIDE
                and "register_module" not in module.source
            )
        )

    @cached_property
    def _code(self) -> tuple[Module, ...]:
        notebooks = (code for code, _ in self.project.notebooks)
        modules = (one for one in self.project.known if not self.project.is_config(one))
        return (*modules, *notebooks)

    @cached_property
    def _by_end(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for module in self.project.known:
            parts = module.dotted.split(".")
            for start in range(len(parts)):
                found.setdefault(".".join(parts[start:]), set()).add(module.text.path)
        return found

    @cached_property
    def _edges(self) -> dict[str, set[str]]:
        return {
            module.text.path: {found for name in _names(module) for found in self._found(name)}
            for module in self._code
        }

    def _found(self, name: str) -> Iterator[str]:
        """Give the files that ``import a.b.c`` runs: those of its packages too."""
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            yield from self._by_end.get(".".join(parts[:end]), ())

    def _closed(self, begun: set[str]) -> frozenset[str]:
        found = set(begun)
        waiting = list(begun)
        while waiting:
            for path in self._edges.get(waiting.pop(), ()):
                if path not in found:
                    found.add(path)
                    waiting.append(path)
        return frozenset(found)


def _names(module: Module) -> Iterator[str]:
    package = module.dotted if module.is_package else module.dotted.rpartition(".")[0]
    for node, _ in module.walk:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")
                kept = above[: len(above) - node.level + 1]
                base = ".".join((*kept, *([base] if base else [])))
            yield from (f"{base}.{alias.name}" for alias in node.names)
            yield base
