"""Tell what the assignments of a configuration give, without running them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence

from mmsetup.project.values import UNKNOWN, Place, Scalar, Value

__all__ = ["BASE", "bases", "evaluated", "readable"]

BASE = "_base_"
_STAND_IN = "_mmsetup_base_"
_OF_BASE = re.compile(r"\{\{\s*_base_\.([\w.]+)\s*\}\}")
_TEMPLATE = re.compile(r"\{\{.{0,200}?\}\}")
_MOST = 20_000
_LONGEST = 10_000
# A name that is put together with itself again and again doubles each time: no configuration means that.
_LONGEST_TEXT = 100_000
_LARGEST_NUMBER = 1 << 64


def readable(lines: Sequence[str], predefined: Mapping[str, str]) -> tuple[str, ...]:
    """Replace what is no Python: ``{{_base_.x}}``, and ``{{fileDirname}}`` by what ``predefined`` says.

    The lines keep their numbers.
    """
    found = []
    for line in lines:
        if "{{" in line:
            line = _OF_BASE.sub(rf"{_STAND_IN}.\1", line)  # noqa: PLW2901 (the same line, readable)
            for name, value in predefined.items():
                line = value.join(re.split(rf"\{{\{{\s*{name}\s*\}}\}}", line))  # noqa: PLW2901
        found.append(line)
    return tuple(found)


def bases(tree: ast.Module, path: str) -> Value | None:
    """Give what a configuration says that it inherits from; nothing where it says nothing."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            names = {target.id for target in statement.targets if isinstance(target, ast.Name)}
            if BASE in names:
                try:
                    return _Evaluation(path, {}).value(statement.value)
                except RecursionError:
                    return None
    return None


def evaluated(tree: ast.Module, path: str, base: dict[str, Value]) -> dict[str, Value] | None:
    """Give what the module-level names of a configuration hold in the end; nothing where that goes too deep.

    ``base`` is what ``_base_`` stands for; what the configuration deletes or changes in it is deleted or
    unknown afterwards. What only running would tell is :data:`~mmsetup.project.values.UNKNOWN`.
    """
    evaluation = _Evaluation(path, base)
    try:
        evaluation.run(tree)
    except RecursionError:
        return None
    return {name: value for name, value in evaluation.names.items() if name != BASE}


