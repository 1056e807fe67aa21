"""Processors, memory and disk, as far as this process may use them."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import re
import shutil
from pathlib import Path

from mmsetup.probe import cgroup
from mmsetup.probe.host import Host
from mmsetup.probe.machine import Cpu, Disk, Memory

__all__ = ["cpu", "disk", "memory"]

_KIB = 1024


def cpu(host: Host) -> Cpu:
    """Count the processors: all, and those that affinity and the container's quota leave to this process."""
    model = re.search(
        r"^(?:model name|Model|cpu model)\s*:\s*(.+)$", host.text("/proc/cpuinfo"), re.MULTILINE
    )
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    quota = cgroup.cpu_quota(host)
    if quota is not None:
        usable = max(1, min(usable, math.ceil(quota)))
    return Cpu(
        architecture=platform.machine(),
        model=model[1].strip() if model else "",
        cores=cores,
        usable_cores=usable,
    )


def memory(host: Host) -> Memory:
    """Measure the memory in bytes; ``available_bytes`` is what is left below the container's limit."""
    values = {
        key: int(kib) * _KIB
        for key, kib in re.findall(r"^(\w+):\s+(\d+) kB$", host.text("/proc/meminfo"), re.MULTILINE)
    }
    total = values.get("MemTotal") or _physical_bytes()
    available = values.get("MemAvailable", values.get("MemFree", total))
    left = cgroup.memory_left(host)
    if left is not None:
        available = min(available, left)
    return Memory(total, available)


def disk(folder: Path) -> Disk:
    """Measure the free space in bytes at ``folder``, or at its nearest parent that exists."""
    absolute = Path(os.path.abspath(folder))  # noqa: PTH100 (resolve would hide the name that was asked for)
    for existing in (absolute, *absolute.parents):
        with contextlib.suppress(OSError):
            return Disk(existing, shutil.disk_usage(existing).free)
    return Disk(absolute, 0)


def _physical_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0
