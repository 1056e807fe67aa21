"""Read which GPU architectures libraries hold code for, from the headers in their ``.nv_fatbin`` sections.

The section is a row of fat binaries, each on a boundary of eight bytes: a header (magic number, version,
size of the header, size of what follows) and entries (kind, size of the header, size of the code,
architecture, flags). NVIDIA does not document the layout; it was read from what nvcc 13.0 writes and from
torch's libraries. Only headers are touched, so that a section of 600 MB costs some thousand bytes.

Which toolkit wrote the code is told in two places, where it is told at all: an entry of PTX carries the
version of its instruction set, which comes with a toolkit, and machine code of CUDA 13 that is not compressed
carries a note with the release of the tools.

A library also holds the code of the static libraries that were linked into it, and those were compiled for
other architectures: of the 302 fat binaries in the largest library of torch 1.13.1, 50 hold ``sm_35``, for
which torch itself has no code. So an architecture counts when at least half of the fat binaries hold it,
which for torch 1.13.1 gives what ``torch._C._cuda_getArchFlags()`` says.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mmsetup.binary import elf
from mmsetup.errors import IntegrityError

__all__ = ["Architectures", "GpuCode", "architectures", "gpu_code", "in_order"]

_MAGIC = 0xBA55ED50
_HEADER = struct.Struct("<IHHQ")
_ENTRY = struct.Struct("<HHIQIIHHIIIQ")
_PTX, _SASS = 1, 2
_ALIGNMENT = 8
_NEWEST_ARCHITECTURE = 999
_FLAG_EXACT, _FLAG_FAMILY = 0x100000, 0x200000
_TOOLS = re.compile(rb"Cuda compilation tools, release (\d{1,2}\.\d{1,2}),")
_NOTE_WITHIN = 4096
_SPELLED = re.compile(r"sm_(\d+)([af]?)", re.ASCII)

# More than any library has: the largest seen, torch 2.13's, holds 449 fat binaries of at most 12 entries.
_MOST_PADDING = 4096
_MOST_BINARIES = 1 << 16
_MOST_ENTRIES = 1 << 20

_Code = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Architectures:
    """The architectures in ascending order, spelled ``sm_86``; all are empty where there is no GPU code.

    ``sass`` is machine code, which runs on its own major version and the same or a higher minor one
    (``sm_90a``: on that architecture alone); ``ptx`` is compiled by the driver for anything as new or newer.
    ``partial`` holds those, of either kind, for which less than half of the fat binaries have code.
    """

    sass: tuple[str, ...]
    ptx: tuple[str, ...]
    partial: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GpuCode:
    """What the fat binaries of a library tell: the architectures, and what wrote them.

    ``binaries`` counts the fat binaries. ``ptx_versions`` are the versions of the PTX instruction set
    (``8.7``), ``tools`` the releases of the CUDA tools that notes in machine code name (``13.0``); both in
    ascending order, and empty where nothing tells.
    """

    architectures: Architectures = Architectures((), ())
    binaries: int = 0
    ptx_versions: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


def architectures(*paths: Path) -> Architectures:
    """Give the architectures that the libraries at ``paths`` hold code for, all of them taken together.

    Raises:
        IntegrityError: one is no ELF file, or its GPU code is not laid out as nvcc does it.
    """
    return gpu_code(*paths).architectures


def gpu_code(*paths: Path) -> GpuCode:
    """Tell what the GPU code in the libraries at ``paths`` is for, and what wrote it, all taken together.

    Raises:
        IntegrityError: as :func:`architectures`.
    """
    total = 0
    found: Counter[_Code] = Counter()
    versions: set[tuple[int, int]] = set()
    tools: set[tuple[int, int]] = set()
    for path in paths:
        offset, size = elf.read_sections(path).get(".nv_fatbin", (0, 0))
        if size:
            with elf.mapped(path) as data:
                for entries in _fat_binaries(data, offset, offset + size, path):
                    total += 1
                    found.update({entry.code for entry in entries})
                    versions.update(entry.ptx for entry in entries if entry.ptx)
                    tools.update(entry.tools for entry in entries if entry.tools)
    usual = {code for code, count in found.items() if 2 * count >= total}
    held = Architectures(
        sass=_spelled({code for code in usual if code[0] == _SASS}),
        ptx=_spelled({code for code in usual if code[0] == _PTX}),
        partial=_spelled(set(found) - usual),
    )
    return GpuCode(held, total, _versions(versions), _versions(tools))


def in_order(architectures: Iterable[str]) -> tuple[str, ...]:
    """Sort architectures as they are spelled, ``sm_90`` before ``sm_100``, each once."""
    known = {one: match for one in architectures if (match := _SPELLED.fullmatch(one))}
    return tuple(sorted(known, key=lambda one: (int(known[one][1]), known[one][2])))


class _Entry(NamedTuple):
    code: _Code
    ptx: tuple[int, int] | None
    tools: tuple[int, int] | None


def _fat_binaries(data: mmap.mmap, at: int, end: int, path: Path) -> Iterator[list[_Entry]]:
    binaries = seen = 0
    while (at := _past_padding(data, at, end, path)) + _HEADER.size <= end:
        magic, _, header_size, size = _HEADER.unpack_from(data, at)
        stop = at + header_size + size
        binaries += 1
        if magic != _MAGIC or header_size < _HEADER.size or stop > end or binaries > _MOST_BINARIES:
            raise _bad(path, at)
        entries = list(_entries(data, at + header_size, stop, path, _MOST_ENTRIES - seen))
        seen += len(entries)
        if entries:
            yield entries
        at = stop + -stop % _ALIGNMENT


def _past_padding(data: mmap.mmap, at: int, end: int, path: Path) -> int:
    """Give where the next fat binary starts, or a place past the end of the section."""
    if data[at : at + 1] != b"\0":
        return at
    row = data[at : min(end, at + _MOST_PADDING)]
    zeros = len(row) - len(row.lstrip(b"\0"))
    if zeros == len(row) == _MOST_PADDING:
        raise _bad(path, at)
    return at + zeros // _ALIGNMENT * _ALIGNMENT if zeros < len(row) else end


def _entries(data: mmap.mmap, at: int, end: int, path: Path, most: int) -> Iterator[_Entry]:
    count = 0
    while at + _ENTRY.size <= end:
        kind, _, header_size, size, _, _, minor, major, number, _, _, flags = _ENTRY.unpack_from(data, at)
        count += 1
        if header_size < _ENTRY.size or at + header_size + size > end or count > most:
            raise _bad(path, at)
        if kind in {_PTX, _SASS}:
            if not 0 < number <= _NEWEST_ARCHITECTURE:
                raise _bad(path, at)
            suffix = "a" if flags & _FLAG_EXACT else "f" if flags & _FLAG_FAMILY else ""
            start = at + header_size
            yield _Entry(
                (kind, number, suffix),
                (major, minor) if kind == _PTX and major else None,
                _tools(data[start : start + min(size, _NOTE_WITHIN)]) if kind == _SASS else None,
            )
        at += header_size + size


def _tools(start: bytes) -> tuple[int, int] | None:
    """Find the release of the tools in the first bytes of machine code, where they are not compressed."""
    found = _TOOLS.search(start) if start.startswith(b"\x7fELF") else None
    if found is None:
        return None
    major, minor = found[1].split(b".")
    return int(major), int(minor)


def _spelled(codes: set[_Code]) -> tuple[str, ...]:
    return tuple(f"sm_{number}{suffix}" for number, suffix in sorted({code[1:] for code in codes}))


def _versions(found: set[tuple[int, int]]) -> tuple[str, ...]:
    return tuple(f"{major}.{minor}" for major, minor in sorted(found))


def _bad(path: Path, at: int) -> IntegrityError:
    return IntegrityError(
        f"{path} holds GPU code that cannot be read at {at:#x}",
        remedy="delete the file and install or build it again",
    )
