"""Ask about another machine: replace facts of this one by what a request says of that one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace

from packaging.version import InvalidVersion, Version

from mmsetup.catalog import Catalog
from mmsetup.catalog.gpus import architecture_of
from mmsetup.catalog.model import PLATFORMS
from mmsetup.errors import RequestError
from mmsetup.plan.situation import platform_of
from mmsetup.probe.machine import Cpu, Driver, Gpu, Libc, Machine, OperatingSystem

__all__ = ["machine_elsewhere"]

_SYSTEMS = {"linux": "linux", "windows": "windows", "macos": "darwin"}
_DRIVER = re.compile(r"\d{3}(\.\d{1,3}){0,2}")


def machine_elsewhere(
    here: Machine,
    catalog: Catalog,
    *,
    gpus: Sequence[str] = (),
    driver: str = "",
    platform: str = "",
    glibc: str = "",
) -> Machine:
    """Give a machine that is like this one but for what is named; ``gpus`` are names or architectures.

    On another platform nothing of this machine holds: it has no interpreters, compilers and toolkits, and no
    GPU unless one is named. ``none`` as the only GPU is a machine without one.

    Raises:
        RequestError: an unknown GPU or platform, or a malformed version.
    """
    machine = here
    said: list[str] = []
    if platform:
        machine = _on_platform(machine, platform)
        said.append(f"--platform {platform}")
    if gpus:
        machine = replace(machine, gpus=() if list(gpus) == ["none"] else tuple(_gpus(gpus, catalog)))
        said += [f"--gpu {shlex.quote(name)}" for name in gpus]
    if driver:
        machine = replace(machine, driver=Driver(_driver(driver), "", "request"))
        said.append(f"--driver {driver}")
    if glibc and machine.os.name != "linux":
        raise RequestError(
            f"--glibc {glibc}: {platform} has no GNU C library", remedy=f"mmsetup plan --platform {platform}"
        )
    if glibc:
        machine = replace(machine, libc=Libc("glibc", _glibc(glibc)))
        said.append(f"--glibc {glibc}")
    return replace(machine, overrides=(*machine.overrides, *said)) if said else machine


def _on_platform(machine: Machine, platform: str) -> Machine:
    if platform not in PLATFORMS:
        raise RequestError(
            f"there is no platform {platform!r}; known: {', '.join(PLATFORMS)}",
            remedy=f"mmsetup plan --platform {PLATFORMS[0]}",
        )
    if platform == platform_of(machine):
        return machine
    system, processor = platform.split("-", 1)
    return replace(
        machine,
        os=OperatingSystem(_SYSTEMS[system], platform, ""),
        libc=None,
        cpu=Cpu(processor, "", machine.cpu.cores, machine.cpu.usable_cores),
        container=None,
        driver=None,
        gpus=(),
        toolkits=(),
        compilers=(),
        interpreters=(),
        jetson=None,
        vendor_torch=None,
    )


def _gpus(asked: Sequence[str], catalog: Catalog) -> list[Gpu]:
    found = []
    for index, name in enumerate(asked):
        architecture, model = architecture_of(name, catalog.gpus)
        found.append(Gpu(index, model.name if model else name, architecture, 0))
    return found


def _driver(text: str) -> str:
    if not _DRIVER.fullmatch(text):
        raise RequestError(
            f"{text!r} is no version of an NVIDIA driver", remedy="mmsetup plan --driver 535.104.05"
        )
    return text


def _glibc(text: str) -> str:
    try:
        version = Version(text)
    except InvalidVersion as error:
        raise RequestError(f"{text!r} is no version of glibc", remedy="mmsetup plan --glibc 2.31") from error
    if version.major != 2:  # noqa: PLR2004 (glibc has been 2 since 1997)
        raise RequestError(f"{text!r} is no version of glibc", remedy="mmsetup plan --glibc 2.31")
    return text
