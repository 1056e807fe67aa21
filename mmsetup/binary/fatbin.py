"""Read which GPU architectures libraries hold code for, from the headers in their ``.nv_fatbin`` sections.

The section is a row of fat binaries, each on a boundary of eight bytes: a header (magic number, version,
size of the header, size of what follows) and entries (kind, size of the header, size of the code,
architecture, flags). NVIDIA does not document the layout; it was read from what nvcc 13.0 writes and from
torch's libraries. Only headers are touched, so that a section of 600 MB costs some thousand bytes.

A library also holds the code of the static libraries that were linked into it, and those were compiled for
other architectures: of the 302 fat binaries in the largest library of torch 1.13.1, 50 hold ``sm_35``, for
which torch itself has no code. So an architecture counts when at least half of the fat binaries hold it,
which for torch 1.13.1 gives what ``torch._C._cuda_getArchFlags()`` says.
"""

from __future__ import annotations

import mmap
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmsetup.binary import elf
from mmsetup.errors import IntegrityError

__all__ = ["Architectures", "architectures"]

_MAGIC = 0xBA55ED50
_HEADER = struct.Struct("<IHHQ")
_ENTRY = struct.Struct("<HHIQIIHHIIIQ")
_PTX, _SASS = 1, 2
_ALIGNMENT = 8
_NEWEST_ARCHITECTURE = 999
_FLAG_EXACT, _FLAG_FAMILY = 0x100000, 0x200000

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


def architectures(*paths: Path) -> Architectures:
    """Give the architectures that the libraries at ``paths`` hold code for, all of them taken together.

    Raises:
        IntegrityError: one is no ELF file, or its GPU code is not laid out as nvcc does it.
    """
    total = 0
    found: Counter[_Code] = Counter()
    for path in paths:
        offset, size = elf.read_sections(path).get(".nv_fatbin", (0, 0))
        if size:
            with elf.mapped(path) as data:
                for codes in _fat_binaries(data, offset, offset + size, path):
                    total += 1
                    found.update(codes)
    usual = {code for code, count in found.items() if 2 * count >= total}
    return Architectures(
        sass=_spelled({code for code in usual if code[0] == _SASS}),
        ptx=_spelled({code for code in usual if code[0] == _PTX}),
        partial=_spelled(set(found) - usual),
    )


def _fat_binaries(data: mmap.mmap, at: int, end: int, path: Path) -> Iterator[set[_Code]]:
    while at + _HEADER.size <= end:
        magic, _, header_size, size = _HEADER.unpack_from(data, at)
        if magic == 0:
            at += _ALIGNMENT
            continue
        stop = at + header_size + size
        if magic != _MAGIC or header_size < _HEADER.size or stop > end:
            raise _bad(path, at)
        if codes := set(_entries(data, at + header_size, stop, path)):
            yield codes
        at = stop + -stop % _ALIGNMENT


def _entries(data: mmap.mmap, at: int, end: int, path: Path) -> Iterator[_Code]:
    while at + _ENTRY.size <= end:
        kind, _, header_size, size, _, _, _, _, number, _, _, flags = _ENTRY.unpack_from(data, at)
        if header_size < _ENTRY.size or at + header_size + size > end:
            raise _bad(path, at)
        if kind in {_PTX, _SASS}:
            if not 0 < number <= _NEWEST_ARCHITECTURE:
                raise _bad(path, at)
            yield kind, number, "a" if flags & _FLAG_EXACT else "f" if flags & _FLAG_FAMILY else ""
        at += header_size + size


def _spelled(codes: set[_Code]) -> tuple[str, ...]:
    return tuple(f"sm_{number}{suffix}" for number, suffix in sorted({code[1:] for code in codes}))


def _bad(path: Path, at: int) -> IntegrityError:
    return IntegrityError(
        f"{path} holds GPU code that cannot be read at {at:#x}",
        remedy="delete the file and install or build it again",
    )
