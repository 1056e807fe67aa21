"""What openmim would do to the packages of a lock."""

from __future__ import annotations

import pytest

from mmsetup.install.changes import Change, Limit, changes

LOCKED = {"torch": "1.13.1", "requests": "2.34.2", "setuptools": "84.2.1", "certifi": "2026.1"}
BOUND = Limit("setuptools!=70.*,<81", "torch takes packaging from it")


def test_each_package_is_told_once_and_by_what_becomes_of_it() -> None:
    alone = {
        "openmim": "0.3.9",
        "requests": "2.28.2",
        "setuptools": "60.2.0",
        "oss2": "2.17",
        "certifi": "2026.1",
    }
    used = {"openmim": "0.3.9", "requests": "2.34.2", "setuptools": "81.0.0", "certifi": "2026.1"}
    assert changes(LOCKED, alone, used) == (
        Change("setuptools", "changed", "84.2.1", "60.2.0", "81.0.0"),
        Change("requests", "kept", "2.34.2", "2.28.2", "2.34.2"),
        Change("openmim", "new", "", "0.3.9", "0.3.9"),
        Change("oss2", "avoided", "", "2.17", ""),
    )


def test_what_only_a_plain_install_would_touch_stays() -> None:
    (row,) = changes(LOCKED, {"requests": "2.28.2"}, {})
    assert (row.kind, row.used) == ("kept", "")


def test_nothing_is_said_of_what_stays_as_it_is() -> None:
    assert changes(LOCKED, {"requests": "2.34.2"}, {"requests": "2.34.2"}) == ()


def test_where_nobody_knows_the_plain_install_the_rest_is_told_all_the_same() -> None:
    rows = changes(LOCKED, {}, {"openmim": "0.3.9", "requests": "2.34.2", "setuptools": "81.0.0"})
    assert [(row.package, row.kind, row.alone) for row in rows] == [
        ("setuptools", "changed", ""),
        ("openmim", "new", ""),
    ]


def test_a_limit_that_the_plain_install_violates_is_named() -> None:
    old = Limit("Setuptools>=66.1.1,<82", "pkgutil.ImpImporter is gone")
    (row,) = changes(LOCKED, {"setuptools": "60.2.0"}, {"setuptools": "84.2.1"}, [BOUND, old])
    assert row.breaks == (old,)
    (row,) = changes(LOCKED, {"setuptools": "70.1"}, {"setuptools": "84.2.1"}, [BOUND, old])
    assert row.breaks == (BOUND,)
    (row,) = changes(LOCKED, {}, {"setuptools": "82.0"}, [BOUND])
    assert row.breaks == (BOUND,), "without a plain install it is the one here that counts"


@pytest.mark.parametrize(
    ("package", "version", "admitted"),
    [
        ("setuptools", "80.9.0", True),
        ("setuptools", "70.3", False),
        ("setuptools", "80.0rc1", True),
        ("setuptools", "", False),
        ("requests", "1", True),
    ],
)
def test_a_limit_speaks_of_one_package(package: str, version: str, admitted: bool) -> None:
    assert BOUND.admits(package, version) is admitted
