"""Versions as packages say them, in metadata or in their own files, without importing anything."""

from __future__ import annotations

import ast
from pathlib import Path

from packaging.version import InvalidVersion, Version

__all__ = ["literal_version", "parsed"]


def parsed(version: str) -> Version | None:
    """Parse a version; one that is none is nothing."""
    try:
        return Version(version)
    except InvalidVersion:
        return None


def literal_version(package: Path) -> Version | None:
    """Give the version that the files of a package say it has; nothing where none does literally."""
    for path in (package / "version.py", package / "__init__.py"):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
        except (OSError, SyntaxError, ValueError, RecursionError):
            continue
        for statement in tree.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
                names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
                if "__version__" in names and isinstance(statement.value.value, str):
                    return parsed(statement.value.value)
    return None
