"""Read a file of the catalogue that only one stage needs: from the copy in use, or where a test says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mmsetup.errors import CatalogError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["each", "table", "text", "texts"]

T = TypeVar("T")
Document = Mapping[str, Any]


def table(path: Path, make: Callable[[Document, list[str]], T]) -> T:
    """Give what ``make`` makes of a TOML file; it adds to its list what it finds wrong.

    Raises:
        CatalogError: the file is missing or malformed; ``evidence`` lists every fault.
    """
    faults: list[str] = []
    try:
        found = make(tomllib.loads(path.read_text(encoding="utf-8")), faults)
    except (OSError, ValueError, RecursionError) as error:
        raise _faulty(path, [f"{path.name}: {error}"]) from error
    if faults:
        raise _faulty(path, faults)
    return found


def each(document: Document, key: str, make: Callable[[Document], T], faults: list[str]) -> Iterator[T]:
    """Give the entries of a list as values; one that does not fit becomes a fault that names its place."""
    entries = document.get(key)
    if not isinstance(entries, list) or not entries:
        faults.append(f"{key} is no list of entries")
        return
    for number, entry in enumerate(entries):
        try:
            yield make(entry)
        except KeyError as error:  # noqa: PERF203 (all faults are told at once)
            faults.append(f"{key}[{number}]: {error} is missing")
        except (TypeError, ValueError) as error:
            faults.append(f"{key}[{number}]: {error}")


def text(entry: Document, key: str) -> str:
    """Give a text that is not empty.

    Raises:
        KeyError, ValueError: there is none.
    """
    value = entry[key]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key} is no text")
    return value


def texts(entry: Document, key: str) -> tuple[str, ...]:
    """Give a list of texts of which none is empty.

    Raises:
        KeyError, ValueError: there is none.
    """
    value = entry[key]
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise ValueError(f"{key} is no list of texts")
    return tuple(value)


def _faulty(path: Path, faults: list[str]) -> CatalogError:
    return CatalogError(
        f"{path} has {len(faults)} fault(s)",
        evidence=faults,
        remedy="mmsetup catalog check  # or python3 -m pip install --force-reinstall mmsetup",
    )
