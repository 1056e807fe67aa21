"""MM12x: the compiled modules of the whole stack against the interpreter, libc, libstdc++ and numpy."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from mmsetup.binary import elf
from mmsetup.binary.floors import Floor, floor
from mmsetup.binary.operators import OPS_MODULE, OPS_PACKAGE
from mmsetup.doctor.breaks import outside
from mmsetup.doctor.context import Context, parsed
from mmsetup.doctor.declared import requirements_of
from mmsetup.doctor.installed import Compiled, is_for, modules, tags_of
from mmsetup.doctor.model import Fix, Observation, check
from mmsetup.errors import IntegrityError
from mmsetup.probe.machine import Distribution

__all__ = ["c_library_too_old", "cxx_library_too_old", "for_another_numpy", "for_another_python"]

_STDCXX = "libstdc++.so.6"
_C_LIBRARY = "libc.so.6"
_MOST_NAMED = 4
_MOST_ALONE = 2
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
    seen_in=("open-mmlab/mmcv#1386",),
)
def for_another_python(context: Context) -> Iterator[Observation]:
    """Observe distributions whose extension modules this interpreter does not find or cannot load."""
    found = list(_strange(context))
    if len(found) <= _MOST_ALONE:
        for one, message, evidence in found:
            yield _again(context, one, f"{one.name} {one.version} {message}", evidence)
        return
    names = ", ".join(one.name for one, _, _ in found)
    yield Observation(
        "error",
        f"{len(found)} distributions are for another Python or processor: {names}",
        tuple(f"{one.name} {one.version} {message}" for one, message, _ in found[:_MOST_NAMED]),
        context.make_again,
    )


def _strange(context: Context) -> Iterator[tuple[Distribution, str, tuple[str, ...]]]:
    """Give the distributions of which nothing can be loaded, with the reason and the evidence."""
    interpreter, here = context.environment.interpreter, context.machine.cpu.architecture
    processors: dict[Path, set[str]] = {}
    for found in context.compiled:
        if not _is_operators(str(found.path.relative_to(found.owner.path.parent))):
            processors.setdefault(found.owner.path, set()).add(found.demands.machine)
    for one in context.environment.distributions:
        if one.name not in context.needed or context.machine.os.name != "linux":
            continue
        names = [name for name, _ in context.listed[one.path] if not _is_operators(name)]
        strange = [
            f"{one.path.parent / module.folder / module.name}: {', '.join(module.tags)}"
            for module in modules(names)
            if not any(is_for(tag, interpreter) for tag in module.tags)
        ]
        built_for = processors.get(one.path, {here})
        if strange:
            what = f"{interpreter.implementation} {interpreter.minor}"
            message = f"has {len(strange)} compiled module(s) of which no file is for {what}"
        elif here not in built_for:
            message = f"is compiled for {', '.join(sorted(built_for))}, this is {here}"
        else:
            continue
        tags = tuple(f"{one.path / 'WHEEL'}: {tag}" for tag in tags_of(one)[:1])
        yield one, message, (*strange[:_MOST_NAMED], *tags)


@check(
    "MM122",
    title="The C library is older than a compiled module needs",
    cause="A wheel was built on a newer system than this one (a manylinux_2_34 wheel on Ubuntu 20.04), and "
    "something installed it all the same: a copied environment, another image, a wheel tagged linux_x86_64.",
    looks_at="The versions of the symbols that each compiled file of the stack wants of libc.so.6 and its "
    "relatives (GLIBC_2.32), against the C library of this machine.",
    remedy="Use a newer base image, or a wheel that was built on an older system.",
    seen_in=("open-mmlab/mmcv#1386",),
)
def c_library_too_old(context: Context) -> Iterator[Observation]:
    """Observe compiled files that want a newer C library, a finding for each distribution."""
    libc = context.machine.libc
    if libc is None:
        return
    version = _numbers(libc.version) if libc.name == "glibc" else (0,)
    for owner, files in _by_owner(context):
        asking = {one.path: _floor(one).glibc for one in files}
        asking = {path: needed for path, needed in asking.items() if needed and _numbers(needed) > version}
        if asking:
            newest = max(asking.values(), key=_numbers)
            yield Observation(
                "error",
                f"{owner} needs glibc {newest}, here is {libc.name} {libc.version}",
                tuple(f"{path}: GLIBC_{needed}" for path, needed in list(asking.items())[:_MOST_NAMED]),
                _for_this_system(context, owner),
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
    seen_in=("open-mmlab/mmcv#1386",),
)
def cxx_library_too_old(context: Context) -> Iterator[Observation]:
    """Observe compiled files that want more of libstdc++ than the one that is loaded has."""
    defined: dict[Path, frozenset[str]] = {}
    wanted = {
        name
        for one in context.compiled
        for name in one.demands.versions_needed.get(_STDCXX, ())
        if name.startswith(("GLIBCXX_", "CXXABI_"))
    }
    for owner, files in _by_owner(context):
        for one in files:
            asked = wanted.intersection(one.demands.versions_needed.get(_STDCXX, ()))
            found = context.taken(_STDCXX, one) if asked else None
            if found is None:
                continue
            library, source = found.path, found.source
            if library not in defined:
                try:
                    defined[library] = elf.names_in(library, wanted)
                except IntegrityError:
                    continue
            if lacking := sorted(asked - defined[library], key=_version_name):
                yield Observation(
                    "error",
                    f"{owner} needs {lacking[-1]} of {_STDCXX}, and the one that is loaded lacks it",
                    (f"{one.path}: {', '.join(lacking)}", f"{library}: {source}"),
                    _newer_cxx(context, library, source),
                )
                break


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
                    context.install("numpy<2"),
                    Fix(install=("numpy<2",)),
                )
                break


def _declares_numpy(context: Context, one: Distribution) -> bool:
    return any(wanted.name.lower() == "numpy" for wanted in requirements_of(one, context.markers))


def _again(context: Context, one: Distribution, message: str, evidence: tuple[str, ...]) -> Observation:
    torch = one.name in {"torch", "torchvision"} or one.name.startswith("nvidia-")
    wanted = context.install("--force-reinstall", "--no-deps", f"{one.name}=={one.version}")
    return Observation("error", message, evidence, context.make_again if torch else wanted)


def _is_operators(name: str) -> bool:
    return name.startswith(OPS_MODULE.replace(".", "/") + ".")


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


def _for_this_system(context: Context, owner: str) -> str:
    own = {one.name for one in context.stack} | {"torch", "torchvision"}
    if owner in own:
        return context.make_again
    return context.install("--force-reinstall", "--no-cache-dir", owner)


def _newer_cxx(context: Context, library: Path, source: str) -> str:
    if source in {"LD_LIBRARY_PATH", "LD_PRELOAD"}:
        return f"unset {source}  # or take {library.parent} out of it"
    if context.conda:
        return (
            f"conda install -y -p {shlex.quote(str(context.environment.prefix))} -c conda-forge libstdcxx-ng"
        )
    return "use a newer base image  # or: " + context.make_again


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
