"""The versions that mmsetup recorded in an environment, against those that are there now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from mmsetup.binary.local_version import is_version
from mmsetup.paths import manifest_folder

if TYPE_CHECKING:
    from mmsetup.probe.machine import Environment

__all__ = ["differences"]


def differences(environment: Environment) -> tuple[str, ...]:
    """Give a line for each recorded distribution that is gone or has another version.

    Without a record there is none.
    """
    found = []
    for name, pinned in sorted(_pinned(environment).items()):
        here = environment.version_of(name)
        if not here:
            found.append(f"{name} {pinned} is gone")
        elif not is_version(here, pinned):
            found.append(f"{name}: recorded {pinned}, here {here}")
    return tuple(found)


def _pinned(environment: Environment) -> Mapping[str, str]:
    """Read the versions that were recorded; a record that is absent or is none pins nothing."""
    path = manifest_folder(environment.prefix) / "manifest.json"
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    packages = document.get("packages") if isinstance(document, dict) else None
    if not isinstance(packages, dict):
        return {}
    return {
        canonicalize_name(name): version for name, version in packages.items() if isinstance(version, str)
    }
