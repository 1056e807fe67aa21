"""Environments made by hand: a real virtual environment, real metadata, libraries compiled by gcc; no downloads."""

from __future__ import annotations

import platform
import shutil
import struct
import subprocess
import sys
import venv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mmsetup.catalog import Catalog, load
from mmsetup.doctor import Diagnosis, doctor
from mmsetup.probe.machine import (
    Cpu,
    Disk,
    Driver,
    Environment,
    Gpu,
    Libc,
    Machine,
    Memory,
    OperatingSystem,
)

EMPTY = "_ZN2at5emptyEv"
TAG = f"cpython-{sys.version_info.major}{sys.version_info.minor}-{platform.machine()}-linux-gnu"
GATE = """
import mmcv
MMCV_MIN = '1.3.13'
MMCV_MAX = '1.8.0'
def digit_version(text): return text
mmcv_min_version = digit_version(MMCV_MIN)
mmcv_max_version = digit_version(MMCV_MAX)
mmcv_version = digit_version(mmcv.__version__)
assert (mmcv_min_version <= mmcv_version < mmcv_max_version), 'incompatible'
"""


def fat_binary(*architectures: int) -> bytes:
    """Lay out a fat binary with machine code for the architectures, as nvcc does."""
    code = b"\x7fELFcode" * 4
    body = b"".join(
        struct.pack("<HHIQIIHHIIIQ", 2, 0x101, 64, len(code), 0, 0, 8, 1, number, 0, 0, 0) + bytes(16) + code
        for number in architectures
    )
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


@dataclass(frozen=True)
class Site:
    """An environment under test."""

    prefix: Path
    scratch: Path

    @property
    def packages(self) -> Path:
        return self.prefix / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"

    def add(
        self,
        name: str,
        version: str,
        files: Mapping[str, str] | None = None,
        *,
        requires: Iterable[str] = (),
        top_level: str = "",
    ) -> Path:
        """Install a distribution: its files, and metadata with a RECORD of what lies in its folders."""
        for path, text in (files or {}).items():
            place = self.packages / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        folder = self.packages / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = "".join(f"Requires-Dist: {line}\n" for line in requires)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}")
        (folder / "INSTALLER").write_text("pip\n")
        tops = {top_level} if top_level else {path.partition("/")[0] for path in files or {}}
        (folder / "top_level.txt").write_text("".join(f"{top}\n" for top in sorted(tops)))
        owned = [path for top in tops for path in sorted((self.packages / top).rglob("*")) if path.is_file()]
        record = "".join(f"{path.relative_to(self.packages)},,{path.stat().st_size}\n" for path in owned)
        (folder / "RECORD").write_text(record + f"{folder.name}/RECORD,,\n")
        return folder

    def forget(self, name: str, path: str) -> None:
        """Delete a file, and have the RECORD of its distribution know nothing of it."""
        (self.packages / path).unlink()
        (record,) = self.packages.glob(f"{name.replace('-', '_')}-*.dist-info/RECORD")
        kept = [line for line in record.read_text().splitlines() if not line.startswith(f"{path},")]
        record.write_text("".join(f"{line}\n" for line in kept))

    def remove(self, name: str) -> None:
        """Remove the metadata of a distribution; its files stay."""
        for folder in self.packages.glob(f"{name.replace('-', '_')}-*.dist-info"):
            shutil.rmtree(folder)

    def change(self, name: str, version: str, *, requires: Iterable[str] = ()) -> Path:
        """Give a distribution another version."""
        (old,) = self.packages.glob(f"{name.replace('-', '_')}-*.dist-info")
        top = (old / "top_level.txt").read_text().strip()
        shutil.rmtree(old)
        return self.add(name, version, requires=requires, top_level=top)

    def compile(
        self,
        path: str,
        *,
        needs: Iterable[str] = (),
        calls: Iterable[str] = (),
        exports: Iterable[str] = (),
        soname: str = "",
        architectures: Iterable[int] = (),
        options: Iterable[str] = (),
    ) -> Path:
        """Compile a shared library; what it ``needs`` and ``calls`` need not be anywhere."""
        place = self.packages / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        self.scratch.mkdir(exist_ok=True)
        source = [f"void {name}(void) {{}}" for name in exports]
        source += [f"extern void {name}(void);" for name in calls]
        source.append("void PyInit__ext(void) {" + "".join(f"{name}();" for name in calls) + "}")
        if codes := tuple(architectures):
            (self.scratch / "gpu.bin").write_bytes(fat_binary(*codes))
            source.append('__asm__(".section .nv_fatbin,\\"a\\"\\n.balign 8\\n.incbin \\"gpu.bin\\"\\n");')
        (self.scratch / "module.c").write_text("\n".join(source) + "\n")
        (self.scratch / "empty.c").write_text("")
        stubs = []
        for name in needs:
            gcc("empty.c", "-o", name, f"-Wl,-soname,{name}", folder=self.scratch)
            stubs.append(f"./{name}")
        named = [f"-Wl,-soname,{soname}"] if soname else []
        gcc("module.c", "-o", str(place), "-Wl,--no-as-needed", *stubs, *named, *options, folder=self.scratch)
        return place

    @property
    def extension(self) -> Path:
        """The compiled operators."""
        return self.packages / "mmcv" / f"_ext.{TAG}.so"


