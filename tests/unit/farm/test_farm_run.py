"""Many jobs: one that fails stops no other, and what is made is copied at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mmsetup.build import BuiltWheel
from mmsetup.errors import BuildError, NoPlanError, TargetError
from mmsetup.farm import BuildJob, run
from mmsetup.progress import Silent

FIRST, SECOND, THIRD = BuildJob(torch="1.13.1"), BuildJob(torch="2.0.1"), BuildJob(torch="2.8.0")
NAME = "mmcv_full-1.7.2+{}-cp310-cp310-linux_x86_64.whl"


def built(path: Path, *, from_cache: bool = False) -> BuiltWheel:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return BuiltWheel(path, digest, "k" * 64, from_cache, 60.0, 2, ())


class Notes(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def test_all_go_on_when_one_fails(wheel, tmp_path):
    made = {
        FIRST: built(wheel(version="1.7.2+pt1.13.1cu117")),
        THIRD: built(wheel(version="1.7.2+pt2.8.0cu128"), from_cache=True),
    }

    def make(job: BuildJob) -> BuiltWheel:
        if job not in made:
            raise BuildError("no memory", remedy="buy some", evidence=["killed", "cc1plus"])
        return made[job]

    notes = Notes()
    first, second, third = run((FIRST, SECOND, THIRD), make, notes, output=tmp_path / "out")
    assert [one.status for one in (first, second, third)] == ["built", "failed", "kept"]
    assert (second.error, second.remedy, second.exit_code) == ("no memory", "buy some", 6)
    assert second.evidence == ("killed", "cc1plus")
    assert first.wheel == tmp_path / "out/cu117/torch1.13.0" / NAME.format("pt1.13.1cu117")
    assert third.wheel == tmp_path / "out/cu128/torch2.8.0" / NAME.format("pt2.8.0cu128")
    assert third.wheel.read_bytes() == made[THIRD].path.read_bytes()
    assert [path.name for path in third.wheel.parent.iterdir()] == [third.wheel.name]
    assert [line.split("]")[0] for line in notes.lines if line.startswith("[")] == [
        "[1/3", "[1/3", "[2/3", "[2/3", "[3/3", "[3/3",
    ]  # fmt: skip
    assert "    cc1plus" in notes.lines


def test_without_a_folder_the_wheels_stay_in_the_cache(wheel):
    path = wheel(version="1.7.2+pt1.13.1cu117")
    (result,) = run((FIRST,), lambda _: built(path), Silent())
    assert (result.wheel, result.pair) == (path, "cu117/torch1.13.0")


def test_a_wheel_of_an_earlier_day_is_replaced(wheel, tmp_path):
    path = wheel(version="1.7.2+pt1.13.1cu117")
    old = tmp_path / "out/cu117/torch1.13.0" / path.name
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    run((FIRST,), lambda _: built(path), Silent(), output=tmp_path / "out")
    assert old.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("text", ["", "other"])
def test_a_wheel_of_another_job_is_not_hidden(text, wheel, tmp_path):
    made = {
        FIRST: built(wheel("a", version="1.7.2+pt1.13.1cu117")),
        SECOND: built(wheel("b", version="1.7.2+pt1.13.1cu117", text=text)),
    }
    first, second = run((FIRST, SECOND), made.__getitem__, Silent(), output=tmp_path / "out")
    assert (first.status, second.status) == ("built", "failed" if text else "built")
    assert first.wheel.read_bytes() == made[FIRST].path.read_bytes()
    if text:
        assert "made by another job (the default family, torch 1.13.1)" in second.error


def test_a_folder_that_cannot_be_written_fails_its_job(wheel, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cu117").write_text("in the way")
    path = wheel(version="1.7.2+pt1.13.1cu117")
    (result,) = run((FIRST,), lambda _: built(path), Silent(), output=tmp_path / "out")
    assert (result.status, result.exit_code) == ("failed", 7)
    assert result.remedy == f"take it from {path}"


def test_an_interrupt_ends_it(wheel):
    done = []

    def make(job: BuildJob) -> BuiltWheel:
        done.append(job)
        if job is SECOND:
            raise KeyboardInterrupt
        raise NoPlanError("none")

    with pytest.raises(KeyboardInterrupt):
        run((FIRST, SECOND, THIRD), make, Silent())
    assert done == [FIRST, SECOND]


def test_a_folder_that_takes_no_wheel_is_refused_before_anything_is_built(wheel, tmp_path):
    (tmp_path / "file").touch()
    asked = []
    with pytest.raises(TargetError, match="is no folder"):
        run((FIRST,), asked.append, Silent(), output=tmp_path / "file")
    assert asked == []
