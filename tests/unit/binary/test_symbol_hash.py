"""Symbols that are looked up are those that reading them all gives."""

from __future__ import annotations

import struct
import sysconfig
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsetup.binary import elf
from mmsetup.binary.symbol_hash import offered
from mmsetup.errors import IntegrityError

SOURCE = """
extern int puts(const char *);
__attribute__((visibility("hidden"))) int hidden(void) { return 1; }
__attribute__((visibility("protected"))) int protected_one(void) { return 2; }
__attribute__((weak)) int weakly_offered(void) { return 3; }
int offered(void) { return hidden() + puts("x"); }
int variable = 7;
"""
ASKED = {"offered", "weakly_offered", "protected_one", "variable", "hidden", "puts", "", "offere", "nowhere"}
FOUND = {"offered", "weakly_offered", "protected_one", "variable"}


@pytest.mark.parametrize("style", ["gnu", "sysv", "both"])
def test_what_can_be_bound_to_is_found(library, style):
    assert offered(library("libsample.so", SOURCE, f"-Wl,--hash-style={style}"), ASKED) == FOUND


def test_all_of_many_symbols_are_found_and_no_other(library):
    names = [f"_ZN2at6native{number}number{number * 7919}Ev" for number in range(3000)]
    path = library("libmany.so", "".join(f"void {name}(void) {{}}\n" for name in names[::2]))
    assert offered(path, names) == set(names[::2])


def test_a_library_that_offers_nothing(library):
    path = library("libnothing.so", "static int used = 1; static int *keep = &used;\n", "-nostdlib")
    assert offered(path, ASKED) == elf.read(path).exported & ASKED


def test_it_agrees_with_reading_all_of_the_libraries_that_are_here():
    folders = [Path(sysconfig.get_path("platlib")), Path(sysconfig.get_path("stdlib"), "lib-dynload")]
    paths = [path for folder in folders for path in sorted(folder.rglob("*.so"))[:40]]
    assert paths
    for path in paths:
        facts = elf.read(path)
        asked = facts.exported | facts.undefined | ASKED
        assert offered(path, asked) == facts.exported, path


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.from_regex(r"[a-z_][a-z0-9_]{0,12}_of_mine", fullmatch=True), min_size=1, max_size=40))
def test_any_names_are_found(library, names):
    path = library("libdrawn.so", "".join(f"int {name};\n" for name in names))
    assert offered(path, {*names, "absent", "of_mine"}) == names


def at(path: Path, section: str) -> int:
    return elf.read_sections(path)[section][0]


@pytest.mark.parametrize(
    "numbers",
    [
        {0: 0},  # no bucket
        {2: 0},  # no word of the filter
        {2: 1 << 31},  # a filter beyond the end
        {0: 1 << 31},  # buckets beyond the end
    ],
)
def test_a_table_that_contradicts_itself_is_refused(library, numbers):
    path = library("libsample.so", SOURCE, "-Wl,--hash-style=gnu")
    content, start = bytearray(path.read_bytes()), at(path, ".gnu.hash")
    for index, number in numbers.items():
        struct.pack_into("<I", content, start + 4 * index, number)
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="hash table"):
        offered(path, ASKED)


def test_a_chain_without_an_end_is_refused(library):
    path = library("libsample.so", SOURCE, "-Wl,--hash-style=gnu")
    content, (start, size) = bytearray(path.read_bytes()), elf.read_sections(path)[".gnu.hash"]
    buckets, _, words, _ = struct.unpack_from("<IIII", content, start)
    for place in range(start + 16 + words * 8 + buckets * 4, start + size, 4):
        (number,) = struct.unpack_from("<I", content, place)
        struct.pack_into("<I", content, place, number & ~1)
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="hash table"):
        offered(path, {"offered", *(f"_Z{number}v" for number in range(2000))})


def test_a_file_that_is_no_library_is_refused(tmp_path):
    (tmp_path / "libtext.so").write_text("INPUT(-lother)")
    with pytest.raises(IntegrityError, match="not a 64-bit"):
        offered(tmp_path / "libtext.so", ASKED)
