"""The wishes of a project: ``[tool.mmsetup]`` in its ``pyproject.toml``."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from mmsetup.errors import RequestError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Settings", "settings"]

_FILE = "pyproject.toml"
_TABLE = "tool.mmsetup"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a project asks for; what is empty, or ``None``, is free.

    ``family``, ``python``, ``torch``, ``cuda``, ``driver``, ``glibc`` and ``platform`` are what the options
    of that name take, ``gpu`` what each ``--gpu`` takes, ``source`` names of sources, ``patch`` of patches.
    ``requirements`` is the key ``with``: what to install beside the stack; ``without`` is what to leave out.
    ``cuda_compat`` is the key ``cuda-compat``, ``ptx`` what ``--ptx`` is. ``mirror`` replaces OpenMMLab's
    address, ``mirrors`` that of each source named. ``path`` is the file that has the table, ``None`` where
    there is none.
    """

    family: str = ""
    python: str = ""
    torch: str = ""
    cuda: str = ""
    requirements: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    gpu: tuple[str, ...] = ()
    driver: str = ""
    glibc: str = ""
    platform: str = ""
    build: bool | None = None
    prebuilt: bool | None = None
    offline: bool | None = None
    cuda_compat: bool | None = None
    ptx: bool | None = None
    patch: tuple[str, ...] = ()
    patches: bool | None = None
    # A mirror's address may hold a password.
    mirror: str = field(default="", repr=False)
    mirrors: Mapping[str, str] = field(default_factory=dict, repr=False)
    path: Path | None = None

    def beside_lock(self) -> Settings:
        """Give what holds beside a lockfile as well: how to come by the files, and no versions."""
        return Settings(offline=self.offline, mirror=self.mirror, mirrors=self.mirrors, path=self.path)


def settings(folder: Path) -> Settings:
    """Read ``[tool.mmsetup]`` of the nearest ``pyproject.toml`` in ``folder`` or above it.

    The search ends at a folder with ``.git`` in it, at the home folder, and at the root, each included.

    Raises:
        RequestError: the file cannot be read or is no TOML, or a key is unknown or of a wrong type;
            ``evidence`` lists the faults where there are several.
    """
    path = _nearest(folder)
    if path is None:
        return Settings()
    table = _table(path)
    if table is None:
        return Settings()
    values: dict[str, Any] = {}
    faults: list[str] = []
    for key, value in table.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            known = f"nearest: {near[0]}" if near else f"known: {', '.join(_KEYS)}"
            faults.append(f"there is no key {key!r}; {known}")
            continue
        name, read = _KEYS[key]
        try:
            values[name] = read(value)
        except ValueError as reason:
            faults.extend(f"{key}{fault}" for fault in reason.args)
    if faults:
        if len(faults) == 1:
            raise _refused(path, f"[{_TABLE}]: {faults[0]}")
        raise _refused(path, f"[{_TABLE}] has {len(faults)} faults", faults)
    return Settings(**values, path=path)


def _nearest(folder: Path) -> Path | None:
    start = folder.absolute()
    home = _home()
    for place in (start, *start.parents):
        if (place / _FILE).is_file():
            return place / _FILE
        if place == home or (place / ".git").exists():
            return None
    return None


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # a user without an entry, as in many containers
        return None


def _table(path: Path) -> Mapping[str, Any] | None:
    try:
        document: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _refused(path, f"it cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _refused(path, f"it is no UTF-8 text (byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        raise _refused(path, f"it is no TOML: {error}") from error
    for name in _TABLE.split("."):
        if name not in document:
            return None
        document = document[name]
        if not isinstance(document, dict):
            raise _refused(path, f"{name} is {_kind(document)} and no table")
    found: Mapping[str, Any] = document
    return found


def _refused(path: Path, what: str, faults: Sequence[str] = ()) -> RequestError:
    return RequestError(f"{path}: {what}", evidence=faults, remedy=f"edit {path}")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    # An unquoted 3.10 is the number 3.1: only who wrote it knows.
    hint = "; put it in quotes" if isinstance(value, (int, float)) else ""
    raise ValueError(f" is {_kind(value)} and must be a text{hint}")


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f" is {_kind(value)} and must be true or false")


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f" is {_kind(value)} and must be a list of texts")  # noqa: TRY004 (see settings)
    return tuple(_each({f"[{number}]": entry for number, entry in enumerate(value)}, _text))


def _requirements(value: Any) -> tuple[str, ...]:
    lines = {f"[{number}]": line for number, line in enumerate(_texts(value))}
    return tuple(_each(lines, _requirement))


def _requirement(line: str) -> str:
    try:
        Requirement(line)
    except InvalidRequirement as error:
        raise ValueError(f" {line!r} is no requirement: {str(error).splitlines()[0]}") from error
    return line


def _addresses(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f" is {_kind(value)} and must be a table of addresses")  # noqa: TRY004 (see settings)
    return dict(
        zip(value, _each({f".{name}": address for name, address in value.items()}, _text), strict=True)
    )


def _each(entries: Mapping[str, Any], read: Callable[[Any], str]) -> list[str]:
    faults = [f"{place}{fault}" for place, entry in entries.items() if (fault := _fault(entry, read))]
    if faults:
        raise ValueError(*faults)
    return [read(entry) for entry in entries.values()]


def _fault(entry: Any, read: Callable[[Any], str]) -> str:
    try:
        read(entry)
    except ValueError as reason:
        return str(reason)
    return ""


def _kind(value: Any) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    return kinds.get(type(value), "a table" if isinstance(value, dict) else "a date or time")


_KEYS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    **{name: (name, _text) for name in ("family", "python", "torch", "cuda", "driver", "glibc", "platform")},
    "with": ("requirements", _requirements),
    "without": ("without", _texts),
    "source": ("source", _texts),
    "gpu": ("gpu", _texts),
    "build": ("build", _truth),
    "prebuilt": ("prebuilt", _truth),
    "offline": ("offline", _truth),
    "cuda-compat": ("cuda_compat", _truth),
    "ptx": ("ptx", _truth),
    "patch": ("patch", _texts),
    "patches": ("patches", _truth),
    "mirror": ("mirror", _text),
    "mirrors": ("mirrors", _addresses),
}
