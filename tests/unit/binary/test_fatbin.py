"""The fat binary reader against sections made by hand, by nvcc where there is one, and against lies."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsetup.binary.fatbin import Architectures, architectures, gpu_code, in_order
from mmsetup.errors import IntegrityError

NVCC = shutil.which("nvcc")
PTX, SASS = 1, 2
KERNEL = "__global__ void k(float *x) { x[threadIdx.x] *= 2; }\nvoid launch(float *x) { k<<<1, 32>>>(x); }\n"


def padded(*binaries: bytes) -> bytes:
    return b"".join(binary + bytes(-len(binary) % 8) for binary in binaries)


def test_machine_code_and_ptx(gpu_library, fat_binary):
    path = gpu_library(fat_binary((SASS, 86, 0x11), (SASS, 75, 0x11), (PTX, 86, 0x8011)))
    assert architectures(path) == Architectures(sass=("sm_75", "sm_86"), ptx=("sm_86",))


def test_a_library_without_gpu_code(library):
    assert architectures(library("libplain.so", "int f(void) { return 1; }\n")) == Architectures((), ())


def test_architectures_that_are_exact_or_of_a_family(gpu_library, fat_binary):
    path = gpu_library(fat_binary((SASS, 90, 0x100011), (SASS, 100, 0x1200011), (SASS, 90, 0x11)))
    assert architectures(path).sass == ("sm_90", "sm_90a", "sm_100f")


def test_binaries_one_after_the_other_with_padding_between(gpu_library, fat_binary):
    odd = fat_binary((SASS, 70, 0x11), code=b"12345")
    path = gpu_library(padded(odd, bytes(64), fat_binary((SASS, 70, 0x11)), odd))
    assert architectures(path).sass == ("sm_70",)


def test_code_of_linked_libraries_is_told_apart(gpu_library, fat_binary):
    own, linked = (
        fat_binary((SASS, 37, 0x11), (SASS, 80, 0x11)),
        fat_binary((SASS, 35, 0x11), (SASS, 80, 0x11)),
    )
    path = gpu_library(padded(own, own, linked))
    assert architectures(path) == Architectures(sass=("sm_37", "sm_80"), ptx=(), partial=("sm_35",))


def test_several_libraries_are_taken_together(gpu_library, fat_binary):
    own, linked = fat_binary((SASS, 37, 0x11)), fat_binary((SASS, 35, 0x11))
    large, small = (
        gpu_library(padded(*[own] * 5), "liblarge.so"),
        gpu_library(padded(linked, linked), "libsmall.so"),
    )
    assert architectures(large, small) == Architectures(("sm_37",), (), ("sm_35",))
    assert architectures(small).sass == ("sm_35",)


if NVCC:

    def test_what_nvcc_writes(tmp_path):
        source = tmp_path / "k.cu"
        source.write_text(KERNEL)
        codes = [
            "arch=compute_80,code=sm_80",
            "arch=compute_90a,code=sm_90a",
            "arch=compute_80,code=compute_80",
        ]
        options = [option for code in codes for option in ("-gencode", code)]
        library = tmp_path / "libk.so"
        command = [NVCC, "-shared", "-Xcompiler", "-fPIC", *options, source, "-o", library]
        subprocess.run(command, check=True, capture_output=True)
        assert architectures(library) == Architectures(sass=("sm_80", "sm_90a"), ptx=("sm_80",))


def test_what_wrote_the_code(gpu_library):
    note = b"\x7fELF" + bytes(60) + b"Cuda compilation tools, release 13.0, V13.0.88\0"
    entries = [(SASS, 8, 1, note), (PTX, 7, 8, b"ptx"), (PTX, 10, 7, b"ptx")]
    body = b"".join(
        struct.pack("<HHIQIIHHIIIQ", kind, 0x101, 48, len(code), 0, 0, minor, major, 90, 0, 0, 0) + code
        for kind, minor, major, code in entries
    )
    found = gpu_code(gpu_library(struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body))
    assert (found.binaries, found.tools, found.ptx_versions) == (1, ("13.0",), ("7.10", "8.7"))


def test_nothing_tells_what_wrote_compressed_code(gpu_library, fat_binary):
    found = gpu_code(gpu_library(fat_binary((SASS, 80, 0), code=b"release 13.0")))
    assert (found.binaries, found.tools, found.ptx_versions) == (1, (), ())


def test_architectures_are_ordered_by_number():
    assert in_order(["sm_120", "sm_90a", "sm_90", "sm_90", "nonsense"]) == ("sm_90", "sm_90a", "sm_120")


def test_more_padding_than_a_linker_leaves_is_refused_at_once(gpu_library, fat_binary):
    path = gpu_library(bytes(32 << 20) + fat_binary((SASS, 80, 0)))
    with pytest.raises(IntegrityError, match="cannot be read at"):
        architectures(path)


def test_padding_at_the_end_is_no_fault(gpu_library, fat_binary):
    assert architectures(gpu_library(fat_binary((SASS, 80, 0)) + bytes(4000))).sass == ("sm_80",)


def test_endless_entries_are_refused(gpu_library):
    entry = struct.pack("<HHIQIIHHIIIQ", 9, 0, 48, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    body = entry * ((1 << 20) + 1)
    with pytest.raises(IntegrityError, match="cannot be read at"):
        architectures(gpu_library(struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body))


def test_endless_fat_binaries_are_refused(gpu_library):
    empty = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 0)
    with pytest.raises(IntegrityError, match="cannot be read at"):
        architectures(gpu_library(empty * ((1 << 16) + 1)))


def changed(section: bytes, at: int, layout: str, value: int) -> bytes:
    data = bytearray(section)
    struct.pack_into(layout, data, at, value)
    return bytes(data)


@pytest.mark.parametrize(
    ("at", "layout", "value"),
    [
        (0, "<I", 0x12345678),
        (6, "<H", 0),
        (8, "<Q", 1 << 40),
        (8, "<Q", (1 << 64) - 16),
        (16 + 4, "<I", 0),
        (16 + 8, "<Q", (1 << 64) - 64),
        (16 + 28, "<I", 0),
        (16 + 28, "<I", 70_000),
    ],
    ids=[
        "magic",
        "no header",
        "too large",
        "wraps to itself",
        "entry of no size",
        "entry wraps",
        "no architecture",
        "no such architecture",
    ],
)
def test_lies_end_in_an_error(gpu_library, fat_binary, at, layout, value):
    path = gpu_library(changed(fat_binary((SASS, 80, 0x11), (PTX, 80, 0x11)), at, layout, value))
    with pytest.raises(IntegrityError, match="cannot be read"):
        architectures(path)


@pytest.fixture
def two_binaries(gpu_library, fat_binary) -> Path:
    return gpu_library(
        padded(fat_binary((SASS, 80, 0x11), (PTX, 90, 0x11)), fat_binary((SASS, 80, 0x11))), "libfuzz.so"
    )


@settings(max_examples=150, deadline=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_sections_give_a_value_or_the_right_error(two_binaries, tmp_path, data):
    content = bytearray(two_binaries.read_bytes())
    start = content.index(struct.pack("<I", 0xBA55ED50))
    for _ in range(data.draw(st.integers(1, 6))):
        content[start + data.draw(st.integers(0, 300))] = data.draw(st.integers(0, 255))
    path = tmp_path / "mutated.so"
    path.write_bytes(content)
    try:
        found = architectures(path)
    except IntegrityError:
        return
    assert all(name.startswith("sm_") for name in found.sass + found.ptx + found.partial)
