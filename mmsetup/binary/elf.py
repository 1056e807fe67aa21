"""Read a 64-bit little-endian ELF file: what it needs, what it exports, and where its sections lie.

The layout is that of the System V ABI, chapters 4 and 5, and of the GNU symbol versions in the Linux Standard
Base, section 10.7. It is read by hand because pyelftools makes an object of each symbol: the 91 000 symbols
of ``libtorch_cpu.so`` take it 1.4 s of CPU where this takes 0.1 s. All counts and names that a file
states about itself are bounded before they are believed: a crafted file costs no more memory than some times
its own size.
"""

from __future__ import annotations

import mmap
import shlex
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mmsetup.errors import IntegrityError

__all__ = [
    "Demands",
    "ElfFile",
    "mapped",
    "names_in",
    "read",
    "read_demands",
    "read_needed",
    "read_sections",
    "read_soname",
]

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_DYNAMIC = struct.Struct("<qQ")
_VERNEED = struct.Struct("<HHIII")
_VERNAUX = struct.Struct("<IHHII")

_IDENT_64_LITTLE = b"\x7fELF\x02\x01"
_MACHINES = {21: "ppc64le", 62: "x86_64", 183: "aarch64", 243: "riscv64", 258: "loongarch64"}
_SHT_DYNAMIC, _SHT_NOBITS, _SHT_DYNSYM, _SHT_GNU_VERNEED = 6, 8, 11, 0x6FFFFFFE
_DT_NULL, _DT_NEEDED, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 0, 1, 14, 15, 29
_STB_GLOBAL, _STB_WEAK, _STB_GNU_UNIQUE = 1, 2, 10
_STV_DEFAULT, _STV_PROTECTED = 0, 3

_MOST_SYMBOLS = 2_000_000
_MOST_RECORDS = 65_536
_LONGEST_NAME = 1 << 20
_LARGEST_NAME_TABLE = 1 << 28
# Names may end in one another and be used again, so that a table gives more than it holds, but not much more.
_MOST_SHARING = 8
_SHARED_AT_LEAST = 1 << 20


@dataclass(frozen=True, slots=True)
class ElfFile:
    """What a shared library says of itself.

    ``needed`` are its ``DT_NEEDED`` names in order, ``rpath`` the parts of ``DT_RPATH`` and ``DT_RUNPATH``.
    ``undefined`` holds the names that must come from elsewhere (a weak reference may stay unresolved and is
    left out), ``exported`` those that others can bind to. ``versions_needed`` maps a library to the symbol
    versions wanted of it (``{"libstdc++.so.6": ("GLIBCXX_3.4.21",)}``), ``sections`` a name to the offset and
    size of its bytes in the file.
    """

    machine: str
    soname: str
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    undefined: frozenset[str]
    exported: frozenset[str]
    versions_needed: Mapping[str, tuple[str, ...]]
    sections: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Demands:
    """What a shared library or a program asks of those around it, as in :class:`ElfFile`.

    ``rpath`` are the parts of ``DT_RPATH``, which the loader looks at before ``LD_LIBRARY_PATH``, and
    ``runpath`` those of ``DT_RUNPATH``, which it looks at after that. ``rodata`` is the offset and the size
    of its constants in the file.
    """

    machine: str
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]
    versions_needed: Mapping[str, tuple[str, ...]]
    rodata: tuple[int, int]


class _Section(NamedTuple):
    name: str
    kind: int
    offset: int
    size: int
    link: int
    info: int


def read(path: Path) -> ElfFile:
    """Read the shared library at ``path``.

    Raises:
        IntegrityError: it cannot be opened, is no 64-bit little-endian ELF file, or contradicts itself.
    """
    with mapped(path) as data:
        machine, sections = _sections(data, path)
        if not sections:
            raise _bad(path, "it has no section headers, without which it cannot be told what it needs")
        _refuse_twins(sections, path)
        needed: list[str] = []
        rpath: list[str] = []
        soname = ""
        undefined: frozenset[str] = frozenset()
        exported: frozenset[str] = frozenset()
        versions: Mapping[str, tuple[str, ...]] = {}
        for section in sections:
            if section.kind == _SHT_DYNAMIC:
                names = _Names(data, _linked(sections, section, path), path)
                for tag, value in _dynamic(data, section, path):
                    if tag == _DT_NEEDED:
                        needed.append(names.at(value))
                    elif tag in {_DT_RPATH, _DT_RUNPATH}:
                        rpath.extend(part for part in names.at(value).split(":") if part)
                    elif tag == _DT_SONAME:
                        soname = names.at(value)
            elif section.kind == _SHT_DYNSYM:
                names = _Names(data, _linked(sections, section, path), path)
                undefined, exported = _symbols(data, section, names, path)
            elif section.kind == _SHT_GNU_VERNEED:
                names = _Names(data, _linked(sections, section, path), path)
                versions = _versions_needed(data, section, names, path)
    return ElfFile(
        machine=machine,
        soname=soname,
        needed=tuple(needed),
        rpath=tuple(rpath),
        undefined=undefined,
        exported=exported,
        versions_needed=MappingProxyType(dict(versions)),
        sections=_places(sections),
    )


