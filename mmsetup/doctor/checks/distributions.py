"""MM10x: what is installed, who owns it, and whether it is whole."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from mmsetup.binary.operators import OPS_PACKAGE
from mmsetup.doctor import imports
from mmsetup.doctor.context import Context
from mmsetup.doctor.declared import EDITIONS
from mmsetup.doctor.fixes import is_chosen_jointly, keeping_one
from mmsetup.doctor.installed import difference, is_held_to
from mmsetup.doctor.model import Fix, Observation, check
from mmsetup.doctor.remedies import again
from mmsetup.probe.machine import Distribution

__all__ = ["lacks_a_part", "lacks_files", "left_behind", "not_whole", "owned_twice", "traces"]

_SHARED = {OPS_PACKAGE: "error", "mmengine": "error", "cv2": "warning"}
_LIBRARY = re.compile(r"\.so(\.[\d.]+)?$")
# What MM201, MM202 and MM302 tell with more insight.
_TOLD_ELSEWHERE = re.compile(r"mmcv/_ext\.|torch/lib/")
# What images leave out to be smaller, and nothing imports.
_TESTS = re.compile(r"(^|/)tests?/")
_MOST_NAMED = 5


@check(
    "MM101",
    title="A part of the stack is missing",
    cause="torch or mmcv is not installed in this environment: it is another environment than the one "
    "meant, an install stopped half way, or a resolver did not see that mmsegmentation and mmdet need "
    "mmcv, because they declare it under the extra 'mim' alone.",
    looks_at="The installed distributions, and the folders torch and mmcv in site-packages.",
    remedy="Install the whole stack at once: mmsetup install.",
    seen_in=("open-mmlab/mim#244", "open-mmlab/mmcv#2059"),
)
def lacks_a_part(context: Context) -> Iterator[Observation]:
    """Observe that torch or mmcv is not there."""
    environment = context.environment
    here = ", ".join(f"{one.name} {one.version}" for one in context.stack) or "nothing of torch or OpenMMLab"
    evidence = (f"installed: {here}", *(f"site-packages: {folder}" for folder in environment.site_packages))
    evidence += tuple(_of_another_python(context))
    if environment.torch is None and not (_is_elsewhere(context, "torch") or _is_before(context, "torch")):
        damage = tuple(note for note in environment.notes if "torch" in note)
        yield Observation("error", "torch is not here", (*evidence, *damage), context.commands.restore)
    has_ops = any(_is_elsewhere(context, name) for name in EDITIONS[OPS_PACKAGE]) or _is_before(
        context, OPS_PACKAGE
    )
    above = context.above_mmcv
    if above and not has_ops and context.folder(OPS_PACKAGE) is None:
        yield Observation(
            "error", f"{', '.join(above)} need mmcv, and it is not here", evidence, context.commands.restore
        )


@check(
    "MM102",
    title="Several distributions own one module",
    cause="mmcv, mmcv-full, mmcv-lite and onedl-mmcv all install the folder mmcv/ over each other (the "
    "editions of opencv do the same with cv2/), or one distribution is recorded in two versions. What is "
    "imported is a mixture, and removing one breaks the other.",
    looks_at="Which distributions name the same top-level module, and metadata folders of one name.",
    remedy="Remove all of them, delete the folder, and install one.",
    seen_in=("open-mmlab/mmrotate#6", "open-mmlab/mmdetection#11636"),
)
def owned_twice(context: Context) -> Iterator[Observation]:
    """Observe modules that more than one distribution put there."""
    for module, severity in _SHARED.items():
        owners = context.mixed(module)
        if owners:
            names = sorted({one.name for one in owners})
            repair = keeping_one(context, module, owners)
            yield Observation(
                "error" if severity == "error" else "warning",
                f"{len(owners)} distributions own {module}/: {', '.join(names)}",
                tuple(f"{one.path}: {one.name} {one.version}" for one in owners),
                _one_of(context, module, owners, repair),
                repair,
            )


@check(
    "MM103",
    title="Files that no distribution owns lie in mmcv/",
    cause="An uninstall that stopped, a distribution over another, or files copied by hand leave a folder "
    "mmcv/, or files in it, that no installed distribution put there. Python imports them all the same.",
    looks_at="The Python and extension files in mmcv/ against the RECORD of the distribution that owns it.",
    remedy="Remove the distribution, delete the folder mmcv/, and install again.",
    seen_in=("open-mmlab/mmdetection#11636",),
)
def left_behind(context: Context) -> Iterator[Observation]:
    """Observe code in the folder of mmcv that nobody owns."""
    folder = context.folder(OPS_PACKAGE)
    if folder is None:
        return
    owners = context.owners(OPS_PACKAGE)
    present = [path for pattern in ("*.py", "*.so") for path in folder.rglob(pattern)]
    if not owners:
        if present:
            yield Observation(
                "error",
                f"no installed distribution owns {OPS_PACKAGE}/, so what it is cannot be known",
                (f"{folder}: {len(present)} Python and extension files",),
                context.commands.restore,
            )
        return
    recorded = [
        frozenset(owner.path.parent / name for name, _ in context.listed[owner.path]) for owner in owners
    ]
    if not all(recorded):
        return
    unowned = [path for path in present if not any(path in files for files in recorded)]
    if unowned:
        yield Observation(
            "warning",
            f"{len(unowned)} file(s) in {OPS_PACKAGE}/ are in no RECORD",
            _few([str(path) for path in sorted(unowned)]),
            context.commands.restore,
        )


@check(
    "MM104",
    title="Installed metadata is damaged",
    cause="An install was interrupted, or metadata was changed by hand: pip renames what it is about to "
    "remove to '~name', and a distribution can be recorded twice.",
    looks_at="What reading the metadata of every distribution complained about.",
    remedy="Make the environment again, or delete what the evidence names and install that distribution "
    "again.",
)
def traces(context: Context) -> Iterator[Observation]:
    """Observe what the probe of the environment could not read."""
    if notes := context.environment.notes:
        renamed = _renamed(context)
        yield Observation(
            "warning",
            f"{len(notes)} trace(s) of damage in site-packages",
            _few(list(notes)),
            shlex.join(["rm", "-r", *map(str, renamed)])
            if len(renamed) == len(notes)
            else context.commands.restore,
            Fix(delete=renamed) if renamed else None,
        )


@check(
    "MM105",
    title="A compiled file is missing or not as it was installed",
    cause="A download, a copy or a disk that filled up left part of a file, or something else replaced it.",
    looks_at="The shared libraries in the RECORD of every distribution, and their sizes on the disk. It is "
    "an error for torch, OpenMMLab and what they need, else a warning. What names no installer was put "
    "there by the system, which strips libraries, and conda changes them too: neither is held to its "
    "RECORD.",
    remedy="Install the distribution again.",
)
def not_whole(context: Context) -> Iterator[Observation]:
    """Observe compiled files that are gone or have another size than when they were installed.

    What is as another distribution recorded it is whole; that two own it is told by MM102.
    """
    for one in context.environment.distributions:
        different = [
            f"{one.path.parent / name}: {state}"
            for name, size in _libraries(context, one)
            if (state := difference(one.path.parent / name, size)) and not context.is_of_another(one, name)
        ]
        if different:
            yield Observation(
                "error" if one.name in context.needed else "warning",
                f"{one.name} {one.version} is not whole: {len(different)} compiled file(s) differ",
                _few(different),
                again(context, one),
                None if is_chosen_jointly(one.name) else Fix(again=(one.name,)),
            )


@check(
    "MM106",
    title="Python files of a distribution are gone",
    cause="Two distributions had installed the same files (mmcv and mmcv-full, two editions of opencv), and "
    "one of them was uninstalled: its files went, and they were those of the other as well. Or a copy or an "
    "uninstall stopped half way.",
    looks_at="The Python files in the RECORD of torch and OpenMMLab, and of what they need those by which a "
    "package is imported. Where these are gone, or any of OpenMMLab's, it is an error, else a warning; tests "
    "and empty __init__.py do not count. That torch or mmcv is gone as a whole is told by MM101.",
    remedy="Install the distribution again.",
    seen_in=("open-mmlab/mmdetection#11636",),
)
def lacks_files(context: Context) -> Iterator[Observation]:
    """Observe Python files that were installed and are gone."""
    for one in context.environment.distributions:
        if one.name not in context.needed or not is_held_to(one):
            continue
        tops = {f"{top}/__init__.py" for top in one.top_level} | {f"{top}.py" for top in one.top_level}
        if any(top in {"torch", OPS_PACKAGE} and context.folder(top) is None for top in one.top_level):
            continue
        files = _python_files(context, one) if one in context.stack else _recorded(context, one, tops)
        absent = [name for name in files if not _is_there(f"{one.path.parent}/{name}")]
        if absent:
            is_lost = not tops.isdisjoint(absent)
            yield Observation(
                "error" if is_lost or one.name in context.above_mmcv else "warning",
                f"{one.name} {one.version} lacks {len(absent)} of its Python files"
                + (", and cannot be imported" if is_lost else ""),
                _few([str(one.path.parent / name) for name in absent]),
                again(context, one),
                None if is_chosen_jointly(one.name) else Fix(again=(one.name,)),
            )


def _of_another_python(context: Context) -> Iterator[str]:
    """Tell of a torch that lies where another Python looks: the interpreter was exchanged."""
    environment = context.environment
    own = {folder.resolve() for folder in environment.site_packages}
    for folder in (
        sorted(environment.prefix.glob("lib/python3*/site-packages")) if environment.is_virtual else ()
    ):
        if folder.resolve() not in own and (folder / "torch").is_dir():
            found = f"{environment.interpreter.implementation} {environment.interpreter.version}"
            yield f"torch is in {folder}, where {found} does not look"


def _python_files(context: Context, one: Distribution) -> Iterator[str]:
    for name, size in context.listed[one.path]:
        if (
            not _may_go(name, size)
            and name.endswith(".py")
            and not name.startswith(("/", "."))
            and not _TESTS.search(name)
        ):
            yield name


def _recorded(context: Context, one: Distribution, names: set[str]) -> list[str]:
    return [name for name, size in context.listed[one.path] if name in names and not _may_go(name, size)]


def _may_go(name: str, size: int) -> bool:
    """Tell whether it is an empty ``__init__.py``: without it the package is a namespace, and is imported."""
    return size == 0 and name.endswith("__init__.py")


def _is_there(path: str) -> bool:
    """Tell whether Python finds a module at a path, as source or compiled in its place."""
    return os.path.exists(path) or os.path.exists(f"{path}c")  # noqa: PTH110 (thousands of them)


def _renamed(context: Context) -> tuple[Path, ...]:
    """Give what pip renamed before it would have removed it."""
    return tuple(path for folder in context.environment.site_packages for path in sorted(folder.glob("~*")))


def _is_before(context: Context, module: str) -> bool:
    """Tell whether PYTHONPATH or the user's own packages provide a module."""
    places = (place.folder for place in context.before if place.source != imports.CURRENT)
    return any(imports.found_in(folder, [module]) for folder in places)


