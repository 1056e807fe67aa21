"""Which values a PNG of labels holds: 8 bits at most, grey or palette, not interlaced (third edition)."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Labels", "labels_of", "size_of"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_COLOURED = frozenset({_RGB, _RGBA})
_LARGEST = 64 << 20
_CHANGES = re.compile(rb"[^\0]")
_FEW = 8
_HEADER = 33


@dataclass(frozen=True, slots=True)
class Labels:
    """``values`` are those of the pixels; ``is_coloured``: it has colours in place of numbers of classes."""

    values: frozenset[int]
    is_coloured: bool = False


def size_of(path: Path) -> int:
    """Give how many pixels a PNG says it has; 0 where it is none."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER)
    except OSError:
        return 0
    if len(head) < _HEADER or not head.startswith(_SIGNATURE):
        return 0
    width, height = struct.unpack(">II", head[16:24])
    return int(width * height)


def labels_of(path: Path) -> Labels | None:  # noqa: PLR0911 (each way to be another file)
    """Read the values of a mask; nothing where it is no PNG, damaged, or of a kind that is not read."""
    try:
        if path.stat().st_size > _LARGEST:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    if len(content) < _HEADER or not content.startswith(_SIGNATURE):
        return None
    width, height, bits, colours, _, _, interlaced = struct.unpack(">IIBBBBB", content[16:29])
    if colours in _COLOURED:
        return Labels(frozenset(), is_coloured=True)
    if colours not in {_GREY, _PALETTE} or bits > _FEW or interlaced or not 0 < width * height <= _LARGEST:
        return None
    stride = (width * bits + 7) // 8
    try:
        # Not more than the header promises, whatever the stream expands to.
        raw = zlib.decompressobj().decompress(_data(content), (stride + 1) * height)
    except (zlib.error, struct.error):
        return None
    if len(raw) != (stride + 1) * height:
        return None
    return Labels(_unpacked(_values(raw, stride, height, exact=bits < _FEW), bits, width, stride))


def _data(content: bytes) -> bytes:
    parts = []
    at = len(_SIGNATURE)
    while at + 8 <= len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        if kind == b"IDAT":
            parts.append(content[at + 8 : at + 8 + length])
        elif kind == b"IEND":
            break
        at += 12 + length
    return b"".join(parts)


def _values(raw: bytes, stride: int, height: int, *, exact: bool) -> set[bytes] | set[int]:
    """Undo the filters row by row (chapter 9); the values of all rows, or, ``exact``, the rows themselves."""
    found: set[int] = set()
    rows: set[bytes] = set()
    before = bytes(stride)
    for number in range(height):
        start = number * (stride + 1)
        row = _unfiltered(raw[start], raw[start + 1 : start + 1 + stride], before)
        if row != before or number == 0:
            if exact:
                rows.add(row)
            else:
                found.update(row)
        before = row
    return rows if exact else found


def _unfiltered(kind: int, row: bytes, before: bytes) -> bytes:
    if kind == 0:
        return row
    # Masks are areas of one label: most differences are 0, and only the others need work.
    if kind == 1:
        return _summed(row)
    if kind == 2:  # noqa: PLR2004 (the number of the filter)
        made = bytearray(before)
        for change in _CHANGES.finditer(row):
            at = change.start()
            made[at] = (row[at] + before[at]) & 255
        return bytes(made)
    return _averaged(row, before) if kind == 3 else _paeth(row, before)  # noqa: PLR2004


def _summed(row: bytes) -> bytes:
    made = bytearray()
    value, last = 0, 0
    for change in _CHANGES.finditer(row):
        at = change.start()
        made += bytes((value,)) * (at - last)
        value, last = (value + row[at]) & 255, at
    made += bytes((value,)) * (len(row) - last)
    return bytes(made)


def _averaged(row: bytes, before: bytes) -> bytes:
    made = bytearray(len(row))
    left = 0
    for at, value in enumerate(row):
        left = (value + (left + before[at]) // 2) & 255
        made[at] = left
    return bytes(made)


def _paeth(row: bytes, before: bytes) -> bytes:
    made = bytearray(len(row))
    left = corner = 0
    for at, value in enumerate(row):
        above = before[at]
        if left == corner:
            guess = above
        elif above == corner:
            guess = left
        else:
            base = left + above - corner
            a, b, c = abs(base - left), abs(base - above), abs(base - corner)
            guess = left if a <= b and a <= c else above if b <= c else corner
        left = (value + guess) & 255
        corner = above
        made[at] = left
    return bytes(made)


def _unpacked(found: set[bytes] | set[int], bits: int, width: int, stride: int) -> frozenset[int]:
    values: set[int] = set()
    per_byte = 8 // bits
    for one in found:
        if isinstance(one, int):
            values.add(one)
            continue
        for at in range(stride):
            for place in range(min(per_byte, width - at * per_byte)):
                values.add(one[at] >> (8 - bits * (place + 1)) & ((1 << bits) - 1))
    return frozenset(values)
