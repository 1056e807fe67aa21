"""Where the environment's interpreter would look for a module, in its own order, told without starting it.

Sources: ``site`` and ``sys.path`` in Python's documentation; for editable installs the files that setuptools
writes (``__editable___NAME_finder.py`` with a ``MAPPING``).
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmsetup.probe.machine import Environment

__all__ = [
    "CURRENT",
    "USER_SITE",
    "VARIABLE",
    "Place",
    "before",
    "beside",
    "found_in",
    "text_of",
    "user_site",
]

CURRENT = "the current folder"
VARIABLE = "PYTHONPATH"
USER_SITE = "the user's site-packages"
_LARGEST_TEXT = 1 << 20
_SUFFIX = re.compile(r"\.(?:[\w-]+\.)?so")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that is searched before site-packages, and what puts it there."""

    folder: Path
    source: str


def before(environment: Environment, variables: Mapping[str, str], current: Path | None) -> Iterator[Place]:
    """Give the folders that come before site-packages when Python is started in ``current`` with -c or -m.

    ``variables`` are those of the shell. Python 3.11 and newer leave the current folder out where
    ``PYTHONSAFEPATH`` is set. What is the environment's own anyway is left out.
    """
    seen = {_real(folder) for folder in environment.site_packages}
    for place in _before(environment, variables, current):
        if (real := _real(place.folder)) not in seen and place.folder.is_dir():
            seen.add(real)
            yield place


def _before(environment: Environment, variables: Mapping[str, str], current: Path | None) -> Iterator[Place]:
    if current is not None and not variables.get("PYTHONSAFEPATH"):
        yield Place(current, CURRENT)
    for part in variables.get("PYTHONPATH", "").split(os.pathsep):
        if part:
            yield Place(Path(part) if current is None else current / part, VARIABLE)
    if folder := user_site(environment, variables):
        yield Place(folder, USER_SITE)


def user_site(environment: Environment, variables: Mapping[str, str]) -> Path | None:
    """Give the user's own site-packages, where the interpreter looks into it."""
    closed = environment.is_virtual and not environment.sees_system_packages
    if closed or variables.get("PYTHONNOUSERSITE"):
        return None
    home = variables.get("HOME", "")
    base = variables.get("PYTHONUSERBASE") or (f"{home}/.local" if home else "")
    interpreter = environment.interpreter
    version = interpreter.minor + ("t" if interpreter.free_threaded else "")
    return Path(base) / "lib" / f"python{version}" / "site-packages" if base else None


def found_in(folder: Path, names: Iterable[str]) -> Mapping[str, Path]:
    """Give the modules of ``names`` that a folder holds: the folder of a package, or a file.

    A folder without ``__init__.py`` gives way to a package of that name further down the path.
    """
    wanted = frozenset(names)
    try:
        present = sorted(os.listdir(folder))  # noqa: PTH208 (names alone)
    except OSError:
        return {}
    found: dict[str, Path] = {}
    for entry in present:
        name, _, rest = entry.partition(".")
        if name not in wanted:
            continue
        path = folder / entry
        if not rest and (path / "__init__.py").is_file():
            found[name] = path
        elif rest == "py" or _SUFFIX.fullmatch(f".{rest}"):
            found.setdefault(name, path)
    return found


def beside(environment: Environment) -> Mapping[str, Path]:
    """Give what the ``.pth`` files let in: modules that an editable install maps, and folders under no name.

    The key of a folder is the folder itself; what a finder maps is under the module's name.
    """
    found: dict[str, Path] = {}
    for path in environment.path_files:
        for line in text_of(path).splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            if not line.startswith(("import ", "import\t")):
                folder = path.parent / line.strip()
                found.setdefault(str(folder), folder)
                continue
            for name in re.findall(r"\b__editable__\w+_finder\b", line):
                found |= _mapped(path.parent / f"{name}.py")
    return found


def _mapped(finder: Path) -> Mapping[str, Path]:
    """Read ``MAPPING`` of a finder of setuptools."""
    try:
        statements = ast.parse(text_of(finder)).body
    except (SyntaxError, ValueError, RecursionError):
        return {}
    for statement in statements:
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        elif isinstance(statement, ast.Assign):
            targets = [one for one in statement.targets if isinstance(one, ast.Name)]
        else:
            continue
        named = {one.id for one in targets if isinstance(one, ast.Name)}
        if "MAPPING" in named and statement.value is not None:
            try:
                mapping = ast.literal_eval(statement.value)
            except ValueError:
                return {}
            pairs = mapping.items() if isinstance(mapping, dict) else ()
            return {str(name): Path(str(place)) for name, place in pairs}
    return {}


def text_of(path: Path) -> str:
    """Give the text of a file; none where it is no file (a named pipe would never end)."""
    try:
        if not path.is_file():
            return ""
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_LARGEST_TEXT)
    except (OSError, ValueError):
        return ""


def _real(folder: Path) -> Path:
    try:
        return folder.resolve()
    except (OSError, RuntimeError):
        return folder
