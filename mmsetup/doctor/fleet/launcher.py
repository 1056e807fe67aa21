"""Which process of which job this is, as the launcher says in variables.

Sources: torchrun's "Environment Variables", Slurm's srun(1) "OUTPUT ENVIRONMENT VARIABLES", Open MPI's
"Environment variables that Open MPI sets at run time", PMI as MPICH's Hydra and Intel MPI set it, and what
Open MPI 4.1, Hydra 4.0 and Slurm 22.05 were seen to set, each by itself and inside of one another.
"""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mmsetup.errors import RequestError

__all__ = ["Place", "host_names", "place"]

_OFFSET = 17
# Below those that Linux gives to connections by itself (32768 to 60999), which mpirun and srun listen on.
_PORTS = range(20_000, 32_768)
_HIGHEST_PORT = 65_535
_MOST_HOSTS = 100_000
_LOOPBACK = "127.0.0.1"
# Rank, number of processes, rank on the node, processes on the node: the first one counts whose first two are
# there. Slurm sets them for srun's tasks, for a batch script, and for what other launchers start by srun.
_LAUNCHERS = {
    "torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
    "Open MPI": (
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
    ),
    "srun": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"),
    "PMI": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
}
# What tells a job from others, by launcher: the first that is there. A step of Slurm is one for the tasks of
# srun alone; what mpirun starts is in several, and on the host of mpirun in none.
_BATCH_JOBS = (("SLURM_JOB_ID",), ("PBS_JOBID",), ("LSB_JOBID",))
_JOBS = {
    "srun": (("SLURM_JOB_ID", "SLURM_STEP_ID"),),
    "Open MPI": (("PMIX_NAMESPACE",), ("OMPI_MCA_ess_base_jobid",)),
}


@dataclass(frozen=True, slots=True)
class Place:
    """A process in a job.

    ``local_rank`` is its number on its node, or -1 where the launcher does not tell it. ``job`` is what no
    other job has, or empty. ``address`` is where the first process listens, or empty; ``names`` are the nodes
    of the job where they are known; ``per_node`` how many processes a node has, 0 where that is not known.
    ``secret`` is known to the processes of the job alone, or empty.
    """

    launcher: str
    rank: int
    world: int
    local_rank: int
    host: str
    job: str = ""
    address: str = ""
    port: int = 0
    names: tuple[str, ...] = ()
    per_node: int = 0
    secret: str = ""

    @property
    def works(self) -> bool:
        """Tell whether this process examines its node: the first one does, for all of them."""
        return self.local_rank <= 0

    @property
    def leads(self) -> bool:
        """Tell whether this process compares the nodes and prints."""
        return self.rank == 0


def place(variables: Mapping[str, str]) -> Place:
    """Read the place from the variables of the environment.

    Raises:
        RequestError: no launcher started this, or what it says makes no sense.
    """
    for launcher, (rank_name, world_name, local_name, per_node_name) in _innermost_first(variables):
        if variables.get(rank_name) and variables.get(world_name):
            rank, world = _number(variables, rank_name), _number(variables, world_name)
            if not rank < world:
                raise RequestError(
                    f"{rank_name} is {rank} and {world_name} is {world}: there is no such process",
                    remedy="torchrun --nproc_per_node 1 --no_python mmsetup doctor --fleet",
                )
            job, names = _job(launcher, variables), _names(launcher, variables)
            per_node = _per_node(per_node_name, variables)
            return Place(
                launcher=launcher,
                rank=rank,
                world=world,
                local_rank=_number(variables, local_name, -1),
                host=_host(launcher, variables),
                job=job,
                address=_address(variables, names, is_one_node=per_node == world or len(names) == 1),
                port=_port(variables, job),
                names=names,
                per_node=per_node,
                secret=variables.get("MMSETUP_FLEET_SECRET", ""),
            )
    raise RequestError(
        "--fleet runs under a launcher, and no variable tells of one "
        f"({', '.join(names[0] for names in _LAUNCHERS.values())})",
        remedy="srun --ntasks-per-node 1 mmsetup doctor --fleet  # or torchrun --no_python, or mpirun",
    )


