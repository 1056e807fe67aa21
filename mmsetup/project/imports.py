"""What a module imports from the stack, and which names it takes from it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mmsetup.project.model import Clue, Evidence, Text
from mmsetup.project.rules import Rules
from mmsetup.project.syntax import Walk, chain

__all__ = ["Use", "read_imports", "read_imports_by_line", "uses", "uses_by_line"]

_IMPORT = re.compile(r"^\s*(?:>>>\s*)?import\s+([\w.]+(?:\s*,\s*[\w.]+)*)")
_FROM = re.compile(r"^\s*(?:>>>\s*)?from\s+([\w.]+)\s+import\s+\(?\s*([\w, ]*)")


_TESTS = frozenset({"test", "tests"})


@dataclass(frozen=True, slots=True)
class Use:
    """A dotted name at a line; ``guarded``: the code itself sees to it that it is missing."""

    name: str
    line: int
    guarded: bool


def read_imports(text: Text, walk: Walk, rules: Rules) -> Evidence:
    """Tell what the names that a module takes from the stack say."""
    return _evidence(text, uses(walk), rules)


def read_imports_by_line(text: Text, rules: Rules) -> Evidence:
    """Do the same with the lines alone, for what is not of this Python."""
    return _evidence(text, uses_by_line(text.lines), rules)


def _evidence(text: Text, found: Iterator[Use], rules: Rules) -> Evidence:
    modules, known = rules.modules, rules.packages
    is_test = not _TESTS.isdisjoint(text.folders)
    clues: dict[str, Clue] = {}
    wanted: set[str] = set()
    optional: set[str] = set()
    for use in found:
        top = use.name.partition(".")[0]
        if top not in modules:
            continue
        if top in known:
            (optional if use.guarded or is_test else wanted).add(top)
        rule = rules.of_name(use.name)
        if rule is None:
            continue
        # A project that sees to it itself may be made for both generations.
        strong = rule.strong and not use.guarded
        before = clues.get(rule.name)
        if before is None or (strong and not before.strong):
            clues[rule.name] = text.clue(rule.family, use.line, rule.meaning, strong=strong)
    return Evidence(
        clues=tuple(clues.values()),
        packages=frozenset(wanted),
        optional=frozenset(optional - wanted),
    )


def uses(walk: Walk) -> Iterator[Use]:
    """Give every dotted name that a module imports, or takes from what it imports."""
    bound: dict[str, tuple[str, bool]] = {}
    chains: list[tuple[str, int, bool]] = []
    for node, guarded in walk:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Use(alias.name, node.lineno, guarded)
                top = alias.name.partition(".")[0]
                bound[alias.asname or top] = (alias.name if alias.asname else top, guarded)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield Use(full, alias.lineno, guarded)
                bound[alias.asname or alias.name] = (full, guarded)
        elif isinstance(node, ast.Attribute):
            chains.append((chain(node), node.lineno, guarded))
    for dotted, line, guarded in chains:
        first, _, rest = dotted.partition(".")
        if rest and first in bound:
            # Where the code chose what the name stands for, it is of what it chose.
            full, is_chosen = bound[first]
            yield Use(f"{full}.{rest}", line, guarded or is_chosen)


def uses_by_line(lines: tuple[str, ...]) -> Iterator[Use]:
    """Do the same with the lines alone."""
    for number, line in enumerate(lines, 1):
        whole = _IMPORT.match(line)
        if whole is not None:
            for name in whole[1].split(","):
                yield Use(name.strip(), number, guarded=False)
        part = _FROM.match(line)
        if part is not None:
            # A list that goes on in the next line leaves the module alone to be told.
            for name in part[2].split(",") if part[2].strip() else [""]:
                taken = name.split()
                yield Use(".".join((part[1], *taken[:1])), number, guarded=False)
