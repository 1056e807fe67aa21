from __future__ import annotations

import sys
import time

import pytest

from mmsetup.errors import ProcessError
from mmsetup.process import stream


def test_a_program_that_prints_nothing_is_stopped():
    began = time.monotonic()
    with pytest.raises(ProcessError, match=r"printed nothing for 0\.3 s"):
        stream([sys.executable, "-c", "import time; time.sleep(60)"], lambda _name, _line: None, silence=0.3)
    assert time.monotonic() - began < 10


def test_a_program_that_prints_now_and_then_is_not():
    program = "import time\nfor _ in range(8): print('.', flush=True); time.sleep(0.1)"
    lines: list[str] = []
    stream([sys.executable, "-c", program], lambda _name, line: lines.append(line), silence=5.0, timeout=60)
    assert lines == ["."] * 8
