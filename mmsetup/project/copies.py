"""Copies of the stack's packages inside a project, and the ranges that packages check when imported."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from mmsetup.catalog.gate_reader import gates_in
from mmsetup.catalog.model import Gate
from mmsetup.project.model import Asserted, Clue, Evidence, Text
from mmsetup.project.rules import Distribution, Rules

__all__ = ["read_copy"]

_NUMBERS = 3


def read_copy(text: Text, tree: ast.Module, rules: Rules) -> Evidence:
    """Tell what the version of a copy, and the range of mmcv that a package asserts, say.

    Source: ``mmseg/version.py`` holds ``__version__``; ``mmseg/__init__.py`` holds ``MMCV_MIN`` or
    ``mmcv_minimum_version``, ``MMCV_MAX`` or ``mmcv_maximum_version``, and the comparison with them.
    """
    folder = text.path.split("/")[-2] if "/" in text.path else ""
    if text.name == "version.py" and folder in rules.modules:
        return _copy(text, tree, folder, rules)
    if text.name == "__init__.py":
        return Evidence(clues=tuple(_gates(text, tree, rules)), asserted=tuple(_asserted(text, tree, rules)))
    return Evidence()


def _copy(text: Text, tree: ast.Module, module: str, rules: Rules) -> Evidence:
    # Of the distributions with this module, the one that both generations have tells them apart.
    having = [found for found in rules.distributions.values() if found.module == module]
    found = next((found for found in having if found.second), having[0])
    for name, value, line in _constants(tree):
        if name == "__version__":
            family = _family(found, value)
            clues = [text.clue(family, line, f"the copy of {module} here is {value}")] if family else []
            return Evidence(clues=tuple(clues), copies={module: value})
    return Evidence(copies={module: ""})


def _gates(text: Text, tree: ast.Module, rules: Rules) -> Iterator[Clue]:
    for name, value, line in _constants(tree):
        if name in rules.gates:
            found = rules.gates[name]
            family = _family(found, value)
            if family:
                yield text.clue(family, line, f"this package asserts {found.name} >= {value} when imported")


def _asserted(text: Text, tree: ast.Module, rules: Rules) -> Iterator[Asserted]:
    if not any(name in rules.gates for name, _, _ in _constants(tree)):
        return
    try:
        # The project's code may hold escapes that newer Pythons warn of.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gates = gates_in("\n".join(text.lines), "", "", source=text.path)
    except ValueError:
        # What compares in a way that is not known asks for nothing.
        return
    for gate in gates:
        if gate.on in rules.modules:
            yield Asserted(gate.on, _range(gate))


def _range(gate: Gate) -> str:
    if not gate.maximum:
        return f">={gate.minimum}"
    # Lists of numbers that are not filled up: a maximum of 1.4 refuses 1.4.0, which releases are called.
    short = gate.comparison == "unpadded" and len(Version(gate.maximum).release) < _NUMBERS
    inclusive = gate.maximum_inclusive and not short
    return f">={gate.minimum},{'<=' if inclusive else '<'}{gate.maximum}"


def _family(found: Distribution, value: str) -> str:
    try:
        return found.family_of(SpecifierSet(f"=={Version(value)}"))[0]
    except ValueError:
        # Besides what is no version: one with a number of thousands of digits.
        return ""


def _constants(tree: ast.Module) -> Iterator[tuple[str, str, int]]:
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
            for target in statement.targets:
                if isinstance(target, ast.Name) and isinstance(statement.value.value, str):
                    yield target.id, statement.value.value, statement.lineno
