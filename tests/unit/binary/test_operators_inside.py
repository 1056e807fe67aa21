"""Which operators are in an extension, as pybind11 and the linker leave them there."""

from __future__ import annotations

import pytest

from mmsetup.binary import elf
from mmsetup.binary.operators import Operators, asked_for, operators

SOURCE = """
void _Z3nmsv(void) {} void _Z7softnmsv(void) {} void _Z8nms_implv(void) {} void _Z4quitv(void) {}
const char *registered[] = {"softnms", "nms_impl", "roi_pool_forward"};
const char *tail(void) { return "softnms" + 4; }
"""


@pytest.fixture
def extension(library):
    return library("_ext.so", SOURCE)


def test_names_that_mmcv_ops_loads():
    sources = [
        "ext_module = ext_loader.load_ext(\n    '_ext', ['nms', \"softnms\",\n 'roi_pool_forward'])\n",
        "from ..utils import ext_loader\next_module = ext_loader.load_ext('_ext', ['upfirdn2d'])",
        "other = ext_loader.load_ext('_flow', ['warp'])",
    ]
    assert asked_for(sources) == {"nms", "softnms", "roi_pool_forward", "upfirdn2d"}


def test_what_is_inside_and_what_is_not(extension):
    asked = frozenset({"nms", "softnms", "roi_pool_forward", "pool_forward", "upfirdn2d"})
    found = operators(extension, elf.read(extension), asked)
    # nms is the tail of another text and a function; pool_forward is only a tail.
    assert found == Operators(
        ("nms", "roi_pool_forward", "softnms"), ("pool_forward", "upfirdn2d"), compared=True
    )


def test_without_anybody_to_ask_functions_with_a_registered_name_count(extension):
    assert operators(extension, elf.read(extension), frozenset()) == Operators(
        ("nms", "softnms"), (), compared=False
    )


def test_a_library_without_constants(library):
    path = library("_ext.so", "int x;\n", "-nostdlib")
    assert operators(path, elf.read(path), frozenset({"nms"})).absent == ("nms",)
