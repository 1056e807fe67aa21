"""The commands that a remedy names: what somebody types to change the environment."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from mmsetup.paths import manifest_folder
from mmsetup.probe.machine import Environment

__all__ = ["Commands"]

# Where a new environment goes when the one that was looked at is to stay.
_BESIDE = ".venv"


@dataclass(frozen=True, slots=True)
class Commands:
    """Words the commands for an environment.

    ``family`` is named where it is not the default one, ``optional`` are its members that are here and that
    no plan would choose unasked.
    """

    environment: Environment
    family: str = ""
    optional: tuple[str, ...] = ()

    def install(self, *requirements: str) -> str:
        """Word the command that installs ``requirements`` into the environment.

        NVIDIA's own build of torch is named as one more, so that no resolver puts another in its place.
        """
        torch = self.environment.torch
        if torch is not None and torch.is_vendor_build:
            kept = self.environment.version_of("torch") or torch.version
            requirements = (*requirements, f"torch=={kept}")
        return self._installer("install", *requirements)

    def uninstall(self, *names: str) -> str:
        """Word the command that removes distributions from the environment."""
        own = bool(self.environment.version_of("pip"))
        return self._installer("uninstall", *(["-y"] if own else []), *names)

    def _installer(self, verb: str, *words: str) -> str:
        python = str(self.environment.interpreter.path)
        if self.environment.version_of("pip"):
            return shlex.join([python, "-m", "pip", verb, *words])
        return shlex.join(["uv", "pip", verb, "--python", python, *words])

    @property
    def make_again(self) -> str:
        """Word the command that plans and makes the environment again: see `anew`."""
        return self.anew()

    def anew(self, *options: str) -> str:
        """Word the command that makes the environment again, or beside one that mmsetup does not replace.

        mmsetup makes virtual environments alone: those of conda, the interpreter's own and those with
        NVIDIA's build of torch, for which nobody else has ops, stay as they are, and so does what mmsetup
        runs from. One that mmsetup made is
        replaced even where the plan is that which it came of: what ails it need not be in its record.
        """
        environment = self.environment
        is_theirs = environment.torch is not None and environment.torch.is_vendor_build
        is_own = environment.prefix.resolve() == Path(sys.prefix).resolve()
        may_go = environment.is_virtual and not is_theirs and not is_own
        stays = "" if may_go else f"  # {environment.prefix} stays as it is"
        beside = f"{environment.prefix}-stack" if is_own else _BESIDE
        words = ["mmsetup", "install", "--env", beside if stays else str(environment.prefix)]
        if self.family:
            words += ["--family", self.family]
        for name in self.optional:
            words += ["--with", name]
        if not stays and manifest_folder(environment.prefix).is_dir():
            words.append("--reinstall")
        return shlex.join([*words, *options]) + stays

    @property
    def restore(self) -> str:
        """Word the command that makes the environment as mmsetup installed it, or again where it did not."""
        prefix = self.environment.prefix
        lock = manifest_folder(prefix) / "requirements.txt"
        if not self.environment.is_virtual or not lock.is_file():
            return self.make_again
        words = ["mmsetup", "install", "--env", str(prefix), "--lock", str(lock), "--reinstall"]
        return shlex.join([*words, "--via", "mim"] if self.environment.version_of("openmim") else words)
