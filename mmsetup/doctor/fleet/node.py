"""What one node says of itself, and its form on the way to the others."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmsetup import __version__
from mmsetup.doctor.model import SEVERITIES, Diagnosis, Finding, Part, Severity
from mmsetup.install.manifest import read_manifest
from mmsetup.probe.machine import Machine
from mmsetup.render.document import plain

__all__ = ["MOST_BYTES", "Node", "facts_of"]

MOST_BYTES = 4 << 20
"""The most bytes that the report of a node may have; a real one has some thousands."""

_MOST_FINDINGS = 1_000
# Which libraries are loaded, how the nodes talk to each other, which GPUs are seen.
_VARIABLES = re.compile(
    r"NCCL_\w+|TORCH_NCCL_\w+|TORCH_DISTRIBUTED_DEBUG|GLOO_\w+|UCX_\w+|FI_\w+|RDMAV_\w+|OMP_NUM_THREADS|MKL_NUM_THREADS"
    r"|CUDA_(VISIBLE_DEVICES|DEVICE_ORDER|LAUNCH_BLOCKING|MODULE_LOADING|HOME|CACHE_DISABLE)|PYTORCH_\w*ALLOC_CONF"
    r"|LD_LIBRARY_PATH|LD_PRELOAD|PYTHONPATH|MMSETUP_OVERRIDE_\w+|NVIDIA_TF32_OVERRIDE|CUBLAS_WORKSPACE_CONFIG"
)


@dataclass(frozen=True, slots=True)
class Node:
    """A node: its facts by kind (``stack``, ``machine``, ``variable``), then by name; and its diagnosis.

    Where it could not be examined, ``fault`` says why and there is no diagnosis. A process that leaves the
    work to another one of its node has neither. ``is_first``: the launcher says that no other process of the
    node does the work.
    """

    rank: int
    host: str
    is_first: bool = False
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    fault: str = ""

    @property
    def is_report(self) -> bool:
        """Tell whether this says something of a node."""
        return self.diagnosis is not None or bool(self.fault)

    def to_bytes(self) -> bytes:
        """Give the form in which it travels."""
        return json.dumps(
            {
                "rank": self.rank,
                "host": self.host,
                "is_first": self.is_first,
                "facts": plain(self.facts),
                "diagnosis": plain(self.diagnosis),
                "fault": self.fault,
            }
        ).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Node:
        """Read what :meth:`to_bytes` gave.

        Raises:
            ValueError: it is something else.
        """
        try:
            document = json.loads(content)
            told = document["diagnosis"]
            return cls(
                rank=int(document["rank"]),
                host=str(document["host"]),
                is_first=document["is_first"] is True,
                facts={
                    str(kind): {str(name): str(value) for name, value in facts.items()}
                    for kind, facts in document["facts"].items()
                },
                diagnosis=None if told is None else _diagnosis(told),
                fault=str(document["fault"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"this is no report of a node: {error}") from error


def facts_of(
    machine: Machine, diagnosis: Diagnosis, variables: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Give what should be the same on every node of a job."""
    manifest = read_manifest(diagnosis.prefix)
    stack = {"Python": diagnosis.python, **{part.name: part.version for part in diagnosis.parts}}
    if manifest is not None and manifest.lock_digest:
        stack["lock"] = manifest.lock_digest[:12]
    gpus = Counter(
        " ".join(filter(None, (gpu.name, gpu.mig, gpu.architecture, f"{gpu.memory_bytes / 2**30:.0f} GiB")))
        for gpu in machine.gpus
    )
    driver, libc = machine.driver, machine.libc
    return {
        "stack": stack,
        "machine": {
            "driver": driver.version if driver else "none",
            "CUDA of the driver": driver.cuda if driver else "none",
            "GPUs": ", ".join(f"{count} x {name}" for name, count in sorted(gpus.items())) or "none",
            "libc": f"{libc.name} {libc.version}" if libc else "unknown",
            "processor": machine.cpu.architecture,
            "kernel": machine.os.kernel,
            "system": machine.os.distribution,
            "container": machine.container.kind if machine.container else "none",
            "mmsetup": __version__,
        },
        "variable": {name: value for name, value in sorted(variables.items()) if _VARIABLES.fullmatch(name)},
    }


def _diagnosis(told: Mapping[str, Any]) -> Diagnosis:
    return Diagnosis(
        prefix=Path(str(told["prefix"])),
        python=str(told["python"]),
        family=str(told["family"]),
        parts=tuple(
            Part(str(one["name"]), str(one["version"]), tuple(map(str, one["patches"])))
            for one in told["parts"]
        ),
        checked=tuple(map(str, told["checked"])),
        findings=tuple(map(_finding, told["findings"][:_MOST_FINDINGS])),
        overrides=tuple(map(str, told["overrides"])),
    )


def _finding(told: Mapping[str, Any]) -> Finding:
    severities: dict[str, Severity] = {one: one for one in SEVERITIES}
    return Finding(
        id=str(told["id"]),
        severity=severities.get(str(told["severity"]), "error"),
        title=str(told["title"]),
        message=str(told["message"]),
        evidence=tuple(map(str, told["evidence"])),
        remedy=str(told["remedy"]),
    )
