"""Finish a wheel that was built: name what it is for, the systems that it runs on, and what it came from.

setup.py makes a wheel that says ``1.7.2`` and ``linux_x86_64`` whatever it was compiled for. What is written
here says so in its name: the version keeps its public part, by which all requirements and gates go, and gains
a local one; the platform tag is that of the symbols which its libraries need (PEP 600); and
``mmsetup-recipe.json`` beside its metadata tells what it was built from. The package itself is not touched:
``mmcv.__version__`` stays the public version, which other packages compare in ways of their own.

The same input gives the same bytes. Format: the binary distribution format (PEP 427, PEP 376).
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from packaging.version import InvalidVersion, Version

from mmsetup import __version__
from mmsetup.binary import floors
from mmsetup.binary.local_version import labelled_pair, pair_label
from mmsetup.binary.wheel import WheelFacts
from mmsetup.build.recipe import Recipe, describe, key
from mmsetup.build.wheel_writer import RECIPE_FILE, WheelWriter, members, opened, with_version
from mmsetup.errors import RequestError

__all__ = ["NONE", "RECIPE_FILE", "label", "local_part", "platform"]

NONE = "none"
"""What is said for no local version part."""

_SCHEMA = "mmsetup.recipe/1"
_LONGEST_LOCAL = 64
_LINUX = re.compile(r"(?:many)?linux", re.ASCII)
_ADDRESS = re.compile(r"(?<= @ )\S+")
_OF_THE_VERSION = (".dist-info", ".data")


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
    with opened(path) as archive, zipfile.ZipFile(made, "w") as out:
        writer = WheelWriter(out)
        for member in members(archive):
            top, _, rest = member.filename.partition("/")
            kind = PurePosixPath(top).suffix
            target = f"{name}-{version}{kind}/{rest}" if kind in _OF_THE_VERSION else member.filename
            if target == f"{own}/METADATA":
                writer.text(target, with_version(archive.read(member), version))
            elif target == f"{own}/WHEEL":
                writer.text(target, _with_platform(archive.read(member), tags[-1]))
            else:
                writer.copy(target, archive, member)
        writer.text(f"{own}/{RECIPE_FILE}", _told(facts, recipe, version, "-".join(tags)))
        writer.record(f"{own}/RECORD")
    return made


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
