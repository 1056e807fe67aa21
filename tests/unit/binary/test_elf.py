"""The ELF reader against the machine's own compiler, pyelftools, and files that lie."""

from __future__ import annotations

import platform
import struct
import sys
import sysconfig
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmsetup.binary import elf
from mmsetup.errors import IntegrityError

SOURCE = """
extern int from_elsewhere(int);
extern int puts(const char *);
extern int maybe(void) __attribute__((weak));
__attribute__((visibility("hidden"))) int hidden(void) { return 1; }
static int local(void) { return 2; }
int offered(int x) { return from_elsewhere(x) + (maybe ? maybe() : 0) + hidden() + local() + puts("x"); }
__attribute__((weak)) int weakly_offered(void) { return 3; }
"""


@pytest.fixture
def sample(library):
    other = library("libother.so", "int from_elsewhere(int x) { return x; }\n", "-Wl,-soname,libother.so.7")
    return library(
        "libsample.so", SOURCE, str(other), "-Wl,-soname,libsample.so.1", "-Wl,-rpath,$ORIGIN/../lib:/opt/lib"
    )


def test_needed_soname_and_rpath(sample):
    found = elf.read(sample)
    assert found.needed[0] == "libother.so.7"
    assert found.soname == "libsample.so.1"
    assert found.rpath == ("$ORIGIN/../lib", "/opt/lib")


def test_symbols_that_are_needed_and_offered(sample):
    found = elf.read(sample)
    assert "from_elsewhere" in found.undefined
    assert "maybe" not in found.undefined
    assert {"offered", "weakly_offered"} <= found.exported
    assert not found.exported & {"hidden", "local", "from_elsewhere"}


def test_the_soname_alone(library, sample, tmp_path):
    assert elf.read_soname(sample) == "libsample.so.1"
    assert elf.read_soname(library("libplain.so", "int x;\n")) == ""
    (tmp_path / "libscript.so").write_text("GROUP ( libc.so.6 )")
    with pytest.raises(IntegrityError, match="not a 64-bit"):
        elf.read_soname(tmp_path / "libscript.so")


def test_symbol_versions(library):
    found = elf.read(
        library(
            "libversions.so",
            "#include <string.h>\nint f(char *x) { return strlen(x) + puts(x); }\n",
            "-include",
            "stdio.h",
        )
    )
    assert any(version.startswith("GLIBC_") for version in found.versions_needed["libc.so.6"])


def test_machine_and_sections(sample):
    found = elf.read(sample)
    assert found.machine == platform.machine()
    offset, size = found.sections[".dynstr"]
    assert b"from_elsewhere" in sample.read_bytes()[offset : offset + size]
    assert ".bss" not in found.sections
    assert elf.read_sections(sample) == found.sections


def libraries_of_python():
    folder = Path(sysconfig.get_path("platstdlib")) / "lib-dynload"
    found = sorted(folder.glob("*.so"))[:12]
    return [*found, Path(sys.executable).resolve()]


@pytest.mark.parametrize("path", libraries_of_python(), ids=lambda path: path.name)
def test_agrees_with_pyelftools(path):
    ours = elf.read(path)
    with path.open("rb") as file:
        theirs = ELFFile(file)
        dynamic = theirs.get_section_by_name(".dynamic")
        assert ours.needed == tuple(
            tag.needed for tag in dynamic.iter_tags() if tag.entry.d_tag == "DT_NEEDED"
        )
        symbols = list(theirs.get_section_by_name(".dynsym").iter_symbols())
        assert ours.undefined == {
            s.name
            for s in symbols
            if s.entry.st_shndx == "SHN_UNDEF" and s.entry.st_info.bind == "STB_GLOBAL"
        }
        assert ours.exported == {
            s.name
            for s in symbols
            if s.entry.st_shndx != "SHN_UNDEF"
            and s.entry.st_info.bind in {"STB_GLOBAL", "STB_WEAK", "STB_LOOS"}
            and s.entry.st_other.visibility in {"STV_DEFAULT", "STV_PROTECTED"}
        }
        versions = theirs.get_section_by_name(".gnu.version_r")
        assert dict(ours.versions_needed) == (
            {
                need.name: tuple(aux.name for aux in auxiliaries)
                for need, auxiliaries in versions.iter_versions()
            }
            if versions
            else {}
        )