def _is_elsewhere(context: Context, name: str) -> bool:
    """Tell whether a distribution is installed from a checkout, with its files outside site-packages."""
    one = context.by_name.get(name)
    if one is None:
        return False
    try:
        origin = json.loads((one.path / "direct_url.json").read_text(encoding="utf-8"))
        is_editable = bool(origin["dir_info"]["editable"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        is_editable = False
    return is_editable or one.path.parent not in context.environment.site_packages


def _libraries(context: Context, one: Distribution) -> Iterator[tuple[str, int]]:
    if is_held_to(one):
        for name, size in context.listed[one.path]:
            if _LIBRARY.search(name) and not _TOLD_ELSEWHERE.match(name):
                yield name, size


def _one_of(context: Context, module: str, owners: tuple[Distribution, ...], repair: Fix | None) -> str:
    """Word the command that leaves one of the owners of a module.

    An environment with another mmcv takes the place of this one once it is whole: nothing goes before.
    """
    if module == OPS_PACKAGE:
        return context.commands.restore
    names = sorted({one.name for one in owners})
    kept = next((one for one in owners if repair is not None and one.name in repair.again), owners[-1])
    remove = shlex.join(["rm", "-rf", str(kept.path.parent / module)])
    install = context.commands.install("--no-deps", f"{kept.name}=={kept.version}")
    return f"{context.commands.uninstall(*names)} && {remove} && {install}"


def _few(lines: list[str]) -> tuple[str, ...]:
    more = len(lines) - _MOST_NAMED
    return (*lines[:_MOST_NAMED], f"and {more} more") if more > 0 else tuple(lines)
