from __future__ import annotations

import json

import pytest

from mmsetup.smoke.events import ProtocolError, parse


def test_an_event_is_read():
    event = parse('{"event": "iteration", "iteration": 3, "total": 9, "loss": 0.5, "seconds_left": 1}')
    assert event is not None
    assert (event.name, event.fields["loss"]) == ("iteration", 0.5)


@pytest.mark.parametrize(
    "line", ["", "hello", "{", "{not json}", "[1]", '{"a": 1}', '{"event": 1}', "2026 - mmseg - INFO - x"]
)
def test_what_something_else_prints_is_no_event(line):
    assert parse(line) is None


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"event": "party"}, "unknown event 'party'"),
        ({"event": "stage"}, "stage.name is missing"),
        ({"event": "stage", "name": 1}, "stage.name is 1 where a string was expected"),
        ({"event": "importing", "module": None}, "importing.module is None where a string"),
        ({"event": "training", "iterations": True, "losses": [], "seconds": 1}, "iterations is True"),
        ({"event": "training", "iterations": 1, "losses": ["a"], "seconds": 1}, "training.losses[0] is 'a'"),
        (
            {
                "event": "op",
                "op": "nms",
                "device": "cpu",
                "state": "measured",
                "errors": {"x": "y"},
                "detail": "",
            },
            "op.errors['x'] is 'y' where a number was expected",
        ),
    ],
)
def test_a_wrong_event_is_told_with_the_path_of_its_field(said, words):
    with pytest.raises(ProtocolError) as caught:
        parse(json.dumps(said))
    assert words in str(caught.value)
