"""Whose a library is, as its name tells: torch's, CUDA's, the driver's."""

from __future__ import annotations

import re

__all__ = ["is_cuda_library", "is_cuda_runtime", "is_driver_library", "is_torch_core", "is_torch_library"]

_TORCH = re.compile(r"lib(torch\w*|c10\w*|caffe2\w*|shm)\.so")
_TORCH_CORE = re.compile(r"lib(torch\w*|c10\w*)\.so")
_CUDA = re.compile(
    r"lib(cudart|cublas|cublasLt|cufft|cufftw|curand|cusolver|cusolverMg|cusparse|cudnn\w*|nvrtc|nvToolsExt"
    r"|nvJitLink|nccl|cupti)(-[0-9a-f]{8})?\.so(\.[\d.]+)?"
)
_RUNTIME = re.compile(r"libcudart\.so\.[\d.]+")
_OF_THE_DRIVER = frozenset({"libcuda.so.1", "libnvidia-ml.so.1"})


def is_torch_library(name: str) -> bool:
    """Tell whether a library lies in ``torch/lib`` of some release and nowhere else."""
    return _TORCH.fullmatch(name) is not None


def is_torch_core(name: str) -> bool:
    """Tell whether a library is one of those that hold torch's kernels and export its symbols."""
    return _TORCH_CORE.fullmatch(name) is not None


def is_cuda_library(name: str) -> bool:
    """Tell whether a library comes with a CUDA toolkit, cuDNN or NCCL.

    Wheels carry copies of them with a hash in the name (``libcudart-e409450e.so.11.0``).
    """
    return _CUDA.fullmatch(name) is not None


def is_cuda_runtime(name: str) -> bool:
    """Tell whether a library is the CUDA runtime under its soname: ``libcudart.so.11.0``."""
    return _RUNTIME.fullmatch(name) is not None


def is_driver_library(name: str) -> bool:
    """Tell whether a library comes with the driver: a machine without a GPU does without it."""
    return name in _OF_THE_DRIVER
