"""The script that runs inside a build environment: what it makes of the interpreter's flags."""

from __future__ import annotations

import pytest

DEBIAN = "-Wsign-compare -DNDEBUG -g -fwrapv -O2 -Wall -g -fstack-protector-strong"


@pytest.fixture
def without_debug(payload):
    return payload("build_wheel").without_debug


def test_only_debug_symbols_are_taken_out(without_debug):
    changed = without_debug({"CFLAGS": DEBIAN, "OPT": "-g -O2", "LDSHARED": "gcc -shared -g"}, ["-w"])
    assert changed["CFLAGS"] == "-Wsign-compare -DNDEBUG -fwrapv -O2 -Wall -fstack-protector-strong -w"
    assert changed["OPT"] == "-O2"
    assert changed["LDSHARED"] == "gcc -shared -Wl,-s"


@pytest.mark.parametrize("flag", ["-g", "-g1", "-g3", "-ggdb", "-ggdb3", "-gdwarf-4", "-gsplit-dwarf"])
def test_every_way_to_ask_for_debug_symbols(without_debug, flag):
    assert without_debug({"CFLAGS": f"-O3 {flag} -DNDEBUG"}, [])["CFLAGS"] == "-O3 -DNDEBUG"


@pytest.mark.parametrize("flags", ["-Wall", "-O0 -Wall", "-Os", ""])
def test_optimisation_and_assertions_are_put_right(without_debug, flags):
    words = without_debug({"CFLAGS": flags}, [])["CFLAGS"].split()
    assert words[-2:] == ["-O3", "-DNDEBUG"]


def test_what_is_not_there_is_not_made_up(without_debug):
    assert without_debug({"CFLAGS": "-O3 -DNDEBUG", "LDSHARED": None}, []) == {"CFLAGS": "-O3 -DNDEBUG"}
