"""The CUDA toolkit of a build for GPUs: which one, that it works, and what torch's packages add to it."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmsetup import process
from mmsetup.build.preflight import Toolchain, compiler_words, installer
from mmsetup.catalog import Catalog
from mmsetup.errors import ProcessError, ToolchainError
from mmsetup.lock import Lock
from mmsetup.plan import Plan
from mmsetup.plan.candidate import cuda_of
from mmsetup.plan.situation import platform_of
from mmsetup.plan.toolkits import nvcc_for, objection
from mmsetup.probe.machine import Machine
from mmsetup.probe.versions import printed

if TYPE_CHECKING:
    from packaging.version import Version

__all__ = ["GpuBuild", "additions", "code_flags", "gpu_build", "kit_of_wheels", "with_nvcc"]

_SECONDS = 60.0
_HEADERS = {
    "cuda_runtime.h": "nvidia-cuda-runtime",
    "cublas_v2.h": "nvidia-cublas",
    "cusolverDn.h": "nvidia-cusolver",
    "cusparse.h": "nvidia-cusparse",
}
"""What ``ATen/cuda/CUDAContext.h`` includes, by the beginning of the names of the packages that have it.

Read in the wheels of torch 1.13.1 to 2.13.0; the packages of CUDA 11 and 12 end in ``-cu11`` and ``-cu12``.
"""
_RUNTIME = "libcudart.so"
_INCLUDES = ("include", "targets/x86_64-linux/include")
_LIBRARIES = ("lib64", "lib", "targets/x86_64-linux/lib")
_SMALLEST = "__global__ void kernel(float* out) { out[threadIdx.x] = 1.0f; }\n"


@dataclass(frozen=True, slots=True)
class GpuBuild:
    """What is compiled for GPUs, and what brings the compiler.

    ``variant`` is that of torch (``cu130``), ``architectures`` are machine code (``sm_90``) and PTX
    (``compute_90``). ``wheel`` is the version of the wheel that brings nvcc into the build environment, empty
    where it is not known yet, and ``None`` where a toolkit of the machine has nvcc. ``packages`` are the
    names of what else is in the build environment, ``None`` where that is not known yet.
    """

    variant: str
    architectures: tuple[str, ...]
    wheel: str | None = None
    packages: frozenset[str] | None = None


def gpu_build(source: Plan | Lock, catalog: Catalog) -> GpuBuild | None:
    """Give what a plan or a lock compiles for GPUs, or nothing."""
    if isinstance(source, Plan):
        ops = source.ops
        if not ops.is_built or not ops.with_cuda:
            return None
        return GpuBuild(source.variant, ops.architectures, "" if ops.nvcc_wheels else None)
    build = source.build
    if build is None or not build.with_cuda:
        return None
    versions = {package.name: package.version for package in build.requires}
    compilers = (row.compiler for row in catalog.toolkit_wheels)
    wheel = next((versions[name] for name in compilers if name in versions), None)
    return GpuBuild(source.variant, build.architectures, wheel, frozenset(versions))


def with_nvcc(
    toolchain: Toolchain,
    build: GpuBuild,
    machine: Machine,
    catalog: Catalog,
    *,
    variables: Mapping[str, str],
    identity: str = "",
) -> Toolchain:
    """Choose the nvcc of a build, see that it works, and give the toolchain with it.

    ``variables`` are those of the environment: ``CUDAHOSTCXX`` names the compiler that nvcc runs, else it is
    the C compiler of the toolchain, which ``CC`` may name. A toolkit of the machine compiles a kernel for all
    architectures. ``identity`` is the text of ``/etc/os-release``.

    Raises:
        ToolchainError: there is none, it does not work, it lacks what torch's headers include and no package
            of torch has it, or it is not known which GPU to compile for.
    """
    if not build.architectures:
        raise ToolchainError(
            "it is not known which architecture the ops are to be compiled for",
            remedy="mmsetup plan --gpu sm_90  # the GPU's, as NVIDIA's table of CUDA GPUs has it",
        )
    toolchain, words = _with_host(toolchain, variables, identity)
    host = toolchain.cc
    cuda, wanted, gcc = cuda_of(build.variant), code_flags(build.architectures).architectures, _gcc(words)
    if build.wheel is not None:
        if refusal := objection(cuda, wanted, gcc, catalog.toolkit_limits):
            raise ToolchainError(refusal, remedy=_other_compiler(cuda, catalog))
        return replace(toolchain, nvcc=f"nvcc {build.wheel or cuda}")
    # What a lock pins has no wheels: then it is a toolkit of the machine or nothing.
    own, platform = replace(catalog, toolkit_wheels=()), platform_of(machine)
    chosen = nvcc_for(cuda, wanted, machine, own, platform=platform, compiler=gcc)
    kit = chosen.toolkit
    if kit is None or kit.nvcc is None:
        if not nvcc_for(cuda, wanted, machine, own, platform=platform, compiler="").refusal:
            raise ToolchainError(chosen.refusal, remedy=_other_compiler(cuda, catalog))
        has_wheels = any(row.first <= cuda <= row.last for row in catalog.toolkit_wheels)
        again = "mmsetup lock  # takes nvcc from wheels; or: " if has_wheels else ""
        raise ToolchainError(chosen.refusal, remedy=again + _install(installer(identity), "nvcc", cuda))
    version = _version(kit.nvcc)
    if absent := sorted(_absent(kit.path, build.packages)):
        raise ToolchainError(
            f"the CUDA toolkit in {kit.path} has no {', '.join(absent)}, which torch's headers include",
            remedy=_install(installer(identity), "libraries", cuda),
        )
    if evidence := _complaints(kit.nvcc, build.architectures, host, variables):
        raise ToolchainError(
            f"the nvcc in {kit.nvcc.parent} does not compile a kernel with {host}",
            evidence=evidence,
            remedy=_other_compiler(cuda, catalog),
        )
    return replace(toolchain, toolkit=kit.path, nvcc=f"nvcc {version}")


def _with_host(toolchain: Toolchain, variables: Mapping[str, str], identity: str) -> tuple[Toolchain, str]:
    """Give the toolchain with the compiler that nvcc runs, and what that one says of itself."""
    host, words, told = toolchain.cc, toolchain.compiler, toolchain.compiler
    if named := variables.get("CUDAHOSTCXX", ""):
        host, words = named, compiler_words(named, variables, identity, named_by="CUDAHOSTCXX")
        told = f"{toolchain.compiler}; nvcc runs {words}"
    elif variables.get("CC", ""):
        words = compiler_words(host, variables, identity, named_by="CC")
    if len(host.split()) > 1:
        raise ToolchainError(
            f"nvcc runs a compiler by its name or path alone, and is to run {host!r}",
            remedy="export CUDAHOSTCXX=g++  # or another compiler, without options",
        )
    return replace(toolchain, cc=host, compiler=told), words


@dataclass(frozen=True, slots=True)
class CodeFlags:
    """What to compile for, as torch and as nvcc are told."""

    architectures: tuple[str, ...]
    torch: str
    nvcc: tuple[str, ...]


def code_flags(architectures: Iterable[str]) -> CodeFlags:
    """Tell torch and nvcc what to compile for: ``8.6;9.0+PTX`` is machine code of both and PTX of the latter.

    PTX (``compute_90``) is compiled where machine code is (``sm_90``), because torch has no other way.
    """
    names = tuple(architectures)
    machine = tuple(name for name in names if name.startswith("sm_"))
    portable = {name.removeprefix("compute_") for name in names if name.startswith("compute_")}
    torch, nvcc = [], []
    for name in machine:
        number = name.removeprefix("sm_")
        digits = number.rstrip("af")
        torch.append(f"{digits[:-1]}.{digits[-1]}{number[len(digits) :]}" + "+PTX" * (number in portable))
        nvcc.append(f"-gencode=arch=compute_{number},code=sm_{number}")
    return CodeFlags(machine, ";".join(torch), tuple(nvcc))


def kit_of_wheels(site_packages: Path) -> Path | None:
    """Give the folder that is ``CUDA_HOME`` where wheels brought nvcc, or nothing."""
    return next((nvcc.parent.parent for nvcc in sorted(site_packages.glob("nvidia/*/bin/nvcc"))), None)


def additions(site_packages: Path, folder: Path) -> dict[str, str]:
    """Give the variables that add torch's packages of NVIDIA to a toolkit; what it has itself comes first.

    They have the headers that a toolkit may lack, and libraries without the names that a linker looks for
    (``libcudart.so``): links with these are made in ``folder``.

    Raises:
        OSError: a link cannot be made.
    """
    packages = site_packages / "nvidia"
    includes = sorted(str(place) for place in packages.glob("*/include") if place.is_dir())
    links = folder / "libraries"
    for library in sorted(packages.glob("*/lib/lib*.so.*")):
        name = f"{library.name.partition('.so.')[0]}.so"
        if not (library.parent / name).exists() and not (links / name).exists():
            links.mkdir(parents=True, exist_ok=True)
            (links / name).symlink_to(library)
    found = {"CPATH": ":".join(includes), "LIBRARY_PATH": str(links) if links.is_dir() else ""}
    return {name: value for name, value in found.items() if value}


def _absent(kit: Path, packages: Collection[str] | None) -> Iterator[str]:
    """Name what neither a toolkit has nor a package of the build environment brings."""
    if packages is None:
        return
    for header, package in _HEADERS.items():
        here = any((kit / place / header).is_file() for place in _INCLUDES)
        if not here and not any(name.startswith(package) for name in packages):
            yield header
    here = any(any((kit / place).glob(f"{_RUNTIME}*")) for place in _LIBRARIES)
    if not here and not any(name.startswith(_HEADERS["cuda_runtime.h"]) for name in packages):
        yield _RUNTIME


def _version(nvcc: Path) -> str:
    try:
        said = process.run([nvcc, "--version"], timeout=_SECONDS).stdout
    except ProcessError as error:
        raise ToolchainError(
            f"{nvcc} does not run: {error}", remedy=f"{nvcc} --version  # says why"
        ) from error
    found = re.search(r"\bV(\d+(?:\.\d+)+)", said) or re.search(r"release (\d+(?:\.\d+)+)", said)
    if found is None:
        raise ToolchainError(
            f"{nvcc} does not tell its version", remedy=f"{nvcc} --version  # says what it is"
        )
    return found[1]


def _complaints(
    nvcc: Path, architectures: Iterable[str], host: str, variables: Mapping[str, str]
) -> list[str]:
    """Compile a kernel: all of nvcc's programs are there, and take this host compiler and these GPUs."""
    with tempfile.TemporaryDirectory(prefix="mmsetup-nvcc-") as made:
        source = Path(made) / "kernel.cu"
        source.write_text(_SMALLEST, encoding="utf-8")
        flags = [*code_flags(architectures).nvcc, "-ccbin", host]
        command: list[str | Path] = [nvcc, *flags, "-c", source, "-o", source.with_suffix(".o")]
        try:
            process.run(
                command,
                env={name: value for name, value in variables.items() if not name.startswith("NVCC_")},
                timeout=_SECONDS,
                cwd=Path(made),
            )
        except ProcessError as error:
            return [str(error), *error.evidence]
    return []


