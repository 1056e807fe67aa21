"""What a compiled file is held against: a torch with all that it brings, an interpreter, a system and GPUs.

It comes from an environment on this machine, whose files tell everything, or from an entry of the catalogue,
which tells less: what is empty is not compared.
"""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

from mmsetup.binary.architectures import runs_on
from mmsetup.binary.floors import runtime_of
from mmsetup.binary.libraries import Loader, brought_by_torch, loader
from mmsetup.binary.local_version import labelled_pair
from mmsetup.catalog.gpus import architecture_of
from mmsetup.catalog.model import Catalog, TorchRelease
from mmsetup.errors import RequestError
from mmsetup.probe.machine import Environment, Interpreter, Machine

__all__ = [
    "AskedGpu",
    "Surroundings",
    "asked_gpus",
    "of_environment",
    "of_label",
    "of_release",
    "planned_surroundings",
    "surroundings",
]

_PATCHED = 3


@dataclass(frozen=True, slots=True)
class AskedGpu:
    """A GPU to run on: what it was called, and its architecture (``sm_90``)."""

    name: str
    architecture: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a compiled file would be loaded among.

    ``pythons`` are the interpreters it may be loaded by (``3.10``, ``3.13t``), ``processor`` is ``x86_64``.
    ``torch`` and ``variant`` are empty where there is no torch. ``libraries`` is the folder of torch's own
    libraries, ``brought`` what is in the process once torch is imported, ``system`` where all others are
    looked for; they are nothing where only the catalogue is known, and then ``runtime`` is the CUDA runtime
    that torch brings by its variant. ``sass`` and ``ptx`` are torch's own code. ``mend`` is the command that
    finds ops that fit.
    """

    name: str
    pythons: tuple[str, ...] = ()
    processor: str = ""
    glibc: str = ""
    torch: str = ""
    variant: str = ""
    libraries: Path | None = None
    brought: Mapping[str, Path] | None = None
    system: Loader | None = None
    runtime: str = ""
    sass: tuple[str, ...] = ()
    ptx: tuple[str, ...] = ()
    gpus: tuple[AskedGpu, ...] = ()
    mend: str = "mmsetup plan"


def surroundings(
    catalog: Callable[[], Catalog],
    environment: Environment | None,
    machine: Callable[[], Machine],
    *,
    torch: str = "",
    cuda: str = "",
    gpus: tuple[AskedGpu, ...] | None = None,
) -> Surroundings | None:
    """Give what was asked for: an environment, a torch of the catalogue, or GPUs alone; nothing for nothing.

    The catalogue is read, and the machine looked at, only where that is needed.

    Raises:
        RequestError: an environment and a torch were both named, or the catalogue does not know the torch.
    """
    if torch:
        if environment is not None:
            raise RequestError(
                "--env and --torch both name a torch", remedy=f"mmsetup inspect PATH --torch {torch}"
            )
        release = _release(catalog(), torch)
        return of_release(release, _variant(release, cuda), gpus or ())
    if cuda:
        raise RequestError(
            "--cuda is a variant of --torch", remedy=f"mmsetup inspect PATH --torch VERSION --cuda {cuda}"
        )
    if environment is not None:
        return of_environment(environment, machine(), gpus)
    if gpus:
        asked = "".join(f" --gpu {gpu.architecture}" for gpu in gpus)
        return Surroundings(name="the GPUs that were asked for", gpus=gpus, mend=f"mmsetup plan{asked}")
    return None


def asked_gpus(asked: Sequence[str] | None, catalog: Callable[[], Catalog]) -> tuple[AskedGpu, ...] | None:
    """Give the GPUs that were asked for, by name or architecture; nothing where none was.

    ``none`` alone stands for no GPU, whatever the machine has.

    Raises:
        RequestError: a GPU is unknown.
    """
    if asked is None:
        return None
    if list(asked) == ["none"]:
        return ()
    models = catalog().gpus
    known = [architecture_of(one, models) for one in asked]
    return tuple(AskedGpu(model.name if model else found, found) for found, model in known)


def of_environment(
    environment: Environment, machine: Machine, gpus: Sequence[AskedGpu] | None = None
) -> Surroundings:
    """Give an environment as surroundings, with the GPUs of the machine where no others are asked for."""
    torch = environment.torch
    interpreter = environment.interpreter
    libc = machine.libc
    own = tuple(AskedGpu(gpu.name, gpu.architecture) for gpu in machine.gpus if gpu.architecture)
    chosen = own if gpus is None else tuple(gpus)
    here = os.path.relpath(environment.prefix)
    shown = here if len(here) < len(str(environment.prefix)) else str(environment.prefix)
    asked = "".join(f" --gpu {gpu.architecture}" for gpu in chosen) if gpus is not None else ""
    return Surroundings(
        name=f"torch {torch.version} of {shown}" if torch else f"{shown}, which has no torch",
        pythons=(interpreter.minor + ("t" if interpreter.free_threaded else ""),),
        processor=machine.cpu.architecture,
        glibc=libc.version if libc is not None and libc.name == "glibc" else "",
        torch=torch.version if torch else "",
        variant=torch.variant if torch else "",
        libraries=torch.path / "lib" if torch else None,
        brought=brought_by_torch(torch.path) if torch else {},
        system=loader(),
        sass=torch.sass if torch else (),
        ptx=torch.ptx if torch else (),
        gpus=chosen,
        mend=f"mmsetup install --env {shlex.quote(shown)}{asked}",
    )


def of_label(
    version: str, catalog: Callable[[], Catalog], asked: Surroundings | None = None
) -> Surroundings | None:
    """Give the torch that the version of a wheel names (``1.7.2+pt1.13.1cu117``), with the GPUs of ``asked``.

    Where an environment or a torch was asked for, that counts; and where no pair is named, or one that the
    catalogue does not know, ``asked`` is all there is.
    """
    named = labelled_pair(Version(version).local or "")
    if named is None or (asked is not None and (asked.torch or asked.pythons)):
        return asked
    try:
        release = _release(catalog(), named[0])
        return of_release(release, _variant(release, named[1]), asked.gpus if asked else ())
    except RequestError:
        return asked


def of_release(
    release: TorchRelease, variant: str, gpus: Sequence[AskedGpu], *, processor: str = ""
) -> Surroundings:
    """Give a release of the catalogue and one of its variants (``cu117``, ``cpu``) as surroundings."""
    machine = processor or platform.machine()
    place = release.platforms.get(f"linux-{machine}")
    code = release.architectures.get((f"linux-{machine}", variant))
    words = ["mmsetup", "plan", "--torch", str(release.version), "--cuda", variant]
    words += [word for gpu in gpus for word in ("--gpu", gpu.architecture)]
    return Surroundings(
        name=f"torch {release.version} {variant} of the catalogue",
        pythons=place.pythons if place else (),
        processor=machine,
        torch=str(release.version),
        variant=variant,
        runtime=runtime_of(variant),
        sass=code.sass if code else (),
        ptx=code.ptx if code else (),
        gpus=tuple(gpus),
        mend=shlex.join(words),
    )


def planned_surroundings(
    torch: str, variant: str, interpreter: Interpreter, machine: Machine, catalog: Catalog
) -> Surroundings:
    """Give a torch that is going to be installed as surroundings, before any file of it is here.

    ``torch`` is its version; where the catalogue does not know it, what its variant tells is left. Of the
    machine's GPUs those count that this torch can use, or all where that is none; for a torch without CUDA
    none does.
    """
    public = Version(torch).public
    release = next((one for one in catalog.torch if one.version == Version(public)), None)
    code = release.architectures.get((interpreter.platform, variant)) if release else None
    here = tuple(AskedGpu(gpu.name, gpu.architecture) for gpu in machine.gpus if gpu.architecture)
    if variant == "cpu":
        here = ()
    if code is not None:
        here = tuple(gpu for gpu in here if runs_on(gpu.architecture, code.sass, code.ptx)) or here
    libc = machine.libc
    return Surroundings(
        name=f"torch {public} {variant}",
        pythons=(interpreter.minor + ("t" if interpreter.free_threaded else ""),),
        processor=machine.cpu.architecture,
        glibc=libc.version if libc is not None and libc.name == "glibc" else "",
        torch=public,
        variant=variant,
        system=loader(),
        runtime=runtime_of(variant),
        sass=code.sass if code else (),
        ptx=code.ptx if code else (),
        gpus=here,
    )


def _release(catalog: Catalog, asked: str) -> TorchRelease:
    """Find a release by its version, or the newest of a series (``1.13``)."""
    try:
        wanted = Version(asked.partition("+")[0])
    except InvalidVersion as error:
        raise RequestError(
            f"--torch {asked} is no version", remedy="mmsetup inspect PATH --torch 1.13.1"
        ) from error
    same = [one for one in catalog.torch if one.version == wanted]
    if len(wanted.release) < _PATCHED:
        same = [one for one in catalog.torch if one.version.release[: len(wanted.release)] == wanted.release]
    if not same:
        newest = max(one.version for one in catalog.torch)
        raise RequestError(
            f"the catalogue does not know torch {asked}; it knows up to {newest}",
            remedy=f"mmsetup inspect PATH --torch {newest}",
        )
    return max(same, key=lambda one: one.version)


def _variant(release: TorchRelease, asked: str) -> str:
    place = release.platforms.get(f"linux-{platform.machine()}")
    if place is None:
        raise RequestError(
            f"torch {release.version} has no wheels for linux-{platform.machine()}", remedy="mmsetup catalog"
        )
    known = tuple(filter(None, dict.fromkeys((place.default_variant, *place.index_variants))))
    if not asked:
        return known[0]
    variant = asked if asked.startswith(("cu", "cpu")) else f"cu{asked.replace('.', '')}"
    if variant not in known:
        raise RequestError(
            f"torch {release.version} has no variant {asked}; it has {', '.join(known)}",
            remedy=f"mmsetup inspect PATH --torch {release.version} --cuda {known[0]}",
        )
    return variant
