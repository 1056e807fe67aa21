"""Show a machine and an environment to people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table
from rich.text import Text

from mmsetup.probe.machine import Compiler, Environment, Gpu, Jetson, Machine, VendorTorch

__all__ = ["environment_rows", "grid", "lines", "machine_rows", "size"]

Row = tuple[str, str]
_SHOWN = (
    "mmcv-full",
    "mmcv",
    "mmcv-lite",
    "onedl-mmcv",
    "mmengine",
    "onedl-mmengine",
    "mmsegmentation",
    "onedl-mmsegmentation",
    "mmdet",
    "onedl-mmdetection",
    "torchvision",
    "numpy",
    "setuptools",
    "pip",
)


def grid(rows: Iterable[Row]) -> Table:
    """Lay rows out for a terminal, whose width they are folded to."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for label, text in rows:
        table.add_row(Text(label), Text(text))
    return table


def lines(rows: Sequence[Row]) -> str:
    """Lay rows out for a file or a pipe, a line each."""
    width = max((len(label) for label, _ in rows), default=0)
    return "".join(f"{label:<{width}}  {text}\n" for label, text in rows)


def machine_rows(found: Machine) -> list[Row]:
    """Tell a machine in rows of a label and a text; an empty label goes on with the one above."""
    return [
        ("System", ", ".join(_system(found))),
        ("Processor", _processor(found)),
        ("Memory", f"{size(found.memory.total_bytes)}, {size(found.memory.available_bytes)} available"),
        ("Disk", f"{size(found.disk.free_bytes)} free at {found.disk.path}"),
        *_labelled("Board", [_board(found.jetson)] if found.jetson else []),
        *_labelled("Driver", [_driver(found)]),
        *_labelled("GPU", [_gpu(gpu) for gpu in found.gpus] or ["none"]),
        *_labelled(
            "CUDA toolkit",
            [f"{toolkit.version or 'unknown version'} at {toolkit.path}" for toolkit in found.toolkits]
            or ["none"],
        ),
        (
            "Build tools",
            ", ".join(map(_tool, found.compilers)) or "none",
        ),
        *_labelled(
            "Python",
            [
                f"{one.version:<8} {one.path}  ({one.source}{'' if one.has_headers else ', no headers'})"
                for one in found.interpreters
            ]
            or ["none"],
        ),
        *_labelled("torch", [_vendor_torch(found.vendor_torch)] if found.vendor_torch else []),
        *_labelled("Override", found.overrides),
        *_labelled("Note", found.notes),
    ]


def environment_rows(found: Environment) -> list[Row]:
    """Tell an environment in rows, as :func:`machine_rows`."""
    kind = "virtual environment" if found.is_virtual else "interpreter's own packages"
    versions = [f"{name} {version}" for name in _SHOWN if (version := found.version_of(name))]
    return [
        ("Environment", f"{found.prefix} ({kind}, {len(found.distributions)} distributions)"),
        ("Python", f"{found.interpreter.version} ({found.interpreter.implementation})"),
        ("torch", ", ".join(_torch(found)) or "not installed"),
        *_labelled("Stack", [", ".join(versions)] if versions else []),
        *_labelled("Note", found.notes),
    ]


def size(count: int) -> str:
    """Give a number of bytes in the largest unit that leaves at least one (``23.5 GiB``)."""
    amount, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:  # noqa: PLR2004 (bytes to a KiB)
        amount /= 1024
        units.pop(0)
    return f"{amount:.0f} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def _system(found: Machine) -> Iterator[str]:
    yield found.os.distribution or found.os.name
    yield f"kernel {found.os.kernel}"
    if found.libc is not None:
        yield f"{found.libc.name} {found.libc.version}".strip()
    if found.os.wsl:
        yield "under WSL"
    if found.container is not None:
        yield f"in a container ({found.container.kind})"


def _processor(found: Machine) -> str:
    cpu = found.cpu
    cores = f"{cpu.cores} cores" if cpu.cores != 1 else "1 core"
    if cpu.usable_cores != cpu.cores:
        cores = f"{cores}, {cpu.usable_cores} usable"
    return ", ".join(filter(None, (cpu.model, cores, cpu.architecture)))


def _board(jetson: Jetson) -> str:
    linux = f"Jetson Linux (L4T) {jetson.release}" if jetson.release else "Jetson Linux (L4T) unknown"
    return ", ".join(filter(None, (jetson.model or "Jetson, model unknown", jetson.chip, linux)))


def _vendor_torch(torch: VendorTorch) -> str:
    container = f", of container release {torch.release}" if torch.release else ""
    return f"NVIDIA's own build {torch.version or '(version unknown)'}{container}"


def _driver(found: Machine) -> str:
    driver = found.driver
    if driver is None:
        return "none"
    carried = f", carries CUDA {driver.cuda}" if driver.cuda else ""
    return f"{driver.version or 'unknown version'}{carried} (from {driver.source})"


def _tool(tool: Compiler) -> str:
    named = f"({tool.named_by}: {tool.path})" if tool.named_by else ""
    return " ".join(filter(None, (tool.name, tool.version, named)))


def _gpu(gpu: Gpu) -> str:
    parts = (
        gpu.name,
        gpu.architecture or "architecture unknown",
        f"MIG slice {gpu.mig}" if gpu.mig else "",
        size(gpu.memory_bytes) if gpu.memory_bytes else "",
    )
    return f"{gpu.index}: " + ", ".join(filter(None, parts))


def _torch(found: Environment) -> Iterator[str]:
    torch = found.torch
    if torch is None:
        return
    yield torch.version
    if torch.is_vendor_build:
        yield "NVIDIA's own build"
    yield f"CUDA {torch.cuda}" if torch.cuda else torch.variant
    if torch.cxx11_abi is not None:
        yield f"_GLIBCXX_USE_CXX11_ABI={int(torch.cxx11_abi)}"
    if torch.sass:
        yield "code for " + " ".join(torch.sass)
    if torch.ptx:
        yield "PTX for " + " ".join(torch.ptx)


def _labelled(label: str, texts: Sequence[str]) -> list[Row]:
    return [(label if number == 0 else "", text) for number, text in enumerate(texts)]
