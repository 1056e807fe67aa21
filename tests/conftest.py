"""What goes for all tests."""

from __future__ import annotations

import signal

# A shell starts background jobs with interrupts ignored, and programs inherit that: the tests that interrupt
# a program mean one that was started in the foreground.
signal.signal(signal.SIGINT, signal.default_int_handler)
