"""Which GPUs run which code."""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["capability", "runs_on"]

# GPUs inside of a Tegra share a major version with others, but not their machine code: CUDA C++
# Programming Guide, "Binary Compatibility"; DEVICE_REQUIREMENT in torch/cuda/__init__.py; tried on an Orin in
# jax-ml/jax#40492.
_INTEGRATED = frozenset({"sm_53", "sm_62", "sm_72", "sm_87"})


def runs_on(architecture: str, sass: Collection[str], ptx: Collection[str]) -> bool:
    """Tell whether code for these architectures runs on a GPU.

    Machine code runs on its own major version and an equal or higher minor, that of an architecture with a
    letter (``sm_90a``) on nothing else; the GPU of a Tegra (``sm_87``) runs its own alone, and no other GPU
    runs that. PTX runs on anything newer (CUDA C++ Programming Guide, "Application Compatibility").
    """
    wanted = capability(architecture)
    for held in sass:
        if held == architecture:
            return True
        major, minor = capability(held)
        if held in _INTEGRATED or architecture in _INTEGRATED:
            continue
        if not held[-1].isalpha() and major == wanted[0] and minor <= wanted[1]:
            return True
    return any(not held[-1].isalpha() and capability(held) <= wanted for held in ptx)


def capability(architecture: str) -> tuple[int, int]:
    """Give the compute capability of an architecture: (9, 0) for ``sm_90``."""
    digits = "".join(letter for letter in architecture.removeprefix("sm_") if letter.isdigit())
    return int(digits[:-1]), int(digits[-1])
