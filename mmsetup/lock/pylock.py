"""The pylock.toml form (PEP 751): read uv's, write ours, with what mmsetup adds in ``[tool.mmsetup]``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import tomli_w
from packaging.pylock import Package, Pylock, PylockValidationError

from mmsetup.errors import LockError
from mmsetup.lock.model import Lock, LockedBuild, LockedFile, LockedPackage, LockedPatch, requirement_lines

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["packages_of", "parse", "render", "table_of"]

_SCHEMA = 1


def parse(path: Path) -> Pylock:
    """Read and validate a pylock file.

    Raises:
        LockError: it cannot be read or is not what PEP 751 says.
    """
    try:
        pylock = Pylock.from_dict(tomllib.loads(path.read_text(encoding="utf-8")))
        pylock.validate()
    except OSError as error:
        raise LockError(f"{path} cannot be read: {error.strerror}", remedy="mmsetup lock") from error
    except (ValueError, PylockValidationError) as error:
        raise LockError(
            f"{path} is no valid pylock file: {error}", remedy="mmsetup lock  # writes a new one"
        ) from error
    return pylock


def packages_of(pylock: Pylock, *, source_only: frozenset[str] = frozenset()) -> tuple[LockedPackage, ...]:
    """Give the packages of a pylock file; a source distribution counts only for those in ``source_only``.

    Raises:
        LockError: a package has no file that may be used, or a file no sha256.
    """
    packages = []
    for package in pylock.packages:
        files = _files(package, with_source=package.name in source_only)
        if not files or any(not file.sha256 for file in files):
            raise LockError(f"{package.name} {package.version} is locked without a file that has a sha256")
        packages.append(
            LockedPackage(
                name=package.name,
                version=str(package.version or _version_in(files[0].filename)),
                files=files,
                marker=str(package.marker) if package.marker else "",
                direct=package.archive is not None,
            )
        )
    return tuple(packages)


def _files(package: Package, *, with_source: bool) -> tuple[LockedFile, ...]:
    if package.archive is not None:
        return (_file(package.archive, ""),)
    if with_source and package.sdist is not None:
        return (_file(package.sdist, package.sdist.name or ""),)
    return tuple(_file(wheel, wheel.name or "") for wheel in package.wheels or ())


def _file(entry: Any, name: str) -> LockedFile:
    where = entry.url or entry.path or ""
    return LockedFile(
        filename=name or unquote(urlsplit(where).path.rsplit("/", 1)[-1]),
        sha256=entry.hashes.get("sha256", ""),
        url=entry.url or "",
        size=entry.size or 0,
    )


def _version_in(filename: str) -> str:
    return filename.split("-")[1] if filename.count("-") > 1 else ""


def render(lock: Lock) -> str:
    """Write a lock as pylock.toml."""
    document: dict[str, Any] = {
        "lock-version": "1.0",
        "requires-python": f"=={lock.python}.*",
        "created-by": "mmsetup",
        "packages": [_package_table(package) for package in lock.packages],
        "tool": {"mmsetup": table_of(lock)},
    }
    return tomli_w.dumps(document)


def _package_table(package: LockedPackage) -> dict[str, Any]:
    table: dict[str, Any] = {"name": package.name, "version": package.version}
    if package.marker:
        table["marker"] = package.marker
    if package.direct:
        return {**table, "archive": _file_table(package.files[0], named=False)}
    wheels = [_file_table(file, named=True) for file in package.files if file.filename.endswith(".whl")]
    if wheels:
        return {**table, "wheels": wheels}
    return {**table, "sdist": _file_table(package.files[0], named=True)}


def _file_table(file: LockedFile, *, named: bool) -> dict[str, Any]:
    table: dict[str, Any] = {"name": file.filename} if named else {}
    table["url"] = file.url
    if file.size:
        table["size"] = file.size
    return {**table, "hashes": {"sha256": file.sha256}}


def table_of(lock: Lock) -> dict[str, Any]:
    """Give what mmsetup adds to a lockfile, in either form."""
    table: dict[str, Any] = {
        "schema": _SCHEMA,
        "name": lock.name,
        "family": lock.family,
        "python": lock.python,
        "platform": lock.platform,
        "variant": lock.variant,
        "catalog": lock.catalog_digest,
        "download-bytes": lock.download_bytes,
    }
    if lock.from_source:
        table["from-source"] = list(lock.from_source)
    if lock.patches:
        table["patches"] = [asdict(patch) for patch in lock.patches]
    if lock.build is not None:
        table["build"] = {
            "name": lock.build.name,
            "version": lock.build.version,
            "with-cuda": lock.build.with_cuda,
            "architectures": list(lock.build.architectures),
            "environment": dict(lock.build.environment),
            "requires": requirement_lines(lock.build.requires),
        }
    return table


def lock_from(
    table: Mapping[str, Any], packages: tuple[LockedPackage, ...], build: LockedBuild | None
) -> Lock:
    """Put together what a lockfile says.

    Raises:
        LockError: mmsetup's own table is missing, of another schema, or incomplete.
    """
    if table.get("schema") != _SCHEMA:
        raise LockError(
            "the lockfile was not written by mmsetup, or by another version of it",
            remedy="mmsetup lock  # writes a new one",
        )
    sized = any(file.size for package in packages for file in package.files)
    try:
        return Lock(
            name=str(table["name"]),
            family=str(table["family"]),
            python=str(table["python"]),
            platform=str(table["platform"]),
            variant=str(table["variant"]),
            packages=packages,
            build=build,
            catalog_digest=str(table["catalog"]),
            known_bytes=0 if sized else int(table.get("download-bytes", 0)),
            from_source=tuple(map(str, table.get("from-source", ()))),
            patches=tuple(
                LockedPatch(str(one["name"]), str(one["package"]), str(one["sha256"]))
                for one in table.get("patches", ())
            ),
        )
    except KeyError as error:
        raise LockError(f"the lockfile's mmsetup table lacks {error}", remedy="mmsetup lock") from None
    except (AttributeError, TypeError) as error:
        raise LockError(
            f"the lockfile's mmsetup table is malformed: {error}", remedy="mmsetup lock"
        ) from None
