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
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from mmsetup.binary import archive as archive_members
from mmsetup.binary import elf, fatbin, torch_flags
from mmsetup.binary.archive import damaged
from mmsetup.binary.elf import ElfFile
from mmsetup.binary.fatbin import Architectures, GpuCode
from mmsetup.binary.local_version import is_version
from mmsetup.binary.operators import OPS_MODULE, OPS_PACKAGE, Operators, asked_for, operators
from mmsetup.files import sha256, writing

__all__ = ["Expected", "ExtensionFacts", "WheelFacts", "inspect"]

_CHUNK = 1 << 20
_MOST_METADATA_BYTES = 4 << 20
_LIBRARY = re.compile(r"\.so(\.\d+)*$")
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
    """What a wheel is supposed to be: its distribution and version, however they are spelled.

    As with ``==`` of PEP 440, a version without a local part is that of every wheel with its public part.
    """

    distribution: str
    version: str


@dataclass(frozen=True, slots=True)
class ExtensionFacts:
    """A compiled extension: its ``module`` (``mmcv._ext``), ``member`` in the wheel, size in bytes.

    Libraries that the wheel brings for others count as well (``numpy.libs/libgfortran.so.5``). ``operators``
    is told of mmcv's alone, ``stated`` of torch's: what its own kernels were compiled for.
    """

    module: str
    member: str
    size: int
    elf: ElfFile
    architectures: Architectures
    code: GpuCode = field(default_factory=GpuCode)
    operators: Operators | None = None
    stated: Architectures | None = None


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
        archive_members.refuse_long_lists(path)
        with zipfile.ZipFile(path) as archive:
            facts = _inspect(path, archive)
    except _UNREADABLE as error:
        raise damaged(path, str(error) or type(error).__name__) from error
    if expect is not None:
        _compare(path, facts, expect)
    return facts


def _inspect(path: Path, archive: zipfile.ZipFile) -> WheelFacts:
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename as error:
        raise damaged(path, str(error)) from error
    members = archive_members.members(path, archive)
    folder = _dist_info(path, members, name, str(version))
    extensions = _verified(path, archive, members, f"{folder}/RECORD")
    metadata = HeaderParser().parsestr(_text(path, archive, members, f"{folder}/METADATA"))
    if canonicalize_name(str(metadata["Name"])) != name or _version(metadata["Version"]) != version:
        raise damaged(path, f"its metadata says {metadata['Name']} {metadata['Version']}")
    top_level = {PurePosixPath(member).parts[0].removesuffix(".py") for member in members}
    return WheelFacts(
        distribution=name,
        version=str(version),
        tags=tuple(sorted(str(tag) for tag in tags)),
        top_level=tuple(sorted(part for part in top_level if part.isidentifier())),
        requires=tuple(str(line) for line in metadata.get_all("Requires-Dist", [])),
        requires_python=str(metadata.get("Requires-Python", "")),
        extensions=extensions,
        sha256=sha256(path),
        size=path.stat().st_size,
    )


def _dist_info(path: Path, members: dict[str, zipfile.ZipInfo], name: str, version: str) -> str:
    folders = {
        parts[0] for parts in map(_parts, members) if len(parts) > 1 and parts[0].endswith(".dist-info")
    }
    if len(folders) != 1:
        raise damaged(path, f"it has {len(folders)} .dist-info folders for {name} {version}")
    return folders.pop()


def _parts(member: str) -> tuple[str, ...]:
    return PurePosixPath(member).parts


def _verified(
    path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], record: str
) -> tuple[ExtensionFacts, ...]:
    """Compare every file with RECORD, and look into the libraries on the way: unpacking takes the longest."""
    recorded = _recorded(path, archive, members, record)
    asked = asked_for(
        _text(path, archive, members, name)
        for name in members
        if PurePosixPath(name).match(f"{OPS_PACKAGE}/ops/*.py") and _parts(name)[0] == OPS_PACKAGE
    )
    found = []
    with _unpacked() as copy:
        for name in sorted(recorded):
            is_library = _LIBRARY.search(name) is not None
            if (
                _digest(archive, members[name], recorded[name][0], copy if is_library else None)
                != (recorded[name][1])
            ):
                raise damaged(path, f"{name!r} is not what RECORD says")
            if is_library:
                found.append(_extension(copy, name, members[name].file_size, asked))
    return tuple(found)


def _recorded(
    path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], record: str
) -> dict[str, tuple[str, str]]:
    """Give the algorithm and the digest of every file, but of RECORD itself and its signatures."""
    rows = csv.reader(io.StringIO(_text(path, archive, members, record)))
    listed = {row[0]: row[1].partition("=") for row in rows if len(row) >= 2}  # noqa: PLR2004 (name, hash, size)
    unhashed = {record, record + ".jws", record + ".p7s"}
    if unknown := sorted(set(members) - set(listed) - unhashed):
        raise damaged(path, f"RECORD does not know {unknown[0]!r}")
    if absent := sorted(set(listed) - set(members)):
        raise damaged(path, f"{absent[0]!r} is in RECORD but not in the wheel")
    hashed = set(members) - unhashed
    for name in sorted(hashed):
        if listed[name][0] not in {"sha256", "sha384", "sha512"}:
            raise damaged(path, f"RECORD has no sha256 of {name!r}")
    return {name: (listed[name][0], listed[name][2]) for name in hashed}


@contextmanager
def _unpacked() -> Iterator[Path]:
    """Give the place for one library after the other."""
    with _writing():
        folder = tempfile.TemporaryDirectory(prefix="mmsetup-wheel-")
    with folder as name:
        yield Path(name) / "extension.so"


def _writing() -> AbstractContextManager[None]:
    return writing(
        "the folder for temporary files",
        remedy="export TMPDIR=DIR  # a folder on a larger disk, that can be written to",
    )


def _digest(archive: zipfile.ZipFile, member: zipfile.ZipInfo, algorithm: str, copy: Path | None) -> str:
    """Hash a file as RECORD does, and write it to ``copy`` where that is given."""
    digest = hashlib.new(algorithm)
    with archive.open(member) as file, ExitStack() as stack:
        with _writing():
            target = stack.enter_context(copy.open("wb")) if copy else None
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            if target is not None:
                with _writing():
                    target.write(chunk)
        if target is not None:
            with _writing():
                target.flush()
    return base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()


def _text(path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str) -> str:
    if name not in members:
        raise damaged(path, f"it has no {name}")
    if members[name].file_size > _MOST_METADATA_BYTES:
        raise damaged(path, f"{name} is larger than any such file")
    return archive.read(members[name]).decode("utf-8")


def _extension(copy: Path, member: str, size: int, asked: frozenset[str]) -> ExtensionFacts:
    *package, file = _parts(member)
    module = ".".join([*package, file.split(".")[0]])
    facts = elf.read(copy)
    code = fatbin.gpu_code(copy)
    return ExtensionFacts(
        module=module,
        member=member,
        size=size,
        elf=facts,
        architectures=code.architectures,
        code=code,
        operators=operators(copy, facts, asked) if module == OPS_MODULE else None,
        stated=torch_flags.stated(copy) if file == torch_flags.BINDING else None,
    )


def _compare(path: Path, facts: WheelFacts, expect: Expected) -> None:
    if facts.distribution != canonicalize_name(expect.distribution) or not (
        is_version(facts.version, expect.version)
    ):
        raise damaged(
            path,
            f"it is {facts.distribution} {facts.version}, not {expect.distribution} {expect.version}",
        )


def _version(text: str | None) -> Version | None:
    try:
        return Version(text or "")
    except InvalidVersion:
        return None
