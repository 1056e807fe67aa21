"""Write the two forms of a lock and read either.

``pylock.NAME.toml`` is for any tool that reads PEP 751; ``requirements.NAME.txt`` is the one that mmsetup
installs from (uv takes a second from a warm cache, and fetches again for a pylock). Each holds mmsetup's own
table, the second one in comments.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import tomli_w
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mmsetup.errors import LockError
from mmsetup.lock.model import Lock, LockedBuild, LockedFile, LockedPackage, requirement_lines
from mmsetup.lock.pylock import lock_from, packages_of, parse, render, table_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["check_name", "read", "requirements_text", "write"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_HASH = re.compile(r"\s--hash=sha256:([0-9a-f]{64})")
_OPEN, _CLOSE = "# /// mmsetup", "# ///"


def check_name(name: str) -> None:
    """Check that a name fits between the dots of ``pylock.NAME.toml``.

    Raises:
        LockError: it does not.
    """
    if not _NAME.fullmatch(name):
        raise LockError(
            f"{name!r} cannot name a lockfile: letters, digits, - and _ only",
            remedy="mmsetup lock --name default",
        )


def write(lock: Lock, folder: Path) -> tuple[Path, Path]:
    """Write both forms into ``folder`` and give their paths; readers find old files or new ones, whole.

    Raises:
        LockError: the name does not fit a file name of PEP 751, or the folder cannot be written.
    """
    check_name(lock.name)
    forms = {
        folder / f"pylock.{lock.name}.toml": render(lock),
        folder / f"requirements.{lock.name}.txt": requirements_text(lock),
    }
    partials = {path.with_name(f".{path.name}.{os.getpid()}"): path for path in forms}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Both are on the disk before either takes its place: a full disk must not leave one new and one old.
        for partial, path in partials.items():
            partial.write_text(forms[path], encoding="utf-8")
        for partial, path in partials.items():
            partial.replace(path)
    except OSError as error:
        raise LockError(
            f"the lockfiles cannot be written to {folder}: {error.strerror}",
            remedy="mmsetup lock --output FOLDER",
        ) from error
    finally:
        for partial in partials:
            with contextlib.suppress(OSError):
                partial.unlink()
    first, second = forms
    return first, second


def requirements_text(lock: Lock) -> str:
    """Write a lock in the requirements form."""
    # Not splitlines(): a value may hold what Unicode, but neither TOML nor pip, takes for the end of a line.
    header = ["# Written by mmsetup; install it with: mmsetup install --lock FILE", _OPEN]
    header += [f"# {line}".rstrip() for line in tomli_w.dumps(table_of(lock)).rstrip("\n").split("\n")]
    body = [line.replace(" --hash", " \\\n    --hash") for line in requirement_lines(lock.packages)]
    return "\n".join([*header, _CLOSE, *body]) + "\n"


def read(path: Path) -> Lock:
    """Read a lock in either form.

    Raises:
        LockError: it is missing, malformed, or was not written by mmsetup.
    """
    if path.suffix == ".toml":
        pylock = parse(path)
        table = (pylock.tool or {}).get("mmsetup", {})
        build = _build(table)
        source_only = frozenset({*table.get("from-source", ()), *([build.name] if build else ())})
        return lock_from(table, packages_of(pylock, source_only=source_only), build)
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(_block(text))
    except OSError as error:
        raise LockError(f"{path} cannot be read: {error.strerror}", remedy="mmsetup lock") from error
    except ValueError as error:
        raise LockError(f"{path} is no lockfile: {error}", remedy="mmsetup lock") from error
    return lock_from(table, _packages(_joined(text), path), _build(table))


def _block(text: str) -> str:
    lines = text.split("\n")
    if _OPEN not in lines:
        return ""
    start = lines.index(_OPEN) + 1
    end = lines.index(_CLOSE, start) if _CLOSE in lines[start:] else len(lines)
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[start:end])


def _joined(text: str) -> list[str]:
    lines = text.replace("\\\n", " ").split("\n")
    return [line for line in lines if line.strip() and not line.startswith("#")]


def _packages(lines: Iterable[str], path: Path) -> tuple[LockedPackage, ...]:
    return tuple(_package(line, path) for line in lines)


def _package(line: str, path: Path) -> LockedPackage:
    hashes = _HASH.findall(line)
    try:
        requirement = Requirement(_HASH.sub("", line).strip())
    except InvalidRequirement as error:
        raise LockError(f"{path}: {line!r} is no requirement: {error}", remedy="mmsetup lock") from error
    if not hashes:
        raise LockError(f"{path}: {requirement.name} has no sha256", remedy="mmsetup lock")
    url = requirement.url or ""
    filename = unquote(urlsplit(url).path.rsplit("/", 1)[-1])
    pinned = [specifier.version for specifier in requirement.specifier if specifier.operator == "=="]
    if url and filename.count("-") > 1:
        pinned = [filename.split("-")[1]]
    if len(pinned) != 1:
        raise LockError(f"{path}: {requirement.name} is not pinned to one version", remedy="mmsetup lock")
    return LockedPackage(
        name=canonicalize_name(requirement.name),
        version=pinned[0],
        files=tuple(LockedFile(filename, digest, url) for digest in hashes),
        marker=str(requirement.marker or ""),
        direct=bool(url),
    )


def _build(table: Mapping[str, Any]) -> LockedBuild | None:
    try:
        build = table.get("build")
        if not build:
            return None
        return LockedBuild(
            name=str(build["name"]),
            version=str(build["version"]),
            requires=_packages(build["requires"], Path("[build]")),
            environment=dict(build["environment"]),
            with_cuda=bool(build["with-cuda"]),
            architectures=tuple(build["architectures"]),
        )
    except KeyError as error:
        raise LockError(f"the lockfile's build table lacks {error}", remedy="mmsetup lock") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise LockError(f"the lockfile's build table is malformed: {error}", remedy="mmsetup lock") from None
