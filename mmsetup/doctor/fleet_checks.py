"""MM90x: what shows only when the nodes of a job are put beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmsetup.doctor.model import Check, check

if TYPE_CHECKING:
    from mmsetup.doctor.context import Context

__all__ = ["FLEET_CHECKS", "no_answer", "not_examined", "other_machine", "other_stack", "other_variables"]


@check(
    "MM901",
    title="A node of the job did not answer",
    cause="The node is down, the launcher did not start a process there, mmsetup is not installed on it, or "
    "a firewall is between it and the first node.",
    looks_at="Which of the ranks that the launcher counts sent a report before --fleet-timeout ran out.",
    remedy="Run mmsetup doctor on that node alone; with --fleet-dir no connection is needed.",
)
def no_answer(_: Context) -> tuple[()]:
    """Observe nothing: one environment does not show it."""
    return ()


@check(
    "MM902",
    title="The nodes hold different versions of the stack",
    cause="The environments were made at different times or from different locks. Processes of one job "
    "exchange tensors and pickled objects, and agree on collective operations, only in one version.",
    looks_at="Python, the versions of torch and OpenMMLab, and the digest of the lock on every node.",
    remedy="Install the same lockfile on every node: mmsetup install --lock FILE.",
)
def other_stack(_: Context) -> tuple[()]:
    """Observe nothing: one environment does not show it."""
    return ()


@check(
    "MM903",
    title="The nodes are different machines",
    cause="Drivers, GPUs or C libraries differ. A job runs on a mixture when each node is fine by itself, at "
    "the pace of the slowest, and results may differ in the last digits.",
    looks_at="Driver, GPUs and their memory, libc and processor of every node; kernel, system, container and "
    "mmsetup are told as a note.",
    remedy="Ask the scheduler for nodes of one kind, or bring the odd one up to the others.",
)
def other_machine(_: Context) -> tuple[()]:
    """Observe nothing: one environment does not show it."""
    return ()


@check(
    "MM904",
    title="The nodes have different variables",
    cause="A shell's start file, a module or a launcher that does not pass variables on sets them on some "
    "nodes alone: NCCL then speaks another protocol there, or other libraries are loaded.",
    looks_at="NCCL_*, GLOO_*, UCX_*, FI_*, CUDA_*, LD_LIBRARY_PATH, LD_PRELOAD, PYTHONPATH and their like.",
    remedy="Set them in the job's script and let the launcher pass them on (srun --export, mpirun -x).",
)
def other_variables(_: Context) -> tuple[()]:
    """Observe nothing: one environment does not show it."""
    return ()


@check(
    "MM905",
    title="A node could not be examined",
    cause="There is no environment where the others have theirs: a folder that is not shared, or not "
    "mounted; or its interpreter does not start.",
    looks_at="What mmsetup doctor ended with on that node.",
    remedy="Run mmsetup doctor on that node alone.",
)
def not_examined(_: Context) -> tuple[()]:
    """Observe nothing: one environment does not show it."""
    return ()


FLEET_CHECKS: tuple[Check, ...] = (no_answer, other_stack, other_machine, other_variables, not_examined)
