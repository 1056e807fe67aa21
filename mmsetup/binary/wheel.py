"""Open a wheel without installing it: is it whole, what is it, which compiled extensions does it hold.

The format is that of the binary distribution format in the Python packaging user guide (PEP 427, PEP 376).
Every file is compared with ``RECORD``; nothing is written outside a temporary folder.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import lzma
import shlex
import stat
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from mmsetup.binary import elf, fatbin
from mmsetup.binary.elf import ElfFile
from mmsetup.binary.fatbin import Architectures
from mmsetup.binary.operators import OPS_MODULE
from mmsetup.errors import IntegrityError
from mmsetup.files import sha256, writing

__all__ = ["Expected", "ExtensionFacts", "WheelFacts", "inspect"]

_CHUNK = 1 << 20
_MOST_BYTES = 8 << 30
_MOST_FILES = 100_000
_MOST_METADATA_BYTES = 4 << 20
_ENCRYPTED = 0x1
# Everything that zipfile and what it calls raise for a damaged archive; for a way of compressing that it does
# not know that is NotImplementedError.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    OSError,
    csv.Error,
)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a wheel is supposed to be: its distribution and version, however they are spelled."""

    distribution: str
    version: str


@dataclass(frozen=True, slots=True)
class ExtensionFacts:
    """A compiled extension: its ``module`` (``mmcv._ext``), ``member`` in the wheel, size in bytes."""

    module: str
    member: str
    size: int
    elf: ElfFile
    architectures: Architectures


@dataclass(frozen=True, slots=True)
class WheelFacts:
    """What a wheel holds: ``distribution`` normalised, ``tags`` like ``cp310-cp310-linux_x86_64``.

    ``requires`` are the ``Requires-Dist`` lines as they stand; for the families of this tool they are not
    complete.
    """

    distribution: str
    version: str
    tags: tuple[str, ...]
    top_level: tuple[str, ...]
    requires: tuple[str, ...]
    requires_python: str
    extensions: tuple[ExtensionFacts, ...]
    sha256: str
    size: int

    @property
    def has_ops(self) -> bool:
        """Say whether mmcv's compiled operators are inside."""
        return self.ops is not None

    @property
    def ops(self) -> ExtensionFacts | None:
        """Give the extension with mmcv's compiled operators."""
        return next((found for found in self.extensions if found.module == OPS_MODULE), None)


def inspect(path: Path, *, expect: Expected | None = None) -> WheelFacts:
    """Read the wheel at ``path`` and compare every file in it with its ``RECORD``.

    Raises:
        IntegrityError: it is no wheel, is cut short, holds a file that ``RECORD`` does not know or knows
            otherwise, names a path outside itself, or is not what was expected.
        DiskSpaceError, TargetError: its extensions cannot be unpacked into the temporary folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            facts = _inspect(path, archive)
    except _UNREADABLE as error:
        raise _bad(path, str(error) or type(error).__name__) from error
    if expect is not None:
        _compare(path, facts, expect)
    return facts


def _inspect(path: Path, archive: zipfile.ZipFile) -> WheelFacts:
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename as error:
        raise _bad(path, str(error)) from error
    members = _members(path, archive)
    folder = _dist_info(path, members, name, str(version))
    _check_record(path, archive, members, f"{folder}/RECORD")
    metadata = HeaderParser().parsestr(_text(path, archive, members, f"{folder}/METADATA"))
    if canonicalize_name(str(metadata["Name"])) != name or _version(metadata["Version"]) != version:
        raise _bad(path, f"its metadata says {metadata['Name']} {metadata['Version']}")
    top_level = {PurePosixPath(member).parts[0].removesuffix(".py") for member in members}
    return WheelFacts(
        distribution=name,
        version=str(version),
        tags=tuple(sorted(str(tag) for tag in tags)),
        top_level=tuple(sorted(part for part in top_level if part.isidentifier())),
        requires=tuple(str(line) for line in metadata.get_all("Requires-Dist", [])),
        requires_python=str(metadata.get("Requires-Python", "")),
        extensions=_extensions(archive, members),
        sha256=sha256(path),
        size=path.stat().st_size,
    )


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Give the files of the archive by name, having refused what no wheel holds."""
    members: dict[str, zipfile.ZipInfo] = {}
    infos = archive.infolist()
    if len(infos) > _MOST_FILES or sum(info.file_size for info in infos) > _MOST_BYTES:
        raise _bad(path, "it unpacks to more than any wheel")
    for info in infos:
        name = info.filename
        parts = PurePosixPath(name).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in name or ":" in parts[0]:
            raise _bad(path, f"it names a path outside itself: {name!r}")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise _bad(path, f"it holds a link: {name!r}")
        if info.flag_bits & _ENCRYPTED:
            raise _bad(path, f"it holds an encrypted file: {name!r}")
        if name in members:
            raise _bad(path, f"it holds {name!r} twice")
        if not info.is_dir():
            members[name] = info
    return members


