"""Read what the payload says: a JSON object a line, each checked before it is believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Event", "ProtocolError", "parse"]

_NUMBER = (int, float)
_WORDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "a whole number",
    _NUMBER: "a number",
}
_FIELDS: dict[str, dict[str, Any]] = {
    "stage": {"name": str},
    "stage_end": {"name": str, "seconds": _NUMBER},
    "importing": {"module": str},
    "versions": {"versions": dict, "device": str, "device_name": str, "threads": int},
    "op": {"op": str, "device": str, "state": str, "errors": dict, "detail": str},
    "iteration": {"iteration": int, "total": int, "loss": _NUMBER, "seconds_left": _NUMBER},
    "training": {"iterations": int, "losses": list, "seconds": _NUMBER},
    "evaluation": {
        "images": int,
        "mean_iou": _NUMBER,
        "chance_mean_iou": _NUMBER,
        "per_class_iou": dict,
    },
    "reload": {"error": _NUMBER, "images": int},
    "inference": {"images": int, "agreement": _NUMBER},
    "files": {"checkpoint": str, "config": str, "pictures": list},
    "failure": {"stage": str, "kind": str, "message": str, "where": list},
    "no_gpu": {"message": str},
    "end": {},
}
_ELEMENTS: dict[tuple[str, str], Any] = {
    ("versions", "versions"): str,
    ("op", "errors"): _NUMBER,
    ("training", "losses"): _NUMBER,
    ("evaluation", "per_class_iou"): _NUMBER,
    ("files", "pictures"): str,
    ("failure", "where"): str,
}


class ProtocolError(ValueError):
    """A line claims to be an event and is not one that this version of mmsetup knows."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name and its fields, of the types that its name promises."""

    name: str
    fields: Mapping[str, Any]


def parse(line: str) -> Event | None:
    """Read a line; ``None`` when it is no event at all (something in the target printed it).

    Raises:
        ProtocolError: it is an event, but unknown, or a field is missing or of another type.
    """
    if not line.lstrip().startswith("{"):
        return None
    try:
        said = json.loads(line)
    except ValueError:
        return None
    if not isinstance(said, dict) or not isinstance(said.get("event"), str):
        return None
    name = said.pop("event")
    if name not in _FIELDS:
        raise ProtocolError(f"an unknown event {name!r}")
    for key, kind in _FIELDS[name].items():
        if key not in said:
            raise ProtocolError(f"{name}.{key} is missing")
        _require(said[key], kind, f"{name}.{key}")
        inner = _ELEMENTS.get((name, key))
        if inner is not None:
            elements = said[key].items() if isinstance(said[key], dict) else enumerate(said[key])
            for index, element in elements:
                _require(element, inner, f"{name}.{key}[{index!r}]")
    return Event(name, said)


def _require(value: Any, kind: Any, where: str) -> None:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ProtocolError(f"{where} is {value!r} where {_WORDS[kind]} was expected")
