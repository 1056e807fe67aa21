"""What a project declares: requirements files, setup.py, setup.cfg, pyproject.toml, environment.yml."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from mmsetup.project.asked import Asked, of_address, of_conda, of_requirement
from mmsetup.project.commands import joined
from mmsetup.project.model import Text
from mmsetup.project.rules import Rules
from mmsetup.project.syntax import nodes, parsed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["declared", "is_aside"]

# What is only needed to test, document or extend a project is no requirement of it.
_ASIDE = re.compile(r"test|optional|docs|dev|lint|multimodal|tracking")

_COMMENT = re.compile(r"(^|\s)#.*$")
_ITEM = re.compile(r"(\s*)-\s+(.*)")
_OPTION = re.compile(r"(\w[\w.-]*)\s*[=:]\s*(.*)")
_QUOTED = re.compile(r"\"([^\"\n]{1,300})\"|'([^'\n]{1,300})'")
_LONGEST = 5000
_LISTS = ("dependencies", "requires", "install_requires", "tests_require")


def declared(text: Text, rules: Rules) -> Iterator[tuple[int, Asked]]:
    """Give what the file asks for and in which line, counted from 1; nothing for files of other kinds."""
    name = text.name
    if name == "setup.py":
        yield from _setup_py(text, rules)
    elif name == "setup.cfg":
        yield from _setup_cfg(text, rules)
    elif name == "pyproject.toml":
        yield from _pyproject(text, rules)
    elif name.endswith((".yml", ".yaml")):
        yield from _conda(text, rules)
    elif name.endswith((".txt", ".in")):
        yield from _requirements(text, rules)


def is_aside(name: str) -> bool:
    """Tell whether a requirements file or an extra of this name is for developers of the project."""
    return _ASIDE.search(name) is not None


def _requirements(text: Text, rules: Rules) -> Iterator[tuple[int, Asked]]:
    for start, _, whole in joined(text.lines):
        yield from ((start + 1, asked) for asked in _pip_line(whole, rules))


def _pip_line(line: str, rules: Rules) -> Iterator[Asked]:
    line = _COMMENT.sub("", line).strip()
    if line.startswith("-"):
        # -f, --find-links, --extra-index-url, -e: the address tells.
        for word in re.split(r"[\s=]+", line, maxsplit=1)[1:]:
            if "://" in word:
                yield from of_address(word.strip(), rules)
        return
    yield from of_requirement(re.split(r"\s--?\w", line, maxsplit=1)[0], rules)


def _conda(text: Text, rules: Rules) -> Iterator[tuple[int, Asked]]:
    pip: int | None = None
    for number, line in enumerate(text.lines, 1):
        item = _ITEM.fullmatch(_COMMENT.sub("", line).rstrip())
        if item is None:
            continue
        indent, words = len(item[1]), item[2].strip().strip("\"'")
        if pip is not None and indent <= pip:
            pip = None
        if words.rstrip() == "pip:":
            pip = indent
            continue
        found = of_conda(words, rules) if pip is None else _pip_line(words, rules)
        yield from ((number, asked) for asked in found)


def _setup_py(text: Text, rules: Rules) -> Iterator[tuple[int, Asked]]:
    tree = parsed(text.lines)
    if tree is None:
        return
    for node, _ in nodes(tree):
        if not isinstance(node, ast.keyword) or node.arg is None:
            continue
        if node.arg == "python_requires":
            for value in _texts(node.value):
                yield from ((value.lineno, asked) for asked in _python(str(value.value), rules))
        elif node.arg.endswith(("_requires", "_require")):
            for value in _texts(node.value):
                for asked in of_requirement(str(value.value), rules):
                    yield value.lineno, asked


def _texts(node: ast.expr) -> Iterator[ast.Constant]:
    for inner, _ in nodes(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            yield inner


def _setup_cfg(text: Text, rules: Rules) -> Iterator[tuple[int, Asked]]:
    wanted = False
    for number, line in enumerate(text.lines, 1):
        if line.startswith("["):
            wanted = "extras_require" in line
            continue
        option = _OPTION.match(line)
        if option is not None and not line[:1].isspace():
            if option[1] == "python_requires":
                yield from ((number, asked) for asked in _python(option[2], rules))
            if not wanted or option[1] in _LISTS:
                wanted = option[1] in _LISTS
            line = option[2]  # noqa: PLW2901 - what stands behind the name of the option is read on
        if wanted:
            yield from ((number, asked) for asked in of_requirement(line, rules))


def _pyproject(text: Text, rules: Rules) -> Iterator[tuple[int, Asked]]:
    document = _document(text)
    if document is None:
        yield from _quoted(text, rules)
        return
    project = _table(document, "project")
    poetry = _table(_table(document, "tool"), "poetry")
    for words in _requires(project, document, poetry):
        found = _python(words, rules) if words[:1] in "<>=~!" else of_requirement(words, rules)
        for asked in found:
            yield _line_with(words.partition(" ")[0], text), asked


def _document(text: Text) -> Mapping[str, Any] | None:
    # The time and memory that a dotted key takes grow with the square of its dots.
    if any(len(line) > _LONGEST for line in text.lines):
        return None
    try:
        return tomllib.loads("\n".join(text.lines))
    except (ValueError, RecursionError):
        return None


def _requires(
    project: Mapping[str, Any], document: Mapping[str, Any], poetry: Mapping[str, Any]
) -> Iterator[str]:
    # A distribution's own name tells its family as well as a dependency does.
    lists: list[Any] = [[project.get("name")], [project.get("requires-python")], project.get("dependencies")]
    for extras in (_table(project, "optional-dependencies"), _table(document, "dependency-groups")):
        lists.extend(found for name, found in extras.items() if not is_aside(name))
    for found in lists:
        if isinstance(found, list):
            yield from (words for words in found if isinstance(words, str) and words)
    for name, value in _table(poetry, "dependencies").items():
        version = value.get("version") if isinstance(value, dict) else value
        if isinstance(version, str):
            free = version if version[:1] in "^<>=~!" else f"=={version}"
            yield name if version == "*" else f"{name} {free}"


def _table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}


def _quoted(text: Text, rules: Rules) -> Iterator[tuple[int, Asked]]:
    for number, line in enumerate(text.lines, 1):
        for match in _QUOTED.finditer(line):
            for asked in of_requirement(match[1] or match[2], rules):
                if asked.specifier:
                    yield number, asked


def _line_with(words: str, text: Text) -> int:
    return next((number for number, line in enumerate(text.lines, 1) if words in line), 1)


def _python(words: str, rules: Rules) -> Iterator[Asked]:
    try:
        yield Asked(rules.distributions["python"], SpecifierSet(words.strip().strip("\"'")))
    except InvalidSpecifier:
        return
