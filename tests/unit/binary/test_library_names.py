"""Whose a library is, by its name."""

from __future__ import annotations

import pytest

from mmsetup.binary.library_names import (
    is_cuda_library,
    is_cuda_runtime,
    is_driver_library,
    is_torch_core,
    is_torch_library,
)

WHOSE = {
    "libtorch_cuda_cu.so": {is_torch_library, is_torch_core},
    "libc10.so": {is_torch_library, is_torch_core},
    "libcaffe2_nvrtc.so": {is_torch_library},
    "libshm.so": {is_torch_library},
    "libcudart.so.11.0": {is_cuda_library, is_cuda_runtime},
    "libcudart-e409450e.so.11.0": {is_cuda_library},
    "libcublasLt.so.12": {is_cuda_library},
    "libcudnn_ops_infer.so.8": {is_cuda_library},
    "libnvrtc.so": {is_cuda_library},
    "libcuda.so.1": {is_driver_library},
    "libnvidia-ml.so.1": {is_driver_library},
    "libtorch.so.1": set(),
    "libshmem.so": set(),
    "libcudadebugger.so.1": set(),
    "libcudart_static.a": set(),
    "libstdc++.so.6": set(),
}


@pytest.mark.parametrize(("name", "wanted"), WHOSE.items())
def test_a_name_tells_whose_a_library_is(name: str, wanted: set) -> None:
    asked = (is_torch_library, is_torch_core, is_cuda_library, is_cuda_runtime, is_driver_library)
    assert {ask for ask in asked if ask(name)} == wanted
