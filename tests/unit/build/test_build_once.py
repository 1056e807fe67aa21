"""Building once, whoever asks, and never keeping what is not good."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from mmsetup.build import build
from mmsetup.build.build import Product
from mmsetup.build.recipe import key
from mmsetup.errors import BuildError, DiskSpaceError, IntegrityError, TargetError
from mmsetup.paths import cache_folder

NAME = "mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl"
TOGETHER = """
import json, os, sys, time
from pathlib import Path
from mmsetup.build import Recipe, Toolchain, build
from mmsetup.build.build import Product
from mmsetup.probe.machine import Interpreter

class Progress:
    def stage(self, title): pass
    def note(self, text): print("note", text, flush=True)
    def update(self, text, **_): pass

def make(job, folder, progress):
    print("made", flush=True)
    time.sleep(1.5)
    wheel = folder / "mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl"
    wheel.write_bytes(b"a wheel")
    return Product(wheel, (), 1.5)

python = Interpreter(Path("/p"), "3.10.1", "CPython", "linux-x86_64", "PATH", True, Path("/"))
recipe = Recipe("mmcv-full", "1.7.2", sys.argv[2], python, "1.13.1", "cpu", (), {}, (), "g++", ())
built = build(recipe, sdist=Path(sys.argv[1]), toolchain=Toolchain("gcc", "g++", "g++", 1), progress=Progress(), make=make)
print("built", json.dumps([str(built.path), built.from_cache]), flush=True)
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "mmcv-full-1.7.2.tar.gz"
    path.write_bytes(b"the source")
    return path


@pytest.fixture
def fitting(recipe, source):
    return replace(recipe, sdist_sha256=hashlib.sha256(source.read_bytes()).hexdigest())


class Maker:
    def __init__(self, error=None):
        self.jobs = []
        self.folders = []
        self.error = error

    def __call__(self, job, folder, progress):
        self.jobs.append(job)
        self.folders.append(folder)
        (folder / "half").write_text("half")
        if self.error:
            raise self.error
        wheel = folder / NAME
        wheel.write_bytes(b"a wheel")
        return Product(wheel, ("addict",), 12.5)


def test_it_is_built_once(fitting, source, toolchain, recorder):
    maker = Maker()
    first = build(fitting, sdist=source, toolchain=toolchain, progress=recorder, make=maker)
    second = build(fitting, sdist=source, toolchain=toolchain, progress=recorder, make=maker)
    assert (first.from_cache, second.from_cache) == (False, True)
    assert first.path == second.path
    assert first.key == key(fitting)
    assert first.path.read_bytes() == b"a wheel"
    assert (second.requires, second.seconds) == (("addict",), 12.5)
    assert len(maker.jobs) == 1
    assert list(cache_folder("builds").iterdir()) == []


def test_it_says_beforehand_how_long_it_takes(fitting, source, toolchain, recorder):
    build(fitting, sdist=source, toolchain=toolchain, progress=recorder, core_seconds=600, make=Maker())
    assert "with 2 compilers at once takes about 5 minutes" in recorder.notes[0]


def test_how_long_a_build_for_gpus_takes_is_known_after_the_first(fitting, source, toolchain, recorder):
    gpu, maker = replace(fitting, architectures=("sm_86", "sm_90")), Maker()
    build(fitting, sdist=source, toolchain=toolchain, progress=recorder, make=maker)
    build(gpu, sdist=source, toolchain=toolchain, progress=recorder, make=maker)
    build(replace(gpu, flags=("-w",)), sdist=source, toolchain=toolchain, progress=recorder, make=maker)
    assert "for sm_86, sm_90 with 2 compilers at once takes a time that is not known yet" in recorder.notes[1]
    assert "takes about a minute" in recorder.notes[2]
    assert [job.expected_seconds for job in maker.jobs[1:]] == [None, 12.5]


def test_the_last_duration_is_the_next_estimate(fitting, source, toolchain, recorder):
    build(fitting, sdist=source, toolchain=toolchain, progress=recorder, make=Maker())
    entry = cache_folder("wheels") / key(fitting) / "entry.json"
    document = json.loads(entry.read_text())
    document["seconds"] = 480
    entry.write_text(json.dumps(document))
    maker = Maker()
    build(replace(fitting, flags=("-w",)), sdist=source, toolchain=toolchain, progress=recorder, make=maker)
    assert maker.jobs[0].expected_seconds == 480


def test_another_source_is_refused(recipe, source, toolchain, recorder):
    with pytest.raises(IntegrityError, match="is not the source of mmcv-full"):
        build(recipe, sdist=source, toolchain=toolchain, progress=recorder, make=Maker())
    with pytest.raises(IntegrityError, match="cannot read"):
        build(recipe, sdist=source / "absent", toolchain=toolchain, progress=recorder, make=Maker())


@pytest.mark.parametrize("offline", [True, False])
def test_the_network_is_excluded_on_request(fitting, source, toolchain, recorder, offline):
    maker = Maker()
    build(fitting, sdist=source, toolchain=toolchain, progress=recorder, make=maker, offline=offline)
    assert maker.jobs[0].offline is offline


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_is_full_or_read_only_is_told(fitting, source, toolchain, recorder, number):
    maker = Maker(OSError(number, os.strerror(number)))
    error = TargetError if number == errno.EROFS else DiskSpaceError
    with pytest.raises(error, match=os.strerror(number)) as caught:
        build(fitting, sdist=source, toolchain=toolchain, progress=recorder, make=maker)
    assert "MMSETUP_CACHE_DIR" in caught.value.remedy
    assert list(cache_folder("builds").iterdir()) == []


@pytest.mark.parametrize("error", [BuildError("failed"), KeyboardInterrupt()], ids=["failure", "interrupt"])
def test_a_failed_build_keeps_nothing(fitting, source, toolchain, recorder, error):
    maker = Maker(error)
    with pytest.raises(type(error)):
        build(fitting, sdist=source, toolchain=toolchain, progress=recorder, make=maker)
    assert not maker.folders[0].exists()
    assert list(cache_folder("wheels").iterdir()) == []
    assert not build(fitting, sdist=source, toolchain=toolchain, progress=recorder, make=Maker()).from_cache


def test_of_two_processes_one_builds(source):
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    started = [
        subprocess.Popen([sys.executable, "-c", TOGETHER, source, digest], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=30)[0].splitlines() for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert sorted(output.count("made") for output in outputs) == [0, 1]
    waiting = next(output for output in outputs if "made" not in output)
    assert "another mmsetup is building the same wheel" in waiting[0]
    results = [json.loads(output[-1].removeprefix("built ")) for output in outputs]
    assert results[0][0] == results[1][0]
    assert sorted(result[1] for result in results) == [False, True]
