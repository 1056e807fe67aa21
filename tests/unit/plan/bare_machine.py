"""A bare machine to vary, and an index that answers from a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmsetup.catalog.links import IndexFile
from mmsetup.catalog.pages import Page
from mmsetup.probe.machine import (
    Compiler,
    Cpu,
    Disk,
    Driver,
    Gpu,
    Interpreter,
    Libc,
    Machine,
    Memory,
    OperatingSystem,
    Toolkit,
)

PAGES = "https://download.openmmlab.com/mmcv/dist"
TORCH_PAGES = "https://download.pytorch.org/whl"


def python(version: str, *, headers: bool = True, **changes: Any) -> Interpreter:
    prefix = Path(f"/opt/python-{version}")
    found = Interpreter(prefix / "bin/python", version, "cpython", "linux-x86_64", "PATH", headers, prefix)
    return replace(found, **changes)


def gpus(*architectures: str) -> tuple[Gpu, ...]:
    return tuple(Gpu(i, f"GPU {name}", name, 24 << 30) for i, name in enumerate(architectures))


def toolkit(version: str, *, nvcc: bool = True) -> Toolkit:
    path = Path(f"/usr/local/cuda-{version}")
    return Toolkit(path, version, path / "bin/nvcc" if nvcc else None)


def compiler(version: str, name: str = "g++") -> Compiler:
    return Compiler(name, Path("/usr/bin") / name, version)


def driver(version: str) -> Driver:
    return Driver(version, "", "nvml")


BARE = Machine(
    os=OperatingSystem("linux", "Debian GNU/Linux 12", "6.1"),
    libc=Libc("glibc", "2.36"),
    cpu=Cpu("x86_64", "a CPU", 2, 2),
    memory=Memory(8 << 30, 7 << 30),
    disk=Disk(Path("/"), 100 << 30),
    container=None,
    driver=None,
    gpus=(),
    toolkits=(),
    compilers=(),
    interpreters=(python("3.10.13"), python("3.11.7")),
)


def wheel(version: str, tag: str = "cp310-cp310-manylinux1_x86_64", *, name: str = "mmcv_full") -> IndexFile:
    filename = f"{name}-{version}-{tag}.whl"
    return IndexFile(filename, f"https://files.test/{filename}")


def torch_pages(
    variant: str, torch: str, torchvision: str, tag: str = "cp310-cp310-linux_x86_64"
) -> dict[str, list[IndexFile]]:
    """Give the two pages of PyTorch's index for one pair."""
    versions = {"torch": torch, "torchvision": torchvision}
    return {
        f"{TORCH_PAGES}/{variant}/{name}/": [wheel(f"{version}+{variant}", tag, name=name)]
        for name, version in versions.items()
    }


class Table:
    """Answers pages from a table; what is not in it does not answer. Remembers what was asked, and when.

    Of ``missing`` pages, or all others with ``missing=None``, the host says that they are not there.
    """

    def __init__(
        self,
        pages: Mapping[str, Iterable[IndexFile]] | None = None,
        *,
        missing: Iterable[str] | None = (),
    ) -> None:
        self._pages = {url: tuple(files) for url, files in (pages or {}).items()}
        self._missing = None if missing is None else set(missing)
        self.rounds: list[list[str]] = []

    @property
    def asked(self) -> list[str]:
        return [url for urls in self.rounds for url in urls]

    def __call__(self, urls: Iterable[str]) -> Mapping[str, Page]:
        self.rounds.append(list(urls))
        return {url: self._page(url) for url in self.rounds[-1]}

    def _page(self, url: str) -> Page:
        if url in self._pages:
            return Page(url, self._pages[url])
        if self._missing is None or url in self._missing:
            return Page(url, error="HTTP 404 Not Found", missing=True)
        return Page(url, error="no answer", unreachable=True)
