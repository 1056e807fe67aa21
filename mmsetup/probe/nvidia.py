"""One answer about the NVIDIA driver and its GPUs from the three sources that can know it, the best first."""

from __future__ import annotations

from collections.abc import Iterable

from mmsetup.probe import driver_files, nvidia_smi, nvml
from mmsetup.probe.host import Host
from mmsetup.probe.machine import Driver, Gpu
from mmsetup.probe.nvml import Nvidia

__all__ = ["merge", "read"]


def read(host: Host) -> Nvidia:
    """Ask NVML; where that fails, read the kernel's files; then ask ``nvidia-smi``."""
    library = nvml.read(host)
    if library.driver is not None:
        return library
    files = driver_files.read(host)
    program = nvidia_smi.read(host)
    merged = merge((library, files, program))
    notes = list(merged.notes)
    if merged.driver is None and not merged.gpus:
        if driver_files.has_nvidia_device(host):
            notes.append("an NVIDIA device is on the PCI bus, but no NVIDIA driver is loaded")
    elif not library.found:
        notes.append(
            "an NVIDIA driver is loaded, but its library libnvidia-ml.so.1 cannot be found from here"
        )
    return Nvidia(merged.driver, merged.gpus, tuple(notes), found=merged.driver is not None)


def merge(sources: Iterable[Nvidia]) -> Nvidia:
    """Join answers: the first driver, completed by later ones, and the GPUs that are known best."""
    driver: Driver | None = None
    gpus: tuple[Gpu, ...] = ()
    notes: list[str] = []
    for source in sources:
        notes += source.notes
        if source.driver is not None:
            if driver is None:
                driver = source.driver
            elif not driver.cuda and source.driver.version == driver.version:
                driver = Driver(driver.version, source.driver.cuda, driver.source)
        if source.gpus and (not gpus or _known(source.gpus) > _known(gpus)):
            gpus = source.gpus
    return Nvidia(driver, gpus, tuple(notes), found=driver is not None)


def _known(gpus: tuple[Gpu, ...]) -> int:
    return sum(1 for gpu in gpus if gpu.architecture)
