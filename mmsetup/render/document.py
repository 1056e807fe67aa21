"""Turn the frozen values of the stages into the JSON documents that ``--json`` prints."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any

__all__ = ["document", "dump", "plain"]


def document(schema: str, value: Any, **more: Any) -> dict[str, Any]:
    """Make a document: its ``schema`` (``mmsetup.probe/1``), the fields of ``value``, and ``more`` of them.

    ``value`` is a dataclass or a mapping. Nothing may be named twice.

    Raises:
        TypeError: ``value`` has no fields, a name is used twice, or something in it has no form in JSON.
    """
    fields = plain(value)
    if not isinstance(fields, dict):
        raise TypeError(f"a document is made of a dataclass or a mapping, not of {type(value).__name__}")
    extra = {name: plain(item) for name, item in more.items()}
    twice = sorted(({"schema"} & fields.keys()) | ((fields.keys() | {"schema"}) & extra.keys()))
    if twice:
        raise TypeError(f"{schema} names {', '.join(twice)} twice")
    return {"schema": schema, **fields, **extra}


def dump(document: Mapping[str, Any]) -> str:
    """Write a document as JSON, indented, in ASCII alone so that every terminal and pipe can carry it."""
    return json.dumps(document, indent=2, allow_nan=False)


def plain(value: Any) -> Any:
    """Turn a value into what JSON knows: no properties, sets sorted, null for what is not finite.

    Raises:
        TypeError: it has no form in JSON.
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return _compound(value)


def _compound(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_name(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, AbstractSet):
        return sorted((plain(item) for item in value), key=json.dumps)
    return _text(value)


def _name(key: Any) -> str:
    named = plain(key)
    return named if isinstance(named, str) else json.dumps(named)


def _text(value: Any) -> str:
    if isinstance(value, os.PathLike):
        path = os.fspath(value)
        return path if isinstance(path, str) else os.fsdecode(path)
    # Versions, specifiers, requirements, markers and tags are what their text says.
    if type(value).__module__.startswith("packaging."):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