def read_sections(path: Path) -> Mapping[str, tuple[int, int]]:
    """Give only the sections of the file at ``path``: name to offset and size in bytes.

    Raises:
        IntegrityError: as :func:`read`.
    """
    with mapped(path) as data:
        return _places(_sections(data, path)[1])


def read_needed(path: Path) -> tuple[str, ...]:
    """Give only the names of the libraries that the file at ``path`` needs, in order.

    Raises:
        IntegrityError: as :func:`read`.
    """
    return read_demands(path).needed


def read_demands(path: Path) -> Demands:
    """Give only what the file at ``path`` asks of others: no symbol is read, so that any size costs the same.

    Raises:
        IntegrityError: as :func:`read`.
    """
    with mapped(path) as data:
        machine, sections = _sections(data, path)
        _refuse_twins(sections, path)
        found: dict[int, list[str]] = {_DT_NEEDED: [], _DT_RPATH: [], _DT_RUNPATH: []}
        versions: Mapping[str, tuple[str, ...]] = {}
        for section in sections:
            if section.kind == _SHT_DYNAMIC:
                names = _Names(data, _linked(sections, section, path), path)
                for tag, value in _dynamic(data, section, path):
                    if tag in found:
                        found[tag].append(names.at(value))
            elif section.kind == _SHT_GNU_VERNEED:
                names = _Names(data, _linked(sections, section, path), path)
                versions = _versions_needed(data, section, names, path)
        rodata = _places(sections).get(".rodata", (0, 0))
    rpath, runpath = (
        tuple(part for text in found[tag] for part in text.split(":") if part)
        for tag in (_DT_RPATH, _DT_RUNPATH)
    )
    return Demands(
        machine, tuple(found[_DT_NEEDED]), rpath, runpath, MappingProxyType(dict(versions)), rodata
    )


def read_soname(path: Path) -> str:
    """Give only the name that the file at ``path`` is known by once it is loaded; empty where it has none.

    No symbol is read, so that this costs the same for a library of any size.

    Raises:
        IntegrityError: as :func:`read`.
    """
    with mapped(path) as data:
        sections = _sections(data, path)[1]
        for section in sections:
            if section.kind == _SHT_DYNAMIC:
                names = _Names(data, _linked(sections, section, path), path)
                for tag, value in _dynamic(data, section, path):
                    if tag == _DT_SONAME:
                        return names.at(value)
    return ""


def names_in(path: Path, names: Iterable[str]) -> frozenset[str]:
    """Give those of ``names`` that are in the table of dynamic names of the file at ``path``.

    The versions that a library defines are there (``GLIBCXX_3.4.29``), beside its symbols.

    Raises:
        IntegrityError: as :func:`read`.
    """
    with mapped(path) as data:
        places = _places(_sections(data, path)[1])
        offset, size = places.get(".dynstr", (0, 0))
        return frozenset(
            name for name in names if data.find(b"\0" + name.encode() + b"\0", offset, offset + size) >= 0
        )


