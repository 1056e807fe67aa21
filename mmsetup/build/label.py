"""Finish a wheel that was built: name what it is for, the systems that it runs on, and what it came from.

setup.py makes a wheel that says ``1.7.2`` and ``linux_x86_64`` whatever it was compiled for. What is written
here says so in its name: the version keeps its public part, by which all requirements and gates go, and gains
a local one; the platform tag is that of the symbols which its libraries need (PEP 600); and
``mmsetup-recipe.json`` beside its metadata tells what it was built from. The package itself is not touched:
``mmcv.__version__`` stays the public version, which other packages compare in ways of their own.

The same input gives the same bytes. Format: the binary distribution format (PEP 427, PEP 376).
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlsplit

from packaging.version import InvalidVersion, Version

from mmsetup import __version__
from mmsetup.binary import floors
from mmsetup.binary.archive import damaged
from mmsetup.binary.local_version import labelled_pair, pair_label
from mmsetup.binary.wheel import WheelFacts
from mmsetup.build.recipe import Recipe, describe, key
from mmsetup.errors import RequestError

__all__ = ["NONE", "RECIPE_FILE", "label", "local_part", "platform"]

RECIPE_FILE = "mmsetup-recipe.json"
"""The file in ``.dist-info`` that tells what a wheel was built from."""

NONE = "none"
"""What is said for no local version part."""

_SCHEMA = "mmsetup.recipe/1"
_LONGEST_LOCAL = 64
_CHUNK = 1 << 20
_FIRST_OF_ZIP = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_LINUX = re.compile(r"(?:many)?linux", re.ASCII)
_ADDRESS = re.compile(r"(?<= @ )\S+")
_OF_THE_VERSION = (".dist-info", ".data")
_WRITTEN_ANEW = ("RECORD", "RECORD.jws", "RECORD.p7s", RECIPE_FILE)
_REGULAR = 0o100000
_ANY_MAY_RUN = 0o111


def local_part(asked: str | None, torch: str, variant: str) -> str:
    """Give the local version part for a pair: that which was asked for, normalised; the pair where none was.

    ``none`` stands for no local part.

    Raises:
        RequestError: ``asked`` is no local version part (PEP 440), is longer than 64 characters, or names
            another pair.
    """
    if asked is None:
        return pair_label(torch, variant)
    if asked.lower() == NONE:
        return ""
    normal = _normalised(asked)
    if normal is None or len(normal) > _LONGEST_LOCAL:
        raise RequestError(
            f"--local-version {asked!r} is no local version part: letters and digits, in parts between dots, "
            f"and at most {_LONGEST_LOCAL} of them",
            remedy=f"mmsetup build --local-version {pair_label(torch, variant) or 'mine.1'}  # or: {NONE}",
        )
    named = labelled_pair(normal)
    if torch and named is not None and not _is_of(named, torch, variant):
        raise RequestError(
            f"--local-version {asked} names torch {named[0]} {named[1]}, and the wheel is for torch {torch} "
            f"{variant}",
            remedy=f"mmsetup build --local-version {pair_label(torch, variant)}",
        )
    return normal


def platform(facts: WheelFacts, brought: Collection[str], libc: str) -> str:
    """Give the platform tag that a wheel deserves: ``manylinux_2_34_x86_64``, else ``linux_x86_64``.

    ``brought`` are the libraries that are in the process once torch is imported, for which the version names
    the torch. All others must be on every system that the tag is for, and the tag must allow all symbol
    versions that are needed. ``libc`` is what was built against (``glibc 2.36``): a tag for a newer one,
    which a compiler newer than its system can deserve, would keep the wheel from where it was built.
    """
    machines = {found.elf.machine for found in facts.extensions}
    if len(machines) != 1:
        return _platform_of(facts)
    machine = machines.pop()
    inside = {PurePosixPath(found.member).name for found in facts.extensions}
    inside |= {found.elf.soname for found in facts.extensions}
    needed = {name for found in facts.extensions for name in found.elf.needed}
    strange = [name for name in needed - inside - set(brought) if not floors.is_allowed(name)]
    tag = floors.manylinux(floors.floor(found.elf.versions_needed for found in facts.extensions))
    name, _, version = libc.partition(" ")
    asks = floors.named_floor(f"{tag}_{machine}")
    if strange or not tag or name != "glibc" or Version(asks) > Version(version):
        return f"linux_{machine}"
    return f"{tag}_{machine}"


def label(path: Path, facts: WheelFacts, recipe: Recipe, folder: Path, *, brought: Collection[str]) -> Path:
    """Write the finished wheel of what setup.py made into ``folder`` and give its path.

    ``facts`` are those of the wheel at ``path``, ``brought`` is as for :func:`platform`. All timestamps are
    the first that a zip file can tell.

    Raises:
        IntegrityError: it is no wheel.
        OSError: the finished one cannot be written.
    """
    public = Version(facts.version).public
    version = f"{public}+{recipe.local}" if recipe.local else public
    name, _, *tags = path.name.removesuffix(".whl").split("-")
    tag = platform(facts, brought, recipe.libc)
    tags[-1] = tag if _LINUX.match(tags[-1]) else tags[-1]
    own = f"{name}-{version}.dist-info"
    made = folder / f"{'-'.join([name, version, *tags])}.whl"
    with _opened(path) as archive, zipfile.ZipFile(made, "w") as out:
        writer = _Writer(out)
        for member in _members(archive):
            top, _, rest = member.filename.partition("/")
            kind = PurePosixPath(top).suffix
            target = f"{name}-{version}{kind}/{rest}" if kind in _OF_THE_VERSION else member.filename
            if target == f"{own}/METADATA":
                writer.text(target, _with_version(archive.read(member), version))
            elif target == f"{own}/WHEEL":
                writer.text(target, _with_platform(archive.read(member), tags[-1]))
            else:
                writer.copy(target, archive, member)
        writer.text(f"{own}/{RECIPE_FILE}", _told(facts, recipe, version, "-".join(tags)))
        writer.record(f"{own}/RECORD")
    return made


class _Writer:
    """Writes members that show nothing of the machine, and remembers them for RECORD."""

    def __init__(self, out: zipfile.ZipFile) -> None:
        self._out = out
        self._rows: list[tuple[str, str, str]] = []

    def text(self, name: str, content: bytes) -> None:
        self._write(_member(name, len(content)), io.BytesIO(content))

    def copy(self, name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        may_run = bool(member.external_attr >> 16 & _ANY_MAY_RUN)
        with archive.open(member) as content:
            self._write(_member(name, member.file_size, may_run=may_run), content)

    def record(self, name: str) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*self._rows, (name, "", "")])
        self.text(name, text.getvalue().encode())

    def _write(self, info: zipfile.ZipInfo, content: IO[bytes]) -> None:
        digest = hashlib.sha256()
        size = info.file_size
        with self._out.open(info, "w") as target:
            while chunk := content.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
        encoded = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
        self._rows.append((info.filename, f"sha256={encoded}", str(size)))


def _member(name: str, size: int, *, may_run: bool = False) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _FIRST_OF_ZIP)
    info.file_size = size
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = _UNIX
    info.external_attr = (_REGULAR | (0o755 if may_run else 0o644)) << 16
    return info


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise damaged(path, str(error) or type(error).__name__) from error


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Give the files in the order of names, the metadata last, without what is written anew."""
    kept = []
    for one in archive.infolist():
        top, _, rest = one.filename.partition("/")
        is_metadata = top.endswith(".dist-info")
        if not one.is_dir() and not (is_metadata and rest in _WRITTEN_ANEW):
            kept.append((is_metadata, one.filename, one))
    return [one for _, _, one in sorted(kept, key=lambda told: told[:2])]


