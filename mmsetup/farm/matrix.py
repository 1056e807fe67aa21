"""A file of builds: one ``[[build]]`` a job, each a command line of its own as well."""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mmsetup.errors import RequestError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["BuildJob", "command_line", "read_matrix"]

_TABLE = "build"


@dataclass(frozen=True, slots=True)
class BuildJob:
    """What one build is asked for; what is empty is free.

    The fields are what the options of ``mmsetup build`` of that name take; ``wanted`` is the key and the
    option ``with``, ``local_version`` is ``local-version``. ``patches`` is ``false`` for ``--no-patches``.
    """

    family: str = ""
    python: str = ""
    torch: str = ""
    cuda: str = ""
    gpu: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    driver: str = ""
    glibc: str = ""
    ptx: bool = False
    patch: tuple[str, ...] = ()
    patches: bool = True
    local_version: str = ""

    @property
    def wishes(self) -> dict[str, str | bool | tuple[str, ...]]:
        """Give what is asked for, by the key of the file."""
        asked = (one for one in fields(self) if getattr(self, one.name) != one.default)
        return {_key(one.name): getattr(self, one.name) for one in asked}

    def __str__(self) -> str:
        told = [self.family or "the default family"]
        told += [f"Python {self.python}"] if self.python else []
        told += [" ".join(filter(None, ("torch", self.torch, self.cuda)))] if self.torch or self.cuda else []
        told += ["no GPU"] if self.gpu == ("none",) else self.gpu
        told += ["PTX"] if self.ptx else []
        told += [*self.wanted, *(f"without {name}" for name in self.without), *self.patch]
        told += [] if self.patches else ["without patches"]
        told += [f"local version {self.local_version}"] if self.local_version else []
        return ", ".join(told)


def read_matrix(path: Path) -> tuple[BuildJob, ...]:
    """Read the jobs of a file.

    Raises:
        RequestError: it cannot be read, is no TOML or holds no job, a key is unknown or of a wrong type, or
            two jobs are the same; ``evidence`` lists every fault.
    """
    document = _document(path)
    faults = [f"there is no key {key!r}; a job is a table [[{_TABLE}]]" for key in document if key != _TABLE]
    tables = document.get(_TABLE, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        faults.append(f"{_TABLE} must be a list of tables: [[{_TABLE}]]")
        tables = []
    elif not tables:
        faults.append(f"it holds no job: no table [[{_TABLE}]]")
    jobs: list[BuildJob] = []
    for number, table in enumerate(tables):
        job, found = _job(table)
        faults += [f"{_TABLE}[{number}]{fault}" for fault in found]
        if not found and job in jobs:
            faults.append(f"{_TABLE}[{number}] is the same as {_TABLE}[{jobs.index(job)}]")
        jobs.append(job)
    if faults:
        raise _refused(path, "; ".join(faults), faults)
    return tuple(jobs)


def command_line(job: BuildJob, more: tuple[str, ...] = ()) -> str:
    """Give the command that does one job alone, quoted for a shell; ``more`` are further words of it."""
    words = ["mmsetup", "build"]
    for key, value in job.wishes.items():
        if isinstance(value, bool):
            words.append(f"--{key}" if value else f"--no-{key}")
            continue
        for one in (value,) if isinstance(value, str) else value:
            # In one word, because a value may begin with a dash.
            words += [f"--{key}={one}"] if one.startswith("-") else [f"--{key}", one]
    return shlex.join([*words, "--no-prebuilt", *more])


def _job(table: Mapping[str, Any]) -> tuple[BuildJob, list[str]]:
    known = {_key(field.name): field for field in fields(BuildJob)}
    values: dict[str, Any] = {}
    faults: list[str] = []
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            faults.append(f": there is no key {key!r}; {_near(near, list(known))}")
            continue
        read = _READERS[type(known[key].default)]
        try:
            values[known[key].name] = read(value)
        except ValueError as reason:
            faults.extend(f".{key}{fault}" for fault in reason.args)
    if not table:
        faults.append(" asks for nothing")
    return BuildJob(**values), faults


def _key(name: str) -> str:
    return "with" if name == "wanted" else name.replace("_", "-")


def _near(near: list[str], known: list[str]) -> str:
    return f"nearest: {near[0]}" if near else f"known: {', '.join(known)}"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        # An unquoted 3.10 is the number 3.1: only who wrote it knows.
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        raise ValueError(  # noqa: TRY004 (all faults are told at once)
            f" is {_kind(value)} and must be a text" + ("; put it in quotes" if is_number else "")
        )
    if not value.strip() or not value.isprintable():
        raise ValueError(f" is {value!r}, which says nothing")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f" is {_kind(value)} and must be a list of texts")  # noqa: TRY004 (as in _text)
    if faults := list(_faults(value, _text)):
        raise ValueError(*faults)
    return tuple(value)


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f" is {_kind(value)} and must be true or false")  # noqa: TRY004 (as in _text)
    return value


_READERS: Mapping[type, Callable[[Any], Any]] = {str: _text, tuple: _texts, bool: _yes_or_no}


def _faults(values: list[Any], read: Callable[[Any], str]) -> Iterator[str]:
    for number, value in enumerate(values):
        try:
            read(value)
        except ValueError as reason:  # noqa: PERF203 (all faults are told at once)
            yield f"[{number}]{reason}"


def _kind(value: Any) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    return kinds.get(type(value), "a table" if isinstance(value, dict) else "a date or time")


def _document(path: Path) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        what = f"{path} cannot be read: {error.strerror}"
        raise RequestError(what, remedy="mmsetup build --matrix FILE") from error
    except UnicodeDecodeError as error:
        raise _refused(path, f"it is no UTF-8 text (byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        raise _refused(path, f"it is no TOML: {error}") from error
    return found


def _refused(path: Path, what: str, faults: Sequence[str] = ()) -> RequestError:
    # A single fault is the message already.
    listed = faults if len(faults) > 1 else ()
    return RequestError(f"{path}: {what}", evidence=listed, remedy=f"edit {shlex.quote(str(path))}")
