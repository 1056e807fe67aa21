"""The wheels of a farm: every one below its folder is opened before it is offered to anybody."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packaging.version import Version

from mmsetup.binary import wheel
from mmsetup.binary.fatbin import Architectures
from mmsetup.binary.local_version import labelled_pair
from mmsetup.catalog.links import is_file_name
from mmsetup.errors import IntegrityError, RequestError, TargetError
from mmsetup.farm.pairs import Pair, pair_of

__all__ = ["FarmWheel", "gather", "in_order"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class FarmWheel:
    """A wheel with compiled ops: where it lies below the farm's folder, and what its index entry says.

    ``path`` has slashes, ``size`` is in bytes, ``distribution`` is normalised. ``architectures`` are those of
    the GPU code in its ops.
    """

    path: PurePosixPath
    pair: Pair
    distribution: str
    version: str
    requires_python: str
    sha256: str
    size: int
    architectures: Architectures

    @property
    def name(self) -> str:
        """Give the file name."""
        return self.path.name

    @property
    def is_for_cpu(self) -> bool:
        """Tell whether it holds no code for any GPU."""
        return not (self.architectures.sass or self.architectures.ptx)

    @property
    def tells_pair(self) -> bool:
        """Tell whether the version names the pair, by which clients can tell wheels of two pairs apart."""
        return labelled_pair(Version(self.version).local or "") is not None


def gather(folder: Path) -> tuple[FarmWheel, ...]:
    """Give the wheels below ``folder``, by name, version and path; hidden folders are passed over.

    All of them are looked at before any is refused.

    Raises:
        TargetError: it is no folder, or cannot be read.
        RequestError: there are no wheels in it.
        IntegrityError: some are damaged, hold no compiled ops, or nothing tells their pair; ``evidence`` has
            a line for each.
    """
    found = _found(folder)
    wheels: list[FarmWheel] = []
    faults: list[str] = []
    for path in found:
        try:
            wheels.append(_read(path, folder))
        except IntegrityError as fault:  # noqa: PERF203 (all faults are told at once)
            faults.append(f"{_shown(path, folder)}: {_without_name(str(fault), path)}")
    faults += _doubles(wheels)
    if faults:
        raise IntegrityError(
            f"{len(faults)} of {len(found)} wheels in {folder} cannot be offered: {faults[0]}",
            evidence=faults,
            remedy="mv WHEEL ELSEWHERE  # or to a folder that tells what it is for, like "
            + shlex.quote(str(folder / "cu117" / "torch2.1.0")),
        )
    return tuple(in_order(wheels))


def in_order(wheels: Iterable[FarmWheel]) -> list[FarmWheel]:
    """Give wheels by name, version and path."""
    return sorted(wheels, key=lambda one: (one.distribution, Version(one.version), one.path))


def _found(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise TargetError(
            f"{folder} is no folder", remedy=f"mmsetup build --output {shlex.quote(str(folder))}"
        )
    faults: list[OSError] = []
    found: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=faults.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(place, name) for name in sorted(files) if name.endswith(".whl") and not name.startswith(".")
        ]
    if faults:
        raise TargetError(
            f"{faults[0].filename} cannot be read: {faults[0].strerror}",
            remedy=f"chmod -R u+rX {shlex.quote(str(folder))}",
        )
    if not found:
        raise RequestError(
            f"{folder} holds no wheel",
            remedy=f"mmsetup build --output {shlex.quote(str(folder))}  # puts one there",
        )
    return found


def _read(path: Path, folder: Path) -> FarmWheel:
    inside = path.relative_to(folder)
    if not is_file_name(path.name):
        raise IntegrityError("its name has signs that no index can list")
    # Readers of pages refuse addresses with control characters; a line break in one splits a lockfile.
    if _CONTROL.search(str(inside)):
        raise IntegrityError("its folder's name has control characters")
    facts = wheel.inspect(path)
    if facts.ops is None:
        raise IntegrityError("it holds no compiled ops")
    return FarmWheel(
        path=PurePosixPath(*inside.parts),
        pair=pair_of(path, folder),
        distribution=facts.distribution,
        version=facts.version,
        requires_python=facts.requires_python,
        sha256=facts.sha256,
        size=facts.size,
        architectures=facts.ops.architectures,
    )


def _doubles(wheels: list[FarmWheel]) -> list[str]:
    """Name the files of one name and one pair that are not the same."""
    first: dict[tuple[Pair, str], FarmWheel] = {}
    return [
        f"{one.path}: {known.path} is another file of that name for {one.pair}"
        for one in wheels
        if (known := first.setdefault((one.pair, one.name), one)).sha256 != one.sha256
    ]


def _shown(path: Path, folder: Path) -> str:
    name = str(path.relative_to(folder))
    return name if name.isprintable() else ascii(name)


def _without_name(words: str, path: Path) -> str:
    return words.removeprefix(f"{path.name}: ").removeprefix(f"{path.name} is not a usable wheel: ")
