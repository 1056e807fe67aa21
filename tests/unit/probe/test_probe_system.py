"""The system, its limits and its containers, told from the files of machines that are not this one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mmsetup.probe import cgroup, resources, system
from mmsetup.probe.host import Host
from mmsetup.probe.machine import Container, Libc

Tree = Callable[..., Host]
GIB = 1 << 30
V2 = {
    "/proc/self/cgroup": "0::/a/b\n",
    "/proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
}
V1 = {
    "/proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n",
    "/proc/self/mountinfo": (
        "32 31 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
        "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    ),
}


def test_distribution_is_its_pretty_name(tree: Tree) -> None:
    host = tree(
        {
            "/etc/os-release": '# comment\nNAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
            "/proc/sys/kernel/osrelease": "6.1.0-18-amd64\n",
        }
    )
    found = system.operating_system(host)
    assert found.distribution == "Debian GNU/Linux 12 (bookworm)"
    assert (found.kernel, found.wsl) == ("6.1.0-18-amd64", False)


def test_os_release_of_the_vendor_with_unbalanced_quotes(tree: Tree) -> None:
    host = tree({"/usr/lib/os-release": "NAME=\"Odd Linux'\nVERSION='1\"\n"})
    assert "Odd Linux" in system.operating_system(host).distribution


@pytest.mark.parametrize("release", ["5.15.133.1-microsoft-standard-WSL2", "4.4.0-19041-Microsoft"])
def test_windows_subsystem_is_told_by_its_kernel(tree: Tree, release: str) -> None:
    assert system.operating_system(tree({"/proc/sys/kernel/osrelease": release})).wsl


def test_glibc_tells_its_version(tree: Tree) -> None:
    assert system.libc(tree({}), lambda _: "glibc 2.36") == Libc("glibc", "2.36")


def test_musl_does_not_know_the_question_and_its_loader_answers(
    tree: Tree, program: Callable[..., Path]
) -> None:
    def refuse(name: str) -> str:
        raise ValueError(name)

    host = tree({})
    program(
        host.root / "lib" / "ld-musl-x86_64.so.1",
        "echo 'musl libc (x86_64)' >&2",
        "echo 'Version 1.2.4' >&2",
        "exit 1",
    )
    assert system.libc(host, refuse) == Libc("musl", "1.2.4")


def test_musl_loader_that_does_not_run(tree: Tree) -> None:
    assert system.libc(tree({"/lib/ld-musl-x86_64.so.1": ""}), None) == Libc("musl", "")


def test_system_without_either_library(tree: Tree) -> None:
    assert system.libc(tree({}), lambda _: None) is None


@pytest.mark.parametrize(
    ("files", "environ", "kind"),
    [
        ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"/.dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"/.dockerenv": ""}, {}, "docker"),
        ({"/run/.containerenv": ""}, {"container": "podman"}, "podman"),
        ({}, {"container": "lxc"}, "lxc"),
        ({"/run/systemd/container": "systemd-nspawn\n"}, {}, "systemd-nspawn"),
        ({"/proc/1/environ": "A=1\0container=lxc\0B=2\0"}, {}, "lxc"),
        ({"/proc/1/cgroup": "12:pids:/kubepods/besteffort/pod1/x\n"}, {}, "kubernetes"),
        ({"/proc/1/cgroup": "0::/docker/abc\n"}, {}, "docker"),
        ({"/proc/1/cgroup": "0::/machine.slice/libpod-abc.scope\n"}, {}, "podman"),
        ({}, {"APPTAINER_CONTAINER": "/x.sif"}, "apptainer"),
    ],
)
def test_containers(tree: Tree, files: dict[str, str], environ: dict[str, str], kind: str) -> None:
    found = system.container(tree(files, **environ))
    assert found is not None
    assert found.kind == kind
    assert found.evidence


def test_machine_that_is_no_container(tree: Tree) -> None:
    assert system.container(tree({"/proc/1/cgroup": "0::/init.scope\n"})) is None
    assert system.container(tree({"/.dockerenv": ""})) == Container("docker", "/.dockerenv")


def test_narrowest_quota_of_version_2_holds(tree: Tree) -> None:
    files = {"/sys/fs/cgroup/a/b/cpu.max": "max 100000\n", "/sys/fs/cgroup/a/cpu.max": "150000 100000\n"}
    host = tree({**V2, **files})
    assert cgroup.cpu_quota(host) == 1.5
    assert resources.cpu(host).usable_cores == min(2, len(os.sched_getaffinity(0)))


def test_quota_below_one_core_leaves_one(tree: Tree) -> None:
    assert resources.cpu(tree({**V2, "/sys/fs/cgroup/a/b/cpu.max": "5000 100000\n"})).usable_cores == 1


def test_quota_of_version_1_where_the_container_sees_the_path_of_the_host(tree: Tree) -> None:
    cpu = "/sys/fs/cgroup/cpu,cpuacct"
    host = tree({**V1, f"{cpu}/cpu.cfs_quota_us": "200000\n", f"{cpu}/cpu.cfs_period_us": "100000\n"})
    assert cgroup.cpu_quota(host) == 2.0
    host = tree({**V1, f"{cpu}/cpu.cfs_quota_us": "-1\n", f"{cpu}/cpu.cfs_period_us": "100000\n"})
    assert cgroup.cpu_quota(host) is None


def test_cgroup_path_that_is_not_below_its_mount(tree: Tree) -> None:
    mounts = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    host = tree(
        {
            "/proc/self/cgroup": "4:memory:/elsewhere\n",
            "/proc/self/mountinfo": mounts,
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": str(GIB),
        }
    )
    assert cgroup.memory_left(host) == GIB


def test_memory_of_version_2_counts_idle_pages_as_free(tree: Tree) -> None:
    group = "/sys/fs/cgroup/a/b"
    host = tree(
        {
            **V2,
            f"{group}/memory.max": f"{4 * GIB}\n",
            f"{group}/memory.current": f"{3 * GIB}\n",
            f"{group}/memory.stat": f"anon 1\ninactive_file {GIB}\nactive_file 7\n",
            "/proc/meminfo": f"MemTotal: {64 * GIB // 1024} kB\nMemAvailable: {60 * GIB // 1024} kB\n",
        }
    )
    found = resources.memory(host)
    assert (found.total_bytes, found.available_bytes) == (64 * GIB, 2 * GIB)


def test_limit_of_version_1_that_means_none(tree: Tree) -> None:
    host = tree({**V1, "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"})
    assert cgroup.memory_left(host) is None


def test_memory_that_is_used_up_is_not_negative(tree: Tree) -> None:
    group = "/sys/fs/cgroup/a/b"
    host = tree({**V2, f"{group}/memory.max": "100\n", f"{group}/memory.current": "200\n"})
    assert cgroup.memory_left(host) == 0


def test_malformed_limits_are_no_limits(tree: Tree) -> None:
    group = "/sys/fs/cgroup/a/b"
    host = tree({**V2, f"{group}/cpu.max": "much 0\n", f"{group}/memory.max": "²\n"})
    assert cgroup.cpu_quota(host) is None
    assert cgroup.memory_left(host) is None


def test_disk_is_measured_at_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    found = resources.disk(tmp_path / "not" / "there" / "yet")
    assert found.path == tmp_path
    assert found.free_bytes > 0


def test_files_that_cannot_be_read_are_empty(tree: Tree) -> None:
    host = tree({"/folder/file": "1"})
    assert (host.text("/folder"), host.text("/none"), host.names("/none")) == ("", "", ())
    assert (host.number("/none"), host.number("/folder/file")) == (None, 1)
