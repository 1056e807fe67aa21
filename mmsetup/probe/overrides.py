"""Stand-ins for hardware and software that are not there: the variables ``MMSETUP_OVERRIDE_*``.

They let a laptop or a Docker build plan for the machine that will run the result. Each one that is used is
listed in ``Machine.overrides``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from mmsetup.errors import RequestError
from mmsetup.probe.machine import Driver, Gpu, Libc, Machine

__all__ = ["PREFIX", "apply"]

PREFIX = "MMSETUP_OVERRIDE_"
_NOTHING = {"", "none"}
_FORMS = {
    "DRIVER": (r"\d+(\.\d+){0,2}", "a driver version such as 535.104.05, or none"),
    "CUDA_DRIVER": (r"\d+\.\d+", "the CUDA version that the driver carries, such as 12.2"),
    "GPU_ARCHITECTURES": (r"", "architectures such as sm_86,sm_90, or none"),
    "GLIBC": (r"\d+\.\d+", "a glibc version such as 2.31"),
    "PYTHON": (r"\d+\.\d+(\.\d+)?", "a Python version such as 3.10"),
}
_MAY_BE_NOTHING = {"DRIVER", "GPU_ARCHITECTURES"}


def apply(machine: Machine, variables: Mapping[str, str]) -> Machine:
    """Give the machine as the variables want it to be.

    ``MMSETUP_OVERRIDE_PYTHON`` changes nothing here, for a request reads it; it is checked and listed. A
    variable with the prefix that is not known becomes a note.

    Raises:
        RequestError: a value is malformed; the message names the variable.
    """
    known: dict[str, str] = {}
    unknown = []
    for variable, value in sorted(variables.items()):
        name = variable.removeprefix(PREFIX)
        if name == variable:
            continue
        if name in _FORMS:
            known[name] = _checked(name, value.strip())
        else:
            unknown.append(f"{variable} is not known and changes nothing; known are {', '.join(_FORMS)}")
    if "DRIVER" in known:
        version = known["DRIVER"]
        machine = replace(machine, driver=Driver(version, "", "override") if version else None)
    if "CUDA_DRIVER" in known:
        version = machine.driver.version if machine.driver else ""
        machine = replace(machine, driver=Driver(version, known["CUDA_DRIVER"], "override"))
    if "GPU_ARCHITECTURES" in known:
        names = known["GPU_ARCHITECTURES"].split()
        machine = replace(machine, gpus=tuple(Gpu(i, "override", name, 0) for i, name in enumerate(names)))
    if "GLIBC" in known:
        machine = replace(machine, libc=Libc("glibc", known["GLIBC"]))
    return replace(
        machine,
        overrides=tuple(f"{PREFIX}{name}={variables[PREFIX + name]}" for name in known),
        notes=(*machine.notes, *unknown),
    )


def _checked(name: str, value: str) -> str:
    if name in _MAY_BE_NOTHING and value.lower() in _NOTHING:
        return ""
    if name == "GPU_ARCHITECTURES":
        return " ".join(_architecture(word) for word in re.split(r"[,;\s]+", value) if word)
    if not re.fullmatch(_FORMS[name][0], value, re.ASCII):
        raise _malformed(name, value)
    return value


def _architecture(word: str) -> str:
    """Read ``sm_86``, and ``8.6`` as the documentation of GPUs writes it."""
    found = re.fullmatch(r"(?:sm_(\d{2,3}[af]?)|(\d{1,2})\.(\d)([af]?))", word, re.ASCII)
    if not found:
        raise _malformed("GPU_ARCHITECTURES", word)
    return f"sm_{found[1] or found[2] + found[3] + found[4]}"


def _malformed(name: str, value: str) -> RequestError:
    return RequestError(
        f"{PREFIX}{name} is {value!r}, which is not {_FORMS[name][1]}",
        remedy=f"unset {PREFIX}{name}",
    )
