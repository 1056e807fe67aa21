"""Bring the reports of all nodes to the first process, and its verdict back to all others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

from mmsetup.doctor.fleet.compare import Fleet, compare
from mmsetup.doctor.fleet.folder import Folder
from mmsetup.doctor.fleet.launcher import Place
from mmsetup.doctor.fleet.node import MOST_BYTES, Node
from mmsetup.doctor.fleet.wire import Wire
from mmsetup.errors import CheckFailedError, RequestError

__all__ = ["check_way", "meet"]

# How much longer than the first one the others wait: it decides when its time is over.
_PATIENCE_SECONDS = 30.0


class Channel(Protocol):
    """A way to bring messages of the processes of a job together."""

    def lead(self, decide: Callable[[Mapping[int, bytes]], int], timeout: float) -> int:
        """Gather, decide, tell the others; give the code."""

    def follow(self, content: bytes, timeout: float) -> int:
        """Say something and hear the code."""


def check_way(place: Place, folder: Path | None) -> None:
    """Make sure that there is a way to the first process, before anything is examined.

    Raises:
        RequestError: nothing says where it is.
    """
    if folder is None and not place.address and place.world > 1:
        raise RequestError(
            f"{place.launcher} does not say where the first process is: MASTER_ADDR is not set",
            remedy="mmsetup doctor --fleet --fleet-dir DIR  # a folder that all nodes share; "
            "or pass MASTER_ADDR on: mpirun -x MASTER_ADDR=HOST, mpiexec.hydra -genv MASTER_ADDR HOST",
        )


def meet(
    place: Place,
    own: Node,
    *,
    folder: Path | None,
    timeout: float,
    show: Callable[[Fleet], None],
    strict: bool = False,
    select: Collection[str] = (),
    ignore: Collection[str] = (),
) -> int:
    """Meet the other processes of the job, and give the exit code that is the same for all of them.

    ``show`` is called with the comparison, in the first process alone. ``timeout`` is in seconds.

    Raises:
        NetworkError: the first process cannot be reached, or cannot listen.
        RequestError: nothing says where it is.
        TargetError, DiskSpaceError: the shared folder cannot be written.
    """

    def decide(answers: Mapping[int, bytes]) -> int:
        nodes = [own, *(_read(rank, content) for rank, content in answers.items())]
        fleet = compare(place, nodes, select=select, ignore=ignore)
        show(fleet)
        return CheckFailedError.exit_code if fleet.is_bad(strict=strict) else 0

    if place.world == 1:
        return decide({})
    channel = _channel(place, folder)
    if place.leads:
        return channel.lead(decide, timeout)
    return channel.follow(_bounded(own).to_bytes(), timeout + _PATIENCE_SECONDS)


def _channel(place: Place, folder: Path | None) -> Channel:
    check_way(place, folder)
    return Wire(place) if folder is None else Folder(folder, place)


def _bounded(own: Node) -> Node:
    size = len(own.to_bytes())
    if size <= MOST_BYTES // 2:
        return own
    return Node(own.rank, own.host, own.is_first, fault=f"its report has {size} bytes, which is too many")


def _read(rank: int, content: bytes) -> Node:
    """Read a report; one that is none makes a sick node, for somebody did answer there."""
    try:
        node = Node.from_bytes(content)
    except ValueError as error:
        return Node(rank, f"rank {rank}", is_first=True, fault=str(error))
    if node.rank == rank:
        return node
    return Node(rank, node.host, node.is_first, fault=f"it says that it is rank {node.rank}")
