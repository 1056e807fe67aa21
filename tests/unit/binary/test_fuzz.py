"""Mutations of a real library, of the GPU code in it and of a wheel: a value or an IntegrityError, and soon."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsetup.binary import elf, fatbin, operators, symbol_hash, torch_flags, wheel
from mmsetup.errors import IntegrityError

SASS, PTX = 2, 1
NUMBERS = [
    0,
    1,
    0x7F,
    0xFF,
    0x7FFF,
    0xFFFF,
    1 << 20,
    1 << 31,
    (1 << 32) - 1,
    1 << 40,
    (1 << 64) - 8,
    (1 << 64) - 1,
]
SOURCE = """
extern int puts(const char *);
int _Z3nmsv(void) { return puts("nms"); }
const char *flags(void) { return "sm_70 sm_80 compute_80"; }
"""
NAMES = ["_Z3nmsv", "flags", "puts", *(f"_ZN2at{number}Ev" for number in range(50))]
# Deadline: milliseconds for one input; the machine may be busy with other tests.
ENOUGH = settings(
    max_examples=300,
    deadline=2000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[str, float, int, int]]:
    """Draw what to change: how, where (a share of the file), a number and how many bytes it takes."""
    how = st.sampled_from(["bit", "number", "number", "number", "cut", "drop", "insert"])
    number = st.one_of(st.sampled_from(NUMBERS), st.integers(0, 1 << 16))
    one = st.tuples(how, st.floats(0, 1, exclude_max=True), number, st.sampled_from([1, 2, 4, 8]))
    return draw(st.lists(one, min_size=1, max_size=6))


def changed(content: bytes, what: list[tuple[str, float, int, int]], start: int, end: int) -> bytes:
    """Make the changes between two places of a file."""
    data = bytearray(content)
    for how, share, number, width in what:
        at = min(start + int(share * (end - start)), max(0, len(data) - 1))
        if how == "bit" and data:
            data[at] ^= 1 << number % 8
        elif how == "number":
            aligned = at - at % width
            data[aligned : aligned + width] = (number % (1 << 8 * width)).to_bytes(width, "little")
        elif how == "cut":
            del data[at:]
        elif how == "drop":
            del data[at : at + width * 8]
        elif how == "insert":
            data[at:at] = number.to_bytes(8, "little")[:width]
    return bytes(data)


def only_integrity_errors(read: Callable[[], object]) -> None:
    refused: IntegrityError | None = None
    try:
        read()
    except IntegrityError as error:
        refused = error
    assert refused is None or (str(refused) and refused.remedy)


def read_all(path: Path) -> None:
    only_integrity_errors(lambda: operators.operators(path, elf.read(path), frozenset({"nms"})))
    only_integrity_errors(lambda: elf.read_soname(path))
    only_integrity_errors(lambda: elf.read_needed(path))
    only_integrity_errors(lambda: symbol_hash.offered(path, NAMES))
    only_integrity_errors(lambda: fatbin.gpu_code(path))
    only_integrity_errors(lambda: torch_flags.stated(path))


@pytest.fixture
def seed(library, tmp_path, fat_binary) -> bytes:
    code = fat_binary((SASS, 70, 0), (SASS, 90, 0x100000), (PTX, 90, 0)) + fat_binary((SASS, 70, 0))
    (tmp_path / "code.bin").write_bytes(code)
    section = '__asm__(".section .nv_fatbin,\\"a\\"\\n.balign 8\\n.incbin \\"code.bin\\"\\n");\n'
    path = library("libseed.so", SOURCE + section, "-s", "-Wl,-z,noseparate-code", "-Wl,-soname,libseed.so.1")
    assert operators.operators(path, elf.read(path), frozenset({"nms"})).present == ("nms",)
    assert fatbin.gpu_code(path).binaries == 2
    assert torch_flags.stated(path) is not None
    return path.read_bytes()


@pytest.mark.parametrize("where", ["header", "sections", "tables", "code", "anywhere"])
def test_libraries(seed, tmp_path, where):
    start, count = struct.unpack_from("<Q", seed, 40)[0], struct.unpack_from("<H", seed, 60)[0]
    code = seed.index(struct.pack("<I", 0xBA55ED50))
    first, last = {
        "header": (0, 64),
        "sections": (start, start + 64 * count),
        "tables": (0, code),
        "code": (code, code + 600),
        "anywhere": (0, len(seed)),
    }[where]
    path = tmp_path / "changed.so"

    @ENOUGH
    @given(changes())
    def throw(what: list[tuple[str, float, int, int]]) -> None:
        path.write_bytes(changed(seed, what, first, last))
        read_all(path)

    throw()


@pytest.mark.parametrize("place", ["the list of members", "anywhere"])
def test_wheels(wheel_of, tmp_path, place):
    content = wheel_of.read_bytes()
    start = content.index(b"PK\1\2") if place == "the list of members" else 0

    @ENOUGH
    @given(changes())
    def throw(what: list[tuple[str, float, int, int]]) -> None:
        wheel_of.write_bytes(changed(content, what, start, len(content)))
        only_integrity_errors(lambda: wheel.inspect(wheel_of))

    throw()


@pytest.fixture
def wheel_of(wheel, seed) -> Path:
    made = wheel({"mmcv/_ext.so": seed, "mmcv/ops/nms.py": b"ext_loader.load_ext('_ext', ['nms'])\n"})
    assert wheel_facts(made) == ("nms",)
    return made


def wheel_facts(path: Path) -> tuple[str, ...]:
    found = wheel.inspect(path).ops
    assert found is not None
    assert found.operators is not None
    return found.operators.present


def test_what_is_in_a_wheel_is_looked_at_as_closely(wheel, seed):
    with pytest.raises(IntegrityError, match="cut short"):
        wheel_facts(wheel({"mmcv/_ext.so": seed[:-200]}))


def test_a_wheel_that_is_no_zip(tmp_path):
    path = tmp_path / "mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl"
    path.write_bytes(b"<!DOCTYPE html>")
    assert not zipfile.is_zipfile(path)
    with pytest.raises(IntegrityError, match="not a usable wheel"):
        wheel.inspect(path)
