"""Everything that a plan depends on, in one value, and what rules read off it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from packaging.version import Version

from mmsetup.catalog import Catalog, Family
from mmsetup.catalog.pages import Page
from mmsetup.plan.request import Request
from mmsetup.probe.machine import Gpu, Machine

__all__ = ["Situation", "host_of", "platform_of"]

_SYSTEMS = {"linux": "linux", "windows": "windows", "darwin": "macos"}
_PROCESSORS = {
    "linux": {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"},
    "windows": {"x86_64": "x86_64", "amd64": "x86_64"},
    "macos": {"x86_64": "x86_64", "arm64": "arm64", "aarch64": "arm64"},
}


@dataclass(frozen=True, slots=True)
class Situation:
    """A machine, what is known, what is asked for, and what pages answered (by address).

    ``gpus`` are those that the plan has to serve: all of the machine's, unless some had to be left out.
    """

    machine: Machine
    catalog: Catalog
    family: Family
    request: Request
    pages: Mapping[str, Page]
    gpus: tuple[Gpu, ...]

    @property
    def platform(self) -> str:
        """Give the platform as wheels are told apart by it."""
        return platform_of(self.machine)

    @property
    def architectures(self) -> tuple[str, ...]:
        """Give the known architectures of the GPUs, each once, in their order."""
        return tuple(dict.fromkeys(gpu.architecture for gpu in self.gpus if gpu.architecture))

    @property
    def glibc(self) -> Version | None:
        """Give the version of the GNU C library, where there is one."""
        libc = self.machine.libc
        return Version(libc.version) if libc is not None and libc.name == "glibc" else None

    @property
    def dead_hosts(self) -> frozenset[str]:
        """Give the hosts of which no page was given: what else they hold cannot be had either."""
        asked = {host_of(page.url) for page in self.pages.values()}
        return frozenset(asked - {host_of(page.url) for page in self.pages.values() if page.answered})

    @property
    def ops_sources(self) -> Iterable[str]:
        """Give the sources that prebuilt ops may come from."""
        ops, wanted = self.family.ops.distribution, self.request.sources
        serving = (source.name for source in self.catalog.sources if ops in source.distributions)
        return [name for name in serving if not wanted or name in wanted]


def host_of(address: str) -> str:
    """Give the host that an address names."""
    return urlsplit(address).netloc


def platform_of(machine: Machine) -> str:
    """Name a machine's platform: ``linux-x86_64``, ``windows-x86_64``, ``macos-arm64`` …."""
    system = _SYSTEMS.get(machine.os.name, machine.os.name)
    processor = machine.cpu.architecture.lower()
    return f"{system}-{_PROCESSORS.get(system, {}).get(processor, processor)}"
