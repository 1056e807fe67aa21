"""Small wheels with real compiled ops, for the folders of a farm."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

OPS = "mmcv/_ext.cpython-310-x86_64-linux-gnu.so"


@pytest.fixture(scope="session")
def extension(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give a shared library as a C compiler makes it."""
    folder = tmp_path_factory.mktemp("extension")
    (folder / "ext.c").write_text("int puts(const char *);\nint PyInit__ext(void) { return puts(0); }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "ext.c", "-o", "ext.so"], cwd=folder, check=True)
    return (folder / "ext.so").read_bytes()


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    (tmp_path / "farm").mkdir()
    return tmp_path / "farm"


@pytest.fixture
def wheel(farm: Path, extension: bytes) -> Callable[..., Path]:
    """Write a wheel below the farm; ``files`` are further members, ``text`` makes one differ from another."""

    def make(
        place: str = "",
        *,
        name: str = "mmcv_full",
        version: str = "1.7.2",
        tags: str = "cp310-cp310-linux_x86_64",
        python: str = "",
        text: str = "",
        ops: bool = True,
        files: Mapping[str, str] | None = None,
    ) -> Path:
        info = f"{name}-{version}.dist-info"
        needs = f"Requires-Python: {python}\n" if python else ""
        contents = {
            "mmcv/__init__.py": text.encode(),
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}".encode(),
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tags}\n".encode(),
            **{path.format(info=info): content.encode() for path, content in (files or {}).items()},
        }
        if ops:
            contents[OPS] = extension
        rows = [f"{path},{_recorded(content)},{len(content)}" for path, content in contents.items()]
        contents[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""]).encode()
        path = farm / place / f"{name}-{version}-{tags}.whl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in contents.items():
                archive.writestr(zipfile.ZipInfo(member), content)
        return path

    return make


def _recorded(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
