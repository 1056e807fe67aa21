"""Answer for what NVIDIA makes of its own: Jetson boards, and torch as its containers bring it.

torch for a Jetson is NVIDIA's own build, and so is that of the containers of NGC. No index has either, and
ops are compiled for one build of torch. So there is nothing to plan with; what can be done instead is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from mmsetup.binary.architectures import runs_on
from mmsetup.catalog.gpus import architecture_of
from mmsetup.catalog.vendors import JetPack, vendors
from mmsetup.errors import RequestError
from mmsetup.probe.machine import Gpu

if TYPE_CHECKING:
    from mmsetup.catalog import Catalog
    from mmsetup.plan.builds import TorchBuild
    from mmsetup.plan.situation import Situation
    from mmsetup.probe.machine import Environment, Jetson, Machine

__all__ = ["check_torch", "vendor_evidence", "vendor_notes", "vendor_remedy", "with_integrated_gpu"]

_PLATFORM = "linux-aarch64"
_KIND = "jetson"
_PRETENDED = ("MMSETUP_OVERRIDE_GPU_ARCHITECTURES=", "--gpu ")


def with_integrated_gpu(machine: Machine, catalog: Catalog) -> Machine:
    """Give a Jetson its GPU, which NVML often does not tell; pretended GPUs, or none, stay.

    The architecture is that of the chip; where only the name of the board is known, that of the GPU with this
    name; else it is not known.
    """
    jetson = machine.jetson
    if jetson is None or any(said.startswith(_PRETENDED) for said in machine.overrides):
        return machine
    architecture = _architecture(jetson, catalog)
    if not machine.gpus:
        return replace(machine, gpus=(Gpu(0, jetson.model or "GPU of a Jetson", architecture, 0),))
    told = tuple(gpu if gpu.architecture else replace(gpu, architecture=architecture) for gpu in machine.gpus)
    return replace(machine, gpus=told if len(told) == 1 else machine.gpus)


def vendor_notes(situation: Situation, build: TorchBuild) -> Iterator[str]:
    """Say in a plan what becomes of a torch of NVIDIA's own build that the machine has."""
    jetson, torch = situation.machine.jetson, situation.machine.vendor_torch
    if jetson is not None:
        yield f"this is {_described(jetson)}"
    if torch is not None:
        place = "this container brings" if torch.release else "this machine has"
        version = f" {torch.version}" if torch.version else ""
        release = f" ({torch.release})" if torch.release else ""
        yield (
            f"{place} NVIDIA's own torch{version}{release}: no prebuilt ops fit it, and it stays untouched: "
            f"mmsetup makes an environment of its own with torch {build.release.version}"
        )


def vendor_evidence(situation: Situation) -> Iterator[str]:
    """Say why there is no set for a Jetson, or for another machine with its kind of processor."""
    integrated = _integrated(situation)
    ops, jetson = situation.family.ops.distribution, situation.machine.jetson
    if jetson is not None:
        yield f"this is {_described(jetson)}"
    elif integrated:
        elsewhere = "" if situation.platform == _PLATFORM else f", whose platform is {_PLATFORM}"
        yield f"{', '.join(integrated)} is the integrated GPU of a Jetson{elsewhere}"
    for architecture in integrated if situation.request.cuda != "cpu" else ():
        yield from _torch_code(architecture, situation)
    is_near = integrated or jetson is not None or situation.platform == _PLATFORM
    served = {group.platform for group in situation.catalog.wheels if group.distribution == ops}
    if is_near and _PLATFORM not in served:
        yield f"no source is known to have a wheel of {ops} for {_PLATFORM}, and mmsetup does not build there"
    pack = _jetpack(situation)
    for known in vendors().ops if pack is not None else ():
        if pack is not None and known.jetpack == pack.jetpack:
            yield (
                f"nearest: wheels of {known.distribution} for NVIDIA's own torch {', '.join(known.torch)} of "
                f"JetPack {known.jetpack} at {known.where}; mmsetup does not plan with that torch"
            )


def vendor_remedy(situation: Situation) -> str:
    """Give the command that starts NVIDIA's container for a Jetson; empty where none is known or needed."""
    pack = _jetpack(situation)
    if pack is None:
        is_asked_for = situation.machine.jetson is None and _integrated(situation)
        return (
            "mmsetup plan  # on the board: it says which container has torch for it" if is_asked_for else ""
        )
    return (
        f"docker run -it --rm --runtime nvidia {pack.container}"
        "  # has torch for this GPU; in it: MMCV_WITH_OPS=1 pip install --no-build-isolation "
        f"{situation.family.ops.distribution}"
    )


def check_torch(environment: Environment, family: str) -> None:
    """Refuse to look for ops beside the torch of an environment that nobody makes wheels for.

    Raises:
        RequestError: it is NVIDIA's own build, or no release of PyTorch.
    """
    torch = environment.torch
    if torch is None:
        return
    if torch.is_vendor_build:
        problem = "is NVIDIA's own build for a container of NGC or for JetPack: no index has ops that fit it"
    elif _is_no_release(torch.version):
        problem = "is no release but a build from source or of a night: no index has ops that fit it"
    else:
        return
    raise RequestError(
        f"torch {torch.version} of {environment.prefix} {problem}",
        evidence=[f"{torch.path / 'version.py'}: {torch.version}"],
        remedy=f"mmsetup plan --family {family}  # an environment of its own; or build the ops here",
    )


def _is_no_release(version: str) -> bool:
    try:
        return Version(version).is_prerelease
    except InvalidVersion:
        return False


def _architecture(jetson: Jetson, catalog: Catalog) -> str:
    try:
        return architecture_of(vendors().gpu_of(jetson.chip) or jetson.model, catalog.gpus)[0]
    except RequestError:
        return ""


def _integrated(situation: Situation) -> list[str]:
    known = {model.architecture for model in situation.catalog.gpus if model.kind == _KIND}
    return [architecture for architecture in situation.architectures if architecture in known]


def _torch_code(architecture: str, situation: Situation) -> Iterator[str]:
    """Say whether torch's own wheels hold code for an integrated GPU."""
    held = [
        (release.version, code)
        for release in situation.catalog.torch
        for (platform, variant), code in release.architectures.items()
        if platform == _PLATFORM and variant != "cpu"
    ]
    fitting = sorted({version for version, code in held if runs_on(architecture, code.sass, code.ptx)})
    if fitting:
        named = " to ".join(dict.fromkeys((str(fitting[0]), str(fitting[-1]))))
        yield f"torch {named} for {_PLATFORM} holds code for {architecture}: the ops are what is missing"
        return
    known = sorted(
        {one for _, code in held for one in code.sass}, key=lambda name: int(name[3:].rstrip("af"))
    )
    yield (
        f"torch for {architecture} is NVIDIA's own build for JetPack, which no index that mmsetup reads has; "
        f"torch's wheels for {_PLATFORM} hold code for {', '.join(known)}"
    )


def _jetpack(situation: Situation) -> JetPack | None:
    jetson = situation.machine.jetson
    return vendors().jetpack_of(jetson.release) if jetson is not None else None


def _described(jetson: Jetson) -> str:
    pack = vendors().jetpack_of(jetson.release)
    linux = f"Jetson Linux {jetson.release}" if jetson.release else ""
    told = ", ".join(filter(None, (jetson.model, linux, f"JetPack {pack.jetpack}" if pack else "")))
    return f"a Jetson ({told or jetson.chip})"
