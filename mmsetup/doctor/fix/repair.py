"""The values of a repair: what is removed, installed and deleted, and what is left to the user."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LeftOut", "Repair", "Replacement"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A repair of a finding that is not made, and why."""

    id: str
    message: str
    reason: str


@dataclass(frozen=True, slots=True)
class Replacement:
    """A distribution that is put there: as one file with its sha256, for ``before`` (empty: there was none).

    ``wheel`` is a file of this machine, or nothing where the index has it; ``hashes`` are those of the files
    that may be taken.
    """

    name: str
    version: str
    before: str
    hashes: tuple[str, ...] = ()
    wheel: Path | None = None

    @property
    def pin(self) -> str:
        """Give the requirement that names exactly this."""
        if self.wheel is not None:
            return f"{self.name} @ {self.wheel.as_uri()}"
        return f"{self.name}=={self.version}"

    @property
    def line(self) -> str:
        """Give the pin with its hashes, as a requirements file has it."""
        return " ".join([self.pin, *(f"--hash={one}" for one in self.hashes)])


@dataclass(frozen=True, slots=True)
class Repair:
    """Everything that is done at once.

    ``remove`` are distributions, ``kept`` those whose files, shared with a removed one, stay as they are.
    ``delete`` lies in the environment, ``delete_after`` in caches outside. ``mends`` are the ids of the
    findings that it is for.
    """

    remove: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    install: tuple[Replacement, ...] = ()
    delete: tuple[Path, ...] = ()
    delete_after: tuple[Path, ...] = ()
    mends: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to do."""
        return not (self.remove or self.install or self.delete or self.delete_after)

    def commands(self, python: Path) -> tuple[str, ...]:
        """Word what is done as commands of a shell, in order; ``python`` is the environment's."""
        where = shlex.quote(str(python))
        lines = []
        if self.remove:
            kept = f"  # but for the files of {', '.join(self.kept)}" if self.kept else ""
            lines.append(f"uv pip uninstall --python {where} {shlex.join(self.remove)}{kept}")
        if deleted := (*self.delete, *self.delete_after):
            lines.append(f"rm -rf {shlex.join(map(str, deleted))}")
        if self.install:
            pins = shlex.join(one.pin for one in self.install)
            lines.append(f"uv pip install --python {where} --no-deps --only-binary :all: {pins}")
        return tuple(lines)
