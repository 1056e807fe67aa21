"""What the keys of a configuration file say: files of assignments that runners read."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mmsetup.project.model import Clue, Evidence, Text
from mmsetup.project.rules import KeyRule, Rule, Rules
from mmsetup.project.syntax import Walk, dict_of

__all__ = ["read_config"]


def read_config(text: Text, tree: ast.Module, walk: Walk, rules: Rules) -> Evidence:
    """Tell what the assignments at the top of a module, and the dicts in it, say."""
    clues: dict[str, Clue] = {}
    named: set[str] = set()
    for rule, line in (*_top(tree, rules), *_inner(walk, rules, named)):
        clues.setdefault(rule.name, text.clue(rule.family, line, rule.meaning, strong=rule.strong))
    return Evidence(clues=tuple(clues.values()), named=frozenset(named))


def _top(tree: ast.Module, rules: Rules) -> Iterator[tuple[Rule, int]]:
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                if isinstance(target, ast.Name):
                    for found in rules.keys.get(target.id, ()):
                        if _fits(found, statement.value):
                            yield found.rule, statement.lineno


def _fits(found: KeyRule, value: ast.expr) -> bool:
    held = dict_of(value)
    if found.value == "any":
        return isinstance(value, (ast.Constant, ast.List))
    if found.value == "list":
        return isinstance(value, (ast.List, ast.Tuple)) or held is not None
    if found.value == "text":
        return isinstance(value, ast.Constant) and isinstance(value.value, str)
    if found.value == "number":
        return isinstance(value, ast.Constant) and isinstance(value.value, int)
    if held is None or (found.holds and not found.holds & held.keys()):
        return False
    return found.type in _type(held)


def _inner(walk: Walk, rules: Rules, named: set[str]) -> Iterator[tuple[Rule, int]]:
    for node, _ in walk:
        held = dict_of(node)
        if not held or not isinstance(node, ast.expr):
            continue
        scope, _, name = _type(held).rpartition(".")
        if scope in rules.packages:
            named.add(scope)
        if name in rules.types:
            yield rules.types[name], held["type"].lineno
        for key in held.keys() & rules.inner_keys.keys():
            yield rules.inner_keys[key], held[key].lineno
        if "imports" in held:
            named.update(_tops(held["imports"]) & rules.packages)


def _type(held: dict[str, ast.expr]) -> str:
    kind = held.get("type")
    if isinstance(kind, ast.Constant) and isinstance(kind.value, str):
        return kind.value
    # The newer style of configuration names the class itself.
    return kind.id if isinstance(kind, ast.Name) else ""


def _tops(node: ast.expr) -> set[str]:
    elements = node.elts if isinstance(node, (ast.List, ast.Tuple)) else [node]
    return {
        element.value.partition(".")[0]
        for element in elements
        if isinstance(element, ast.Constant) and isinstance(element.value, str)
    }
