"""Which environments may be changed: what mmsetup does not own, it does not touch without saying so."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from mmsetup.errors import TargetError
from mmsetup.install.target import Target, examine
from mmsetup.probe.machine import Environment

__all__ = ["changeable", "is_own"]


def changeable(environment: Environment) -> Target:
    """Give the environment as a target, where all of it may be replaced by a mended copy.

    Raises:
        TargetError: it belongs to somebody else (conda, the system, another user), NVIDIA built its torch,
            mmsetup runs from it, or the folder around it cannot be written to.
    """
    prefix, python = environment.prefix, environment.interpreter.path
    if (prefix / "conda-meta").is_dir():
        raise TargetError(
            f"{prefix} is an environment of conda, and only conda keeps its record of what is in it true",
            remedy="mmsetup install --env DIR  # or mend it by hand: mmsetup doctor tells the commands",
        )
    if not environment.is_virtual:
        marks = sorted(prefix.glob("lib*/python3*/EXTERNALLY-MANAGED"))
        owner = f", and {marks[0]} says that it is managed by the system" if marks else ""
        raise TargetError(
            f"{python} is an interpreter of its own, not of a virtual environment{owner}",
            remedy="mmsetup install --env DIR  # or mend it by hand: mmsetup doctor tells the commands",
        )
    if environment.torch is not None and environment.torch.is_vendor_build:
        raise TargetError(
            f"torch {environment.torch.version} is NVIDIA's own build, beside what NVIDIA chose for it",
            remedy="mend it by hand: mmsetup doctor tells the commands",
        )
    if Path(sys.prefix).resolve() == prefix.resolve():
        raise TargetError(
            f"mmsetup itself runs from {prefix}, which would be exchanged under its feet",
            remedy=f"uvx mmsetup doctor --fix --env {prefix}",
        )
    owner_id = prefix.stat().st_uid
    if hasattr(os, "geteuid") and owner_id != os.geteuid():
        raise TargetError(
            f"{prefix} belongs to user {owner_id}, and this is user {os.geteuid()}",
            remedy=f"sudo -u '#{owner_id}' mmsetup doctor --fix --env {prefix}",
        )
    _refuse_what_others_put_in(environment)
    return examine(prefix)


def _refuse_what_others_put_in(environment: Environment) -> None:
    """Refuse what could be replaced and not removed: sudo pip leaves folders of root behind.

    Raises:
        TargetError: this user may not write to a folder in it.
    """
    own = [folder for folder in environment.site_packages if is_own(environment, folder) and folder.is_dir()]
    inside = [
        Path(entry) for folder in own for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)
    ]
    for folder in (*own, *inside):
        if not os.access(folder, os.W_OK | os.X_OK):
            prefix = shlex.quote(str(environment.prefix))
            owner_id = folder.stat().st_uid
            is_of_others = hasattr(os, "geteuid") and owner_id != os.geteuid()
            raise TargetError(
                f"{folder} belongs to user {owner_id}, and this user may not write to it",
                remedy=f"sudo chown -R --reference={prefix} {prefix}"
                if is_of_others
                else f"chmod -R u+rwX {prefix}",
            )


def is_own(environment: Environment, path: Path) -> bool:
    """Tell whether a file lies in the environment, not in the interpreter that it was made from."""
    return path.is_relative_to(environment.prefix)
