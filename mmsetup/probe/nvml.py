"""The driver and its GPUs as NVIDIA's management library (NVML) tells them, through ``pynvml``.

An error of the library is a fact about the machine, so it becomes a note and what was read up to there is
kept.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from mmsetup.probe.host import Host
from mmsetup.probe.machine import Driver, Gpu

__all__ = ["LIBRARY_FOLDERS", "Nvidia", "read"]

T = TypeVar("T")

# Places where the loader does not look: WSL, containers of Kubernetes device plugins, NixOS.
LIBRARY_FOLDERS = (
    "/usr/lib/wsl/lib",
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/run/opengl-driver/lib",
)
_LIBRARY = "libnvidia-ml.so.1"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Nvidia:
    """What one source knows, and what went wrong; ``found`` is False where there was no source."""

    driver: Driver | None = None
    gpus: tuple[Gpu, ...] = ()
    notes: tuple[str, ...] = ()
    found: bool = True


def read(host: Host) -> Nvidia:
    """Ask NVML for the driver, the CUDA that it carries, and every GPU or MIG slice."""
    if not _is_loaded(host):
        return Nvidia(found=False)
    import pynvml  # noqa: PLC0415 (40 ms that a machine without the library need not pay)

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Nvidia(notes=(f"NVML cannot be used: {error} (code {error.value})",))
    try:
        return _Session(pynvml).read()
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _is_loaded(host: Host) -> bool:
    """Load the library, by its full path where its name is not enough; pynvml then gets it by its name."""
    if sys.platform == "win32":
        return True
    for place in (_LIBRARY, *(str(host.path(f"{folder}/{_LIBRARY}")) for folder in LIBRARY_FOLDERS)):
        with contextlib.suppress(OSError):
            ctypes.CDLL(place, mode=ctypes.RTLD_GLOBAL)
            return True
    return False


class _Session:
    """One opened library and the notes about it."""

    def __init__(self, library: Any) -> None:
        self._nvml = library
        self._notes: list[str] = []

    def read(self) -> Nvidia:
        nvml = self._nvml
        version = self._try("the driver version", nvml.nvmlSystemGetDriverVersion) or ""
        driver = Driver(_text(version), self._cuda(), "nvml") if version else None
        count = self._try("the number of GPUs", nvml.nvmlDeviceGetCount) or 0
        gpus = [gpu for index in range(count) for gpu in self._device(index)]
        return Nvidia(driver, tuple(gpus), tuple(self._notes))

    def _cuda(self) -> str:
        """Give the newest CUDA of the driver; old drivers know only the first form of the call."""
        nvml = self._nvml
        try:
            number = nvml.nvmlSystemGetCudaDriverVersion_v2()
        except nvml.NVMLError:
            number = self._try("its CUDA version", nvml.nvmlSystemGetCudaDriverVersion)
        return f"{number // 1000}.{number % 1000 // 10}" if number else ""

    def _device(self, index: int) -> Iterator[Gpu]:
        nvml = self._nvml
        what = f"GPU {index}"
        handle = self._try(what, nvml.nvmlDeviceGetHandleByIndex, index)
        if handle is None:
            return
        gpu = self._gpu(what, index, handle)
        if gpu is None:
            return
        try:
            is_sliced = nvml.nvmlDeviceGetMigMode(handle)[0] == nvml.NVML_DEVICE_MIG_ENABLE
        except nvml.NVMLError:
            is_sliced = False
        if not is_sliced:
            yield gpu
            return
        slices = tuple(self._slices(gpu, handle))
        if not slices:
            self._notes.append(
                f"{what} ({gpu.name}) is in MIG mode and has no slices, so CUDA finds no device on it"
            )
        yield from slices

    def _gpu(self, what: str, index: int, handle: Any) -> Gpu | None:
        nvml = self._nvml
        try:
            name = _text(nvml.nvmlDeviceGetName(handle))
            capability = self._unless_lost(
                f"the compute capability of {what}", nvml.nvmlDeviceGetCudaComputeCapability, handle
            )
            room = self._unless_lost(f"the memory of {what}", nvml.nvmlDeviceGetMemoryInfo, handle)
            uuid = self._unless_lost(f"the UUID of {what}", nvml.nvmlDeviceGetUUID, handle)
        except nvml.NVMLError as error:
            self._notes.append(f"{what} cannot be used: {error} (NVML code {error.value})")
            return None
        return Gpu(
            index=index,
            name=name,
            architecture="sm_{}{}".format(*capability) if capability else "",
            memory_bytes=int(room.total) if room else 0,
            uuid=_text(uuid or ""),
        )

    def _slices(self, gpu: Gpu, handle: Any) -> Iterator[Gpu]:
        nvml = self._nvml
        what = f"the MIG slices of GPU {gpu.index}"
        for number in range(self._try(what, nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            try:
                part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
                room = nvml.nvmlDeviceGetMemoryInfo(part)
                uuid = _text(nvml.nvmlDeviceGetUUID(part))
                profile = self._profile(part)
            except nvml.NVMLError as error:
                # Slices are numbered up to the most that fit, with gaps where none was made.
                if error.value != nvml.NVML_ERROR_NOT_FOUND:
                    self._notes.append(
                        f"MIG slice {number} of GPU {gpu.index}: {error} (NVML code {error.value})"
                    )
                continue
            yield Gpu(gpu.index, gpu.name, gpu.architecture, int(room.total), uuid, profile)

    def _profile(self, part: Any) -> str:
        """Give the profile (``1g.10gb``): the end of the slice's name, else what its attributes say."""
        nvml = self._nvml
        named = re.search(r"\bMIG (\S+)$", _text(nvml.nvmlDeviceGetName(part)))
        if named:
            return named[1]
        attributes = nvml.nvmlDeviceGetAttributes(part)
        slices, compute = attributes.gpuInstanceSliceCount, attributes.computeInstanceSliceCount
        size = f"{slices}g.{round(attributes.memorySizeMB * _MIB / 1e9)}gb"
        return size if compute == slices else f"{compute}c.{size}"

    def _try(self, what: str, call: Callable[..., T], *arguments: Any) -> T | None:
        try:
            return call(*arguments)
        except self._nvml.NVMLError as error:
            self._notes.append(f"NVML cannot tell {what}: {error} (code {error.value})")
            return None

    def _unless_lost(self, what: str, call: Callable[..., T], *arguments: Any) -> T | None:
        """As :meth:`_try`, but a GPU that is lost stays lost, so that error goes on."""
        try:
            return call(*arguments)
        except self._nvml.NVMLError as error:
            if error.value == self._nvml.NVML_ERROR_GPU_IS_LOST:
                raise
            self._notes.append(f"NVML cannot tell {what}: {error} (code {error.value})")
            return None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
