"""How long builds for GPUs take, and which files are kept apart in them."""

from __future__ import annotations

import pytest

from mmsetup.catalog.builds import core_seconds, keep_apart, known


@pytest.mark.parametrize(
    ("distribution", "version"), [("mmcv_full", "1.7.2"), ("mmcv", "2.2.0"), ("onedl_mmcv", "2.3.6")]
)
def test_each_further_gpu_takes_less_than_the_first(distribution: str, version: str) -> None:
    one, two, three = (core_seconds(distribution, version, number) for number in (1, 2, 3))
    assert one is not None
    assert two is not None
    assert three is not None
    assert one < two < 2 * one
    assert three - two == two - one


@pytest.mark.parametrize(
    ("distribution", "version"), [("mmcv-full", "1.0.0"), ("mmcv", "2.1.0"), ("numpy", "2.0.0")]
)
def test_what_was_not_measured_is_not_known(distribution: str, version: str) -> None:
    assert core_seconds(distribution, version, 1) is None


def test_each_says_where_it_is_from() -> None:
    assert all(entry.source for entry in (*known().apart, *known().durations))


@pytest.mark.parametrize("distribution", ["mmcv-full", "mmcv", "onedl-mmcv"])
def test_the_bindings_of_cuda_are_kept_apart_from_the_file_with_their_enum(distribution: str) -> None:
    clash = ("pytorch/scatter_points.cpp", "pytorch/cuda/cudabind.cpp")
    assert clash in keep_apart(distribution, "2.3.6")
