"""What an environment holds against what was installed into it, read from names, sizes and records alone."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path

from packaging.utils import canonicalize_name

from mmsetup.binary.local_version import is_version
from mmsetup.binary.operators import OPS_MODULE, OPS_PACKAGE

__all__ = ["changed_files", "edited_modules", "missing_packages", "recorded_ops"]


def missing_packages(environment: Path, packages: Mapping[str, str]) -> tuple[str, ...]:
    """Give what an environment lacks, or has in another version, of ``packages``; only folder names count.

    A version without a local part is there with any, as for ``==`` of PEP 440: a wheel that was built has one
    that names its torch, of which a lock knows nothing.
    """
    present: dict[str, str] = {}
    for folder in environment.glob("lib*/python3*/site-packages/*.dist-info"):
        name, _, version = folder.name.removesuffix(".dist-info").partition("-")
        present[canonicalize_name(name)] = version.replace("_", "-")
    python = environment / "bin" / "python"
    broken = [] if python.exists() else [f"{python} leads nowhere"]
    return (
        *broken,
        *(
            f"{name} {version} (there is {present.get(name, 'none')})"
            for name, version in sorted(packages.items())
            if not is_version(present.get(name, ""), version)
        ),
    )


def changed_files(environment: Path, ops: Mapping[str, str]) -> tuple[str, ...]:
    """Say which files are not those that were installed: a package that is there in name alone, or damaged.

    ``ops`` are the compiled operators as they were recorded (`recorded_ops`); none where nobody wrote that
    down. Looked at is what its distribution recorded with a hash: that it is there and not empty, that a
    library has its size, and that nobody else put other files into mmcv. Python files that were edited stay
    the user's.
    """
    owners, unreadable = _owners(environment)
    changed = [f"{record} cannot be read" for record in unreadable]
    changed += filter(None, (_difference(path, rows) for path, rows in owners.items()))
    if ops and recorded_ops(environment) != ops:
        changed.append(f"{OPS_MODULE} is of another build")
    return tuple(changed)


def edited_modules(environment: Path) -> Mapping[str, str]:
    """Give the Python files that have another size than was recorded, each with the distribution it is of."""
    found = {}
    owners, _ = _owners(environment)
    for path, rows in owners.items():
        sizes = {size for _, size in rows.values()}
        is_told = path.endswith(".py") and "" not in sizes and os.path.exists(path)  # noqa: PTH110 (tens of thousands)
        if is_told and str(os.stat(path).st_size) not in sizes:  # noqa: PTH116
            found[path] = _distribution(next(iter(rows)))
    return found


def recorded_ops(environment: Path) -> Mapping[str, str]:
    """Give the compiled operators, as files in site-packages, with the hashes that were recorded of them."""
    beginning = OPS_MODULE.replace(".", "/")
    rows = (row for record in _records(environment, f"*{OPS_PACKAGE}*") for row in _rows(record) or ())
    return {name: digest for name, digest, _ in rows if name.startswith(beginning)}


def _records(environment: Path, names: str = "*") -> list[Path]:
    # lib64 is often lib by another name.
    sites = {folder.resolve() for folder in environment.glob("lib*/python3*/site-packages")}
    return sorted(record for folder in sites for record in folder.glob(f"{names}.dist-info/RECORD"))


def _owners(environment: Path) -> tuple[Mapping[str, Mapping[Path, tuple[str, str]]], list[Path]]:
    """Give what was recorded of each file, its hash and its size, by the records that name it.

    Beside it are the records that cannot be read.
    """
    owners: dict[str, dict[Path, tuple[str, str]]] = {}
    unreadable: list[Path] = []
    for record in _records(environment):
        rows = _rows(record)
        if rows is None:
            unreadable.append(record)
        for name, digest, size in rows or ():
            owners.setdefault(f"{record.parents[1]}/{name}", {})[record] = digest, size
    return owners, unreadable


def _distribution(record: Path) -> str:
    return canonicalize_name(record.parent.name.partition("-")[0])


def _rows(record: Path) -> list[list[str]] | None:
    """Read what has a hash, as bytecode, which comes and goes, has not; a damaged one has no rows."""
    try:
        with record.open(encoding="utf-8", newline="") as lines:
            return [[*row, ""][:3] for row in csv.reader(lines) if len(row) > 1 and row[1]]
    except (OSError, ValueError, csv.Error):
        return None


def _difference(path: str, owners: Mapping[Path, tuple[str, str]]) -> str:
    try:
        size = str(os.stat(path).st_size)  # noqa: PTH116 (tens of thousands)
    except FileNotFoundError:
        return f"{path} is gone"
    except (OSError, ValueError) as error:
        return f"{path!r}: {error}"
    sizes = [said for _, said in owners.values()]
    is_exact = size == "0" or path.endswith(".so") or ".so." in path
    if is_exact and size not in sizes and all(sizes):
        return f"{path} has {size} bytes instead of {sizes[0]}"
    is_mmcvs = f"/site-packages/{OPS_PACKAGE}/" in path
    if is_mmcvs and len({digest for digest, _ in owners.values()}) > 1:
        return f"{path} is that of {' and of '.join(record.parent.stem for record in owners)}"
    return ""
