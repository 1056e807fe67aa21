"""What openmim is, and what it brings along: asked of the index before anything is done."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmsetup import uv
from mmsetup.catalog import mim
from mmsetup.errors import IntegrityError, LockError, MmsetupError, RequestError
from mmsetup.install.changes import Change, Limit, changes
from mmsetup.lock import Lock, LockedFile, LockedPackage
from mmsetup.lock.pylock import packages_of, parse

__all__ = ["Company", "company", "digest", "installs", "located", "page_below"]


@dataclass(frozen=True, slots=True)
class Company:
    """openmim and all that it needs beside a lock.

    ``packages`` are those to be added or exchanged, with the hashes of their files; ``changes`` is the table
    for people. ``unknown`` says why nobody knows what a plain install would do, or is empty.
    """

    packages: tuple[LockedPackage, ...]
    changes: tuple[Change, ...]
    unknown: str = ""

    def version(self, name: str) -> str:
        """Give the version of a package that comes along, or nothing."""
        return next((package.version for package in self.packages if package.name == name), "")


def installs(lock: Lock, ops: str) -> tuple[str, ...]:
    """Give the packages of a lock that mim installs, in the order in which it has to.

    Raises:
        RequestError: ``ops``, the distribution of the compiled ops, is none that openmim knows.
    """
    known = mim.mim().installs
    if ops not in known:
        raise RequestError(
            f"openmim cannot install {ops}: it knows {', '.join(known)}",
            remedy="mmsetup install  # without --via mim",
        )
    pinned = {package.name for package in lock.packages}
    return tuple(name for name in known if name in pinned)


def page_below(variant: str, torch: str) -> str:
    """Give where below its base address mim looks for the ops of a torch."""
    major, minor, *_ = torch.split(".")
    return mim.mim().page.format(variant=variant, torch=f"{major}.{minor}.0")


def digest() -> str:
    """Give the sha256 of what is known of openmim."""
    return hashlib.sha256(mim.path().read_bytes()).hexdigest()


def company(lock: Lock, python: Path, limits: Sequence[Limit], *, offline: bool = False) -> Company:
    """Resolve openmim beside a lock, so that no pin of the lock changes that need not.

    ``limits`` are those of the plan. The only pin that may have to give way, for as long as mim works, is
    setuptools: openmim does not run with every one.

    Raises:
        LockError: openmim and the lock's pins exclude each other.
        NetworkError: the index does not answer.
    """
    pins = {package.name: package.version for package in lock.packages}
    needs = _setuptools(lock.python)
    gives_way = "" if needs.admits("setuptools", pins.get("setuptools", "")) else "setuptools"
    wanted = [*mim.mim().requires, needs.requirement]
    kept = [f"{name}=={version}" for name, version in pins.items() if name != gives_way]
    found = _resolved(wanted, kept, python, offline=offline)
    used = {package.name: package.version for package in found}
    try:
        alone, unknown = _alone(pins, python, offline=offline), ""
    except MmsetupError as error:
        alone, unknown = {}, str(error)
    return Company(
        packages=tuple(package for package in found if pins.get(package.name) != package.version),
        changes=changes(pins, alone, used, [*limits, needs]),
        unknown=unknown,
    )


def located(package: LockedPackage, python: Path, *, offline: bool = False) -> LockedFile:
    """Give the wheel of a pure package with its address; the index is asked where a lock does not say.

    Raises:
        IntegrityError: the index has another file than the lock.
        LockError: it does not say where.
    """
    files = package.files
    if not any(file.url for file in files):
        pin = f"{package.name}=={package.version}"
        (found,) = _resolved([pin], [], python, offline=offline, alone=True)
        hashes = {file.sha256 for file in files}
        files = tuple(file for file in found.files if file.sha256 in hashes)
        if not files:
            raise IntegrityError(
                f"the index has other files of {pin} than the lock",
                evidence=[f"{file.filename}: sha256 {file.sha256}" for file in found.files],
                remedy="mmsetup lock  # if the change is expected; otherwise ask who changed the files",
            )
    for file in files:
        if file.url and file.filename.endswith(".whl"):
            return file
    raise LockError(
        f"the index does not say where the wheel of {package.name} {package.version} is",
        remedy="mmsetup install  # without --via mim",
    )


def _setuptools(python: str) -> Limit:
    return next(
        Limit(needed.requirement, needed.reason)
        for needed in mim.mim().setuptools
        if needed.python.contains(python)
    )


def _resolved(
    wanted: Sequence[str], kept: Sequence[str], python: Path, *, offline: bool, alone: bool = False
) -> tuple[LockedPackage, ...]:
    """Resolve to wheels with hashes; ``alone``: without what they need."""
    with tempfile.TemporaryDirectory(prefix="mmsetup-mim-") as made:
        folder = Path(made)
        (folder / "requirements.in").write_text("\n".join(wanted) + "\n", encoding="utf-8")
        (folder / "constraints.in").write_text("\n".join(kept) + "\n", encoding="utf-8")
        args: list[str | Path] = ["pip", "compile", "requirements.in", "--constraints", "constraints.in"]
        args += ["--python", python, "--format", "pylock.toml", "--output-file", "pylock.toml", "--quiet"]
        args += ["--only-binary", ":all:", *(["--no-deps"] if alone else [])]
        uv.call(args, "find openmim beside the locked packages", cwd=folder, offline=offline)
        return packages_of(parse(folder / "pylock.toml"))


def _alone(pins: Mapping[str, str], python: Path, *, offline: bool) -> dict[str, str]:
    """Resolve openmim as ``pip install openmim`` would in an environment with these pins.

    What is there is preferred, not kept. Some of what it needs are source distributions, which may be asked
    for their metadata here; none of them is installed.
    """
    with tempfile.TemporaryDirectory(prefix="mmsetup-mim-") as made:
        folder = Path(made)
        wanted, found = folder / "requirements.in", folder / "requirements.txt"
        wanted.write_text("\n".join(mim.mim().requires) + "\n", encoding="utf-8")
        found.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()), encoding="utf-8")
        args: list[str | Path] = ["pip", "compile", wanted, "--python", python, "--output-file", found]
        args += ["--quiet", "--no-header", "--no-annotate"]
        uv.call(args, "find what openmim alone would install", cwd=folder, offline=offline)
        lines = [Requirement(line) for line in found.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {canonicalize_name(line.name): str(line.specifier).removeprefix("==") for line in lines}