def _other_compiler(cuda: Version, catalog: Catalog) -> str:
    rows = (row for row in catalog.toolkit_limits if row.first <= cuda <= row.last)
    newest = next((row.gcc for row in rows if row.gcc is not None), None)
    named = f"g++-{newest}" if newest is not None else "COMPILER"
    return f"export CUDAHOSTCXX={named}  # a compiler that this nvcc takes"


def _install(command: str, what: str, cuda: Version) -> str:
    """Give the command that installs nvcc, or the headers of a toolkit, from NVIDIA's repository."""
    ending = f"{cuda.major}-{cuda.minor}"
    names = {"nvcc": f"cuda-nvcc-{ending}"}
    if command.startswith("sudo apt-get"):
        names["libraries"] = f"cuda-libraries-dev-{ending}"
    elif command.startswith(("sudo dnf", "sudo zypper")):
        names["libraries"] = f"cuda-libraries-devel-{ending}"
    else:
        return f"install the CUDA toolkit {cuda} whole, and export CUDA_HOME=FOLDER"
    wanted = f"{names['nvcc']} {names['libraries']}" if what == "nvcc" else names["libraries"]
    return f"{command} {wanted}  # from NVIDIA's repository"


def _gcc(words: str) -> str:
    """Read the version of a gcc off the first line of its ``--version``; empty for another compiler."""
    if "clang" in words or not re.match(r"\S*(g\+\+|gcc|c\+\+|cc)", words):
        return ""
    return printed(words)
