"""What the class of a data set says: its classes, the ends of file names, whether label 0 counts."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmsetup.doctor.project.project import Module, Project
from mmsetup.project.syntax import chain, dict_of, parsed

__all__ = ["Classes", "Said"]

_CLASS = re.compile(r"^class[ \t]+(\w+)", re.MULTILINE)
_DEEPEST = 6
_FIELDS = ("img_suffix", "seg_map_suffix", "reduce_zero_label")


@dataclass(frozen=True, slots=True)
class Said:
    """``classes`` are the names of the classes, ``None`` where the source does not say them literally.

    ``defaults`` are those of ``img_suffix``, ``seg_map_suffix`` and ``reduce_zero_label`` that it says.
    """

    classes: tuple[str, ...] | None
    defaults: Mapping[str, str | bool]
    source: str
    is_own: bool


@dataclass(frozen=True)
class Classes:
    """The classes of data sets in the project and in the installed packages."""

    project: Project

    def of(self, name: str, package: str, depth: int = 0) -> Said | None:
        """Read a class, best of a ``package``, and those that it is made of; nothing where there is none."""
        found = self._node(name, package)
        if found is None or depth > _DEEPEST:
            return None
        node, source, is_own = found
        below = next(
            (
                said
                for base in node.bases
                if (said := self.of(chain(base).rpartition(".")[2], package, depth + 1))
            ),
            None,
        )
        names, is_told = _classes(node)
        defaults = dict(below.defaults) if below is not None else {}
        defaults.update(_defaults(node))
        inherited = below.classes if below is not None else None
        return Said(names if is_told else inherited, defaults, source, is_own)

    def _node(self, name: str, package: str) -> tuple[ast.ClassDef, str, bool] | None:
        own = self._own(name, package)
        if own is not None and own.tree is not None:
            node = _definition(own.tree, name)
            return (node, f"{own.text.path}:{node.lineno}", True) if node is not None else None
        path = self._installed.get((package, name))
        tree = parsed(path.read_text(encoding="utf-8", errors="replace").split("\n")) if path else None
        node = _definition(tree, name) if tree is not None else None
        return (node, f"{path}:{node.lineno}", False) if node is not None else None

    def _own(self, name: str, package: str) -> Module | None:
        having = self._having.get(name, ())
        # A project may bring copies of both mmseg and mmdet, which have classes of the same name.
        of_others = self.project.own_packages - {package}
        fitting = [module for module in having if of_others.isdisjoint(module.text.path.split("/"))]
        inside = [module for module in fitting if package in module.text.path.split("/")]
        return next(iter((*inside, *fitting)), None)

    @cached_property
    def _having(self) -> dict[str, list[Module]]:
        found: dict[str, list[Module]] = {}
        for module in self.project.known:
            for name in _CLASS.findall(module.source):
                found.setdefault(name, []).append(module)
        return found

    @cached_property
    def _installed(self) -> dict[tuple[str, str], Path]:
        context = self.project.context
        found: dict[tuple[str, str], Path] = {}
        for package in ("mmseg", "mmdet"):
            folder = context.source(package) if context is not None else None
            for path in sorted((folder / "datasets").rglob("*.py")) if folder is not None else ():
                found.update(dict.fromkeys(((package, name) for name in _CLASS.findall(_text(path))), path))
        return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _definition(tree: ast.Module, name: str) -> ast.ClassDef | None:
    return next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)


def _classes(node: ast.ClassDef) -> tuple[tuple[str, ...] | None, bool]:
    """Give the names, and whether the class says anything of them itself."""
    for statement in node.body:
        if not isinstance(statement, (ast.Assign, ast.AnnAssign)) or statement.value is None:
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        names = {target.id for target in targets if isinstance(target, ast.Name)}
        value: ast.expr | None = statement.value
        if "METAINFO" in names:
            held = dict_of(value) or {}
            value = held.get("classes", held.get("CLASSES"))
        elif "CLASSES" not in names:
            continue
        return _literal(value), True
    return None, False


def _literal(node: ast.expr | None) -> tuple[str, ...] | None:
    try:
        held = ast.literal_eval(node) if node is not None else None
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    if isinstance(held, str):
        return (held,)
    is_names = isinstance(held, (tuple, list)) and all(isinstance(one, str) for one in held)
    return tuple(held) if is_names and held else None


def _defaults(node: ast.ClassDef) -> dict[str, str | bool]:
    made = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
    if made is None:
        return {}
    found: dict[str, str | bool] = {}
    arguments = made.args
    positional = arguments.args[len(arguments.args) - len(arguments.defaults) :]
    pairs = [*zip(positional, arguments.defaults, strict=True)]
    pairs += [
        (argument, value)
        for argument, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if value is not None
    ]
    for argument, value in pairs:
        if (
            argument.arg in _FIELDS
            and isinstance(value, ast.Constant)
            and isinstance(value.value, (str, bool))
        ):
            found[argument.arg] = value.value
    for inner in ast.walk(made):
        if (
            isinstance(inner, ast.Call)
            and isinstance(inner.func, ast.Attribute)
            and inner.func.attr == "__init__"
        ):
            for keyword in inner.keywords:
                value = keyword.value
                held = value.value if isinstance(value, ast.Constant) else None
                if keyword.arg in _FIELDS and isinstance(held, (str, bool)):
                    found[keyword.arg or ""] = held
    return found
