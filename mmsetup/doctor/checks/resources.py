"""MM51x: what a training run takes of the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

from mmsetup.doctor.context import Context
from mmsetup.doctor.model import Observation, check

__all__ = ["little_shared_memory"]

# Two workers that each prepare two batches of two crops of 512 x 1024, as mmsegmentation's configs for
# Cityscapes ask for: three colours of 4 bytes and a label of 8 bytes for each pixel make 84 MB.
_BYTES_PER_GPU = 2 * 2 * 2 * 512 * 1024 * (3 * 4 + 8)


@check(
    "MM511",
    title="There is too little shared memory for the workers of a DataLoader",
    cause="Docker gives a container 64 MB of /dev/shm unless it is asked for more, or processes that were "
    "killed left their segments there. The workers hand over their batches in it, and die of a bus error "
    "when it is full.",
    looks_at="The size of /dev/shm and what is free of it, against what two workers hold for each GPU with "
    "the batches of mmsegmentation's own configs.",
    remedy="docker run --shm-size=8g (or --ipc=host); on a machine of your own: delete what is left over "
    "in /dev/shm, or mount it larger; num_workers=0 does without.",
    seen_in=("open-mmlab/mmdetection#1997", "open-mmlab/mmsegmentation#1356"),
)
def little_shared_memory(context: Context) -> Iterator[Observation]:
    """Observe a /dev/shm that a usual DataLoader fills."""
    place = context.shared_memory
    if context.machine.os.name != "linux":
        return
    try:
        figures = os.statvfs(place)
    except OSError as error:
        yield Observation(
            "warning",
            f"{place} is not there, so that a DataLoader with workers fails",
            (f"{place}: {error.strerror}",),
            "docker run --shm-size=8g …  # or: mount -t tmpfs -o size=8g tmpfs /dev/shm",
        )
        return
    size, free = figures.f_blocks * figures.f_frsize, figures.f_bavail * figures.f_frsize
    wanted = _BYTES_PER_GPU * max(1, len(context.machine.gpus))
    if size >= wanted and free >= wanted:
        return
    is_full = size >= wanted
    container = context.machine.container
    grown = (
        "docker run --shm-size=8g …  # or: --ipc=host" if container else f"mount -o remount,size=8g {place}"
    )
    yield Observation(
        "warning",
        f"{place} has {free / 1e6:.0f} MB free of {size / 1e6:.0f} MB: two workers for each GPU take "
        f"{wanted / 1e6:.0f} MB",
        (f"{place}: {size} bytes, {free} free", *((container.evidence,) if container else ())),
        f"ls -l {place}  # and delete what no process uses" if is_full else grown,
    )
