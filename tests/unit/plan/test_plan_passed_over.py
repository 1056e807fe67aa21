"""A page whose wheel was opened and does not run is passed over, and the reason is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bare_machine import BARE, PAGES, Table, wheel

from mmsetup.catalog import Catalog
from mmsetup.errors import NoPlanError
from mmsetup.plan import Plan, Request, interpreter
from mmsetup.plan import planned as planned_with_interpreter

PAIR = f"{PAGES}/cu117/torch1.13.0/index.html"
WHY = "mmcv_full.whl does not run here: it holds no code for sm_86"


@pytest.fixture
def replanned(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """Plan as the road does, with a page that lists a wheel and pages that may be passed over."""
    listing = Table({PAIR: [wheel("1.7.2"), wheel("1.7.1")]}, missing=None)
    monkeypatch.setattr(interpreter, "asking", lambda *, offline: listing)

    def make(*pages: str, **wishes: object) -> Plan:
        reasons = dict.fromkeys(pages, WHY)
        request = Request(python="3.10", **wishes)  # type: ignore[arg-type]
        return planned_with_interpreter(request, BARE, catalog, fetch_python=False, passing_over=reasons)[0]

    return make


def test_nothing_is_passed_over_without_a_reason(replanned: Callable[..., Plan]) -> None:
    made = replanned()
    assert (made.ops.kind, made.ops.page) == ("prebuilt", PAIR)
    assert replanned("https://elsewhere.test/index.html").ops == made.ops


def test_the_ops_are_built_where_nothing_else_lists_them(replanned: Callable[..., Plan]) -> None:
    made = replanned(PAIR)
    assert made.ops.kind == "built"
    told = [one.reason for one in made.rejections if "passed over" in one.reason]
    assert told == [f"openmmlab is passed over: {WHY}"]


def test_without_a_build_nothing_is_left_and_the_way_out_is_a_build(replanned: Callable[..., Plan]) -> None:
    with pytest.raises(NoPlanError) as caught:
        replanned(PAIR, may_build=False, torch="1.13.1")
    assert any(WHY in line for line in caught.value.evidence)
    assert any(line.startswith("without --no-build this fits") for line in caught.value.evidence)
    assert "--no-build" not in caught.value.remedy


def test_a_mirror_that_wants_a_password_is_known_by_its_address_as_shown(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = "https://me:secret@mirror.test"
    listing = Table({f"{base}/mmcv/dist/cu117/torch1.13.0/index.html": [wheel("1.7.2")]}, missing=None)
    monkeypatch.setattr(interpreter, "asking", lambda *, offline: listing)
    request = Request(python="3.10", mirrors={"openmmlab": base})
    made, _ = planned_with_interpreter(request, BARE, catalog, fetch_python=False)
    assert made.ops.kind == "prebuilt"
    assert "secret" not in made.ops.page
    reasons = {made.ops.page: WHY}
    made, _ = planned_with_interpreter(request, BARE, catalog, fetch_python=False, passing_over=reasons)
    assert made.ops.kind == "built"
