"""What mmsetup records inside an environment that it made: from what, for which machine, with what result."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from mmsetup import __version__
from mmsetup.binary.local_version import is_version
from mmsetup.catalog import Catalog
from mmsetup.paths import manifest_folder
from mmsetup.plan import Request
from mmsetup.probe.machine import Machine

__all__ = [
    "Manifest",
    "fingerprint",
    "missing_files",
    "missing_packages",
    "read_manifest",
    "write_manifest",
]

_SCHEMA = "mmsetup.manifest/1"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an environment was made from.

    ``fingerprint`` tells whether the same request on the same machine would give the same; ``packages`` maps
    names to versions. ``lock_digest`` and ``file_hashes`` say what was installed, ``ops`` where the compiled
    ops came from, ``machine``, ``plan`` and ``smoke`` are the documents of those stages. ``mim`` is what came
    of driving mim, with what openmim brought beside ``packages``; nothing where uv installed everything.
    """

    fingerprint: str
    created: str
    lock_digest: str
    python: str
    packages: Mapping[str, str]
    file_hashes: Mapping[str, Sequence[str]]
    ops: Mapping[str, Any]
    machine: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    smoke: Mapping[str, Any] = field(default_factory=dict)
    mim: Mapping[str, Any] = field(default_factory=dict)
    mmsetup: str = __version__
    schema: str = _SCHEMA

    @property
    def everything(self) -> Mapping[str, str]:
        """Give the versions of all that was put into the environment."""
        return {**self.mim.get("packages", {}), **self.packages}

    def with_smoke(self, smoke: Mapping[str, Any]) -> Manifest:
        """Give the manifest with the result of a smoke run."""
        return replace(self, smoke=smoke)


def fingerprint(
    request: Request, machine: Machine, catalog: Catalog, lock_digest: str = "", *, way: str = ""
) -> str:
    """Give the sha256 of what decides about a plan: the request, the machine's kind, and the catalogue.

    What only says how to come by the files plays no part (live pages, the interpreters that are here, offline
    or not): an environment that works stays as it is. With ``lock_digest`` (an install from a given lockfile)
    the request and the catalogue play none either. ``way`` is told where it is not uv that installs.
    """
    facts: dict[str, Any] = {
        "os": machine.os.name,
        "cpu": machine.cpu.architecture,
        "libc": machine.libc.version if machine.libc else "",
        "driver": machine.driver.version if machine.driver else "",
        "gpus": sorted(gpu.architecture for gpu in machine.gpus),
        "toolkits": sorted(kit.version for kit in machine.toolkits) if machine.gpus else [],
    }
    if way:
        facts["way"] = way
    if lock_digest:
        facts["lock"] = lock_digest
    else:
        same = replace(request, offline=False, may_fetch_python=True)
        facts.update(request=asdict(same), catalog=catalog.digest, mmsetup=__version__)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_manifest(environment: Path) -> Manifest | None:
    """Read the manifest of an environment; one that is missing, broken or of another schema is none."""
    try:
        document = json.loads((manifest_folder(environment) / "manifest.json").read_text(encoding="utf-8"))
        if document.get("schema") != _SCHEMA:
            return None
        return Manifest(**document)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def write_manifest(environment: Path, manifest: Manifest) -> None:
    """Write the manifest into an environment, at once or not at all."""
    folder = manifest_folder(environment)
    folder.mkdir(exist_ok=True)
    partial = folder / f".manifest.{os.getpid()}"
    partial.write_text(json.dumps(asdict(manifest), indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / "manifest.json")


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


def missing_files(environment: Path) -> tuple[str, ...]:
    """Give the files that its distributions recorded with a hash and that are gone: a package in name alone.

    What has no hash, such as compiled bytecode, may come and go. A record that cannot be read is one of them.
    """
    gone: list[str] = []
    # lib64 is often lib by another name.
    sites = {folder.resolve() for folder in environment.glob("lib*/python3*/site-packages")}
    for record in sorted(one for folder in sites for one in folder.glob("*.dist-info/RECORD")):
        site = str(record.parents[1])
        try:
            with record.open(encoding="utf-8", newline="") as lines:
                rows = [row for row in csv.reader(lines) if len(row) > 1 and row[1]]
        except (OSError, ValueError, csv.Error):
            gone.append(str(record))
            continue
        gone += [row[0] for row in rows if not os.path.lexists(os.path.join(site, row[0]))]  # noqa: PTH118
    return tuple(gone)
