"""A lock as a value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

__all__ = ["Lock", "LockedBuild", "LockedFile", "LockedPackage", "LockedPatch", "requirement_lines"]


@dataclass(frozen=True, slots=True)
class LockedFile:
    """One file; ``url`` is empty and ``size`` (bytes) 0 where its form does not tell them."""

    filename: str
    sha256: str
    url: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One version of a distribution and the files that are that version.

    ``direct``: it is not on the default index; its only file's ``url`` says where it is. ``marker`` limits it
    to environments.
    """

    name: str
    version: str
    files: tuple[LockedFile, ...]
    marker: str = ""
    direct: bool = False


@dataclass(frozen=True, slots=True)
class LockedBuild:
    """How one of the packages is made from its source distribution.

    ``requires`` are the pinned packages of the build environment; ``environment`` the variables set there.
    """

    name: str
    version: str
    requires: tuple[LockedPackage, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    with_cuda: bool = False
    architectures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LockedPatch:
    """A change that is made to the source, or the wheel, of a package; ``sha256`` is that of its edits."""

    name: str
    package: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Lock:
    """Everything that an environment is made from.

    ``python`` is a minor version (``3.10``), ``platform`` ``linux-x86_64``; ``build`` is set where the ops
    are built. ``known_bytes`` is the size of the download where the files do not tell theirs. ``from_source``
    names pure Python packages that are made from their source distributions when they are installed.
    ``patches`` are made before they are built or installed.
    """

    name: str
    family: str
    python: str
    platform: str
    variant: str
    packages: tuple[LockedPackage, ...]
    build: LockedBuild | None
    catalog_digest: str
    known_bytes: int = 0
    from_source: tuple[str, ...] = ()
    patches: tuple[LockedPatch, ...] = ()

    @property
    def no_other_builds(self) -> tuple[str, ...]:
        """Give the options with which uv makes packages from source only where the lock says so."""
        allowed = tuple(word for name in self.from_source for word in ("--no-binary", name))
        return ("--only-binary", ":all:", *allowed)

    def package(self, name: str) -> LockedPackage:
        """Give a package by its normalised name."""
        return next(package for package in self.packages if package.name == name)

    @property
    def digest(self) -> str:
        """Give the sha256 of what this lock pins; where its files lie does not change it."""
        pins = [
            [package.name, package.version, package.marker, sorted(file.sha256 for file in package.files)]
            for package in (*self.packages, *(self.build.requires if self.build else ()))
        ]
        build = {**asdict(self.build), "requires": None} if self.build else None
        shape = [self.family, self.python, self.platform, self.variant, pins, build]
        shape += [asdict(patch) for patch in self.patches]
        return hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()

    @property
    def download_bytes(self) -> int:
        """Give the size of all files together, counting the largest of each package."""
        sizes = sum(max((file.size for file in package.files), default=0) for package in self.packages)
        return sizes or self.known_bytes


def requirement_lines(packages: Iterable[LockedPackage]) -> list[str]:
    """Write packages as hashed requirements, one to a line, as pip and uv read them."""
    lines = []
    for package in packages:
        words = [
            f"{package.name} @ {package.files[0].url}"
            if package.direct
            else f"{package.name}=={package.version}"
        ]
        if package.marker:
            words.append(f"; {package.marker}")
        words.extend(f"--hash=sha256:{file.sha256}" for file in package.files)
        lines.append(" ".join(words))
    return lines