@contextmanager
def mapped(path: Path) -> Iterator[mmap.mmap]:
    """Map the file at ``path`` read-only; the kernel is told not to read ahead.

    Raises:
        IntegrityError: it cannot be opened, or is empty.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise IntegrityError(
            f"cannot read {path}: {error}", remedy=f"ls -l {shlex.quote(str(path))}"
        ) from error
    with data:
        if hasattr(mmap, "MADV_RANDOM"):
            data.madvise(mmap.MADV_RANDOM)
        yield data


class _Names:
    """A string table, with a budget for what may be taken out of it.

    Each name is taken where it lies, so that the rest of the table is never touched.
    """

    def __init__(self, data: mmap.mmap, table: _Section, path: Path) -> None:
        if table.size > _LARGEST_NAME_TABLE:
            raise _bad(path, f"a table of names of {table.size} bytes")
        self._data, self._start, self._end = data, table.offset, table.offset + table.size
        self._path = path
        self._left = _MOST_SHARING * table.size + _SHARED_AT_LEAST

    def at(self, offset: int) -> str:
        start = self._start + offset
        last = min(self._end, start + _LONGEST_NAME)
        end = self._data.find(b"\0", start, last) if start < last else -1
        if end < 0:
            raise _bad(self._path, f"no name at {offset:#x} of its string table")
        self._left -= end - start
        if self._left < 0:
            raise _bad(self._path, "its names fill more than their table can give")
        return self._data[start:end].decode("utf-8", "backslashreplace")


def _sections(data: mmap.mmap, path: Path) -> tuple[str, list[_Section]]:
    if len(data) < _HEADER.size or data[: len(_IDENT_64_LITTLE)] != _IDENT_64_LITTLE:
        raise _bad(path, "not a 64-bit little-endian ELF file")
    header = _HEADER.unpack_from(data)
    machine, start, entry_size, count, names_index = header[2], header[6], header[11], header[12], header[13]
    if count and entry_size != _SECTION.size:
        raise _bad(path, f"section headers of {entry_size} bytes")
    if start + count * _SECTION.size > len(data):
        raise _bad(path, "its section headers lie past its end, so it is cut short")
    raw = list(_SECTION.iter_unpack(data[start : start + count * _SECTION.size]))
    sections = [_Section("", kind, at, size, link, info) for _, kind, _, _, at, size, link, info, _, _ in raw]
    for section in sections:
        if section.kind != _SHT_NOBITS and section.offset + section.size > len(data):
            raise _bad(path, "a section lies past its end, so it is cut short")
    if count:
        if names_index >= count or sections[names_index].kind == _SHT_NOBITS:
            raise _bad(path, "its section names are missing")
        names = _Names(data, sections[names_index], path)
        sections = [
            section._replace(name=names.at(entry[0])) if section.kind else section
            for section, entry in zip(sections, raw, strict=True)
        ]
    return _MACHINES.get(machine, f"machine-{machine}"), sections


def _refuse_twins(sections: list[_Section], path: Path) -> None:
    """Refuse a second table of a kind: the loader reads one, and 65,535 large ones would take hours."""
    for kind in (_SHT_DYNAMIC, _SHT_DYNSYM, _SHT_GNU_VERNEED):
        if sum(section.kind == kind for section in sections) > 1:
            raise _bad(path, "it has two tables of one kind")


def _places(sections: list[_Section]) -> Mapping[str, tuple[int, int]]:
    return MappingProxyType({s.name: (s.offset, s.size) for s in sections if s.kind not in {0, _SHT_NOBITS}})


def _linked(sections: list[_Section], section: _Section, path: Path) -> _Section:
    if section.link >= len(sections) or sections[section.link].kind == _SHT_NOBITS:
        raise _bad(path, f"section {section.name} names no string table")
    return sections[section.link]


def _dynamic(data: mmap.mmap, section: _Section, path: Path) -> Iterator[tuple[int, int]]:
    if section.size > _MOST_RECORDS * _DYNAMIC.size or section.size % _DYNAMIC.size:
        raise _bad(path, f"a dynamic section of {section.size} bytes")
    for tag, value in _DYNAMIC.iter_unpack(data[section.offset : section.offset + section.size]):
        if tag == _DT_NULL:
            return
        yield tag, value


def _symbols(
    data: mmap.mmap, section: _Section, names: _Names, path: Path
) -> tuple[frozenset[str], frozenset[str]]:
    if section.size > _MOST_SYMBOLS * _SYMBOL.size or section.size % _SYMBOL.size:
        raise _bad(path, f"a symbol table of {section.size} bytes")
    undefined: set[str] = set()
    exported: set[str] = set()
    for name, info, other, place, _, _ in _SYMBOL.iter_unpack(
        data[section.offset : section.offset + section.size]
    ):
        binding = info >> 4
        if place == 0:
            if binding == _STB_GLOBAL:
                undefined.add(names.at(name))
        elif binding in {_STB_GLOBAL, _STB_WEAK, _STB_GNU_UNIQUE} and (other & 3) in {
            _STV_DEFAULT,
            _STV_PROTECTED,
        }:
            exported.add(names.at(name))
    return frozenset(undefined), frozenset(exported)


def _versions_needed(
    data: mmap.mmap, section: _Section, names: _Names, path: Path
) -> Mapping[str, tuple[str, ...]]:
    """Walk the libraries and the versions of each; both chains only go forward, inside the section."""
    found: dict[str, dict[str, None]] = {}
    table = data[section.offset : section.offset + section.size]
    records = 0
    for at in _chain(table, 0, section.info, _VERNEED, path):
        _, versions, library, first, _ = _VERNEED.unpack_from(table, at)
        wanted = found.setdefault(names.at(library), {})
        for aux in _chain(table, at + first, versions, _VERNAUX, path):
            wanted[names.at(_VERNAUX.unpack_from(table, aux)[3])] = None
            records += 1
            if records > _MOST_RECORDS:
                raise _bad(path, "more symbol versions than any library has")
    return {library: tuple(wanted) for library, wanted in found.items()}


def _chain(table: bytes, at: int, count: int, layout: struct.Struct, path: Path) -> Iterator[int]:
    """Give the offsets of ``count`` records, of which each ends with the distance to the next."""
    for _ in range(min(count, _MOST_RECORDS)):
        if at + layout.size > len(table):
            raise _bad(path, "a symbol version lies past its section")
        yield at
        step = layout.unpack_from(table, at)[-1]
        if step == 0:
            return
        at += step


def _bad(path: Path, what: str) -> IntegrityError:
    return IntegrityError(
        f"{path} is damaged or of another kind: {what}",
        remedy="delete the file and install or build it again",
    )
