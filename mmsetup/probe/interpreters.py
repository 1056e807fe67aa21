"""The Python interpreters of the machine, each once, by its real executable.

An interpreter is asked in a child process of its own, without site-packages; the answer is remembered for as
long as the executable stays the same.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmsetup.payload
from mmsetup.errors import ProcessError
from mmsetup.probe import remembered
from mmsetup.probe.host import Host
from mmsetup.probe.machine import Interpreter
from mmsetup.process import clean_environment, run_together

__all__ = ["Described", "Found", "describe", "find", "read"]

_SECONDS = 10.0
_FORM = 2
_NAME = re.compile(r"python(\.exe)?" if os.name == "nt" else r"python3(\.\d+t?)?")
_QUESTION = Path(next(iter(mmsetup.payload.__path__))) / "describe_interpreter.py"


@dataclass(frozen=True, slots=True)
class Found:
    """A file that looks like an interpreter, and where it was found: ``PATH``, ``pyenv`` or ``uv``."""

    path: Path
    source: str


@dataclass(frozen=True, slots=True)
class Described:
    """An interpreter and the folders in which its own packages lie."""

    interpreter: Interpreter
    site_packages: tuple[Path, ...]


def read(host: Host) -> tuple[tuple[Interpreter, ...], tuple[str, ...]]:
    """List the interpreters, newest version first, and notes on those that do not work."""
    interpreters: dict[Path, Interpreter] = {}
    notes = []
    for answer in describe(find(host)):
        if isinstance(answer, str):
            notes.append(answer)
        else:
            interpreters.setdefault(answer.interpreter.path, answer.interpreter)
    return tuple(sorted(interpreters.values(), key=_newest_first)), tuple(notes)


def find(host: Host) -> Iterator[Found]:
    """Give every interpreter file, without those that lead to one that was given before.

    Shims (scripts in a folder ``shims`` that start whatever a version manager has chosen) are left out: what
    they stand for lies in the manager's own folder.
    """
    seen = set()
    for found in _files(host):
        real = found.path.resolve()
        if real not in seen and os.access(real, os.X_OK) and not real.is_dir():
            seen.add(real)
            yield Found(found.path if _is_script(real) else real, found.source)


def describe(found: Iterable[Found]) -> list[Described | str]:
    """Describe interpreters, asked side by side; for one that does not work, say why instead."""
    candidates = list(found)
    keys = [_key(candidate.path) for candidate in candidates]
    answers = [remembered.recall(key) if key else None for key in keys]
    unknown = [number for number, answer in enumerate(answers) if answer is None or not _is_answer(answer)]
    told = run_together(
        [(candidates[number].path, "-I", "-S", _QUESTION) for number in unknown],
        env=clean_environment(),
        timeout=_SECONDS,
    )
    described: list[Described | str] = [
        _described(candidate, answer) if answer is not None and _is_answer(answer) else ""
        for candidate, answer in zip(candidates, answers, strict=True)
    ]
    for number, outcome in zip(unknown, told, strict=True):
        candidate, key = candidates[number], keys[number]
        answer = None if isinstance(outcome, ProcessError) else _parsed(outcome.stdout)
        if answer is None:
            why = _reason(outcome) if isinstance(outcome, ProcessError) else "it answers with something else"
            described[number] = f"{candidate.path} is no working interpreter: {why}"
        else:
            if key:
                remembered.remember(key, dict(answer))
            described[number] = _described(candidate, answer)
    return described


def _files(host: Host) -> Iterator[Found]:
    for folder in host.search_path():
        if folder.name != "shims":
            yield from (Found(path, "PATH") for path in _named(folder))
    pyenv = Path(host.environ.get("PYENV_ROOT") or host.home() / ".pyenv")
    for version in _listed(pyenv / "versions"):
        yield from (Found(path, "pyenv") for path in _named(version / "bin"))
    data = Path(host.environ.get("XDG_DATA_HOME") or host.home() / ".local" / "share")
    managed = Path(host.environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")
    for version in _listed(managed):
        yield from (Found(path, "uv") for path in (*_named(version / "bin"), *_named(version)))


def _named(folder: Path) -> Iterator[Path]:
    return (path for path in _listed(folder) if _NAME.fullmatch(path.name))


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False


def _key(path: Path) -> remembered.Key | None:
    try:
        return remembered.key("interpreters", _FORM, [path])
    except OSError:
        return None


def _parsed(text: str) -> Mapping[str, Any] | None:
    try:
        answer = json.loads(text)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and _is_answer(answer) else None


def _is_answer(answer: Mapping[str, Any]) -> bool:
    texts = ("executable", "version", "implementation", "platform", "prefix")
    lists = ("include", "site_packages")
    return (
        all(isinstance(answer.get(name), str) for name in texts)
        and all(isinstance(answer.get(name), list) for name in lists)
        and isinstance(answer.get("free_threaded"), bool)
    )


def _described(found: Found, answer: Mapping[str, Any]) -> Described:
    """Join an answer with what changes while the executable stays the same: headers come and go alone."""
    path = Path(answer["executable"]).resolve() if _is_script(found.path) else found.path
    interpreter = Interpreter(
        path=path,
        version=answer["version"],
        implementation=answer["implementation"],
        platform=answer["platform"],
        source=found.source,
        has_headers=any((Path(folder) / "Python.h").is_file() for folder in answer["include"]),
        prefix=Path(answer["prefix"]),
        free_threaded=answer["free_threaded"],
    )
    return Described(interpreter, tuple(Path(folder) for folder in answer["site_packages"]))


def _reason(error: ProcessError) -> str:
    return error.evidence[-1] if error.evidence else str(error)


def _newest_first(interpreter: Interpreter) -> tuple[tuple[int, ...], str]:
    numbers = tuple(-int(number) for number in re.findall(r"\d+", interpreter.version)[:3])
    return numbers, str(interpreter.path)
