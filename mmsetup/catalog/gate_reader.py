"""Read the gates of a package: the ranges of other packages that its own ``__init__`` asserts.

The file is parsed, never imported. What counts is the comparison: a bound that nothing is compared with
refuses nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from mmsetup.catalog.model import Gate

__all__ = ["gates_in", "read"]

_BOUND = re.compile(r"(?P<on>mm[a-z0-9]+)_(?P<end>min|max)(imum)?(_version)?", re.IGNORECASE)
# What fills versions up before it compares them: packaging, and digit_version of every mmcv and mmengine
# that the releases which import it admit (mmengine/utils/version_utils.py).
_PADDING_MODULES = ("packaging.", "mmcv.", "mmengine.")
_PARSERS = frozenset({"parse", "Version", "LooseVersion", "StrictVersion"})
_FLIPPED: Mapping[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
}


@dataclass(frozen=True, slots=True)
class _Bound:
    """One end of a range: on which module, ``min`` or ``max``, its version, and what function parses it."""

    on: str
    end: str
    version: str
    parser: str


def read(path: Path, distribution: str, version: str) -> tuple[Gate, ...]:
    """Read the gates in the ``__init__.py`` at ``path``; see :func:`gates_in`.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no Python, or compares in a way that is not known.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    return gates_in(text, distribution, version, source=str(path))


def gates_in(text: str, distribution: str, version: str, *, source: str) -> tuple[Gate, ...]:
    """Read the gates in the text of an ``__init__.py``, by the name of the module that they are on.

    A bound is a string bound to a name such as ``MMCV_MIN`` or ``mmcv_maximum_version``. Whether the maximum
    itself is admitted is read from the comparison, and how versions compare from the function that parses
    the bound: one that leaves it to packaging, or comes from mmcv or mmengine, pads.

    Raises:
        ValueError: it is no Python (``SyntaxError`` becomes one), or compares in a way that is not known.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"{source}: {error}") from error
    bounds = _bounds(tree)
    ends: dict[tuple[str, str], tuple[_Bound, bool]] = {}
    for bound, operator in _comparisons(tree, bounds):
        inclusive = operator in {ast.LtE, ast.GtE}
        expected = {ast.Gt, ast.GtE} if bound.end == "min" else {ast.Lt, ast.LtE}
        if operator not in expected or (bound.end == "min" and not inclusive):
            raise ValueError(
                f"{source}: {bound.on} is compared with {bound.version} in a way that is not known"
            )
        ends[bound.on, bound.end] = bound, inclusive
    paddings = _paddings(tree)
    gates: list[Gate] = []
    for on in sorted({on for on, _ in ends}):
        minimum, maximum = ends.get((on, "min")), ends.get((on, "max"))
        if minimum is None:
            raise ValueError(f"{source}: {on} has a maximum and no minimum")
        parsers = {end[0].parser for end in (minimum, maximum) if end is not None}
        ways = {paddings.get(parser) for parser in parsers}
        if ways not in ({"padded"}, {"unpadded"}):
            raise ValueError(f"{source}: how {', '.join(sorted(parsers)) or 'text'} compares is not known")
        gates.append(
            Gate(
                distribution=distribution,
                version=version,
                on=on,
                minimum=minimum[0].version,
                maximum=maximum[0].version if maximum else "",
                maximum_inclusive=bool(maximum and maximum[1]),
                source=source,
                comparison=str(ways.pop()),
            )
        )
    return tuple(gates)


def _bounds(tree: ast.Module) -> dict[str, _Bound]:
    """Give the bounds by the names that stand for them, parsed or not."""
    found: dict[str, _Bound] = {}
    for name, value in _assigned(tree):
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            named = _BOUND.fullmatch(name)
            if named and _is_version(value.value):
                found[name] = _Bound(named["on"].lower(), named["end"].lower(), value.value, "")
        elif isinstance(value, ast.Call) and (known := _bound(value, found)) is not None:
            found[name] = known
    return found


def _assigned(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    yield target.id, statement.value


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _bound(expression: ast.expr, bounds: Mapping[str, _Bound]) -> _Bound | None:
    """Give the bound that an expression stands for: its name, or a function of that."""
    if isinstance(expression, ast.Name):
        return bounds.get(expression.id)
    if isinstance(expression, ast.Call) and expression.args:
        inner = _bound(expression.args[0], bounds)
        if inner is not None:
            return _Bound(inner.on, inner.end, inner.version, _called(expression))
    return None


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _comparisons(tree: ast.Module, bounds: Mapping[str, _Bound]) -> Iterator[tuple[_Bound, type[ast.cmpop]]]:
    """Give each bound that something is compared with, and the operator with the bound on its right."""
    for compare in ast.walk(tree):
        if not isinstance(compare, ast.Compare):
            continue
        operands = [compare.left, *compare.comparators]
        for left, operator, right in zip(operands, compare.ops, operands[1:], strict=False):
            on_left, on_right = _bound(left, bounds), _bound(right, bounds)
            if on_right is not None and on_left is None:
                yield on_right, type(operator)
            elif on_left is not None and on_right is None:
                yield on_left, _FLIPPED.get(type(operator), type(operator))


def _paddings(tree: ast.Module) -> dict[str, str]:
    """Tell of each function that is defined or imported here how what it gives compares."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            calls = {_called(call) for call in ast.walk(node) if isinstance(call, ast.Call)}
            found[node.name] = "padded" if calls & _PARSERS else "unpadded"
        elif isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(_PADDING_MODULES):
            found |= {alias.asname or alias.name: "padded" for alias in node.names}
    return found
