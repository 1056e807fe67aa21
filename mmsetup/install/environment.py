"""Install a lock into a target: make everything beside it, have it accepted, exchange the two in one step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from mmsetup import uv
from mmsetup.errors import FULL, DiskSpaceError, TargetError
from mmsetup.files import sha256
from mmsetup.install.target import Target, staged, swap
from mmsetup.lock import Lock, LockedPackage
from mmsetup.lock.files import requirements_text
from mmsetup.lock.model import requirement_lines
from mmsetup.lock.pylock import render
from mmsetup.paths import manifest_folder
from mmsetup.progress import Progress

__all__ = ["Installed", "install"]


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment in place: its folder, interpreter, and the version of each package in it."""

    path: Path
    python: Path
    packages: Mapping[str, str]


def install(
    lock: Lock,
    target: Target,
    interpreter: Path,
    *,
    wheels: Mapping[str, Path],
    accept: Callable[[Path, Path], None],
    progress: Progress,
    offline: bool = False,
    later: Collection[str] = (),
    finish: Callable[[Path, Path], None] = lambda _new, _python: None,
) -> Installed:
    """Make the environment of a lock and put it in the target's place.

    ``wheels`` gives the wheel to install for packages whose file is not to be taken from the index (a built
    one, or one that was fetched and opened before). The packages named in ``later`` are left to
    ``finish(environment, python)``, which is called when all others are there. ``accept(environment,
    python)`` is called before the exchange; what either raises undoes everything. The caller holds the target
    (:func:`mmsetup.install.target.held`) and has called :func:`mmsetup.install.target.recover`.

    Raises:
        DiskSpaceError, NetworkError, IntegrityError: as uv tells.
        TargetError: the target cannot be replaced.
    """
    try:
        with staged(target.path) as staging:
            new = staging / "new"
            python = _empty(new, interpreter, prompt=target.path.parent.name)
            lines = _lines([package for package in lock.packages if package.name not in later], wheels)
            pins = staging / "requirements.txt"
            _fill(python, pins, lines, progress, options=lock.no_other_builds, offline=offline)
            finish(new, python)
            _record_lock(lock, new)
            accept(new, python)
            progress.update("putting the environment in place")
            swap(new, target.path)
    except OSError as error:
        if error.errno in FULL:
            raise DiskSpaceError(
                f"the disk of {target.path} ran full", remedy="mmsetup install --env DIR  # on another disk"
            ) from error
        raise TargetError(
            f"{target.path} cannot be made: {error.filename or ''} {error.strerror or error}",
            remedy="mmsetup install --env DIR",
        ) from error
    return Installed(
        target.path,
        target.path / "bin" / "python",
        {package.name: package.version for package in lock.packages},
    )


def _empty(new: Path, interpreter: Path, *, prompt: str) -> Path:
    # Relocatable: scripts find their environment from where they lie; it is made here and works there.
    uv.call(
        [
            "venv",
            "--quiet",
            "--relocatable",
            "--no-project",
            "--prompt",
            prompt,
            "--python",
            interpreter,
            new,
        ],
        "make the environment",
    )
    return new / "bin" / "python"


def _fill(
    python: Path,
    pins: Path,
    lines: Sequence[str],
    progress: Progress,
    *,
    options: Sequence[str],
    offline: bool,
) -> None:
    pins.write_text("\n".join(lines) + "\n", encoding="utf-8")
    downloads = _Downloads(progress)
    uv.call(
        ["pip", "sync", "--require-hashes", *options, "--python", python, pins],
        "install the locked packages",
        offline=offline,
        on_line=downloads.take,
    )


class _Downloads:
    """Follow what uv says of the large files that it downloads."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._under_way: dict[str, str] = {}
        self._done = 0

    def take(self, _stream: str, line: str) -> None:
        verb, _, rest = line.strip().partition(" ")
        name, _, size = rest.partition(" ")
        if verb == "Downloading":
            self._under_way[name] = size.strip("()")
        elif verb == "Downloaded" and self._under_way.pop(name, None) is not None:
            self._done += 1
        else:
            return
        if self._under_way:
            what = ", ".join(f"{name} ({size})" for name, size in self._under_way.items())
            self._progress.update(
                f"downloading {what}", done=self._done, total=self._done + len(self._under_way)
            )


def _lines(packages: Sequence[LockedPackage], wheels: Mapping[str, Path]) -> list[str]:
    lines = []
    for line in requirement_lines(packages):
        requirement = Requirement(line.partition(" --hash")[0])
        wheel = wheels.get(requirement.name)
        if wheel is None:
            lines.append(line)
            continue
        lines.append(f"{requirement.name} @ {wheel.resolve().as_uri()} --hash=sha256:{sha256(wheel)}")
    return lines


def _record_lock(lock: Lock, environment: Path) -> None:
    folder = manifest_folder(environment)
    folder.mkdir()
    (folder / "pylock.toml").write_text(render(lock), encoding="utf-8")
    (folder / "requirements.txt").write_text(requirements_text(lock), encoding="utf-8")
