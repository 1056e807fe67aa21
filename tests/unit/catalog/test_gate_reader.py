"""Gates as releases write them, read without importing anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.version import Version

from mmsetup.catalog import Gate
from mmsetup.catalog.gate_reader import gates_in, read

# As mmdet 2.x and mmsegmentation up to 0.16 have it.
LISTS = """
def digit_version(version_str):
    digit_version = []
    for x in version_str.split('.'):
        if x.isdigit():
            digit_version.append(int(x))
    return digit_version
"""
# As mmsegmentation 0.17 and newer have it, shortened.
TUPLES = """
from packaging.version import parse
def digit_version(version_str, length=4):
    release = list(parse(version_str).release)
    return tuple(release + [0] * (length - len(release)))
"""


def gates(text: str) -> tuple[Gate, ...]:
    return gates_in(text, "mmdet", "3.3.0", source="mmdet/__init__.py")


def test_two_comparisons_of_lists() -> None:
    (gate,) = gates(
        LISTS + "mmcv_minimum_version = '1.4.2'\nmmcv_maximum_version = '1.9.0'\n"
        "mmcv_version = digit_version(mmcv.__version__)\n"
        "assert (mmcv_version >= digit_version(mmcv_minimum_version)\n"
        "        and mmcv_version <= digit_version(mmcv_maximum_version))\n"
    )
    assert gate == Gate("mmdet", "3.3.0", "mmcv", "1.4.2", "1.9.0", True, "mmdet/__init__.py", "unpadded")


def test_one_comparison_of_bounds_that_were_parsed_before() -> None:
    (gate,) = gates(
        TUPLES + "MMCV_MIN = '1.3.13'\nMMCV_MAX = '1.8.0'\n"
        "mmcv_min_version = digit_version(MMCV_MIN)\nmmcv_max_version = digit_version(MMCV_MAX)\n"
        "assert (mmcv_min_version <= digit_version(mmcv.__version__) < mmcv_max_version), f'{MMCV_MIN}'\n"
    )
    assert (gate.range, gate.comparison) == ("mmcv >=1.3.13,<1.8.0", "padded")


def test_two_packages_and_a_function_from_mmengine() -> None:
    found = gates(
        "from mmengine.utils import digit_version\n"
        "mmcv_minimum_version = '2.0.0rc4'\nmmcv_maximum_version = '2.2.0'\n"
        "mmengine_minimum_version = '0.7.1'\nmmengine_maximum_version = '1.0.0'\n"
        "assert a >= digit_version(mmcv_minimum_version) and a < digit_version(mmcv_maximum_version)\n"
        "assert digit_version(mmengine_maximum_version) > b >= digit_version(mmengine_minimum_version)\n"
    )
    assert [(gate.range, gate.comparison) for gate in found] == [
        ("mmcv >=2.0.0rc4,<2.2.0", "padded"),
        ("mmengine >=0.7.1,<1.0.0", "padded"),
    ]
    assert found[0].admits(Version("2.1.0"))
    assert not found[0].admits(Version("2.2.0"))


def test_a_maximum_that_is_not_there() -> None:
    (gate,) = gates(
        TUPLES + "MMENGINE_MIN = '0.1.0'\nlowest = digit_version(MMENGINE_MIN)\n"
        "assert lowest <= digit_version(mmengine.__version__)\n"
    )
    assert (gate.range, gate.maximum_inclusive) == ("mmengine >=0.1.0", False)
    assert gate.admits(Version("99"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MMCV_MIN = '1.0'\nMMCV_MAX = '2.0'\n",
        "MMCV_MIN = 1\nMMCV_MAX = 2\nassert MMCV_MIN < a < MMCV_MAX\n",
        "MMCV_MIN = 'x'\nMMCV_MAX = 'y'\nassert MMCV_MIN < a < MMCV_MAX\n",
        "LEAST = '1.0'\nassert a >= LEAST\n",
    ],
)
def test_what_is_no_gate(text: str) -> None:
    assert gates(text) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("MMCV_MIN = '1.0'\nassert a >= digit_version(MMCV_MIN)\n", "how digit_version compares"),
        ("MMCV_MIN = '1.0'\nassert a >= MMCV_MIN\n", "how text compares"),
        (TUPLES + "MMCV_MIN = '1.0'\nassert a > digit_version(MMCV_MIN)\n", "in a way that is not known"),
        (TUPLES + "MMCV_MAX = '1.0'\nassert a == digit_version(MMCV_MAX)\n", "in a way that is not known"),
        (TUPLES + "MMCV_MAX = '1.0'\nassert a < digit_version(MMCV_MAX)\n", "a maximum and no minimum"),
        ("assert (\n", r"mmdet/__init__\.py: "),
    ],
)
def test_what_is_not_understood_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        gates(text)


def test_a_file_is_named_as_the_source(tmp_path: Path) -> None:
    path = tmp_path / "__init__.py"
    path.write_bytes(b"# \xff\n" + TUPLES.encode() + b"MMCV_MIN = '1'\nassert a >= digit_version(MMCV_MIN)\n")
    (gate,) = read(path, "mmseg", "1.0.0")
    assert gate.source == str(path)