@pytest.mark.parametrize(
    "content",
    [b"", b"\x7fELF", b"MZ" + bytes(200), b"\x7fELF\x01\x01" + bytes(200)],
    ids=["empty", "short", "other", "32 bit"],
)
def test_what_is_no_elf_file_is_refused(tmp_path, content):
    path = tmp_path / "x.so"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"x\.so"):
        elf.read(path)


def test_absent_file_and_folder_are_refused(tmp_path):
    with pytest.raises(IntegrityError, match="cannot read"):
        elf.read(tmp_path / "absent.so")
    with pytest.raises(IntegrityError, match="cannot read"):
        elf.read(tmp_path)


def test_every_truncation_is_refused(sample, tmp_path):
    whole = sample.read_bytes()
    path = tmp_path / "cut.so"
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        with pytest.raises(IntegrityError):
            elf.read(path)


def test_version_chain_that_points_at_itself_ends(sample, tmp_path):
    data = bytearray(sample.read_bytes())
    offset, _ = elf.read_sections(sample)[".gnu.version_r"]
    version, count, file, aux, _ = struct.unpack_from("<HHIII", data, offset)
    struct.pack_into("<HHIII", data, offset, version, 0xFFFF, file, aux, 0)
    struct.pack_into("<I", data, offset + aux + 12, 0)
    path = tmp_path / "loop.so"
    path.write_bytes(data)
    assert count < 0xFFFF
    assert sum(map(len, elf.read(path).versions_needed.values())) == 1


def test_version_chain_that_leaves_its_section_is_refused(sample, tmp_path):
    data = bytearray(sample.read_bytes())
    offset, _ = elf.read_sections(sample)[".gnu.version_r"]
    struct.pack_into("<I", data, offset + 8, 0xFFFFFFF0)
    path = tmp_path / "far.so"
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="past its section"):
        elf.read(path)


def test_the_needed_libraries_alone(library, sample):
    assert elf.read_needed(sample) == elf.read(sample).needed
    assert elf.read_needed(library("libalone.so", "int x;\n", "-nostdlib")) == ()


def test_versions_that_a_library_defines(library, tmp_path):
    (tmp_path / "map").write_text("ABI_1.2 { global: offered; };\n")
    path = library("libdefines.so", "int offered(void) { return 1; }\n", "-Wl,--version-script=map")
    assert elf.names_in(path, {"ABI_1.2", "ABI_1.3", "offered", "ABI_1"}) == {"ABI_1.2", "offered"}


def section_table(data: bytes) -> tuple[int, int]:
    return struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<H", data, 60)[0]


def kind_of(data: bytes, number: int) -> int:
    return struct.unpack_from("<I", data, section_table(data)[0] + 64 * number + 4)[0]


def numbered(data: bytes, kind: int) -> int:
    return next(number for number in range(section_table(data)[1]) if kind_of(data, number) == kind)


def test_a_second_symbol_table_is_refused(sample, tmp_path):
    data = bytearray(sample.read_bytes())
    start, _ = section_table(data)
    struct.pack_into("<I", data, start + 64 * numbered(data, 1) + 4, 11)
    path = tmp_path / "twice.so"
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="two tables of one kind"):
        elf.read(path)


def test_ten_thousand_sections_are_read_and_cost_little(sample, tmp_path):
    data = bytearray(sample.read_bytes())
    start, count = section_table(data)
    names = struct.unpack_from("<H", data, 62)[0]
    headers = bytes(data[start : start + 64 * count])
    plain = bytearray(headers[64 * names : 64 * names + 64])
    struct.pack_into("<I", plain, 4, 1)
    struct.pack_into("<QQ", data, 40, len(data), 0)
    struct.pack_into("<HHH", data, 58, 64, 10_000, names)
    path = tmp_path / "sections.so"
    path.write_bytes(bytes(data) + headers + bytes(plain) * (10_000 - count))
    assert elf.read(path).needed == elf.read(sample).needed


