"""Which configurations and scripts the Python that is to run them cannot parse, by its own judgement."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmsetup.payload
from mmsetup.doctor.context import parsed as parsed_version
from mmsetup.doctor.project.places import is_file
from mmsetup.doctor.project.project import Module, Project
from mmsetup.errors import ProcessError, RequestError
from mmsetup.process import clean_environment, run
from mmsetup.project.evaluate import bases, readable
from mmsetup.project.files import Reading, printable
from mmsetup.project.syntax import parsed
from mmsetup.project.values import Value

__all__ = ["Fault", "faults", "python_of"]

_QUESTION = Path(next(iter(mmsetup.payload.__path__))) / "parse_files.py"
_SECONDS = 60.0
_LARGEST = 1 << 20
_SETS = re.compile(
    r"^(?:_base_[ \t]*=|(?:model|data|train_dataloader)[ \t]*=[ \t]*(?:dict\b|\{))", re.MULTILINE
)
# Statements of Python 2, and of what writes a configuration: such files are none themselves.
_OTHER = re.compile(r"^print[ \t]+[^\s(=]|\{%", re.MULTILINE)
_TEMPLATE = "{%"


@dataclass(frozen=True, slots=True)
class Fault:
    """What Python says of a file; ``line`` and ``column`` count from 1.

    ``path`` is as somebody would type it, ``shown`` as it stands in evidence; ``named_by`` is the place that
    names it as a base, or empty.
    """

    path: str
    shown: str
    line: int
    column: int
    message: str
    named_by: str = ""

    def __str__(self) -> str:
        named = f"  (_base_ in {self.named_by})" if self.named_by else ""
        return f"{self.shown}:{self.line}:{self.column}: {self.message}{named}"


@dataclass(frozen=True, slots=True)
class _Suspect:
    path: str
    shown: str
    named_by: str = ""


def faults(project: Project) -> tuple[Fault, ...]:
    """Give the configurations, and the file that was named alone, that cannot be parsed.

    The environment's Python is asked, as what is an error to one version is none to another. Where it does
    not answer, the Python that runs this is, and only if it is not older.
    """
    if "faults" not in project.kept:
        suspects = dict(_suspects(project))
        answers = _answers(project, list(suspects))
        project.kept["faults"] = tuple(
            Fault(one.path, one.shown, *answer, one.named_by)
            for one, answer in zip(suspects.values(), answers, strict=True)
            if answer is not None
        )
    found: tuple[Fault, ...] = project.kept["faults"]
    return found


def python_of(project: Project) -> str:
    """Give the Python that judges: that of the environment, else the one that runs this."""
    return (
        str(project.context.environment.interpreter.path) if project.context is not None else sys.executable
    )


def _suspects(project: Project) -> Iterator[tuple[Path, _Suspect]]:
    """Give the files whose syntax counts, by their place: configurations, their bases, a file alone."""
    found: dict[Path, _Suspect] = {}
    waiting: list[tuple[Path, Sequence[str], str]] = []
    for shown, module in _chosen(project):
        place = _place(project.root / shown) if project.path.is_dir() else _place(project.path)
        typed = str(project.path / shown) if project.path.is_dir() else str(project.path)
        found[place] = _Suspect(typed, shown)
        if module is not None:
            # Where another file is named as a base, the folder counts that the project is seen from.
            waiting.append((_place(project.root / shown), module.text.lines, shown))
    while waiting:
        place, lines, shown = waiting.pop()
        for named in _bases(lines, shown):
            base = _place(place.parent / named.text)
            if base in found or not is_file(base) or base.stat().st_size > _LARGEST:
                continue
            inside = base.is_relative_to(project.root)
            told = printable(base.relative_to(project.root) if inside else base)
            is_below = inside and project.path.is_dir()
            found[base] = _Suspect(str(project.path / told if is_below else base), told, str(named.place))
            with suppress(RequestError):
                waiting.extend((base, text.lines, told) for text in Reading(base).texts())
    yield from found.items()


def _chosen(project: Project) -> Iterator[tuple[str, Module | None]]:
    """Give the files that count by themselves, with what is in them where that is text."""
    is_folder = project.path.is_dir()
    for module in project.modules:
        if not is_folder or _is_configuration(project, module):
            yield module.text.path, module
    for path in project.binaries:
        if path.lower().endswith(".py") and (not is_folder or _lies_among_configurations(project, path)):
            yield path, None


def _is_configuration(project: Project, module: Module) -> bool:
    """Tell whether a file that need not be of any Python is meant as a configuration."""
    if module.is_test:
        return False
    if _lies_among_configurations(project, module.text.path):
        return _TEMPLATE not in module.source
    source = module.source
    return bool(project.is_config(module) and _SETS.search(source) and not _OTHER.search(source))


def _lies_among_configurations(project: Project, path: str) -> bool:
    # The folder that was named may be one of configurations, or lie in one: ``--project configs/mine``.
    typed = project.path.parent.parts if not project.path.is_absolute() else ()
    folders = (*typed, project.path.absolute().name, *path.lower().split("/")[:-1])
    return "configs" in folders


def _bases(lines: Sequence[str], shown: str) -> Iterator[Value]:
    tree = parsed(readable(lines, {})) if any("_base_" in line for line in lines) else None
    named = bases(tree, shown) if tree is not None else None
    for one in named.each() if named is not None else ():
        if one.text.endswith(".py") and "::" not in one.text:
            yield one


def _place(path: Path) -> Path:
    return Path(os.path.normpath(path.absolute()))


def _answers(project: Project, paths: Sequence[Path]) -> Sequence[tuple[int, int, str] | None]:
    if not paths:
        return ()
    own = Path(sys.executable)
    if project.context is None:
        return _asked(own, paths) or [None] * len(paths)
    target = project.context.environment.interpreter
    answered = _asked(target.path, paths)
    if answered is None:
        here, there = (parsed_version(one) for one in ("{}.{}".format(*sys.version_info), target.minor))
        answered = _asked(own, paths) if here is not None and there is not None and there <= here else None
    return answered or [None] * len(paths)


def _asked(python: Path, paths: Sequence[Path]) -> list[tuple[int, int, str] | None] | None:
    """Ask a Python; nothing where it does not answer."""
    try:
        done = run(
            [python, "-I", "-S", _QUESTION],
            env=clean_environment(),
            stdin=json.dumps([str(path) for path in paths]),
            timeout=_SECONDS,
        )
        told: Any = json.loads(done.stdout)
    except (ProcessError, ValueError):
        return None
    if not isinstance(told, list) or len(told) != len(paths):
        return None
    return [(int(one[0]), int(one[1]), str(one[2])) if one else None for one in told]
