"""Read the gate of an installed package: the range of another package that its own ``__init__`` asserts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from packaging.version import InvalidVersion, Version

from mmsetup.catalog import Gate

__all__ = ["read"]

_BOUND = re.compile(r"(?P<on>mm[a-z0-9]+)_(?P<end>min|max)(imum)?(_version)?", re.IGNORECASE)


def read(path: Path, distribution: str, version: str) -> tuple[Gate, ...]:
    """Read the gates in the ``__init__.py`` at ``path``.

    A gate is a pair of strings bound to names such as ``MMCV_MIN`` and ``mmcv_maximum_version``; whether the
    maximum itself is admitted is read from the comparison that uses it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no Python (``SyntaxError`` is not a ``ValueError``, but becomes one here).
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
    except SyntaxError as error:
        raise ValueError(f"{path}: {error}") from error
    bounds = dict(_bounds(tree))
    return tuple(
        Gate(
            distribution=distribution,
            version=version,
            on=on,
            minimum=bounds[on, "min"],
            maximum=bounds[on, "max"],
            maximum_inclusive=_admits_maximum(tree, on),
            source=str(path),
        )
        for on, end in sorted(bounds)
        if end == "max" and (on, "min") in bounds
    )


def _bounds(tree: ast.Module) -> Iterator[tuple[tuple[str, str], str]]:
    for statement in tree.body:
        if not (isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)):
            continue
        for target in statement.targets:
            named = _BOUND.fullmatch(target.id) if isinstance(target, ast.Name) else None
            if named and isinstance(statement.value.value, str):
                try:
                    Version(statement.value.value)
                except InvalidVersion:
                    continue
                yield (named["on"].lower(), named["end"].lower()), statement.value.value


def _admits_maximum(tree: ast.Module, on: str) -> bool:
    for compare in ast.walk(tree):
        if not isinstance(compare, ast.Compare):
            continue
        operands = [compare.left, *compare.comparators]
        for left, operator, right in zip(operands, compare.ops, operands[1:], strict=False):
            if _is_maximum(right, on):
                return isinstance(operator, ast.LtE)
            if _is_maximum(left, on):
                return isinstance(operator, ast.GtE)
    return False


def _is_maximum(expression: ast.expr, on: str) -> bool:
    names = (_BOUND.fullmatch(node.id) for node in ast.walk(expression) if isinstance(node, ast.Name))
    return any(named and (named["on"].lower(), named["end"].lower()) == (on, "max") for named in names)
