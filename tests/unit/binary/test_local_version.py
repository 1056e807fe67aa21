"""Local version parts: what names a pair, and what counts as the version that was wanted."""

from __future__ import annotations

import pytest

from mmsetup.binary.local_version import is_version, labelled_pair, pair_label


@pytest.mark.parametrize(
    ("torch", "variant", "local"),
    [
        ("1.13.1", "cu117", "pt1.13.1cu117"),
        ("2.12.0", "cu130", "pt2.12.0cu130"),
        ("1.13.1+cpu", "cpu", "pt1.13.1cpu"),
        ("", "cpu", ""),
    ],
)
def test_a_pair_has_a_label(torch: str, variant: str, local: str) -> None:
    assert pair_label(torch, variant) == local


def test_a_label_tells_its_pair() -> None:
    assert labelled_pair(pair_label("2.12.0", "cu130")) == ("2.12.0", "cu130")
    assert labelled_pair("sm90.pt2.8cu128") == ("2.8", "cu128")
    assert [labelled_pair(local) for local in ("", "cu117", "pt1.13.1", "mine")] == [None] * 4


@pytest.mark.parametrize(
    ("found", "wanted", "is_it"),
    [
        ("1.7.2+pt1.13.1cpu", "1.7.2", True),
        ("1.7.2", "1.7.2", True),
        ("1.7.2.0", "1.7.2", True),
        ("2.0.0rc4+pt1.13.1cpu", "2.0.0rc4", True),
        ("1.7.2+pt1.13.1cpu", "1.7.2+pt1.13.1cpu", True),
        ("1.7.2+pt1.13.1cpu", "1.7.2+pt1.13.0cpu", False),
        ("1.7.2", "1.7.2+pt1.13.1cpu", False),
        ("1.7.20+pt1.13.1cpu", "1.7.2", False),
        ("no-version", "no-version", True),
        ("no-version", "1.7.2", False),
        ("1.7.2", "no-version", False),
        ("", "1.7.2", False),
    ],
)
def test_any_local_part_will_do_where_none_was_wanted(found: str, wanted: str, is_it: bool) -> None:
    assert is_version(found, wanted) is is_it
