"""What a compilation prints, read."""

from __future__ import annotations

import pytest

from mmsetup.build.log import Step, diagnose, given_to_compiler, read_step, unoptimised

LINE = "[12/54] c++ -MMD -MF a/nms.o.d -DNDEBUG -fwrapv -O3 -Wall -fPIC -I/inc -c -c /src/pytorch/nms.cpp -o a/nms.o"


def test_a_step_of_ninja():
    assert read_step(LINE) == Step(12, 54, "nms.cpp")
    assert read_step("[73/73] g++ -shared a.o -o _ext.so") == Step(73, 73, "linking")


@pytest.mark.parametrize("line", ["", "ninja: no work to do.", "[12/x] c++", "  [12/54] c++"])
def test_what_is_no_step(line):
    assert read_step(line) is None


def test_arguments_of_a_compilation():
    assert "-O3" in given_to_compiler(LINE)
    assert given_to_compiler("gcc-12 -O2 -c x.c -o x.o")[0] == "gcc-12"
    for other in (
        "[73/73] g++ -shared a.o -o _ext.so",
        "nvcc -c k.cu -o k.o",
        "running build_ext",
        "cc1plus: warning: -c x",
    ):
        assert given_to_compiler(other) == ()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ("-O3 -DNDEBUG", ""),
        ("-O2 -DNDEBUG -g -g0", ""),
        ("-DNDEBUG", "optimised"),
        ("-O3 -O0 -DNDEBUG", "optimised"),
        ("-O3", "assertions"),
        ("-O3 -DNDEBUG -g", "debug"),
        ("-O3 -DNDEBUG -ggdb3", "debug"),
        ("-O3 -DNDEBUG -gno-column-info -grecord-gcc-switches", ""),
    ],
)
def test_what_is_wrong_with_flags(arguments, fault):
    found = unoptimised(arguments.split())
    assert (fault in found) if fault else not found


@pytest.mark.parametrize(
    ("line", "cause", "remedy"),
    [
        ("c++: fatal error: Killed signal terminated program cc1plus", "out of memory", "MAX_JOBS=1"),
        (
            "a compiler ran out of memory though it ran alone",
            "even with one at a time (MAX_JOBS=1)",
            "add swap",
        ),
        ("a.cpp:1:10: fatal error: Python.h: No such file or directory", "headers", "python3-dev"),
        ("/tmp/x.o: No space left on device", "disk is full", "MMSETUP_CACHE_DIR"),
        ("ModuleNotFoundError: No module named 'pkg_resources'", "pkg_resources", "setuptools<81"),
        ("nms.cpp:5:3: error: 'foo' was not declared", "'foo' was not declared", ""),
        ("ValueError: bad setup", "ValueError: bad setup", ""),
        ("all is well", "", ""),
    ],
)
def test_the_cause_of_a_failure(line, cause, remedy):
    found = diagnose(["before", line, "error: command 'g++' failed with exit code 1"])
    assert cause in found[0]
    assert remedy in found[1]
    assert bool(found[0]) == bool(cause)
