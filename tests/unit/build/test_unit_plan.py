"""Which source files are compiled together: all of them once, evenly, and never two that clash."""

from __future__ import annotations

import subprocess

import pytest

PYBIND = "#include <torch/extension.h>\nPYBIND11_MODULE(_ext, m) {\n" + 'm.def("f", &f);\n' * 120 + "}\n"
KERNEL = '#include "helper.hpp"\n' + "AT_DISPATCH_FLOATING_TYPES(x)\n" * 4 + "// a comment\n" * 200
CLASH = (("cpu/b1.cpp", "cpu/b2.cpp", "cpu/b3.cpp"),)


@pytest.fixture
def plan(payload):
    return payload("unit_plan")


@pytest.fixture
def sources(plan):
    made = [plan.Source("./csrc/pybind.cpp", PYBIND)]
    return made + [plan.Source(f"./csrc/cpu/b{n}.cpp", KERNEL * (1 + n % 3)) for n in range(40)]


@pytest.mark.parametrize("jobs", [1, 2, 3, 5, 64])
@pytest.mark.parametrize("apart", [(), CLASH], ids=["free", "apart"])
def test_each_source_is_compiled_once(plan, sources, jobs, apart):
    units = plan.arrange(sources, jobs, apart)
    assert sorted(one.path for unit in units for one in unit) == sorted(one.path for one in sources)
    assert len(units) <= max(3, jobs)
    assert [plan.seconds(unit) for unit in units] == sorted(map(plan.seconds, units), reverse=True)


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_no_two_that_clash_are_together(plan, sources, jobs):
    units = plan.arrange(sources, jobs, CLASH)
    for unit in units:
        assert sum(one.path.endswith(CLASH[0]) for one in unit) <= 1


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_the_compilers_end_together(plan, sources, jobs):
    loads = [0.0] * jobs
    units = plan.arrange(sources, jobs, ())
    for unit in units:
        loads[loads.index(min(loads))] += plan.seconds(unit)
    alone = plan.seconds([sources[0]])
    assert max(loads) <= max(1.2 * sum(loads) / jobs, 1.2 * alone)


def test_compilers_that_would_end_no_sooner_are_not_started(plan, sources):
    assert len(plan.arrange(sources, 64, ())) < 10


def test_one_compiler_does_not_get_everything_at_once(plan, sources):
    assert len(plan.arrange(sources, 1, ())) == 2


def test_a_path_ending_means_whole_names(plan):
    two = [plan.Source("./csrc/cpu/b1.cpp", KERNEL), plan.Source("./csrc/mycpu/b2.cpp", KERNEL)]
    assert len(plan.arrange([*two, *two], 1, (("cpu/b1.cpp", "cpu/b2.cpp"),))) == 2
    assert not plan._clash(*two, (("cpu/b1.cpp", "cpu/b2.cpp"),))


@pytest.mark.parametrize(
    ("path", "shared"), [("a.cpp", True), ("a.cc", True), ("a.cu", False), ("a.c", False), ("a.mm", False)]
)
def test_what_is_compiled_together_at_all(plan, path, shared):
    assert plan.is_shared(path) is shared


@pytest.fixture
def compiled(plan, tmp_path, monkeypatch):
    """Write sources, compile them as one unit with g++, and give the value that ``main`` ends with."""
    monkeypatch.chdir(tmp_path)

    def run(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.cpp").write_text(text)
        unit = [plan.Source(f"./{name}.cpp", text) for name, text in texts.items()]
        made = plan.write_unit(unit, 1, str(tmp_path))
        subprocess.run(
            ["c++", "-std=c++17", "-I", plan.write_headers(str(tmp_path)), made, "-o", "it"], check=True
        )
        return subprocess.run([tmp_path / "it"]).returncode

    return run


def test_macros_end_with_their_file(compiled):
    one = "#define max(a, b) 7\n#define LEVEL 3\nint one() { return max(1, 2); }\n"
    two = (
        "#include <algorithm>\n#ifdef LEVEL\n#error it reached another file\n#endif\n"
        "int main() { return std::max(20, 10) + one(); }\n"
    )
    assert compiled(one=one, two=two) == 27


def test_headers_come_before_what_would_reach_into_them(compiled):
    one = "#define vector broken broken\nint one() { return 1; }\n"
    two = "#include <vector>\nint main() { return static_cast<int>(std::vector<int>(5).size()) + one(); }\n"
    assert compiled(one=one, two=two) == 6


def test_the_longest_unit_is_compiled_first(plan, sources, tmp_path):
    units = [plan.write_unit(sources[:1], number, str(tmp_path)) for number in range(1, 12)]
    assert sorted([*units, "./mmcv/ops/csrc/pytorch/nms.cpp"])[:-1] == units


def test_headers_that_depend_on_something_stay_where_they_are(plan):
    text = "#if defined(NEVER)\n#include <not_there.h>\n#endif\n/* #include <commented.h> */\n#include <vector>\n"
    assert plan.Source("a.cpp", text).headers == ("vector",)