def host_names(text: str) -> tuple[str, ...]:
    """Write out a list of hosts as Slurm shortens it: ``gpu[01-03,7],login1``.

    What is malformed gives no names: they only serve to name a node that does not answer.
    """
    names: list[str] = []
    for item in re.findall(r"[^,\[]+(?:\[[^\]]*\][^,\[]*)*", text):
        for name in _written_out(item.strip()):
            names.append(name)
            if len(names) > _MOST_HOSTS:
                return ()
    return tuple(names)


def _written_out(item: str) -> Iterator[str]:
    found = re.match(r"([^\[]*)\[([\d,-]+)\](.*)", item)
    if found is None:
        yield item
        return
    for part in found[2].split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            continue
        for number in range(int(first), min(int(last or first), int(first) + _MOST_HOSTS) + 1):
            for rest in _written_out(found[3]):
                yield f"{found[1]}{number:0{len(first)}}{rest}"


def _innermost_first(variables: Mapping[str, str]) -> Iterable[tuple[str, tuple[str, str, str, str]]]:
    """Give the launchers in the order in which they count.

    Slurm's own PMI sets a rank and no rank on the node. Where there is one as well, Hydra runs inside Slurm,
    and what Slurm tells is of the proxy that Hydra has on each node.
    """
    if variables.get("MPI_LOCALRANKID"):
        return sorted(_LAUNCHERS.items(), key=lambda one: one[0] == "srun")
    return _LAUNCHERS.items()


def _per_node(name: str, variables: Mapping[str, str]) -> int:
    """Read how many processes each node has; Slurm writes ``2(x3)`` for three nodes, else ``2,1``."""
    alike = re.fullmatch(r"(\d{1,9})\(x\d+\)", variables.get(name, ""), re.ASCII)
    if alike is not None:
        return int(alike[1])
    return 0 if "," in variables.get(name, "") else _number(variables, name, 0)


def _host(launcher: str, variables: Mapping[str, str]) -> str:
    """Give the node's name; Hydra and Open MPI may hand the variables of the first host to all others."""
    told = variables.get("SLURMD_NODENAME") if launcher in {"srun", "torchrun"} else ""
    return told or platform.node()


def _names(launcher: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Give the nodes; the steps in which another launcher starts its daemons do not hold all of them."""
    step = variables.get("SLURM_STEP_NODELIST") if launcher == "srun" else ""
    return host_names(step or variables.get("SLURM_JOB_NODELIST") or "")


def _address(variables: Mapping[str, str], names: tuple[str, ...], *, is_one_node: bool) -> str:
    return variables.get("MASTER_ADDR") or (_LOOPBACK if is_one_node else next(iter(names), ""))


def _job(launcher: str, variables: Mapping[str, str]) -> str:
    """Give what tells this run from others; torchrun calls every static rendezvous ``none``."""
    if named := variables.get("MMSETUP_FLEET_JOB"):
        return named
    run = variables.get("TORCHELASTIC_RUN_ID", "")
    if launcher == "torchrun" and run and run != "none":
        return f"{run}.{variables.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    for names in (*_JOBS.get(launcher, ()), *_BATCH_JOBS):
        if variables.get(names[0]):
            return ".".join(variables[name] for name in names if variables.get(name))
    return ""


def _port(variables: Mapping[str, str], job: str) -> int:
    named = _number(variables, "MMSETUP_FLEET_PORT", 0)
    if not named and (master := _number(variables, "MASTER_PORT", 0)):
        named = master + _OFFSET if master + _OFFSET <= _HIGHEST_PORT else master - _OFFSET
    if not named:
        digest = hashlib.sha256(job.encode()).digest()
        named = _PORTS[int.from_bytes(digest[:4], "big") % len(_PORTS)]
    if not 0 < named <= _HIGHEST_PORT:
        raise RequestError(f"{named} is not a port", remedy="MMSETUP_FLEET_PORT=29517 mmsetup doctor --fleet")
    return named


def _number(variables: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = variables.get(name, "")
    if not text and default is not None:
        return default
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise RequestError(f"{name} is {text!r}, which is no number", remedy=f"unset {name}")
    return int(text)
