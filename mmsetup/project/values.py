"""What a configuration holds, as far as it can be told without running it, and where each part stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = ["UNKNOWN", "Place", "Scalar", "Value", "merged"]


class _Unknown(Enum):
    UNKNOWN = "unknown"


UNKNOWN: Final = _Unknown.UNKNOWN
"""What an expression gives that only running it would tell."""

Scalar = str | int | float | bool | None

_DELETE = "_delete_"
_DEEPEST = 60


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, counted from 1; ``path`` is as it is shown."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Value:
    """A value and the line that it comes from; ``held`` is a scalar, a dict, a tuple of values, or unknown.

    ``is_partial``: something in it was set in a way that cannot be followed.
    """

    held: Scalar | dict[str, Value] | tuple[Value, ...] | _Unknown
    place: Place
    is_partial: bool = False

    @property
    def fields(self) -> Mapping[str, Value]:
        """Give the fields of a dict; of anything else none."""
        return self.held if isinstance(self.held, dict) else {}

    @property
    def elements(self) -> tuple[Value, ...]:
        """Give the elements of a list or a tuple; of anything else none."""
        return self.held if isinstance(self.held, tuple) else ()

    @property
    def text(self) -> str:
        """Give a text; of anything else an empty one."""
        return self.held if isinstance(self.held, str) else ""

    @property
    def number(self) -> int | None:
        """Give a whole number; of anything else nothing."""
        return self.held if isinstance(self.held, int) and not isinstance(self.held, bool) else None

    @property
    def is_known(self) -> bool:
        """Tell whether the value itself could be told; what it holds may yet be unknown."""
        return self.held is not UNKNOWN

    def at(self, dotted: str) -> Value | None:
        """Give what stands under ``a.b``; nothing where that is not there."""
        found: Value | None = self
        for key in dotted.split("."):
            found = found.fields.get(key) if found is not None else None
        return found

    def each(self) -> tuple[Value, ...]:
        """Give the elements of a list, or the value itself."""
        return self.elements if isinstance(self.held, tuple) else (self,)

    def walk(self, seen: set[int] | None = None) -> Iterator[Value]:
        """Give each dict in the value, itself included.

        What is in ``seen`` by its ``id`` is passed over, and what is given is put there: configurations share
        what they inherit.
        """
        waiting: list[tuple[Value, int]] = [(self, 0)]
        while waiting:
            value, depth = waiting.pop()
            if seen is not None:
                if id(value) in seen:
                    continue
                seen.add(id(value))
            inner: Iterable[Value] = ()
            if isinstance(value.held, dict):
                yield value
                inner = value.held.values()
            elif isinstance(value.held, tuple):
                inner = value.held
            if depth < _DEEPEST:
                waiting.extend((one, depth + 1) for one in inner if isinstance(one.held, (dict, tuple)))


def merged(own: Mapping[str, Value], base: Mapping[str, Value], depth: int = 0) -> dict[str, Value]:
    """Put a configuration over the one that it inherits from, as mmcv and mmengine do.

    Dicts are merged key by key unless the upper one says ``_delete_``; everything else is replaced
    (``Config._merge_a_into_b``, mmcv-full 1.7.2 mmcv/utils/config.py, mmengine 0.10.7 mmengine/config).
    """
    result = dict(base)
    for key, value in own.items():
        below = base.get(key)
        is_deleting = _DELETE in value.fields
        plain = (
            Value({k: v for k, v in value.fields.items() if k != _DELETE}, value.place, value.is_partial)
            if is_deleting
            else value
        )
        if (
            isinstance(plain.held, dict)
            and below is not None
            and isinstance(below.held, dict)
            and not is_deleting
            and depth < _DEEPEST
        ):
            inner = merged(plain.fields, below.fields, depth + 1)
            result[key] = Value(inner, plain.place, plain.is_partial or below.is_partial)
        elif isinstance(plain.held, dict) and below is not None and not below.is_known and not is_deleting:
            result[key] = Value(plain.held, plain.place, is_partial=True)
        else:
            result[key] = plain
    return result
