"""MM12x: the compiled modules of the whole stack against the interpreter, libc, libstdc++ and numpy."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from pathlib import Path

from mmsetup.binary import elf
from mmsetup.binary.floors import Floor, floor
from mmsetup.binary.operators import OPS_PACKAGE
from mmsetup.doctor.breaks import outside
from mmsetup.doctor.context import MANY, Context, parsed
from mmsetup.doctor.declared import requirements_of
from mmsetup.doctor.installed import Compiled
from mmsetup.doctor.loading import Taken
from mmsetup.doctor.model import Fix, Observation, check
from mmsetup.doctor.remedies import again
from mmsetup.errors import IntegrityError
from mmsetup.probe.machine import Distribution

__all__ = ["c_library_too_old", "cxx_library_too_old", "for_another_numpy", "for_another_python"]

_STDCXX = "libstdc++.so.6"
_C_LIBRARY = "libc.so.6"
_MOST_NAMED = 4
_MOST_CONSTANTS = 64 << 20
# What numpy's own headers put into a module: the first is in all that use its C interface, the second where
# the headers are those of numpy 2 (numpy/__multiarray_api.h; looked for in wheels of both kinds).
_USES_NUMPY = b"module compiled against ABI version"
_FOR_NUMPY_2 = b"numpy._core"


@check(
    "MM121",
    title="Compiled modules are for another Python or another processor",
    cause="The folder of an environment was copied, its interpreter was exchanged for another version, or "
    "files were unpacked from a wheel for another Python or processor. mmcv/_ext is told by MM202.",
    looks_at="The tags in the names of the extension modules of each distribution of the stack "
    "(cpython-310) against the interpreter, and the processor in their ELF headers.",
    remedy="Install the distribution again with this interpreter; where all of them are for another "
    "Python, make the environment again.",
)
def for_another_python(context: Context) -> Iterator[Observation]:
    """Observe distributions whose extension modules this interpreter does not find or cannot load."""
    found = context.for_another_python
    if len(found) < MANY:
        for one, message, evidence in found:
            words = f"{one.name} {one.version} {message}"
            yield Observation("error", words, evidence, again(context, one))
        return
    names = ", ".join(one.name for one, _, _ in found)
    here = context.machine.cpu.architecture
    processors = {one.demands.machine for one in context.compiled}
    yield Observation(
        "error",
        f"{len(found)} distributions are for another Python or processor: {names}",
        tuple(f"{one.name} {one.version} {message}" for one, message, _ in found[:_MOST_NAMED]),
        # What was pinned is for the processor that it was pinned on.
        context.commands.make_again if processors - {here} else context.commands.restore,
    )


@check(
    "MM122",
    title="The C library is older than a compiled module needs",
    cause="A wheel was built on a newer system than this one (a manylinux_2_34 wheel on Ubuntu 20.04), and "
    "something installed it all the same: a copied environment, another image, a wheel tagged linux_x86_64.",
    looks_at="The versions of the symbols that each compiled file of the stack wants of libc.so.6 and its "
    "relatives (GLIBC_2.32), against the C library of this machine.",
    remedy="Use a newer base image, or a wheel that was built on an older system.",
    seen_in=("open-mmlab/mmcv#2182",),
)
def c_library_too_old(context: Context) -> Iterator[Observation]:
    """Observe compiled files that want a newer C library, a finding for each distribution."""
    libc = context.machine.libc
    if libc is None:
        return
    version = _numbers(libc.version) if libc.name == "glibc" else (0,)
    asking: dict[str, tuple[str, Path]] = {}
    for owner, files in _by_owner(context):
        wanted = [(needed, one.path) for one in files if (needed := _floor(one).glibc)]
        newest = max(wanted, key=lambda pair: _numbers(pair[0]), default=None)
        if newest is not None and _numbers(newest[0]) > version:
            asking[owner] = newest
    if asking:
        needed = max((pair[0] for pair in asking.values()), key=_numbers)
        yield Observation(
            "error",
            f"{_named(asking)} need{'s' if len(asking) == 1 else ''} glibc {needed}, "
            f"here is {libc.name} {libc.version}",
            tuple(f"{path}: GLIBC_{one}" for one, path in asking.values())[:_MOST_NAMED],
            _for_this_system(context, list(asking)),
        )


@check(
    "MM123",
    title="The C++ library is older than a compiled module needs",
    cause="The module was compiled with a newer compiler than the libstdc++ that is loaded knows: that of "
    "an old system, of an old conda environment, or of a folder in LD_LIBRARY_PATH.",
    looks_at="The versions of the symbols that each compiled file of the stack wants of libstdc++.so.6 "
    "(GLIBCXX_3.4.30), against those that the library defines that the loader finds first: LD_PRELOAD, the "
    "search path of the interpreter (conda) and of the module, LD_LIBRARY_PATH, the system.",
    remedy="Let the loader find a newer libstdc++, or install a module that an older compiler built.",
    seen_in=("open-mmlab/mmdetection#6608", "open-mmlab/mmdetection#1171"),
)
def cxx_library_too_old(context: Context) -> Iterator[Observation]:
    """Observe compiled files that want more of libstdc++ than the one that is loaded has."""
    lacking: dict[Taken, dict[str, str]] = {}
    groups = list(_by_owner(context))
    wanted = {name for _, files in groups for one in files for name in _of_cxx(one)}
    defined: dict[Path, frozenset[str]] = {}
    for owner, files in groups:
        for one in files:
            asked = _of_cxx(one)
            found = context.taken(_STDCXX, one) if asked else None
            if found is None:
                continue
            if found.path not in defined:
                try:
                    defined[found.path] = elf.names_in(found.path, wanted)
                except IntegrityError:
                    defined[found.path] = frozenset(wanted)
            if absent := sorted(asked - defined[found.path], key=_version_name):
                lacking.setdefault(found, {}).setdefault(owner, f"{one.path}: {absent[-1]}")
    for found, owners in lacking.items():
        newest = max((line.rpartition(" ")[2] for line in owners.values()), key=_version_name)
        yield Observation(
            "error",
            f"{_named(owners)} need{'s' if len(owners) == 1 else ''} {newest} of {_STDCXX}, "
            "and the one that is loaded lacks it",
            (f"{found.path}: {found.source}", *list(owners.values())[:_MOST_NAMED]),
            _newer_cxx(context, found.path, found.source),
        )


@check(
    "MM124",
    title="A module was compiled for numpy 1, and numpy 2 is here",
    cause="A resolver took numpy 2 for a package that was compiled before it, because its metadata set no "
    "bound. Breaks that the catalogue knows by version are told by MM402.",
    looks_at="The words that numpy's headers leave in each extension module, in those of what the stack "
    "needs and declares to need numpy: headers of numpy 2 name numpy._core.",
    remedy="Install a release of the package that was compiled for numpy 2, or numpy<2.",
    seen_in=("yunxiangfu2001/SegMAN#42", "zgchen33/MCGaze#9"),
)
def for_another_numpy(context: Context) -> Iterator[Observation]:
    """Observe modules that numpy 2 refuses to be imported by."""
    numpy = parsed(context.environment.version_of("numpy"))
    if numpy is None or numpy.major < 2:  # noqa: PLR2004 (what the check is about)
        return
    told = {found.name for found in outside(context.catalog, context.versions, context.patches)}
    if "numpy" in told:
        return
    is_free = not _needs_numpy_2(context)
    for owner, files in _by_owner(context):
        if owner in told or not _declares_numpy(context, files[0].owner):
            continue
        for one in files:
            uses, fits = _of_numpy(one)
            if uses and fits:
                break
            if uses:
                yield Observation(
                    "error",
                    f"{one.owner.name} {one.owner.version} was compiled for numpy 1, here is numpy {numpy}",
                    (f"{one.path}: it uses numpy's C interface and does not name numpy._core",),
                    context.commands.install("numpy<2")
                    if is_free
                    else context.commands.install("--upgrade", owner),
                    Fix(install=("numpy<2",)) if is_free else None,
                )
                break


def _needs_numpy_2(context: Context) -> bool:
    """Tell whether something of the stack declares that it needs numpy 2."""
    return any(
        wanted.name.lower() == "numpy" and not wanted.specifier.contains("1.99")
        for one in context.environment.distributions
        if one.name in context.needed
        for wanted in requirements_of(one, context.markers)
    )


def _declares_numpy(context: Context, one: Distribution) -> bool:
    return any(wanted.name.lower() == "numpy" for wanted in requirements_of(one, context.markers))


def _by_owner(context: Context) -> Iterator[tuple[str, list[Compiled]]]:
    """Give the compiled files by what owns them; mmcv's operators count wherever they lie."""
    grouped: dict[str, list[Compiled]] = {}
    for found in context.compiled:
        grouped.setdefault(found.owner.name, []).append(found)
    operators = context.operators
    if operators is not None and operators.path is not None and operators.facts is not None:
        known = {found.path for found in context.compiled}
        owner = next(iter(context.owners(OPS_PACKAGE)), None)
        if owner is not None and operators.path not in known:
            try:
                read = Compiled(owner, operators.path, elf.read_demands(operators.path))
                grouped.setdefault(owner.name, []).append(read)
            except IntegrityError:
                pass
    yield from grouped.items()


