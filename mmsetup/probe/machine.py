"""The values that a probe gives: facts about a machine and about an environment on it, without advice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Compiler",
    "Container",
    "Cpu",
    "Disk",
    "Distribution",
    "Driver",
    "Environment",
    "Gpu",
    "Interpreter",
    "Jetson",
    "Libc",
    "Machine",
    "Memory",
    "OperatingSystem",
    "Toolkit",
    "TorchFacts",
    "VendorTorch",
]


@dataclass(frozen=True, slots=True)
class OperatingSystem:
    """``name`` is ``linux``, ``darwin`` or ``windows``; ``distribution`` is (``Debian GNU/Linux 12``)."""

    name: str
    distribution: str
    kernel: str
    wsl: bool = False


@dataclass(frozen=True, slots=True)
class Libc:
    """The C library: ``glibc`` or ``musl`` and its version (``2.36``)."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Cpu:
    """``architecture`` as in ``uname -m``; ``usable_cores`` respects affinity and the container's quota."""

    architecture: str
    model: str
    cores: int
    usable_cores: int


@dataclass(frozen=True, slots=True)
class Memory:
    """In bytes; ``available_bytes`` respects the container's limit."""

    total_bytes: int
    available_bytes: int


@dataclass(frozen=True, slots=True)
class Disk:
    """Free space in bytes where ``path`` is, or would be made."""

    path: Path
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Container:
    """The container around this process (``docker``, ``podman``, ``kubernetes`` …), and what told it."""

    kind: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Driver:
    """The NVIDIA kernel driver: its version and the newest CUDA it carries (``12.2``; empty when unknown).

    ``source`` says what was read: ``nvml``, ``/sys``, ``/proc``, ``nvidia-smi`` or ``override``.
    """

    version: str
    cuda: str
    source: str


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, or one MIG slice of one.

    ``architecture`` is ``sm_86``, or empty when nothing could tell it; ``mig`` the profile of a slice
    (``1g.10gb``).
    """

    index: int
    name: str
    architecture: str
    memory_bytes: int
    uuid: str = ""
    mig: str = ""


@dataclass(frozen=True, slots=True)
class Toolkit:
    """A CUDA toolkit: its folder, its version (``13.0``) and nvcc, where it has one.

    ``lacks`` are the programs that nvcc starts (``cicc``) and that are not there: it compiles nothing.
    """

    path: Path
    version: str
    nvcc: Path | None
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Compiler:
    """A build tool that was found, with its version: ``gcc``, ``g++``, ``clang``, ``ninja``, ``git`` ….

    ``named_by`` is the variable that names it (``CXX``, ``CC``, ``CUDAHOSTCXX``); its ``name`` is then what
    it says that it is.
    """

    name: str
    path: Path
    version: str
    named_by: str = ""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python: its real executable, full version (``3.10.13``), and what a build with it would need.

    ``source`` says where it was found: ``PATH``, ``pyenv``, ``uv``, ``environment`` or ``request``.
    ``has_headers``: ``Python.h`` is where its ``sysconfig`` says. ``platform`` is
    ``sysconfig.get_platform()`` (``linux-x86_64``). ``free_threaded``: a build without the global lock, which
    takes wheels of its own.
    """

    path: Path
    version: str
    implementation: str
    platform: str
    source: str
    has_headers: bool
    prefix: Path
    free_threaded: bool = False

    @property
    def minor(self) -> str:
        """Give the version without its patch: ``3.10``."""
        return ".".join(self.version.split(".")[:2])


@dataclass(frozen=True, slots=True)
class Jetson:
    """A board with an NVIDIA Tegra, whose GPU is part of the chip and often not told by NVML.

    ``model`` is what its device tree says (``NVIDIA Jetson AGX Orin Developer Kit``), ``release`` that of
    Jetson Linux, also known as L4T (``36.3.0``), ``chip`` the Tegra (``tegra234``); each is empty where
    nothing told it. ``evidence`` are the files that told.
    """

    model: str
    release: str
    chip: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VendorTorch:
    """The torch of NVIDIA's own build that is on the machine, mostly because a container of NGC brings it.

    ``version`` is that of torch (``2.4.0a0+07cecf4168.nv24.05``), ``release`` that of the container
    (``24.05``); each is empty where nothing told it.
    """

    version: str
    release: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything that a plan may depend on."""

    os: OperatingSystem
    libc: Libc | None
    cpu: Cpu
    memory: Memory
    disk: Disk
    container: Container | None
    driver: Driver | None
    gpus: tuple[Gpu, ...]
    toolkits: tuple[Toolkit, ...]
    compilers: tuple[Compiler, ...]
    interpreters: tuple[Interpreter, ...]
    overrides: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    jetson: Jetson | None = None
    vendor_torch: VendorTorch | None = None

    @property
    def compiler_of_nvcc(self) -> Compiler | None:
        """Give the compiler that nvcc runs in a build: a named one, else the g++ of the search path.

        Without a name of its own it is the C compiler, by which torch calls nvcc: that of ``CC``, else the
        one that belongs to the C++ compiler.
        """
        named = {tool.named_by: tool for tool in self.compilers if tool.named_by}
        found = named.get("CUDAHOSTCXX") or named.get("CC") or named.get("CXX")
        return found or next((tool for tool in self.compilers if tool.name == "g++"), None)


@dataclass(frozen=True, slots=True)
class Distribution:
    """An installed distribution: normalised name, version, its ``dist-info`` folder and who installed it."""

    name: str
    version: str
    path: Path
    installer: str = ""
    requires: tuple[str, ...] = ()
    top_level: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TorchFacts:
    """What the installed torch says of itself, read from its files.

    ``cuda`` is ``11.7``, or empty for a build without CUDA; ``variant`` is ``cu117`` or ``cpu``;
    ``cxx11_abi`` the value of ``_GLIBCXX_USE_CXX11_ABI``; ``sass`` and ``ptx`` the architectures that its
    CUDA library holds code for (``sm_80``). ``is_vendor_build``: the version is one that NVIDIA gives to the
    builds of its containers and of JetPack, for which nobody else makes wheels.
    """

    version: str
    cuda: str
    variant: str
    cxx11_abi: bool | None
    sass: tuple[str, ...]
    ptx: tuple[str, ...]
    path: Path
    is_vendor_build: bool = False


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python environment as its files describe it; nothing of it was imported.

    ``is_virtual``: it has a ``pyvenv.cfg``; ``sees_system_packages``: that lets in the packages of the
    interpreter that it was made from. ``path_files`` are the ``.pth`` files of its site-packages, which
    Python executes when it starts.
    """

    prefix: Path
    interpreter: Interpreter
    site_packages: tuple[Path, ...]
    distributions: tuple[Distribution, ...]
    torch: TorchFacts | None
    notes: tuple[str, ...] = ()
    is_virtual: bool = False
    sees_system_packages: bool = False
    path_files: tuple[Path, ...] = ()

    def version_of(self, name: str) -> str:
        """Give the version of a distribution by its normalised name, or an empty string."""
        return next((found.version for found in self.distributions if found.name == name), "")
