"""The operating system, its C library, and whether this is a container or the Windows Subsystem for Linux."""

from __future__ import annotations

import os
import platform
import re
import shlex
import sys
from collections.abc import Callable, Iterator

from mmsetup.errors import ProcessError
from mmsetup.probe.host import Host
from mmsetup.probe.machine import Container, Libc, OperatingSystem
from mmsetup.process import run

__all__ = ["container", "libc", "operating_system"]

_CONFSTR: Callable[[str], str | None] | None = getattr(os, "confstr", None)  # Windows has none
_LOADER_SECONDS = 2.0
_CGROUP_KINDS = (
    ("kubepods", "kubernetes"),
    ("libpod", "podman"),
    ("docker", "docker"),
    ("lxc", "lxc"),
    ("containerd", "containerd"),
)


def operating_system(host: Host) -> OperatingSystem:
    """Name the system, its distribution and kernel.

    The distribution is ``PRETTY_NAME`` of os-release (freedesktop.org, os-release(5)). WSL is told by the
    kernel's release, which holds ``microsoft`` for both of its versions.
    """
    name = {"win32": "windows", "darwin": "darwin"}.get(sys.platform, sys.platform.rstrip("0123456789"))
    kernel = host.text("/proc/sys/kernel/osrelease").strip() or platform.release()
    distribution = _distribution(host) if name == "linux" else f"{platform.system()} {platform.release()}"
    return OperatingSystem(name, distribution, kernel, wsl="microsoft" in kernel.lower())


def libc(host: Host, confstr: Callable[[str], str | None] | None = _CONFSTR) -> Libc | None:
    """Name the C library that this process runs on; ``None`` where there is neither glibc nor musl.

    glibc tells its version through confstr(3); musl does not know the question, its loader prints the version
    when it is started without arguments.
    """
    if confstr is not None:
        try:
            words = (confstr("CS_GNU_LIBC_VERSION") or "").split()
        except (ValueError, OSError):
            words = []
        if len(words) == 2 and words[0] == "glibc":  # noqa: PLR2004 (name and version)
            return Libc("glibc", words[1])
    for name in host.names("/lib"):
        if name.startswith("ld-musl-"):
            return Libc("musl", _musl_version(host, name))
    return None


def container(host: Host) -> Container | None:
    """Tell the container that this process runs in, and what told it; ``None`` outside of any.

    The more telling signs come first: Kubernetes runs its pods in containers of another kind. The variable
    ``container`` is the convention of systemd's Container Interface.
    """
    return next(_signs_of_container(host), None)


def _signs_of_container(host: Host) -> Iterator[Container]:
    variables = (
        ("KUBERNETES_SERVICE_HOST", "kubernetes"),
        ("APPTAINER_CONTAINER", "apptainer"),
        ("SINGULARITY_CONTAINER", "singularity"),
    )
    yield from (Container(kind, f"variable {name}") for name, kind in variables if host.environ.get(name))
    files = (("/run/.containerenv", "podman"), ("/.dockerenv", "docker"))
    yield from (Container(kind, path) for path, kind in files if host.exists(path))
    started = re.search(r"(?:^|\0)container=([^\0]+)", host.text("/proc/1/environ"))
    told = (
        (host.environ.get("container", ""), "variable container"),
        (host.text("/run/systemd/container").strip(), "/run/systemd/container"),
        (started[1] if started else "", "/proc/1/environ"),
    )
    yield from (Container(kind, evidence) for kind, evidence in told if kind)
    groups = host.text("/proc/1/cgroup")
    yield from (Container(kind, "/proc/1/cgroup") for word, kind in _CGROUP_KINDS if word in groups)


def _distribution(host: Host) -> str:
    text = host.text("/etc/os-release") or host.text("/usr/lib/os-release")
    values = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            values[key] = _unquoted(value)
    return values.get("PRETTY_NAME") or " ".join(filter(None, (values.get("NAME"), values.get("VERSION"))))


def _unquoted(value: str) -> str:
    try:
        return " ".join(shlex.split(value))
    except ValueError:
        return value.strip("\"'")


def _musl_version(host: Host, loader: str) -> str:
    try:
        done = run([host.path(f"/lib/{loader}")], timeout=_LOADER_SECONDS, check=False)
    except ProcessError:
        return ""
    found = re.search(r"^Version (\d+(?:\.\d+)+)", done.stderr, re.MULTILINE)
    return found[1] if found else ""