def _floor(one: Compiled) -> Floor:
    wanted = one.demands.versions_needed
    return floor([{library: names for library, names in wanted.items() if library != _STDCXX}])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _version_name(name: str) -> tuple[str, tuple[int, ...]]:
    kind, _, number = name.rpartition("_")
    return kind, _numbers(number)


def _of_cxx(one: Compiled) -> frozenset[str]:
    names = one.demands.versions_needed.get(_STDCXX, ())
    return frozenset(name for name in names if name.startswith(("GLIBCXX_", "CXXABI_")))


def _named(owners: Collection[str]) -> str:
    names = list(owners)
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _for_this_system(context: Context, owners: list[str]) -> str:
    own = {one.name for one in context.stack}
    if own.intersection(owners) or len(owners) >= MANY:
        return context.commands.make_again
    return context.commands.install("--force-reinstall", "--no-cache-dir", *owners)


def _newer_cxx(context: Context, library: Path, source: str) -> str:
    if source in {"LD_LIBRARY_PATH", "LD_PRELOAD"}:
        return f"unset {source}  # or take {library.parent} out of it"
    if context.conda:
        return (
            f"conda install -y -p {shlex.quote(str(context.environment.prefix))} -c conda-forge libstdcxx-ng"
        )
    return "use a newer base image  # or: " + context.commands.make_again


def _of_numpy(one: Compiled) -> tuple[bool, bool]:
    """Tell whether a module uses numpy's C interface, and whether it was compiled for numpy 2."""
    offset, size = one.demands.rodata
    try:
        with one.path.open("rb") as file:
            file.seek(offset)
            constants = file.read(min(size, _MOST_CONSTANTS))
    except OSError:
        return False, False
    return _USES_NUMPY in constants, _FOR_NUMPY_2 in constants
