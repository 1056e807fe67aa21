"""A copy of an environment beside it, in which it is mended before it counts."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmsetup import uv
from mmsetup.doctor.fix import files
from mmsetup.doctor.fix.repair import Repair
from mmsetup.install.target import remove as remove_folder
from mmsetup.probe import environment as look_at
from mmsetup.probe.machine import Environment

__all__ = ["change", "copy", "in_its_place", "state"]


def copy(original: Path, twin: Path) -> None:
    """Copy an environment; its files are shared with the original where the file system can do that.

    What is done in the copy may remove and replace files, and never write into one.

    Raises:
        OSError: it cannot be read, or there is no room.
    """
    try:
        shutil.copytree(original, twin, symlinks=True, copy_function=_linked)
    except shutil.Error as error:
        source, _, why = error.args[0][0]
        raise OSError(0, str(why), str(source)) from error


def change(twin: Path, original: Environment, repair: Repair) -> None:
    """Make a repair in the copy of an environment.

    Raises:
        NetworkError, IntegrityError, DiskSpaceError, ProcessError: as uv tells.
        OSError: a file cannot be removed.
    """
    here = look_at(twin)
    going = {*repair.remove, *(one.name for one in repair.install if one.before)}
    leaving = [one for one in here.distributions if one.name in going and one.path.is_relative_to(twin)]
    staying = [one for one in here.distributions if one.name not in going]
    for one in leaving:
        files.remove(one, staying, within=twin)
    for path in repair.delete:
        remove_folder(twin / path.relative_to(original.prefix))
    if repair.install:
        _install(twin, original.prefix, [one.line for one in repair.install])


def state(site_packages: Iterable[Path]) -> frozenset[tuple[str, int]]:
    """Give what changes when somebody installs something: the metadata folders and when each was changed."""
    return frozenset(
        (str(entry), entry.stat().st_mtime_ns)
        for folder in site_packages
        for entry in (*folder.glob("*-info"), *folder.glob("~*"))
        if entry.exists()
    )


@contextmanager
def in_its_place(twin: Path, prefix: Path) -> Iterator[None]:
    """Have variables that name the environment (``LD_LIBRARY_PATH``, ``PYTHONPATH``) name its copy.

    Else the original would count as another environment that comes before the copy.
    """
    before = dict(os.environ)
    named = re.compile(rf"{re.escape(str(prefix))}(?=$|[/{re.escape(os.pathsep)}])")
    try:
        os.environ.update({name: named.sub(str(twin), value) for name, value in before.items()})
        yield
    finally:
        os.environ.update(before)


def _linked(source: str, target: str) -> str:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        # Another file system is mounted inside, or the system links only files of one's own.
        shutil.copy2(source, target, follow_symlinks=False)
    return target


def _install(twin: Path, prefix: Path, lines: Iterable[str]) -> None:
    with tempfile.TemporaryDirectory(dir=twin.parent, prefix="fix-") as made:
        folder = Path(made)
        pins = folder / "pins.txt"
        pins.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        words: list[str | Path] = ["pip", "install", "--quiet", "--python", twin / "bin" / "python"]
        words += ["--no-deps", "--require-hashes", "--no-build", "--no-compile-bytecode", "-r", pins]
        # uv may write into a file that is there already, which the original shares: put them beside first,
        # to know which they are.
        uv.call([*words, "--target", folder / "beside"], "fetch what mends the environment")
        _make_room(folder / "beside", next(twin.glob("lib/python3*/site-packages")))
        uv.call(words, "install what mends the environment")
    _lead_to(twin / "bin", twin, prefix)


def _make_room(beside: Path, site_packages: Path) -> None:
    for path in beside.rglob("*"):
        if path.is_file():
            (site_packages / path.relative_to(beside)).unlink(missing_ok=True)


def _lead_to(scripts: Path, twin: Path, prefix: Path) -> None:
    """Have the scripts that were just written start the interpreter in the place that it will have."""
    before = os.fsencode(twin)
    for script in scripts.iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        content = script.read_bytes()
        if content.startswith(b"#!") and before in content:
            changed = script.with_name(f".{script.name}.mmsetup")
            changed.write_bytes(content.replace(before, os.fsencode(prefix)))
            shutil.copymode(script, changed)
            changed.replace(script)