class _Evaluation:
    def __init__(self, path: str, base: dict[str, Value]) -> None:
        self._path = path
        self._base = base
        self._made = 0
        self.names: dict[str, Value] = {}

    def run(self, tree: ast.Module) -> None:
        for statement in tree.body:
            self._statement(statement)

    def _statement(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Assign):
            value = self.value(statement.value)
            for target in statement.targets:
                self._assign(target, value)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            self._assign(statement.target, self.value(statement.value))
        elif isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
            before = self.names.get(statement.target.id)
            after = self.value(statement.value)
            self.names[statement.target.id] = (
                self._joined(before, after, statement.op, statement)
                if before is not None
                else self._unknown(statement)
            )
        elif not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
            self._lose(statement)

    def _assign(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self.names[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            parts = value.elements
            for number, inner in enumerate(target.elts):
                whole = len(parts) == len(target.elts)
                self._assign(inner, parts[number] if whole else Value(UNKNOWN, value.place))
        elif not self._set(target, value):
            self._lose(target)

    def _set(self, target: ast.expr, value: Value) -> bool:
        """Follow ``name['a']['b'] = value``; tell whether that could be done."""
        keys: list[str] = []
        while isinstance(target, ast.Subscript):
            key = self.value(target.slice).held
            if not isinstance(key, str):
                return False
            keys.append(key)
            target = target.value
        before = self.names.get(target.id) if isinstance(target, ast.Name) else None
        if before is None or not isinstance(target, ast.Name):
            return False
        after = _with(before, list(reversed(keys)), value)
        if after is None:
            return False
        self._forget_base(before)
        self.names[target.id] = after
        return True

    def _lose(self, node: ast.AST) -> None:
        """Forget what a statement may change that is not followed: loops, calls of methods, del."""
        for inner in ast.walk(node):
            if isinstance(inner, ast.Attribute) and _is_base(inner.value) and inner.attr in self._base:
                if isinstance(inner.ctx, ast.Del):
                    del self._base[inner.attr]
                else:
                    self._base[inner.attr] = self._unknown(inner)
            elif isinstance(inner, ast.Name) and not _is_base(inner):
                stored = isinstance(inner.ctx, ast.Store)
                before = self.names.get(inner.id)
                if before is not None:
                    self._forget_base(before)
                if before is not None or stored:
                    self.names[inner.id] = self._unknown(inner)

    def _forget_base(self, value: Value) -> None:
        """Forget what of the base is the same object: to change one is to change the other."""
        for name, held in self._base.items():
            if held is value:
                self._base[name] = Value(UNKNOWN, held.place)

    def value(self, node: ast.expr) -> Value:  # noqa: C901, PLR0911 (one branch a kind of expression)
        self._made += 1
        if self._made > _MOST:
            return self._unknown(node)
        if isinstance(node, ast.Constant):
            return self._scalar(node.value, node)
        if isinstance(node, (ast.List, ast.Tuple)):
            if any(isinstance(inner, ast.Starred) for inner in node.elts):
                return self._unknown(node)
            return Value(tuple(map(self.value, node.elts)), self._place(node))
        if isinstance(node, ast.Dict) or _is_dict_call(node):
            return self._dict(node)
        if isinstance(node, ast.Name):
            return self._named(node)
        if isinstance(node, ast.Attribute):
            whole = Value(self._base, self._place(node))
            inside = self.value(node.value) if not _is_base(node.value) else whole
            return self._field(inside, node.attr, node)
        if isinstance(node, ast.Subscript):
            return self._subscript(node)
        if isinstance(node, ast.BinOp):
            return self._joined(self.value(node.left), self.value(node.right), node.op, node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            held = self.value(node.operand).held
            return self._scalar(-held if isinstance(held, (int, float)) else UNKNOWN, node)
        if isinstance(node, ast.JoinedStr):
            return self._formatted(node)
        return self._unknown(node)

    def _named(self, node: ast.Name) -> Value:
        if node.id in {BASE, _STAND_IN}:
            return Value(self._base, self._place(node))
        found = self.names.get(node.id)
        # The place is that of the assignment: there the value can be changed.
        return found if found is not None else self._unknown(node)

    def _dict(self, node: ast.expr) -> Value:
        held: dict[str, Value] = {}
        partial = False
        pairs: Iterator[tuple[ast.expr | str | None, ast.expr]]
        if isinstance(node, ast.Call):
            if node.args:
                return self._unknown(node)
            pairs = ((keyword.arg, keyword.value) for keyword in node.keywords)
        elif isinstance(node, ast.Dict):
            pairs = iter(zip(node.keys, node.values, strict=True))
        else:
            return self._unknown(node)
        for key, value in pairs:
            if key is None:
                spread = self.value(value)
                held.update(spread.fields)
                partial = partial or not isinstance(spread.held, dict) or spread.is_partial
                continue
            name = key if isinstance(key, str) else self.value(key).held
            if isinstance(name, (str, int)):
                held[str(name)] = self.value(value)
            else:
                partial = True
        return Value(held, self._place(node), partial)

    def _subscript(self, node: ast.Subscript) -> Value:
        inside, key = self.value(node.value), self.value(node.slice).held
        if isinstance(key, str):
            return self._field(inside, key, node)
        if isinstance(key, int) and -len(inside.elements) <= key < len(inside.elements):
            return inside.elements[key]
        return self._unknown(node)

    def _field(self, inside: Value, key: str, node: ast.expr) -> Value:
        found = inside.fields.get(key)
        return found if found is not None else self._unknown(node)

    def _joined(self, left: Value, right: Value, operator: ast.operator, node: ast.AST) -> Value:
        a, b = left.held, right.held
        if isinstance(operator, ast.Add) and isinstance(a, tuple) and isinstance(b, tuple):
            fits = len(a) + len(b) <= _LONGEST
            return Value((*a, *b) if fits else UNKNOWN, left.place, left.is_partial or right.is_partial)
        if isinstance(operator, ast.Add) and isinstance(a, str) and isinstance(b, str):
            return self._scalar(a + b, node)
        if isinstance(operator, ast.Mult) and isinstance(a, tuple) and isinstance(b, int):
            fits = len(a) * b <= _LONGEST
            return Value(a * b if fits else UNKNOWN, left.place)
        if isinstance(a, (int, float)) and isinstance(b, (int, float)):
            return self._scalar(_computed(a, b, operator), node)
        return self._unknown(node)

    def _formatted(self, node: ast.JoinedStr) -> Value:
        words = []
        length = 0
        for part in node.values:
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            plain = not isinstance(part, ast.FormattedValue) or (
                part.conversion == -1 and part.format_spec is None
            )
            held = self.value(inner).held
            if not plain or not isinstance(held, (str, int, float)):
                return self._unknown(node)
            words.append(str(held))
            length += len(words[-1])
            if length > _LONGEST_TEXT:
                return self._unknown(node)
        return self._scalar("".join(words), node)

    def _scalar(self, held: object, node: ast.AST) -> Value:
        known = held is None or isinstance(held, (str, int, float))
        if isinstance(held, str) and (len(held) > _LONGEST_TEXT or _TEMPLATE.search(held)):
            known = False
        if isinstance(held, int) and abs(held) > _LARGEST_NUMBER:
            known = False
        scalar: Scalar = held if known else None  # type: ignore[assignment]
        return Value(scalar if known else UNKNOWN, self._place(node))

    def _unknown(self, node: ast.AST) -> Value:
        return Value(UNKNOWN, self._place(node))

    def _place(self, node: ast.AST) -> Place:
        return Place(self._path, getattr(node, "lineno", 1))


def _is_dict_call(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict"


def _is_base(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in {BASE, _STAND_IN}


def _computed(a: float, b: float, operator: ast.operator) -> object:
    if isinstance(operator, ast.Add):
        return a + b
    if isinstance(operator, ast.Sub):
        return a - b
    if isinstance(operator, ast.Mult):
        return a * b
    if isinstance(operator, ast.FloorDiv) and b:
        return a // b
    if isinstance(operator, ast.Div) and b:
        return a / b
    return UNKNOWN


def _with(before: Value, keys: Sequence[str], value: Value) -> Value | None:
    if not keys:
        return value
    if not isinstance(before.held, dict):
        return None
    inner = before.held.get(keys[0])
    after = _with(inner, keys[1:], value) if inner is not None else value if len(keys) == 1 else None
    if after is None:
        return None
    return Value({**before.held, keys[0]: after}, before.place, before.is_partial)
