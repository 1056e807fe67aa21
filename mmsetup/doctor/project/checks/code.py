"""MM83x: the project's own code against the installed numpy."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from mmsetup.doctor.model import Observation
from mmsetup.doctor.project.model import counted, project_check, shown
from mmsetup.doctor.project.project import Module, Project
from mmsetup.project.syntax import chain

__all__ = ["dropped_by_numpy"]

_IMPORTED = re.compile(r"\bnumpy\b")


@project_check(
    "MM831",
    title="Code takes a name from numpy that this numpy does not have",
    cause="numpy 1.24 dropped np.bool, np.int, np.float and np.object, numpy 2.0 dropped np.float_ and more: "
    "\"module 'numpy' has no attribute 'int'\" at the moment in which the line runs.",
    looks_at="Names that the project's code takes from numpy, against what the installed numpy has dropped. "
    "What it asks for first, catches, or gives back to numpy itself (np.float = float) does not count.",
    remedy="The builtin of that name (bool, int, float, object), np.bool_, np.float64; or an older numpy.",
    seen_in=("open-mmlab/mmyolo#411", "jbwang1997/OBBDetection#208"),
    needs_environment=True,
)
def dropped_by_numpy(project: Project) -> Iterator[Observation]:
    """Observe names of numpy that are gone."""
    context = project.context
    assert context is not None  # noqa: S101 (needs_environment)
    version = context.versions.get("numpy")
    if version is None:
        return
    gone = project.tables.without(version)
    if not gone:
        return
    mentioned = re.compile(rf"\.(?:{'|'.join(sorted(gone))})\b|\bfrom\s+numpy\s+import\b|\bsetattr\b")
    modules = [
        module
        for module in (*project.modules, *(code for code, _ in project.notebooks))
        if _IMPORTED.search(module.source) and mentioned.search(module.source)
    ]
    given = {name for module in modules for name in _given(module)}
    lines = [
        f"{module.at(line)}  (numpy.{name})"
        for module in modules
        for line, name in _taken(module)
        if name in gone and name not in given
    ]
    if lines:
        yield Observation(
            "error",
            f"the code uses what numpy {version} does not have, in {counted(len(lines), 'line')}",
            shown(lines),
            "replace np.bool, np.int, np.float by bool, int, float (np.bool_, np.int64, np.float64); "
            f"or: {context.commands.install(_older(project))}",
        )


def _older(project: Project) -> str:
    return f"numpy<{project.tables.known['numpy'][0]['gone']}"


def _names_of_numpy(module: Module) -> frozenset[str]:
    return frozenset(
        alias.asname or alias.name
        for node, _ in module.walk
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "numpy"
    )


def _given(module: Module) -> Iterator[str]:
    """Give the names that code puts into numpy: ``np.float = float``, ``setattr(np, "float", float)``."""
    names = _names_of_numpy(module)
    is_set = False
    for node, _ in module.walk:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if chain(node.value) in names:
                yield node.attr
        elif isinstance(node, ast.Call) and chain(node.func) == "setattr" and node.args:
            is_set = is_set or chain(node.args[0]) in names
    for node, _ in module.walk if is_set else ():
        # The name may come from a list of names.
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _taken(module: Module) -> Iterator[tuple[int, str]]:
    """Give the names that code takes from numpy and that it would fail without."""
    names = _names_of_numpy(module)
    for node, guarded in module.walk:
        if guarded:
            continue
        if isinstance(node, ast.Attribute) and chain(node.value) in names:
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom) and node.module == "numpy" and not node.level:
            yield from ((node.lineno, alias.name) for alias in node.names)
