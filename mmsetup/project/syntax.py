"""Turn the text of a module into a syntax tree, whatever it holds."""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Iterator, Sequence

__all__ = ["Walk", "chain", "dict_of", "nodes", "parsed"]

_LONGEST_CHAIN = 100
# Python 3.10 turns a tree into objects without a look at its depth and dies of 200,000 levels; two characters
# make one (1+1+1).
_LARGEST = 128 << 10 if sys.version_info < (3, 11) else 1 << 30
_GUARDS = frozenset({"ImportError", "ModuleNotFoundError", "AttributeError", "Exception", "BaseException"})
# What code asks before it takes one thing or another: which version is here, what it has, who reads this.
_ASKING = re.compile(
    r"version|hasattr|getattr|find_spec|available|TYPE_CHECKING|mmcv|mmengine|mmseg|mmdet|mmcls|mmpretrain",
    re.IGNORECASE,
)


Walk = Sequence[tuple[ast.AST, bool]]
"""Every node of a tree, and whether the code itself sees to it that a name is missing there."""


def parsed(lines: Sequence[str]) -> ast.Module | None:
    """Give the tree, or nothing where the text is not of this Python."""
    source = "\n".join(lines)
    if len(source) > _LARGEST:
        return None
    try:
        # Escapes and literals that newer Pythons warn of are no matter of the reader.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def nodes(tree: ast.AST) -> Iterator[tuple[ast.AST, bool]]:
    """Give every node, and whether the code itself sees to it that a name is missing there.

    It does where it catches that, and where it has asked before (``if mmcv.__version__ < '2'``).
    """
    waiting = [(tree, False)]
    while waiting:
        node, guarded = waiting.pop()
        yield node, guarded
        inside = guarded or (
            any(map(_catches, node.handlers))
            if isinstance(node, ast.Try)
            else isinstance(node, (ast.If, ast.IfExp)) and _asks(node.test)
        )
        waiting.extend((child, inside) for child in reversed(list(ast.iter_child_nodes(node))))


def chain(node: ast.AST) -> str:
    """Give ``a.b.c`` for the tree of it, and nothing for what does not begin with a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute) and len(parts) < _LONGEST_CHAIN:
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join((node.id, *reversed(parts)))


def dict_of(node: ast.AST | None) -> dict[str, ast.expr] | None:
    """Give what ``dict(a=...)`` or ``{'a': ...}`` holds under names, and nothing for other expressions."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
    if isinstance(node, ast.Dict):
        return {
            key.value: value
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant) and isinstance(key.value, str)
        }
    return None


def _asks(test: ast.expr) -> bool:
    names = (
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(test)
        if isinstance(node, (ast.Name, ast.Attribute))
    )
    return any(map(_ASKING.search, names))


def _catches(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    if caught is None:
        return True
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(chain(kind) in _GUARDS for kind in kinds)
