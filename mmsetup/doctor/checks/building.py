"""MM21x: why operators that are missing would not be built here; nothing where they are there.

That the operators are missing is told by MM101 and MM201; a build is one way to mend that, so that what
stands in its way is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmsetup.binary.operators import OPS_PACKAGE
from mmsetup.doctor.context import Context, parsed
from mmsetup.doctor.model import Fix, Observation, check
from mmsetup.doctor.remedies import planned

__all__ = ["little_memory", "no_compiler_for_gpus", "setuptools_too_new", "source_too_old"]

# What one C++ compiler takes for the greediest file of mmcv (mmsetup.build.preflight, measured there).
_BYTES_PER_JOB = 1_750_000_000


@check(
    "MM211",
    title="setup.py of the operators cannot run with this setuptools",
    cause="setup.py of mmcv imports pkg_resources, which setuptools dropped in 82, and build isolation "
    "takes the newest setuptools; without isolation, the environment's is used.",
    looks_at="Where operators are missing: the setuptools of the environment against what the catalogue "
    "says their setup.py needs.",
    remedy="Install a setuptools within the bound and build without isolation, or let mmsetup build.",
    seen_in=("open-mmlab/mmcv#3325", "hongsukchoi/VideoMimic#26"),
)
def setuptools_too_new(context: Context) -> Iterator[Observation]:
    """Observe a setuptools with which a build of the operators stops at once."""
    if not _are_lacking(context) or context.family is None:
        return
    for wanted in map(Requirement, context.family.build.requires):
        name = canonicalize_name(wanted.name)
        version = parsed(context.environment.version_of(name))
        if name == "setuptools" and version is not None and version not in wanted.specifier:
            yield Observation(
                "warning",
                f"a build of {context.family.ops.distribution} needs {wanted}, here is {version}",
                (context.family.build.source,),
                context.commands.install(str(wanted)),
                Fix(install=(str(wanted),)),
            )


@check(
    "MM212",
    title="No nvcc here compiles operators for this torch and these GPUs",
    cause="There is no CUDA toolkit, it is of another CUDA than torch's, it does not know the GPU, or the "
    "g++ is too new for it.",
    looks_at="Where operators are missing and torch is built for CUDA: the toolkits of the machine and its "
    "g++, against the CUDA of torch and the architectures of the GPUs.",
    remedy="Let mmsetup find a prebuilt wheel or build with the nvcc of a wheel; else install a matching "
    "toolkit.",
    seen_in=(
        "open-mmlab/mmcv#3288",
        "open-mmlab/mmdetection#8482",
        "open-mmlab/mmcv#2900",
        "open-mmlab/mmcv#2333",
    ),
)
def no_compiler_for_gpus(context: Context) -> Iterator[Observation]:
    """Observe toolkits of which none compiles for the environment's torch."""
    torch, machine = context.environment.torch, context.machine
    cuda = parsed(torch.cuda) if torch else None
    if not _are_lacking(context) or torch is None or cuda is None or not machine.gpus:
        return
    from mmsetup.plan.toolkits import nvcc_for  # noqa: PLC0415 (seldom needed, and slow to import)

    architectures = [gpu.architecture for gpu in machine.gpus if gpu.architecture]
    platform = f"linux-{machine.cpu.architecture}"
    found = nvcc_for(cuda, architectures, machine, context.catalog, platform=platform)
    if found.refusal:
        yield Observation(
            "warning",
            f"{found.refusal} (torch {torch.version} is built with CUDA {torch.cuda})",
            tuple(f"CUDA {kit.version} in {kit.path}" for kit in machine.toolkits) or ("no CUDA toolkit",),
            context.commands.make_again,
        )


@check(
    "MM213",
    title="The source of these operators does not compile against this torch or Python",
    cause="An old mmcv asks for C++14 where torch's headers need C++17, includes headers that torch "
    "dropped, or reads its version in a way that Python 3.13 changed.",
    looks_at="Where a distribution of the operators is here without them: the catalogue's breaks of a "
    "build whose conditions hold for its version, torch and Python.",
    remedy="mmsetup install, which patches such a source or takes another version.",
    seen_in=("open-mmlab/mmcv#2916", "open-mmlab/mmcv#1582"),
)
def source_too_old(context: Context) -> Iterator[Observation]:
    """Observe breaks that a build of the installed version would meet."""
    if not _are_lacking(context):
        return
    for found in context.catalog.breaks:
        if found.only_built and not found.platforms and found.concerns(context.versions, built=True):
            yield Observation("warning", found.effect, (found.id, *found.source), planned(context))


@check(
    "MM214",
    title="There is too little memory to compile the operators",
    cause="One C++ compiler takes 1.7 GB for the greediest file of mmcv; where memory runs out the kernel "
    "kills it: 'Killed signal terminated program cc1plus'.",
    looks_at="Where operators are missing: the memory that is available, with the limit of the container.",
    remedy="MAX_JOBS=1, more memory, or a prebuilt wheel.",
    seen_in=("NVlabs/nvdiffrast#183",),
)
def little_memory(context: Context) -> Iterator[Observation]:
    """Observe less memory than one compiler needs."""
    available = context.machine.memory.available_bytes
    if _are_lacking(context) and available < _BYTES_PER_JOB:
        yield Observation(
            "warning",
            f"{available / 1e9:.1f} GB of memory are free, one compiler takes {_BYTES_PER_JOB / 1e9:.2f} GB",
            (f"{context.machine.memory.total_bytes / 1e9:.1f} GB in all",),
            f"MAX_JOBS=1 {context.commands.make_again}",
        )


def _are_lacking(context: Context) -> bool:
    """Tell whether operators are needed and were never here: not installed, or installed without them."""
    if context.machine.os.name != "linux" or context.environment.torch is None:
        return False
    owners = context.owners(OPS_PACKAGE)
    if not owners:
        return bool(context.above_mmcv) and context.source(OPS_PACKAGE) is None
    operators = context.operators
    recorded = (name for owner in owners for name, _ in context.listed[owner.path])
    return (
        operators is not None
        and not operators.candidates
        and not any(name.startswith(f"{OPS_PACKAGE}/_ext.") for name in recorded)
    )
