"""A running build: its log, and the time that it still takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsetup.build import watch
from mmsetup.build.watch import Watch
from mmsetup.errors import DiskSpaceError, TargetError

COMPILED = "[{}/4] c++ -O3 -DNDEBUG -c /src/nms{}.cpp -o nms.o"


def test_the_time_left_without_an_expectation_comes_from_the_pace(recipe, recorder, monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(watch.time, "monotonic", lambda: next(clock))
    with Watch(recipe, recorder, None) as running:
        for done in (0, 1, 2, 4):
            running.take("stdout", COMPILED.format(done, done))
    assert [update[3] for update in recorder.updates] == [None, 30, 20, 0]
    assert recorder.updates[1][0] == "compiled nms1.cpp"
    assert len(running.log.read_text().splitlines()) == 4


def test_a_failure_names_the_log(recipe, recorder):
    with Watch(recipe, recorder, 10.0) as running:
        running.take("stderr", "all is well")
        assert running.failure("it ended").remedy == f"less {running.log}  # the whole log"
        running.take("stderr", "c++: fatal error: Killed signal terminated program cc1plus")
        failure = running.failure("it ended")
    assert failure.remedy.startswith("export MAX_JOBS=1  # ")
    assert failure.remedy.endswith(f"; the whole log: {running.log}")


def test_a_log_on_a_full_disk_is_told(recipe, recorder, monkeypatch):
    monkeypatch.setattr(watch, "_log_path", lambda _: Path("/dev/full"))
    with pytest.raises(DiskSpaceError, match="cannot write to /dev/full: No space left") as caught:
        fill(Watch(recipe, recorder, None))
    assert "MMSETUP_STATE_DIR" in caught.value.remedy


def fill(running):
    with running:
        for number in range(10_000):
            running.take("stdout", f"line {number}")


def test_a_log_that_cannot_be_made_is_told(recipe, recorder, tmp_path, monkeypatch):
    monkeypatch.setattr(watch, "_log_path", lambda _: tmp_path / "absent" / "x.log")
    with pytest.raises(TargetError, match=r"absent/x\.log: No such file"):
        Watch(recipe, recorder, None)