def _dist_info(path: Path, members: dict[str, zipfile.ZipInfo], name: str, version: str) -> str:
    folders = {
        parts[0] for parts in map(_parts, members) if len(parts) > 1 and parts[0].endswith(".dist-info")
    }
    if len(folders) != 1:
        raise _bad(path, f"it has {len(folders)} .dist-info folders for {name} {version}")
    return folders.pop()


def _parts(member: str) -> tuple[str, ...]:
    return PurePosixPath(member).parts


def _check_record(
    path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], record: str
) -> None:
    rows = csv.reader(io.StringIO(_text(path, archive, members, record)))
    recorded = {row[0]: row[1] for row in rows if len(row) >= 2}  # noqa: PLR2004 (name, hash, size)
    unhashed = {record, record + ".jws", record + ".p7s"}
    if unknown := sorted(set(members) - set(recorded) - unhashed):
        raise _bad(path, f"RECORD does not know {unknown[0]!r}")
    if absent := sorted(set(recorded) - set(members)):
        raise _bad(path, f"{absent[0]!r} is in RECORD but not in the wheel")
    for name in sorted(set(members) - unhashed):
        algorithm, _, wanted = recorded[name].partition("=")
        if algorithm not in {"sha256", "sha384", "sha512"}:
            raise _bad(path, f"RECORD has no sha256 of {name!r}")
        digest = hashlib.new(algorithm)
        with archive.open(members[name]) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        if base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode() != wanted:
            raise _bad(path, f"{name!r} is not what RECORD says")


def _text(path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str) -> str:
    if name not in members:
        raise _bad(path, f"it has no {name}")
    if members[name].file_size > _MOST_METADATA_BYTES:
        raise _bad(path, f"{name} is larger than any such file")
    return archive.read(members[name]).decode("utf-8")


def _extensions(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> tuple[ExtensionFacts, ...]:
    names = sorted(name for name in members if name.endswith(".so"))
    found = []
    with (
        writing(
            "the folder for temporary files",
            remedy="export TMPDIR=DIR  # a folder on a larger disk, that can be written to",
        ),
        tempfile.TemporaryDirectory(prefix="mmsetup-wheel-") as folder,
    ):
        for name in names:
            copy = Path(folder) / "extension.so"
            with archive.open(members[name]) as source, copy.open("wb") as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
            *package, file = _parts(name)
            found.append(
                ExtensionFacts(
                    module=".".join([*package, file.split(".")[0]]),
                    member=name,
                    size=members[name].file_size,
                    elf=elf.read(copy),
                    architectures=fatbin.architectures(copy),
                )
            )
    return tuple(found)


def _compare(path: Path, facts: WheelFacts, expect: Expected) -> None:
    if facts.distribution != canonicalize_name(expect.distribution) or (
        Version(facts.version) != Version(expect.version)
    ):
        raise _bad(
            path,
            f"it is {facts.distribution} {facts.version}, not {expect.distribution} {expect.version}",
        )


def _version(text: str | None) -> Version | None:
    try:
        return Version(text or "")
    except InvalidVersion:
        return None


def _bad(path: Path, what: str) -> IntegrityError:
    return IntegrityError(
        f"{path.name} is not a usable wheel: {what}",
        remedy=f"rm {shlex.quote(str(path))}  # then run the command again: it is fetched or built anew",
        evidence=(str(path),),
    )
