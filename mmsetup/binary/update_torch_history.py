"""Write the table of torch's symbols anew: ``python -m mmsetup.binary.update_torch_history WHEEL...``.

Takes wheels of torch, one of each series, and wheels or libraries that are linked with some torch. Which
symbols those leave undefined decides what is in the table, and the libraries in the wheels of torch say when
each was there. Not part of a command: the table is written when torch has a new release.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

from mmsetup.binary import elf
from mmsetup.binary.linkage import is_of_torch
from mmsetup.binary.torch_history import DATA

if TYPE_CHECKING:
    from packaging.version import Version

__all__ = ["main", "table"]

_OF_TORCH = re.compile(r"torch/lib/lib(torch\w*|c10\w*)\.so")
_LIBRARY = re.compile(r".*\.so(\.\d+)*")
_ABOUT = (
    "In which releases of torch a symbol was, for those that extensions use and that came or went. A key "
    "counts releases from 0: 3-6 is the fourth to the seventh, both included"
)
_SOURCE = (
    "the libraries in torch/lib of wheels for Linux x86-64, against what the extensions that were given "
    "leave undefined"
)


def table(
    exported: Mapping[Version, frozenset[str]], wanted: Iterable[str]
) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    """Give the series in their order, and the symbols that came or went by the places that have them."""
    versions = sorted(exported)
    rows: dict[str, list[str]] = {}
    for name in sorted(set(wanted)):
        there = [name in exported[version] for version in versions]
        if any(there) and not all(there):
            rows.setdefault(_spans(there), []).append(name)
    series = tuple(f"{version.major}.{version.minor}" for version in versions)
    return series, dict(
        sorted(rows.items(), key=lambda row: [int(part) for part in re.findall(r"\d+", row[0])])
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the wheels and libraries that the arguments name, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="wheels of torch, and what is linked with one")
    parser.add_argument("--output", type=Path, default=DATA)
    parser.add_argument("--source", default=_SOURCE)
    asked = parser.parse_args(arguments)
    exported: dict[Version, frozenset[str]] = {}
    wanted: set[str] = set()
    for path in asked.files:
        version = _torch_version(path)
        for library in _libraries(path, _OF_TORCH if version else _LIBRARY):
            if version is None:
                wanted.update(filter(is_of_torch, library.undefined))
            else:
                exported[version] = exported.get(version, frozenset()) | {
                    name for name in library.exported if is_of_torch(name)
                }
    releases, symbols = table(exported, wanted)
    if len(set(releases)) != len(releases) or not symbols:
        sys.exit("two wheels of torch of one series, or nothing that tells releases apart")
    made = {
        "about": _ABOUT,
        "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
        "source": asked.source,
        "releases": releases,
        "symbols": symbols,
    }
    asked.output.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


def _torch_version(path: Path) -> Version | None:
    if path.suffix != ".whl":
        return None
    name, version, _, _ = parse_wheel_filename(path.name)
    return version if name == "torch" else None


def _libraries(path: Path, named: re.Pattern[str]) -> Iterator[elf.ElfFile]:
    """Read the libraries in a wheel, one unpacked after the other, or the one that the file is."""
    if path.suffix != ".whl":
        yield elf.read(path)
        return
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        for member in archive.namelist():
            if named.fullmatch(member):
                copy = Path(archive.extract(member, folder))
                yield elf.read(copy)
                copy.unlink()


def _spans(there: Sequence[bool]) -> str:
    """Write which places are true: ``3-6,9``."""
    spans: list[list[int]] = []
    for place in (place for place, is_there in enumerate(there) if is_there):
        if spans and spans[-1][1] == place - 1:
            spans[-1][1] = place
        else:
            spans.append([place, place])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in spans)


if __name__ == "__main__":
    main()
