"""What conda recorded of a prefix: the names of the files in ``conda-meta`` are the packages.

Source: conda's documentation of the environment folder; a file is called NAME-VERSION-BUILD.json.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NAMES", "Package", "packages"]

NAMES = {"pytorch": "torch", "opencv": "opencv-python", "py-opencv": "opencv-python", "yaml": "pyyaml"}
"""How distributions are called that have another name with conda."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package of conda: ``build`` is ``py3.10_cuda11.8_cudnn8.7.0_0``, or ``py3.10_cpu_0``."""

    name: str
    version: str
    build: str
    path: Path


def packages(prefix: Path) -> Mapping[str, Package]:
    """Give the packages of conda in a prefix by name."""
    folder = prefix / "conda-meta"
    try:
        entries = sorted(os.listdir(folder))  # noqa: PTH208 (names alone)
    except OSError:
        return {}
    found = {}
    for entry in entries:
        parts = entry.removesuffix(".json").rsplit("-", 2)
        if entry.endswith(".json") and len(parts) == 3:  # noqa: PLR2004 (name, version, build)
            found[parts[0]] = Package(parts[0], parts[1], parts[2], folder / entry)
    return found
