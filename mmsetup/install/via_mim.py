"""Let mim install the ops, and what is built upon them, into an environment that is being made.

mim reads the page of OpenMMLab's layout that it works out itself, at a base address on this machine: the page
lists the very files that the plan chose and that were checked before, and nothing else can be installed.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import as_file, files
from pathlib import Path

from mmsetup import process, uv
from mmsetup.build import fetch
from mmsetup.errors import IntegrityError, ProcessError
from mmsetup.files import sha256
from mmsetup.install.changes import Change
from mmsetup.install.contents import missing_packages
from mmsetup.install.openmim import Company, installs, located, page_below
from mmsetup.lock import Lock, LockedPackage
from mmsetup.lock.model import requirement_lines
from mmsetup.progress import Progress

__all__ = ["Errand", "MimRun", "different_files", "gather", "install_by_mim", "write_page"]

_SECONDS_AT_MOST = 900.0


@dataclass(frozen=True, slots=True)
class Errand:
    """What mim is to install: the wheel of each package, in that order; and what openmim needs."""

    lock: Lock
    wheels: Mapping[str, Path]
    company: Company


def gather(
    lock: Lock,
    ready: Mapping[str, Path],
    company: Company,
    interpreter: Path,
    progress: Progress,
    *,
    ops: str,
    offline: bool = False,
) -> Errand:
    """Fetch what mim installs, so that it need not ask an index; wheels that are ``ready`` are taken.

    ``ops`` is the distribution of the compiled ops.

    Raises:
        RequestError: openmim does not know these ops.
        NetworkError, IntegrityError: a file cannot be had, or is not the locked one.
    """
    wheels = dict.fromkeys(installs(lock, ops), Path())
    for name in wheels:
        if name in ready:
            wheels[name] = ready[name]
            continue
        file = located(lock.package(name), interpreter, offline=offline)
        wheels[name] = fetch(file.url, file.sha256, progress=progress, offline=offline)
    return Errand(lock, wheels, company)


@dataclass(frozen=True, slots=True)
class MimRun:
    """What came of it.

    ``installed`` are the pins that mim installed, from ``page`` (below mim's base address). ``packages`` maps
    what openmim brought to versions. ``changes`` is what was told before, ``put_back`` what was set to the
    pins of the lock again afterwards. ``fault`` says why openmim itself does not work in the environment any
    more, or is empty.
    """

    openmim: str
    pip: str
    page: str
    installed: tuple[str, ...]
    packages: Mapping[str, str]
    changes: tuple[Change, ...]
    put_back: tuple[str, ...] = ()
    fault: str = ""


def install_by_mim(
    errand: Errand, new: Path, python: Path, target: Path, progress: Progress, *, offline: bool = False
) -> MimRun:
    """Put openmim into the environment ``new``, drive it, and put the lock's pins back.

    ``new`` holds the lock's packages but those of the errand; ``python`` is its interpreter and ``target``
    the place that it will have. A folder ``mim`` beside it is made, for the caller to remove.

    Raises:
        ProcessError: mim failed.
        IntegrityError: what it installed is not the file that it was given.
        NetworkError, DiskSpaceError, ProcessError: as uv tells.
    """
    lock, company = errand.lock, errand.company
    folder = new.with_name("mim")
    folder.mkdir()
    progress.update(f"putting openmim {company.version('openmim')} into the environment")
    _add(python, folder / "openmim.txt", company.packages, "put openmim into the environment", offline)
    below = page_below(lock.variant, lock.package("torch").version)
    page = write_page(folder / below, errand.wheels.values())
    pins = _pins(folder, errand)
    progress.update(f"mim installs {', '.join(_named(errand))}")
    _drive(python, folder, page, pins)
    _check(new, errand.wheels)
    _move_scripts(new, target)
    put_back = _put_back(new, python, folder, errand, offline=offline)
    fault = _fault(python, folder) if put_back else ""
    if put_back:
        progress.note(f"mim is done: the pins of the lock are put back: {', '.join(put_back)}")
    if fault:
        progress.note(f"openmim itself does not work in this environment any more: {fault}")
    locked = {package.name for package in lock.packages}
    return MimRun(
        openmim=company.version("openmim"),
        pip=company.version("pip"),
        page=below,
        installed=_named(errand),
        packages={one.name: one.version for one in company.packages if one.name not in locked},
        changes=company.changes,
        put_back=put_back,
        fault=fault,
    )


def write_page(place: Path, wheels: Iterable[Path]) -> Path:
    """Write an index page that lists wheels of this machine with their sha256, for pip to check."""
    links = [
        f'<a href="{escape(wheel.resolve().as_uri())}#sha256={sha256(wheel)}">{escape(wheel.name)}</a><br>'
        for wheel in wheels
    ]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("<!DOCTYPE html>\n<html><body>\n" + "\n".join(links) + "\n</body></html>\n", "utf-8")
    return place


def different_files(wheel: Path, site_packages: Path) -> tuple[str, ...]:
    """Give the files of a wheel that are missing in an environment, or are other ones there.

    Left out is what every installer writes anew (``RECORD``) or puts elsewhere (``*.data``).
    """
    different = []
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            top, _, rest = info.filename.partition("/")
            if info.is_dir() or top.endswith(".data") or (top.endswith(".dist-info") and rest == "RECORD"):
                continue
            with archive.open(info) as member:
                wanted = hashlib.sha256(member.read()).hexdigest()
            here = site_packages / info.filename
            if not here.is_file() or sha256(here) != wanted:
                different.append(info.filename)
    return tuple(different)


def _named(errand: Errand) -> tuple[str, ...]:
    return tuple(f"{name}=={errand.lock.package(name).version}" for name in errand.wheels)


def _add(python: Path, file: Path, packages: Sequence[LockedPackage], doing: str, offline: bool) -> None:
    file.write_text("\n".join(requirement_lines(packages)) + "\n", encoding="utf-8")
    uv.call(
        ["pip", "install", "--require-hashes", "--no-deps", "--no-build", "--python", python, "-r", file],
        doing,
        offline=offline,
    )


def _pins(folder: Path, errand: Errand) -> list[Path]:
    """Write a file for each call of mim: a pin, and the hash of the one file that may fulfil it."""
    written = []
    for pin, wheel in zip(_named(errand), errand.wheels.values(), strict=True):
        file = folder / f"{pin.partition('==')[0]}.txt"
        file.write_text(f"{pin} --hash=sha256:{sha256(wheel)}\n", encoding="utf-8")
        written.append(file)
    return written


def _variables(folder: Path) -> dict[str, str]:
    """Give the variables for mim: pip sees no settings of the user, and mim makes no folder at home."""
    kept = {name: value for name, value in process.clean_environment().items() if not name.startswith("PIP_")}
    return {
        **kept,
        "HOME": str(folder),
        "MMCV_BASE_URL": folder.resolve().as_uri(),
        "NO_COLOR": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }


def _words(python: Path, folder: Path) -> list[str | Path]:
    # Bytecode left in the environment would name the folder in which it is made.
    return [python, "-I", "-W", "ignore", "-X", f"pycache_prefix={folder / 'bytecode'}"]


def _drive(python: Path, folder: Path, page: Path, pins: Sequence[Path]) -> None:
    lines: list[str] = []
    with as_file(files("mmsetup.payload") / "install_by_mim.py") as payload:
        words = [*_words(python, folder), payload, page.resolve().as_uri(), *pins]
        try:
            process.stream(
                words,
                lambda _stream, line: lines.append(line),
                env=_variables(folder),
                cwd=folder,
                timeout=_SECONDS_AT_MOST,
            )
        except ProcessError as error:
            done = sum('"status": 0' in line for line in lines)
            what = pins[min(done, len(pins) - 1)].stem
            raise ProcessError(
                f"mim could not install {what}; nothing was changed",
                args=error.program_args,
                returncode=error.returncode,
                output="\n".join(lines),
                remedy="mmsetup install  # without --via mim, the same files are installed by uv",
            ) from error


def _check(new: Path, wheels: Mapping[str, Path]) -> None:
    site_packages = next(new.glob("lib/python3*/site-packages"))
    for name, wheel in wheels.items():
        different = different_files(wheel, site_packages)
        if different:
            raise IntegrityError(
                f"what mim installed as {name} is not {wheel.name}, which it was given",
                evidence=[f"{len(different)} files differ", *different[:5]],
                remedy="mmsetup install  # without --via mim",
            )


def _move_scripts(new: Path, target: Path) -> None:
    """Have the scripts that pip wrote start the interpreter in the place that it will have."""
    before = os.fsencode(new)
    for script in (new / "bin").iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        content = script.read_bytes()
        if content.startswith(b"#!") and before in content:
            script.write_bytes(content.replace(before, os.fsencode(target)))


def _put_back(new: Path, python: Path, folder: Path, errand: Errand, *, offline: bool) -> tuple[str, ...]:
    used = {package.name: package.version for package in errand.company.packages}
    moved = [
        package
        for package in errand.lock.packages
        if package.name not in errand.wheels and missing_packages(new, {package.name: package.version})
    ]
    if moved:
        _add(python, folder / "locked.txt", moved, "put the locked packages back", offline)
    return tuple(f"{one.name} {used.get(one.name, '')} → {one.version}" for one in moved)


def _fault(python: Path, folder: Path) -> str:
    done = process.run(
        [*_words(python, folder), "-c", "import mim"],
        env=_variables(folder),
        cwd=folder,
        timeout=_SECONDS_AT_MOST,
        check=False,
    )
    lines = done.stderr.strip().splitlines()
    return (lines[-1] if lines else f"exit status {done.returncode}") if done.returncode else ""
