"""A build for an older C library than the one here is refused before it begins, where it cannot succeed."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from packaging.version import Version

from mmsetup.build import older_libc
from mmsetup.build.older_libc import glibc_here, refuse_older_libc
from mmsetup.build.preflight import check
from mmsetup.errors import ToolchainError
from mmsetup.probe.machine import Libc

VARIABLES = {"PATH": os.environ["PATH"]}


@pytest.fixture
def asm(tmp_path):
    """Give a compiler whose libraries need a symbol of the given version, as newer ones do of newer systems."""

    def make(version):
        source = tmp_path / "needs.c"
        source.write_text(
            f'__asm__(".symver strange, memcpy@GLIBC_{version}");\n'
            "extern void strange(void); void call(void) { strange(); }\n"
        )
        place = tmp_path / "cxx"
        flags = "-shared -fPIC -Wl,--unresolved-symbols=ignore-all"
        place.write_text(f'#!/bin/sh\nfor last; do :; done\nexec gcc {flags} {source} -o "$last"\n')
        place.chmod(0o755)
        return str(place)

    return make


def test_what_this_machine_runs_with_is_known():
    here = glibc_here()
    assert here is not None
    assert here > Version("2.17")


def test_a_library_for_as_new_a_system_is_not_tried():
    for libc in (Libc("glibc", str(glibc_here())), Libc("glibc", "2.999"), Libc("musl", "1.2"), None):
        refuse_older_libc(libc, "/nowhere/cxx", VARIABLES)


def test_what_is_compiled_needs_more_than_is_there(asm):
    with pytest.raises(ToolchainError, match=r"needs glibc 2\.14 or newer, .* built for has 2\.5$") as caught:
        refuse_older_libc(Libc("glibc", "2.5"), asm("2.14"), VARIABLES)
    assert caught.value.remedy.startswith("build in a container with glibc 2.5 or older")


def test_an_older_system_that_will_do(asm):
    refuse_older_libc(Libc("glibc", "2.14"), asm("2.14"), VARIABLES)
    refuse_older_libc(Libc("glibc", "2.5"), asm("2.2.5"), VARIABLES)


def test_the_compiler_here_says_what_it_makes_libraries_need(machine, python, tmp_path):
    """Whatever that is: a library for the oldest system is refused, or needs nothing newer."""
    needed = older_libc._needed("g++", VARIABLES)
    if needed is None or needed < Version("2.14"):
        pytest.skip("this compiler makes libraries for any system")
    for_old = replace(machine, libc=Libc("glibc", "2.13"))
    with pytest.raises(ToolchainError, match=rf"needs glibc {needed} or newer"):
        check(for_old, python, folder=tmp_path, environment=VARIABLES)
    for_same = replace(machine, libc=Libc("glibc", str(needed)))
    assert check(for_same, python, folder=tmp_path, environment=VARIABLES).cxx == "g++"


def test_a_compiler_that_makes_no_library_says_why(tmp_path):
    broken = tmp_path / "cxx"
    broken.write_text("#!/bin/sh\necho cannot find crti.o >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(ToolchainError, match="does not make a library") as caught:
        refuse_older_libc(Libc("glibc", "2.5"), str(broken), VARIABLES)
    assert any("crti.o" in line for line in caught.value.evidence)
