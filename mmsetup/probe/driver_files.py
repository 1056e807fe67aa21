"""The driver and its GPUs as the kernel's files tell them, where NVML cannot be asked.

``/sys/module/nvidia/version`` and ``/proc/driver/nvidia`` are written by the kernel module itself. They know
neither the architecture nor the memory of a GPU.
"""

from __future__ import annotations

import re

from mmsetup.probe.host import Host
from mmsetup.probe.machine import Driver, Gpu
from mmsetup.probe.nvml import Nvidia

__all__ = ["has_nvidia_device", "read"]

_VENDOR = "0x10de"
_DISPLAY_CLASS = "0x03"


def read(host: Host) -> Nvidia:
    """Read the version of the loaded kernel module and the list of its GPUs."""
    gpus = []
    for index, name in enumerate(host.names("/proc/driver/nvidia/gpus")):
        text = host.text(f"/proc/driver/nvidia/gpus/{name}/information")
        fields = {
            key.strip(): value.strip()
            for key, _, value in (line.partition(":") for line in text.splitlines())
        }
        uuid = fields.get("GPU UUID", "")
        gpus.append(Gpu(index, fields.get("Model", name), "", 0, "" if "?" in uuid else uuid))
    version = host.text("/sys/module/nvidia/version").strip()
    if version:
        return Nvidia(Driver(version, "", "/sys"), tuple(gpus))
    # "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023"; the open
    # module writes "Open Kernel Module for x86_64" in place of the platform.
    found = re.search(
        r"^NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", host.text("/proc/driver/nvidia/version"), re.MULTILINE
    )
    if found:
        return Nvidia(Driver(found[1], "", "/proc"), tuple(gpus))
    return Nvidia(None, tuple(gpus), found=bool(gpus))


def has_nvidia_device(host: Host) -> bool:
    """Say whether a display controller of NVIDIA is on the PCI bus, with or without a driver."""
    folder = "/sys/bus/pci/devices"
    return any(
        host.text(f"{folder}/{name}/vendor").strip() == _VENDOR
        and host.text(f"{folder}/{name}/class").startswith(_DISPLAY_CLASS)
        for name in host.names(folder)
    )
