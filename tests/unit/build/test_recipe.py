"""A key stands for what shapes the wheel: all of it, and nothing else."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from mmsetup.build.recipe import UNITS, Recipe, key
from mmsetup.catalog.patches import Edit, Patch

PATCH = Patch("one", {"mmcv-full": SpecifierSet()}, "a", "b", ("c",), (Edit("setup.py", "1", "2"),))
CHANGES = {
    "distribution": "mmcv",
    "version": "1.7.1",
    "sdist_sha256": "cd" * 32,
    "torch": "1.12.1",
    "variant": "cu117",
    "requirements": ("torch==1.13.1 --hash=sha256:22",),
    "environment": {"MMCV_WITH_OPS": "0"},
    "architectures": ("sm_86",),
    "compiler": "g++ 11.4.0",
    "flags": ("-march=native",),
    "patches": (PATCH,),
    "libc": "glibc 2.31",
    "way": UNITS,
    "apart": (("a.cpp", "b.cpp"),),
    "local": "pt1.13.1cpu",
    "toolkit": "nvcc 13.0.88",
}


@pytest.mark.parametrize("name", [field.name for field in fields(Recipe) if field.name != "python"])
def test_every_field_counts(recipe, name):
    assert key(replace(recipe, **{name: CHANGES[name]})) != key(recipe)


@pytest.mark.parametrize(
    "change",
    [
        {"version": "3.9.18"},
        {"implementation": "PyPy"},
        {"platform": "linux-aarch64"},
        {"free_threaded": True},
    ],
)
def test_what_makes_another_abi_counts(recipe, change):
    assert key(replace(recipe, python=replace(recipe.python, **change))) != key(recipe)


@pytest.mark.parametrize(
    "change",
    [{"path": Path("/other/python")}, {"prefix": Path("/other")}, {"source": "uv"}, {"version": "3.10.4"}],
)
def test_where_the_interpreter_lies_does_not(recipe, change):
    assert key(replace(recipe, python=replace(recipe.python, **change))) == key(recipe)


def test_the_number_of_jobs_and_orders_do_not_count(recipe):
    same = replace(
        recipe,
        environment={"MAX_JOBS": "64", "MMCV_WITH_OPS": "1"},
        requirements=tuple(reversed(recipe.requirements)),
        distribution="mmcv_full",
    )
    assert key(same) == key(recipe)


def test_the_order_of_flags_counts(recipe):
    one, other = replace(recipe, flags=("-O2", "-O3")), replace(recipe, flags=("-O3", "-O2"))
    assert key(one) != key(other)
