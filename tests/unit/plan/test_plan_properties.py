"""Whatever the machine and the request: a plan breaks no rule, and where there is none, none can be found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from bare_machine import driver, python, toolkit
from checker import exists, faults, found
from drawn import DRIVERS, Answers, Situation, situations, small_catalog, small_data, some_patches
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from packaging.version import Version
from raw_catalog import read_data

from mmsetup.catalog import Catalog, load
from mmsetup.errors import InterpreterError, NoPlanError, RequestError
from mmsetup.plan import Plan
from mmsetup.plan.choose import plan
from mmsetup.probe.machine import Libc, Machine

WHOLE = load()
SMALL = small_catalog(WHOLE)
WHOLE_DATA = read_data()
SMALL_DATA = small_data(WHOLE_DATA)
# To look for a simpler example takes minutes here, and the first one reads well enough.
thorough = settings(deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])


def planned(situation: Situation, answers: Answers, catalog: Catalog = SMALL) -> Plan | None:
    try:
        return plan(situation.machine, catalog, situation.request, ask=answers)
    except (NoPlanError, RequestError, InterpreterError):
        return None


@settings(thorough, max_examples=250)
@given(situations(WHOLE))
def test_a_plan_has_no_fault_or_nothing_that_is_tried_is_one(situation: Situation) -> None:
    answers, machine = situation.answers(), situation.machine
    made = planned(situation, answers)
    given_ = (machine, situation.request, SMALL_DATA, answers.given)
    if made is None:
        assert not exists(*given_), found(*given_)
        return
    assert faults(made, *given_) == []
    assert exists(*given_)
    if made.left_out:
        served = len(machine.gpus) - len(made.left_out)
        assert found(*given_, gpus=served + 1) is None, made.left_out


@settings(thorough, max_examples=60)
@given(situations(WHOLE))
def test_a_plan_of_the_whole_catalogue_has_no_fault(situation: Situation) -> None:
    answers = situation.answers()
    made = planned(situation, answers, WHOLE)
    if made is None:
        return
    assert faults(made, situation.machine, situation.request, WHOLE_DATA, answers.given) == []


def newer_driver(machine: Machine, draw: Any) -> tuple[Machine, Machine]:
    older, newer = sorted(draw(st.lists(st.sampled_from(DRIVERS), min_size=2, max_size=2)), key=Version)
    return replace(machine, driver=driver(older)), replace(machine, driver=driver(newer))


def another_python(machine: Machine, draw: Any) -> tuple[Machine, Machine]:
    more = python(draw(st.sampled_from(["3.7.16", "3.9.17", "3.10.12", "3.12.3", "3.14.1"])))
    return machine, replace(machine, interpreters=(*machine.interpreters, more))


def another_nvcc(machine: Machine, draw: Any) -> tuple[Machine, Machine]:
    more = toolkit(draw(st.sampled_from(["11.8", "12.9", "13.1"])))
    return machine, replace(machine, toolkits=(*machine.toolkits, more))


def newer_glibc(machine: Machine, draw: Any) -> tuple[Machine, Machine]:
    older = draw(st.sampled_from(["2.12", "2.17", "2.27", "2.28", "2.34"]))
    return replace(machine, libc=Libc("glibc", older)), replace(machine, libc=Libc("glibc", "2.42"))


@pytest.mark.parametrize("gain", [newer_driver, another_python, another_nvcc, newer_glibc])
@settings(thorough, max_examples=60)
@given(situation=situations(WHOLE), data=st.data())
def test_what_a_machine_gains_never_loses_a_plan(gain: Any, situation: Situation, data: Any) -> None:
    poorer, richer = gain(situation.machine, data.draw)
    before = planned(replace(situation, machine=poorer), situation.answers())
    if before is None:
        return
    after = planned(replace(situation, machine=richer), situation.answers())
    assert after is not None
    assert len(after.left_out) <= len(before.left_out)


def with_patches_asked(situation: Situation, draw: Any) -> tuple[Situation, Situation]:
    first, more = draw(some_patches("mmcv")), draw(some_patches("mmcv"))
    both = tuple(dict.fromkeys((*first, *more)))
    return tuple(
        replace(situation, request=replace(situation.request, patches=patches)) for patches in (first, both)
    )


def with_patches_allowed(situation: Situation, draw: Any) -> tuple[Situation, Situation]:
    return tuple(
        replace(situation, request=replace(situation.request, may_patch=allowed)) for allowed in (False, True)
    )


@pytest.mark.parametrize(
    ("gain", "family"),
    [(with_patches_asked, "mmcv"), (with_patches_allowed, "mmcv-full"), (with_patches_allowed, "")],
)
@settings(thorough, max_examples=60)
@given(data=st.data())
def test_a_patch_more_never_loses_a_plan(gain: Any, family: str, data: Any) -> None:
    before, after = gain(data.draw(situations(WHOLE, family)), data.draw)
    poorer = planned(before, before.answers())
    if poorer is None:
        return
    richer = planned(after, after.answers())
    assert richer is not None
    assert len(richer.left_out) <= len(poorer.left_out)


@settings(thorough, max_examples=60)
@given(situations(WHOLE))
def test_who_allows_no_patches_and_asks_for_none_gets_none(situation: Situation) -> None:
    without = replace(situation.request, may_patch=False, patches=())
    made = planned(replace(situation, request=without), situation.answers())
    assert made is None or made.patches == ()
