"""Look at one Python environment from outside: its interpreter, its distributions and its torch."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mmsetup.errors import TargetError
from mmsetup.paths import manifest_folder
from mmsetup.probe import distributions, interpreters, torch_files
from mmsetup.probe.host import Host
from mmsetup.probe.interpreters import Described, Found
from mmsetup.probe.machine import Environment

__all__ = ["environment"]

_FOLDER = "Scripts" if os.name == "nt" else "bin"
# Without these nothing that is said of an environment would be true: they would look as if they were gone.
_LOOKED_INTO = ("torch", "torch/lib")
_INTERPRETERS = ("python", "pypy")
_PROGRAMS = ("python.exe",) if os.name == "nt" else ("python", "python3")


def environment(where: Path) -> Environment:
    """Describe the environment at ``where``: its folder, or its Python executable.

    Only the interpreter is started, without site-packages; ``.pth`` files are listed and not executed.
    Damaged metadata becomes a note.

    Raises:
        TargetError: there is no environment at ``where``, or its interpreter does not work.
    """
    executable = _executable(where)
    config = _config(executable)
    _refuse_half(executable, config)
    described = _described(executable)
    base = described.interpreter
    is_virtual = config is not None
    with_system = (config or {}).get("include-system-site-packages", "").lower() == "true"
    prefix, folders = base.prefix, list(described.site_packages)
    if is_virtual:
        prefix = executable.parent.parent if executable.parent.name == _FOLDER else executable.parent
        own = _site_packages(prefix, base.minor + ("t" if base.free_threaded else ""))
        folders = [*own, *(folders if with_system else ())]
    site_packages = tuple(_each_once(folders))
    for folder in site_packages:
        for part in ("", *_LOOKED_INTO):
            _refuse_closed(folder / part, prefix)
    holdings = distributions.read(site_packages)
    torch, torch_notes = torch_files.read(site_packages)
    return Environment(
        prefix=prefix,
        interpreter=replace(base, path=executable, prefix=prefix),
        site_packages=site_packages,
        distributions=holdings.distributions,
        torch=torch,
        notes=(*holdings.notes, *torch_notes),
        is_virtual=is_virtual,
        sees_system_packages=with_system,
        path_files=holdings.path_files,
    )


def _executable(where: Path) -> Path:
    """Find the interpreter without following links: to resolve one would leave a virtual environment."""
    place = Path(os.path.abspath(where))  # noqa: PTH100 (resolve follows links)
    try:
        is_folder = stat.S_ISDIR(place.stat().st_mode)
        names = os.listdir(place / _FOLDER) if is_folder else []  # noqa: PTH208 (names alone)
    except PermissionError as error:
        raise _closed(place, place, error) from error
    except OSError as error:
        if place.is_symlink():
            raise _dangling(place, place.parent.parent) from error
        if not place.is_dir():
            raise TargetError(f"{place} does not exist", remedy=_made_by(place)) from error
        names = []
    candidates = [place / _FOLDER / name for name in _PROGRAMS if name in names] if is_folder else [place]
    for candidate in candidates:
        if candidate.is_file():
            if os.access(candidate, os.X_OK):
                return candidate
            if not is_folder and not candidate.name.startswith(_INTERPRETERS):
                raise TargetError(
                    f"{place} is a file, and neither the folder of an environment nor an interpreter",
                    remedy="--env DIR  # the folder of an environment",
                )
            raise TargetError(
                f"{candidate} is not executable", remedy=f"chmod +x {shlex.quote(str(candidate))}"
            )
    if candidates and candidates[0].is_symlink():
        raise _dangling(candidates[0], place)
    raise _without_interpreter(place)


def _without_interpreter(place: Path) -> TargetError:
    if (place / "pyvenv.cfg").is_file():
        return TargetError(f"{place} has no interpreter any more", remedy=_linked_again(place))
    is_taken = place.is_dir() and _holds_something(place)
    way = "mmsetup install --env DIR  # an empty or new folder" if is_taken else _made_by(place)
    return TargetError(f"{place} holds no Python interpreter", remedy=way)


def _refuse_half(executable: Path, config: Mapping[str, str] | None) -> None:
    """Refuse what lost its ``pyvenv.cfg``: its interpreter would tell of the one that it is a link to."""
    prefix = executable.parent.parent
    if config is None and executable.is_symlink() and executable.resolve().parent != executable.parent:
        packages = next(prefix.glob("lib/python3*/site-packages"), None)
        if packages is not None and not packages.with_name("os.py").exists():
            raise TargetError(
                f"{prefix} has no pyvenv.cfg: Python does not find {packages}", remedy=_linked_again(prefix)
            )


def _holds_something(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except OSError:
        return True


def _made_by(place: Path) -> str:
    """Give the command that makes an environment where none is; an interpreter's path lies in one."""
    prefix = place.parent.parent if place.parent.name == _FOLDER else place
    return f"mmsetup install --env {shlex.quote(str(prefix))}"


