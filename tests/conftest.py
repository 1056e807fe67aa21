"""What goes for all tests."""

from __future__ import annotations

import signal

import pytest

# A shell starts background jobs with interrupts ignored, and programs inherit that: the tests that interrupt
# a program mean one that was started in the foreground.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give all stack tests to one worker: they share an environment that takes minutes to make."""
    for item in items:
        if item.get_closest_marker("stack"):
            item.add_marker(pytest.mark.xdist_group("stack"))
