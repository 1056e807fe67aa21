"""MM50x: the environment against the machine: its system libraries, its driver and its GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from packaging.version import Version

from mmsetup.binary.architectures import runs_on
from mmsetup.binary.libraries import Missing, missing
from mmsetup.binary.library_names import is_cuda_library, is_torch_library
from mmsetup.doctor.context import Context, parsed
from mmsetup.doctor.fixes import without_windows
from mmsetup.doctor.model import Fix, Observation, check
from mmsetup.errors import IntegrityError
from mmsetup.probe.machine import Gpu

__all__ = [
    "driver_too_old",
    "no_system_library",
    "operators_for_other_gpus",
    "operators_without_gpu_code",
    "torch_for_other_gpus",
    "torch_without_cuda",
]

# Which Debian package brings a library: contents of the packages of Debian 12.
_PACKAGES = {
    "libGL.so.1": "libgl1",
    "libSM.so.6": "libsm6",
    "libXext.so.6": "libxext6",
    "libXrender.so.1": "libxrender1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgomp.so.1": "libgomp1",
    "libgthread-2.0.so.0": "libglib2.0-0",
}


@check(
    "MM501",
    title="A shared library of the system is missing",
    cause="A compiled module needs a library that wheels do not carry and this system does not "
    "have. In slim images it is most often libGL, which opencv-python needs to show windows.",
    looks_at="DT_NEEDED of cv2, torchvision and mmcv/_ext and of the libraries that came with them, "
    "looked up as the loader does: their own search path, LD_LIBRARY_PATH, the cache of "
    "ldconfig, the default folders.",
    remedy="On a server install opencv-python-headless; else the system package with the library.",
    seen_in=("open-mmlab/mmsegmentation#1567", "open-mmlab/mmdetection#3645", "open-mmlab/mmrotate#665"),
)
def no_system_library(context: Context) -> Iterator[Observation]:
    """Observe libraries that are neither beside the modules nor on the system."""
    if context.machine.os.name != "linux":
        return
    for module in _compiled(context):
        try:
            absent = missing(module, context.loader, context.brought)
        except IntegrityError:
            # A damaged file is a cause of its own: MM105, MM202.
            continue
        absent = tuple(
            one for one in absent if not is_cuda_library(one.library) and not is_torch_library(one.library)
        )
        if absent:
            yield Observation(
                "error",
                f"{module.parent.name} needs {', '.join(one.library for one in absent)}, which is nowhere",
                tuple(f"{one.library}: needed by {one.needed_by}" for one in absent),
                _bring(context, module, absent),
                _instead(context, module),
            )


@check(
    "MM502",
    title="The NVIDIA driver is too old for torch's CUDA",
    cause="torch was built for a newer CUDA than the driver can run.",
    looks_at="The driver's version against the lowest one that runs the CUDA major version of torch; a newer "
    "libcuda.so.1 of the packages for forward compatibility counts.",
    remedy="Install a newer driver, or a torch for an older CUDA.",
    seen_in=("open-mmlab/mmdetection#6049", "open-mmlab/mmdetection#4187"),
)
def driver_too_old(context: Context) -> Iterator[Observation]:
    """Observe a driver below the floor of torch's CUDA."""
    torch, driver = context.environment.torch, context.machine.driver
    cuda = parsed(torch.cuda) if torch else None
    version = parsed(driver.version) if driver else None
    if torch is None or driver is None or not context.machine.gpus or cuda is None or version is None:
        return
    floor = context.catalog.driver_floor(cuda)
    newer = _compatible(context)
    if floor is not None and version < floor[0] and not (newer and newer[0] >= floor[0]):
        yield Observation(
            "error",
            f"CUDA {torch.cuda} of torch {torch.version} needs driver {floor[0]}, here is {driver.version}",
            (f"driver {driver.version}, read from {driver.source}", floor[1]),
            context.commands.make_again,
        )


@check(
    "MM503",
    title="torch holds no code for a GPU of this machine",
    cause="The GPU is newer or older than what this torch was compiled for.",
    looks_at="The architectures in torch's CUDA libraries against that of each GPU: machine code runs "
    "on its own major version and the same or a higher minor, PTX on anything newer.",
    remedy="Install a torch that holds code for the GPU.",
    seen_in=("open-mmlab/mmdetection#12432", "pytorch/pytorch#167244"),
)
def torch_for_other_gpus(context: Context) -> Iterator[Observation]:
    """Observe GPUs that torch cannot run on."""
    torch = context.environment.torch
    if torch is None or not torch.cuda:
        return
    yield from _without_code(context, f"torch {torch.version}", torch.path / "lib", torch.sass, torch.ptx)


