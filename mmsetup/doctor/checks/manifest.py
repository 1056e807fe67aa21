"""MM60x: the environment against the record that mmsetup left in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from packaging.utils import canonicalize_name

from mmsetup.binary.local_version import is_version
from mmsetup.doctor.context import Context
from mmsetup.doctor.model import Observation, check
from mmsetup.paths import manifest_folder

__all__ = ["drifted"]

_MOST_NAMED = 8


@check(
    "MM601",
    title="The environment differs from what mmsetup installed",
    cause="Something was installed, upgraded or removed after mmsetup made and tried the environment.",
    looks_at="The versions in the manifest inside the environment against the installed distributions.",
    remedy="mmsetup install --lock with the lockfile that lies in the environment makes it as it was.",
)
def drifted(context: Context) -> Iterator[Observation]:
    """Observe pinned distributions that are gone or have another version."""
    different = []
    for name, pinned in sorted(_pinned(context).items()):
        found = context.environment.version_of(canonicalize_name(name))
        if not found:
            different.append(f"{name} {pinned} is gone")
        elif not is_version(found, pinned):
            different.append(f"{name}: recorded {pinned}, here {found}")
    if different:
        more = len(different) - _MOST_NAMED
        yield Observation(
            "warning",
            f"{len(different)} distribution(s) are not as recorded",
            (*different[:_MOST_NAMED], *((f"and {more} more",) if more > 0 else ())),
            context.commands.restore,
        )


def _pinned(context: Context) -> Mapping[str, str]:
    """Read the versions that were recorded; a record that is absent or is none pins nothing."""
    path = manifest_folder(context.environment.prefix) / "manifest.json"
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    packages = document.get("packages") if isinstance(document, dict) else None
    if not isinstance(packages, dict):
        return {}
    return {name: version for name, version in packages.items() if isinstance(version, str)}
