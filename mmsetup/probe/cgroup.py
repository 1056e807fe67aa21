"""The limits that control groups set on this process, in version 1 and version 2 of their files.

A limit may stand at any level between the mount and the group of the process; the narrowest one holds.
Sources: the kernel's admin-guide/cgroup-v2 (``cpu.max``, ``memory.max``), cgroup-v1/memory and
scheduler/sched-bwc, and proc(5) with ``/proc/self/cgroup`` and ``/proc/self/mountinfo``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from mmsetup.probe.host import Host

__all__ = ["cpu_quota", "memory_left"]

# Version 1 writes "no limit" as the largest number of whole pages; no machine has this much memory.
_UNLIMITED_BYTES = 1 << 60


def cpu_quota(host: Host) -> float | None:
    """Give the processor time that the groups of this process allow, in cores; ``None`` without a limit."""
    quotas = []
    for folder in _folders(host, ""):
        quota, _, period = host.text(folder / "cpu.max").strip().partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(period):
            quotas.append(int(quota) / int(period))
    for folder in _folders(host, "cpu"):
        allowed = host.number(folder / "cpu.cfs_quota_us")
        length = host.number(folder / "cpu.cfs_period_us")
        if allowed is not None and allowed > 0 and length:
            quotas.append(allowed / length)
    return min(quotas, default=None)


def memory_left(host: Host) -> int | None:
    """Give the bytes that this process may still use within its groups; ``None`` without a limit.

    Pages of files that were not used of late (``inactive_file``) count as free: the kernel drops them first.
    """
    left = []
    kinds = (
        ("", "memory.max", "memory.current", "inactive_file"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    )
    for controller, limit_name, usage_name, idle_name in kinds:
        for folder in _folders(host, controller):
            limit = host.number(folder / limit_name)
            if limit is None or limit >= _UNLIMITED_BYTES:
                continue
            idle = re.search(rf"^{idle_name} (\d+)$", host.text(folder / "memory.stat"), re.MULTILINE)
            used = (host.number(folder / usage_name) or 0) - (int(idle[1]) if idle else 0)
            left.append(max(0, limit - max(0, used)))
    return min(left, default=None)


def _folders(host: Host, controller: str) -> Iterator[PurePosixPath]:
    """Give the folders of one controller (empty: version 2) from the process's own group up to the mount."""
    own = _group(host, controller)
    if own is None:
        return
    for mount_root, mount_point in _mounts(host, controller):
        # Without a namespace of its own, a container sees the host's path but has only its group mounted.
        inside = PurePosixPath()
        if PurePosixPath(own).is_relative_to(mount_root):
            inside = PurePosixPath(own).relative_to(mount_root)
        folder = mount_point / str(inside).lstrip("/")
        while folder != mount_point:
            yield folder
            folder = folder.parent
        yield mount_point


def _group(host: Host, controller: str) -> str | None:
    for line in host.text("/proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            return path
    return None


def _mounts(host: Host, controller: str) -> Iterator[tuple[PurePosixPath, PurePosixPath]]:
    for line in host.text("/proc/self/mountinfo").splitlines():
        mount, _, source = line.partition(" - ")
        left, right = mount.split(" "), source.split(" ")
        if len(left) < 5 or len(right) < 3:  # noqa: PLR2004 (columns of proc(5))
            continue
        wanted = (
            right[0] == "cgroup2"
            if not controller
            else right[0] == "cgroup" and controller in right[2].split(",")
        )
        if wanted:
            yield PurePosixPath(left[3]), PurePosixPath(left[4])