@check(
    "MM504",
    title="The compiled operators have no GPU code",
    cause="mmcv was built without CUDA: no GPU and no FORCE_CUDA=1 while building (docker build "
    "sees no GPU), no nvcc, or the wheel of the cpu variant. Importing works; the first "
    "operator on the GPU fails.",
    looks_at="A section .nv_fatbin in mmcv/_ext, on a machine with a GPU and a torch with CUDA.",
    remedy="Install the wheel for torch's CUDA variant, or build with FORCE_CUDA=1.",
    seen_in=("open-mmlab/mmcv#2968", "open-mmlab/mmdetection#7788", "open-mmlab/mmcv#1099"),
)
def operators_without_gpu_code(context: Context) -> Iterator[Observation]:
    """Observe operators that were compiled for the CPU alone."""
    torch, operators = context.environment.torch, context.operators
    if torch is None or not torch.cuda or not context.machine.gpus or operators is None:
        return
    code = operators.architectures
    if code is not None and not (code.sass or code.ptx or code.partial):
        yield Observation(
            "error",
            "mmcv/_ext was compiled without CUDA, and this machine has a GPU",
            (f"{operators.path}: no section .nv_fatbin", *_named(context.machine.gpus)),
            context.commands.make_again,
        )


@check(
    "MM505",
    title="torch is a build without CUDA on a machine with a GPU",
    cause="A resolver or conda chose the cpu build, or torch was replaced by another package's requirement.",
    looks_at="cuda in torch/version.py, and the GPUs of this machine.",
    remedy="Install torch's build for a CUDA variant; where the cpu build is meant, --ignore MM505.",
    seen_in=("open-mmlab/mmsegmentation#2910", "open-mmlab/mmcv#2908"),
)
def torch_without_cuda(context: Context) -> Iterator[Observation]:
    """Observe a torch that cannot use the GPU that is here."""
    torch, gpus = context.environment.torch, context.machine.gpus
    if torch is not None and gpus and torch.variant == "cpu":
        yield Observation(
            "error",
            f"torch {torch.version} is a build without CUDA and cannot use {gpus[0].name}",
            (f"{torch.path / 'version.py'}: cuda is not set", *_named(gpus)),
            context.commands.make_again,
        )


@check(
    "MM506",
    title="The compiled operators hold no code for a GPU of this machine",
    cause="mmcv was built for other GPUs: a wheel older than the GPU, or a build on a machine with "
    "another one.",
    looks_at="The architectures in .nv_fatbin of mmcv/_ext against that of each GPU.",
    remedy="Install a wheel that holds code for the GPU, or build with TORCH_CUDA_ARCH_LIST.",
    seen_in=("open-mmlab/mmdetection#11044", "open-mmlab/mmcv#2201"),
)
def operators_for_other_gpus(context: Context) -> Iterator[Observation]:
    """Observe GPUs that the operators have no code for."""
    operators = context.operators
    if operators is None or operators.architectures is None or operators.path is None:
        return
    code = operators.architectures
    yield from _without_code(context, "mmcv/_ext", operators.path, code.sass, code.ptx)


def _compatible(context: Context) -> tuple[Version, Path] | None:
    """Give the version of the driver's library for programs, where the loader finds one with a version.

    NVIDIA's packages for forward compatibility, which its containers bring, put a newer one before that of
    the kernel's driver (docs.nvidia.com/deploy/cuda-compatibility). Whether the GPU admits it is not told.
    """
    found = context.loader.find("libcuda.so.1")
    try:
        path = found.resolve() if found is not None else None
    except (OSError, RuntimeError):
        return None
    version = parsed(path.name.removeprefix("libcuda.so.")) if path is not None else None
    return (version, path) if version is not None and path is not None else None


def _without_code(
    context: Context, what: str, place: Path, sass: tuple[str, ...], ptx: tuple[str, ...]
) -> Iterator[Observation]:
    if not sass and not ptx:
        return
    left_out = [
        gpu for gpu in context.machine.gpus if gpu.architecture and not runs_on(gpu.architecture, sass, ptx)
    ]
    if left_out:
        held = ", ".join([*sass, *(f"{one} (PTX)" for one in ptx)])
        names = ", ".join(dict.fromkeys(f"{gpu.name} ({gpu.architecture})" for gpu in left_out))
        yield Observation(
            "error", f"{what} holds no code for {names}", (f"{place}: {held}",), context.commands.make_again
        )


def _compiled(context: Context) -> Iterator[Path]:
    for module, pattern in (("cv2", "*.so"), ("torchvision", "_C*.so")):
        folder = context.folder(module)
        if folder is not None:
            yield from sorted(folder.glob(pattern))
    if context.operators is not None and context.operators.path is not None:
        yield context.operators.path


def _bring(context: Context, module: Path, absent: tuple[Missing, ...]) -> str:
    owners = [one for one in context.owners("cv2") if not one.name.endswith("-headless")]
    if module.parent.name == "cv2" and owners:
        headless = f"{owners[0].name}-headless=={Version(owners[0].version).public}"
        return f"{context.commands.uninstall(owners[0].name)} && {context.commands.install(headless)}"
    packages = sorted({_PACKAGES.get(one.library, "") for one in absent} - {""})
    if packages:
        return f"apt-get install {' '.join(packages)}"
    return f"install the system package that holds {', '.join(one.library for one in absent)}"


def _instead(context: Context, module: Path) -> Fix | None:
    owners = context.owners("cv2") if module.parent.name == "cv2" else ()
    return without_windows(owners[0]) if len(owners) == 1 else None


def _named(gpus: tuple[Gpu, ...]) -> tuple[str, ...]:
    return tuple(f"GPU {gpu.index}: {gpu.name} {gpu.architecture}".rstrip() for gpu in gpus)
