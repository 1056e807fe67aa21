"""What openmim needs in order to work, as data: what stands beside it, what it installs, where it looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from mmsetup.catalog.tables import each, table, text, texts

__all__ = ["FILE", "Mim", "Needed", "made", "mim", "path"]

FILE = "openmim.toml"


@dataclass(frozen=True, slots=True)
class Needed:
    """A requirement that holds for the Pythons of a specifier, and why."""

    python: SpecifierSet
    requirement: str
    reason: str


@dataclass(frozen=True, slots=True)
class Mim:
    """All of it.

    ``requires`` are the requirements of the target, ``installs`` the distributions that it can install in the
    order in which it has to, ``page`` where it looks below its base address (``{variant}``, ``{torch}``).
    """

    requires: tuple[str, ...]
    installs: tuple[str, ...]
    page: str
    setuptools: tuple[Needed, ...]


def mim() -> Mim:
    """Read the data of the catalogue in use.

    Raises:
        CatalogError: the file is missing or malformed; ``evidence`` lists every fault.
    """
    return table(path(), made)


def path() -> Path:
    """Give where the data of the catalogue in use are.

    Raises:
        CatalogError: what mmsetup brings has a fault.
    """
    from mmsetup.catalog.load import folder_in_use  # noqa: PLC0415 (which proves this file as well)

    return folder_in_use() / FILE


def made(document: Mapping[str, Any], faults: list[str]) -> Mim:
    """Make the values of a document; what is wrong with it is added to ``faults``."""
    found: dict[str, tuple[str, ...]] = {"requires": (), "installs": (), "source": (), "page": ("",)}
    for key in found:
        try:
            found[key] = (text(document, key),) if key == "page" else texts(document, key)
        except KeyError as error:  # noqa: PERF203 (all faults are told at once)
            faults.append(f"{error} is missing")
        except ValueError as error:
            faults.append(str(error))
    return Mim(
        requires=found["requires"],
        installs=found["installs"],
        page=found["page"][0],
        setuptools=tuple(each(document, "setuptools", _needed, faults)),
    )


def _needed(entry: Mapping[str, Any]) -> Needed:
    text(entry, "source")
    Requirement(requirement := text(entry, "requirement"))
    return Needed(SpecifierSet(text(entry, "python")), requirement, text(entry, "reason"))