def _refuse_closed(folder: Path, prefix: Path) -> None:
    try:
        # Who may list a folder may not always look at what is in it.
        (folder / next(iter(os.listdir(folder)), "")).stat()  # noqa: PTH208 (names alone)
    except PermissionError as error:
        raise _closed(folder, prefix, error) from error
    except OSError:
        return


def _closed(place: Path, where: Path, error: PermissionError) -> TargetError:
    """Say which folder keeps this user out of the environment ``where``, whose it is, and how to get in."""
    for folder in (*reversed(place.parents), place):
        if not os.access(folder, (os.R_OK | os.X_OK) if folder == place else os.X_OK):
            try:
                about = folder.lstat()
            except OSError:
                break
            whose = f"{folder} belongs to user {about.st_uid} and has the mode {about.st_mode & 0o7777:03o}"
            is_own = not hasattr(os, "geteuid") or about.st_uid == os.geteuid()
            way = f"chmod u+rwx {shlex.quote(str(folder))}" if is_own else ""
            way = way or f"sudo -u '#{about.st_uid}' mmsetup doctor --env {shlex.quote(str(where))}"
            return TargetError(f"{place} cannot be looked into: {whose}", remedy=way)
    why = error.strerror or str(error)
    return TargetError(f"{place} cannot be looked into: {why}", remedy=f"namei -l {shlex.quote(str(place))}")


def _dangling(link: Path, prefix: Path) -> TargetError:
    return TargetError(
        f"the interpreter {link} is a link to {link.readlink()}, which is gone", remedy=_linked_again(prefix)
    )


def _linked_again(prefix: Path) -> str:
    """Give the command that puts an interpreter into an environment and leaves its packages as they are."""
    names = [folder.parent.name for folder in sorted(prefix.glob("lib/python3*/site-packages"))]
    if manifest_folder(prefix).is_dir() or not names:
        return _made_by(prefix)
    program = next((one.path for one in interpreters.find(Host()) if one.path.name == names[-1]), None)
    version = names[-1].removeprefix("python")
    return shlex.join(["uv", "venv", "--allow-existing", "--python", str(program or version), str(prefix)])


def _described(executable: Path) -> Described:
    (answer,) = interpreters.describe([Found(executable.resolve(), "environment")])
    if isinstance(answer, str):
        raise TargetError(answer, remedy=f"{executable} -V")
    return answer


def _config(executable: Path) -> dict[str, str] | None:
    """Read ``pyvenv.cfg``, which lies beside the interpreter or one folder above (PEP 405)."""
    for folder in (executable.parent, executable.parent.parent):
        try:
            text = (folder / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        pairs = (line.partition("=") for line in text.splitlines())
        return {key.strip().lower(): value.strip() for key, equals, value in pairs if equals}
    return None


def _site_packages(prefix: Path, version: str) -> Iterator[Path]:
    if sys.platform == "win32":
        yield prefix / "Lib" / "site-packages"
        return
    for library in ("lib", "lib64"):
        for name in (f"python{version}", f"pypy{version}"):
            yield prefix / library / name / "site-packages"


def _each_once(folders: list[Path]) -> Iterator[Path]:
    seen = set()
    for folder in folders:
        real = folder.resolve()
        if real not in seen and folder.is_dir():
            seen.add(real)
            yield folder
