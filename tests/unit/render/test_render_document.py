"""JSON documents out of values."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from mmsetup.render.document import document, dump, plain


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Part:
    path: Path
    tags: frozenset[str]

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True, slots=True)
class Whole:
    parts: tuple[Part, ...]
    by_key: dict[Any, Any]


def test_values_of_every_kind() -> None:
    value = Whole(
        (Part(Path("/a/b"), frozenset("zyx")),), {Colour.RED: Version("1.2"), 3: math.inf, "s": None}
    )
    made = document("mmsetup.test/1", value, spec=SpecifierSet(">=1"), ok=True)
    assert made == {
        "schema": "mmsetup.test/1",
        "parts": [{"path": "/a/b", "tags": ["x", "y", "z"]}],
        "by_key": {"red": "1.2", "3": None, "s": None},
        "spec": ">=1",
        "ok": True,
    }
    assert json.loads(dump(made)) == made
    assert next(iter(made)) == "schema"


def test_text_of_any_language_is_carried_by_ascii() -> None:
    text = dump({"path": "/home/Jürgen/\udcff"})
    assert text.isascii()
    assert json.loads(text)["path"] == "/home/Jürgen/\udcff"


@pytest.mark.parametrize("value", [object(), b"bytes", {"a": [object()]}, Part])
def test_what_has_no_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="has no form in JSON"):
        plain(value)


def test_document_of_something_without_fields_is_refused() -> None:
    with pytest.raises(TypeError, match="not of list"):
        document("mmsetup.test/1", [1])


@pytest.mark.parametrize(("value", "more"), [({"schema": 1}, {}), ({"a": 1}, {"a": 2})])
def test_name_that_is_used_twice_is_refused(value: dict[str, int], more: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="twice"):
        document("mmsetup.test/1", value, **more)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON)
def test_what_is_json_already_stays_as_it_is(value: Any) -> None:
    assert plain(value) == value
