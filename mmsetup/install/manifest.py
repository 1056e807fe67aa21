"""What mmsetup records inside an environment that it made: from what, for which machine, with what result."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mmsetup import __version__
from mmsetup.catalog import Catalog
from mmsetup.paths import manifest_folder
from mmsetup.plan import Request
from mmsetup.probe.machine import Machine

__all__ = ["Manifest", "fingerprint", "read_manifest", "write_manifest"]

_SCHEMA = "mmsetup.manifest/1"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an environment was made from.

    ``fingerprint`` tells whether the same request on the same machine would give the same, ``content``
    whether the same files would, however they were asked for. ``packages`` maps names to versions,
    ``lock_digest`` and ``file_hashes`` say what was installed, ``ops`` where the compiled ops came from and,
    as ``files``, which hashes were recorded of them. ``machine``, ``plan`` and ``smoke`` are the documents of
    those stages. ``mim`` is what came of driving mim, with what openmim brought beside ``packages``; nothing
    where uv installed everything.
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
    content: str = ""
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
        manifest = Manifest(**document)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    tables = (manifest.packages, manifest.ops, manifest.smoke, manifest.mim)
    return manifest if all(isinstance(table, dict) for table in tables) else None


def write_manifest(environment: Path, manifest: Manifest) -> None:
    """Write the manifest into an environment, at once or not at all."""
    folder = manifest_folder(environment)
    folder.mkdir(exist_ok=True)
    partial = folder / f".manifest.{os.getpid()}"
    partial.write_text(json.dumps(asdict(manifest), indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / "manifest.json")