def _with_version(metadata: bytes, version: str) -> bytes:
    head, empty, body = metadata.partition(b"\n\n")
    return re.sub(rb"(?mi)^(Version:).*$", rb"\1 " + version.encode(), head, count=1) + empty + body


def _with_platform(wheel: bytes, tag: str) -> bytes:
    return re.sub(rb"(?mi)^(Tag: *[^-\s]+-[^-\s]+-)[^-\s]+", rb"\1" + tag.encode(), wheel)


def _told(facts: WheelFacts, recipe: Recipe, version: str, tag: str) -> bytes:
    """Word the recipe: what shaped the wheel and what it asks for, nothing of where and when it was made."""
    described = describe(recipe)
    # The address of a private mirror, and what it may hold of a password, are nobody's concern.
    described["requirements"] = sorted(_ADDRESS.sub(_file_name, line) for line in described["requirements"])
    document = {
        "schema": _SCHEMA,
        "made_by": f"mmsetup {__version__}",
        "key": key(recipe),
        "distribution": facts.distribution,
        "version": version,
        "tag": tag,
        "needs": asdict(floors.floor(found.elf.versions_needed for found in facts.extensions)),
        "libraries": sorted({name for found in facts.extensions for name in found.elf.needed}),
        "recipe": described,
    }
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _file_name(found: re.Match[str]) -> str:
    return PurePosixPath(urlsplit(found[0]).path).name


def _platform_of(facts: WheelFacts) -> str:
    return next(iter(facts.tags), "any").rpartition("-")[2]


def _normalised(text: str) -> str | None:
    try:
        return Version(f"0+{text}").local
    except InvalidVersion:
        return None


def _is_of(named: tuple[str, str], torch: str, variant: str) -> bool:
    """Tell whether a label means a pair; one that names a series of torch means every release of it."""
    numbers = named[0].split(".")
    return named[1] == variant and Version(torch).public.split(".")[: len(numbers)] == numbers