def test_names_that_outgrow_their_table_are_refused(tmp_path, sample):
    """A long name shared by all sections: 10 000 times 100 kB, out of a file of 1 MB."""
    data = bytearray(sample.read_bytes())
    names = struct.unpack_from("<H", data, 62)[0]
    table_at = len(data)
    table = b"\0" + b"n" * 100_000 + b"\0"
    headers_at = table_at + len(table)
    entry = struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)
    headers = bytearray(entry * 10_000)
    struct.pack_into("<IIQQQQ", headers, 64 * names, 1, 3, 0, 0, table_at, len(table))
    struct.pack_into("<Q", data, 40, headers_at)
    struct.pack_into("<HHH", data, 58, 64, 10_000, names)
    path = tmp_path / "names.so"
    path.write_bytes(bytes(data) + table + bytes(headers))
    with pytest.raises(IntegrityError, match="more than their table can give"):
        elf.read(path)


def test_a_section_past_the_end_is_refused(sample, tmp_path):
    data = bytearray(sample.read_bytes())
    start, _ = section_table(data)
    struct.pack_into("<Q", data, start + 64 * numbered(data, 11) + 32, 1 << 62)
    path = tmp_path / "past.so"
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="past its end"):
        elf.read(path)


def test_versions_over_and_over_are_refused(sample, tmp_path):
    """Libraries that all share one chain of versions: 65 535 times 65 535 records in a section of 1 MB."""
    data = bytearray(sample.read_bytes())
    start, _ = section_table(data)
    header = start + 64 * numbered(data, 0x6FFFFFFE)
    count = 40_000
    needs = b"".join(struct.pack("<HHIII", 1, 0xFFFF, 0, 16 * count - 16 * n, 16) for n in range(count))
    auxiliaries = b"".join(struct.pack("<IHHII", 0, 0, 0, 1, 16) for _ in range(count))
    struct.pack_into("<QQ", data, header + 24, len(data), len(needs + auxiliaries))
    struct.pack_into("<I", data, header + 44, count)
    path = tmp_path / "versions.so"
    path.write_bytes(bytes(data) + needs + auxiliaries)
    with pytest.raises(IntegrityError, match=r"more symbol versions|past its section"):
        elf.read(path)


def test_a_file_without_section_headers_tells_nothing(sample, tmp_path):
    data = bytearray(sample.read_bytes())
    struct.pack_into("<Q", data, 40, 0)
    struct.pack_into("<H", data, 60, 0)
    path = tmp_path / "bare.so"
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="no section headers"):
        elf.read(path)


@settings(max_examples=150, deadline=1000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_files_give_a_value_or_the_right_error(sample, tmp_path, data):
    content = bytearray(sample.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(
            st.one_of(
                st.integers(0, 64),
                st.integers(0, len(content) - 1),
                st.integers(len(content) - 2000, len(content) - 1),
            )
        )
        content[at] = data.draw(st.integers(0, 255))
    path = tmp_path / "mutated.so"
    path.write_bytes(content)
    try:
        found = elf.read(path)
    except IntegrityError:
        return
    assert all(isinstance(name, str) for name in found.exported)


def test_demands_are_what_the_whole_file_says(sample):
    demands, whole = elf.read_demands(sample), elf.read(sample)
    assert demands.machine == whole.machine
    assert demands.needed == whole.needed
    assert demands.versions_needed == whole.versions_needed
    assert demands.rodata == whole.sections.get(".rodata", (0, 0))


@pytest.mark.parametrize(
    ("option", "kind"), [("--enable-new-dtags", "runpath"), ("--disable-new-dtags", "rpath")]
)
def test_the_two_search_paths_are_told_apart(library, option, kind):
    made = library("libpaths.so", "int one;\n", f"-Wl,{option},-rpath,$ORIGIN/../lib:/opt/lib")
    demands = elf.read_demands(made)
    assert getattr(demands, kind) == ("$ORIGIN/../lib", "/opt/lib")
    assert demands.rpath + demands.runpath == elf.read(made).rpath
