"""Put the parts of a probe together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mmsetup.probe import compilers, interpreters, nvidia, resources, system, toolkits, vendor
from mmsetup.probe.host import Host
from mmsetup.probe.machine import Machine
from mmsetup.probe.overrides import apply as stand_in

__all__ = ["probe"]


def probe(
    *, folder: Path | None = None, overrides: Mapping[str, str] = os.environ, host: Host | None = None
) -> Machine:
    """Look at the machine and say what is there, without advice.

    ``folder`` is where free space is measured (the current folder when not given; it need not exist),
    ``overrides`` the variables of which those named ``MMSETUP_OVERRIDE_*`` stand in for what is not there,
    ``host`` another root and other environment variables to look at. What cannot be found out becomes a note;
    nothing is imported from and nothing is changed in any environment.

    Raises:
        RequestError: an override is malformed.
    """
    host = host or Host()
    gpus = nvidia.read(host)
    found_toolkits, toolkit_notes = toolkits.read(host)
    found_compilers, compiler_notes = compilers.read(host)
    found_interpreters, interpreter_notes = interpreters.read(host)
    machine = Machine(
        os=system.operating_system(host),
        libc=system.libc(host),
        cpu=resources.cpu(host),
        memory=resources.memory(host),
        disk=resources.disk(folder or Path()),
        container=system.container(host),
        driver=gpus.driver,
        gpus=gpus.gpus,
        toolkits=found_toolkits,
        compilers=found_compilers,
        interpreters=found_interpreters,
        notes=(*gpus.notes, *toolkit_notes, *compiler_notes, *interpreter_notes),
        jetson=vendor.jetson(host),
        vendor_torch=vendor.vendor_torch(host),
    )
    return stand_in(machine, overrides)
