"""What symbol versions ask of a system, against the table of auditwheel."""

from __future__ import annotations

import pytest

from mmsetup.binary.floors import Floor, floor, is_allowed, manylinux, named_floor, runtime_of, toolkit_of


def test_the_newest_of_each_kind_counts_by_number():
    needs = [
        {"libc.so.6": ("GLIBC_2.2.5", "GLIBC_2.14", "GLIBC_2.4"), "libm.so.6": ("GLIBC_2.9",)},
        {
            "libstdc++.so.6": (
                "GLIBCXX_3.4.9",
                "GLIBCXX_3.4.29",
                "CXXABI_1.3.13",
                "CXXABI_FLOAT128",
                "CXXABI_TM_1",
            )
        },
    ]
    assert floor(needs) == Floor("2.14", "3.4.29", "1.3.13")
    assert floor([]) == Floor()


@pytest.mark.parametrize(
    ("needs", "tag"),
    [
        (Floor(), "manylinux_2_5"),
        (Floor(glibc="2.14"), "manylinux_2_17"),
        (Floor(glibc="2.17", glibcxx="3.4.19", cxxabi="1.3.7"), "manylinux_2_17"),
        (Floor(glibc="2.14", glibcxx="3.4.20"), "manylinux_2_24"),
        (Floor(glibc="2.32", glibcxx="3.4.29", cxxabi="1.3.13"), "manylinux_2_34"),
        (Floor(glibc="99.1"), ""),
    ],
)
def test_the_oldest_tag_that_allows_it(needs, tag):
    assert manylinux(needs) == tag


@pytest.mark.parametrize(
    ("platform", "promised"),
    [
        ("manylinux1_x86_64", "2.5"),
        ("manylinux2014_aarch64", "2.17"),
        ("manylinux_2_28_x86_64", "2.28"),
        ("linux_x86_64", ""),
        ("win_amd64", ""),
    ],
)
def test_what_a_tag_promises(platform, promised):
    assert named_floor(platform) == promised


@pytest.mark.parametrize(
    ("variant", "soname"),
    [
        ("cu92", "libcudart.so.9.2"),
        ("cu102", "libcudart.so.10.2"),
        ("cu117", "libcudart.so.11.0"),
        ("cu128", "libcudart.so.12"),
        ("cu130", "libcudart.so.13"),
        ("cpu", ""),
        ("rocm5.4", ""),
        ("cu", ""),
    ],
)
def test_the_runtime_of_a_variant(variant, soname):
    assert runtime_of(variant) == soname


def test_libraries_that_every_system_has_and_the_toolkit_of_ptx():
    assert is_allowed("libc.so.6")
    assert is_allowed("ld-linux-x86-64.so.2")
    assert not is_allowed("libc10.so")
    assert toolkit_of("7.7") == "11.7"
    assert not toolkit_of("1.0")
