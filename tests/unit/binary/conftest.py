"""Small libraries made by the machine's own compiler, and wheels made by hand."""

from __future__ import annotations

import base64
import hashlib
import struct
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

METADATA = (
    "Metadata-Version: 2.1\nName: mmcv-full\nVersion: 1.7.2\nRequires-Dist: addict\nRequires-Dist: numpy\n"
)
NAME = "mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl"


def compile_library(folder: Path, name: str, source: str, *options: str) -> Path:
    suffix = "cpp" if "namespace" in source else "c"
    code = folder / f"{name}.{suffix}"
    code.write_text(source)
    library = folder / name
    compiler = "g++" if suffix == "cpp" else "gcc"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", code, "-o", library, *options], check=True, cwd=folder
    )
    return library


def lay_out(*entries: tuple[int, int, int], code: bytes = b"\x7fELFcode" * 4) -> bytes:
    """Lay out one fat binary as nvcc does: entries of (kind, architecture, flags)."""
    body = b"".join(
        struct.pack("<HHIQIIHHIIIQ", kind, 0x101, 64, len(code), 0, 0, 8, 1, number, 0, 0, flags)
        + bytes(64 - 48)
        + code
        for kind, number, flags in entries
    )
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


@pytest.fixture
def library(tmp_path: Path) -> Callable[..., Path]:
    """Compile a shared library: name, C or C++ source, options."""

    def make(name: str, source: str, *options: str) -> Path:
        return compile_library(tmp_path, name, source, *options)

    return make


@pytest.fixture
def gpu_library(tmp_path: Path) -> Callable[[bytes], Path]:
    """Make a library whose ``.nv_fatbin`` section holds the given bytes."""

    def make(section: bytes, name: str = "libgpu.so") -> Path:
        blob = tmp_path / f"{name}.bin"
        blob.write_bytes(section)
        source = f'__asm__(".section .nv_fatbin,\\"a\\"\\n.balign 8\\n.incbin \\"{blob.name}\\"\\n");\nint one(void) {{ return 1; }}\n'
        return compile_library(tmp_path, name, source)

    return make


@pytest.fixture
def fat_binary() -> Callable[..., bytes]:
    """Lay out one fat binary from entries of (kind, architecture, flags)."""
    return lay_out


@pytest.fixture
def wheel(tmp_path: Path) -> Callable[..., Path]:
    """Write a wheel with the given files and a RECORD that fits them; ``record`` replaces lines of it."""

    def make(
        files: Mapping[str, bytes],
        *,
        name: str = NAME,
        metadata: str | None = METADATA,
        record: Mapping[str, str | None] | None = None,
        info: str = "mmcv_full-1.7.2.dist-info",
    ) -> Path:
        contents = dict(files)
        if metadata is not None:
            contents[f"{info}/METADATA"] = metadata.encode()
        rows = {path: f"{path},{recorded(data)},{len(data)}" for path, data in contents.items()}
        rows[f"{info}/RECORD"] = f"{info}/RECORD,,"
        for path, row in (record or {}).items():
            if row is None:
                del rows[path]
            else:
                rows[path] = row
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in contents.items():
                archive.writestr(member, data)
            archive.writestr(f"{info}/RECORD", "\n".join(rows.values()) + "\n")
        return path

    return make


def recorded(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