def gcc(*words: str, folder: Path) -> None:
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", *words], check=True, cwd=folder)


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template")
    site = Site(root / "env", root / "scratch")
    venv.create(site.prefix, symlinks=True, with_pip=False)
    site.compile("torch/lib/libc10.so", exports=[EMPTY], soname="libc10.so")
    for name in ("libtorch.so", "libtorch_cpu.so", "libtorch_python.so"):
        site.compile(f"torch/lib/{name}", exports=[f"marker_{name[3:-3]}"], soname=name)
    site.compile("torch/lib/libtorch_cuda.so", soname="libtorch_cuda.so", architectures=[70, 80, 86])
    site.compile("torch/lib/libcudart-e409450e.so.11.0", soname="libcudart.so.11.0")
    site.add(
        "torch",
        "1.13.1",
        {
            "torch/__init__.py": "",
            "torch/version.py": "__version__ = '1.13.1+cu117'\ncuda = '11.7'\nhip = None\n",
        },
    )
    site.add(
        "torchvision",
        "0.14.1",
        {"torchvision/__init__.py": "", "torchvision/version.py": "__version__ = '0.14.1+cu117'\n"},
        requires=["numpy", "torch (==1.13.1)"],
    )
    site.compile(
        f"mmcv/_ext.{TAG}.so",
        needs=["libc10.so", "libcudart.so.11.0"],
        calls=[EMPTY],
        architectures=[70, 80, 86],
    )
    site.add(
        "mmcv-full",
        "1.7.2",
        {"mmcv/__init__.py": "", "mmcv/version.py": "__version__ = '1.7.2'\n"},
        requires=["numpy", "yapf", "opencv-python>=3", 'regex; sys_platform == "win32"'],
    )
    site.add(
        "mmsegmentation",
        "0.30.0",
        {"mmseg/__init__.py": GATE},
        requires=["numpy", "mmcv-full (<1.7.0,>=1.4.4) ; extra == 'mim'"],
    )
    site.compile("cv2/cv2.abi3.so")
    site.add("opencv-python-headless", "4.11.0.86", {"cv2/__init__.py": ""}, requires=["numpy>=1.21"])
    site.add("numpy", "1.26.4", {"numpy/__init__.py": ""})
    site.add("yapf", "0.40.1", {"yapf/__init__.py": ""})
    site.add("setuptools", "80.9.0", {"setuptools/__init__.py": ""})
    return site.prefix


@pytest.fixture(autouse=True)
def _own_shell(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start where nothing is, with caches of its own and nothing in the variables that change what is loaded."""
    base = tmp_path_factory.getbasetemp()
    monkeypatch.setenv("MMSETUP_CACHE_DIR", str(base / "cache"))
    monkeypatch.setenv("PIP_CACHE_DIR", str(base / "pip-cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(base / "uv-cache"))
    for name in ("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "PYTHONHOME", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    (base / "empty").mkdir(exist_ok=True)
    monkeypatch.chdir(base / "empty")
    monkeypatch.setattr("mmsetup.doctor.context.SHARED_MEMORY", base)


@pytest.fixture
def site(_template: Path, tmp_path: Path) -> Site:
    """A healthy environment that the test may break."""
    shutil.copytree(_template, tmp_path / "env", symlinks=True)
    return Site(tmp_path / "env", tmp_path / "scratch")


@pytest.fixture
def bare(tmp_path: Path) -> Site:
    """A virtual environment with nothing in it."""
    venv.create(tmp_path / "bare", symlinks=True, with_pip=False)
    return Site(tmp_path / "bare", tmp_path / "scratch")


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load()


@pytest.fixture
def machine() -> Machine:
    """A machine without a GPU."""
    return Machine(
        os=OperatingSystem("linux", "Debian GNU/Linux 12", "6.1"),
        libc=Libc("glibc", "2.36"),
        cpu=Cpu(platform.machine(), "", 2, 2),
        memory=Memory(8 << 30, 8 << 30),
        disk=Disk(Path("/"), 100 << 30),
        container=None,
        driver=None,
        gpus=(),
        toolkits=(),
        compilers=(),
        interpreters=(),
    )


@pytest.fixture
def with_gpu(machine: Machine):
    """Give the machine a GPU of an architecture, and a driver."""

    def make(architecture: str, driver: str = "535.104.05") -> Machine:
        return replace(
            machine,
            driver=Driver(driver, "", "nvml"),
            gpus=(Gpu(0, "a GPU", architecture, 24 << 30),),
        )

    return make


@pytest.fixture
def examine(machine: Machine, catalog: Catalog):
    """Examine an environment or its description, on the machine without a GPU if no other is given."""

    def make(site: Site | Environment, on: Machine | None = None, **more) -> Diagnosis:
        what = site.prefix if isinstance(site, Site) else site
        return doctor(what, on or machine, catalog, **more)

    return make


@pytest.fixture
def errors(examine):
    """Give the ids of the errors, each once."""

    def make(site: Site, on: Machine | None = None) -> list[str]:
        return sorted({finding.id for finding in examine(site, on).of("error")})

    return make
