"""What goes wrong around a build, by real means: compilers without memory, full disks, damaged files, a second build."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_package import EXTENSION, Steps, newest_log
from tiny_package import SETUP as PLAIN_SETUP

from mmsetup.build import build
from mmsetup.build.recipe import PLAIN, UNITS
from mmsetup.errors import BuildError, IntegrityError
from mmsetup.paths import cache_folder
from mmsetup.progress import Silent

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("own_folders")]

# As torch does, ninja compiles the files of an extension, as many at once as MAX_JOBS says.
SETUP = """
import glob, os, subprocess
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

class ThroughNinja(build_ext):
    def build_extensions(self):
        self.compiler.compile = self.compile
        super().build_extensions()

    def compile(self, sources, output_dir=None, include_dirs=None, extra_postargs=None, **others):
        compiler = self.compiler
        folders = ["-I" + os.path.abspath(path) for path in (include_dirs or []) + compiler.include_dirs]
        flags = compiler.compiler_so[1:] + folders + (extra_postargs or [])
        objects = compiler.object_filenames(sources, output_dir=output_dir)
        with open("build.ninja", "w") as file:
            file.write("rule cc\\n  command = %s $flags -c $in -o $out\\n" % os.environ["CXX"])
            for source, made in zip(sources, objects):
                os.makedirs(os.path.dirname(made), exist_ok=True)
                file.write("build %s: cc %s\\n" % (os.path.abspath(made), os.path.abspath(source)))
                file.write("  flags = %s\\n" % " ".join(flags))
        subprocess.run(["ninja", "-v", "-j", os.environ["MAX_JOBS"]], check=True)
        return objects

setup(
    name="mmcv-full", version="0.1", packages=["mmcv"], cmdclass={"build_ext": ThroughNinja},
    ext_modules=[Extension("mmcv._ext", sorted(glob.glob("*.cpp")))],
)
"""
MODULE = EXTENSION.replace("PyMODINIT_FUNC", 'extern "C" PyObject *')
GREEDY = """
struct Row%(n)d { int a, b, c, d; };
static const struct Row%(n)d table%(n)d[] = { %(rows)s };
extern "C" int greedy%(n)d(int n) { return table%(n)d[n].a; }
"""
ROWS = ",".join(f"{{{n},{n + 1},{n + 2},{n + 3}}}" for n in range(30_000))
# A g++ whose cc1plus gets little memory while another one runs, or always.
WRAPPER = """#!/bin/sh
case " $* " in *" -c "*) ;; *) exec g++ "$@";; esac
exec 9>>{folder}/running
if {always} || ! flock -n 9; then
  exec prlimit --as={limit} g++ "$@"
fi
sleep 1
g++ "$@"
"""
MEGABYTES_TOO_FEW = 70


@pytest.fixture
def greedy(tiny, toolchain, tmp_path):
    """Build files that take more memory than their compilers get: always, or while another one runs."""

    def make(*, way, always, progress, jobs=2, limit=MEGABYTES_TOO_FEW * 1_000_000):
        wrapper = tmp_path / "bin" / "g++"
        wrapper.parent.mkdir(exist_ok=True)
        text = WRAPPER.format(folder=tmp_path, always=str(always).lower(), limit=limit)
        wrapper.write_text(text)
        wrapper.chmod(0o755)
        files = {f"greedy{n}.cpp": GREEDY % {"n": n, "rows": ROWS} for n in range(4)}
        recipe, sdist = tiny(setup=SETUP, files={"ext.cpp": MODULE, **files})
        chosen = replace(toolchain, cxx=str(wrapper), cc="gcc", jobs=jobs)
        recipe = replace(recipe, way=way)
        return build(recipe, sdist=sdist, toolchain=chosen, progress=progress)

    return make


LOWERED = "a compiler ran out of memory: going on with one at a time"


@pytest.mark.parametrize("way", [PLAIN, UNITS])
def test_a_compiler_that_dies_of_memory_beside_another_goes_on_alone(greedy, way):
    steps = Steps()
    built = greedy(way=way, always=False, progress=steps)
    assert built.path.exists()
    assert steps.notes.count(LOWERED) == 1
    log = newest_log()
    assert "out of memory" in log.replace(LOWERED, "") or "virtual memory exhausted" in log
    assert built.clashes == ()
    assert list(cache_folder("builds").iterdir()) == []


@pytest.mark.parametrize("way", [PLAIN, UNITS])
def test_a_compiler_that_dies_of_memory_alone_ends_the_build(greedy, way):
    steps = Steps()
    with pytest.raises(BuildError, match=r"out of memory, even with one at a time \(MAX_JOBS=1\)") as caught:
        greedy(way=way, always=True, progress=steps)
    assert steps.notes.count(LOWERED) == 1
    assert "swap" in caught.value.remedy
    assert list(cache_folder("wheels").iterdir()) == []
    assert list(cache_folder("builds").iterdir()) == []


def test_with_one_compiler_from_the_start_nothing_is_lowered(greedy):
    steps = Steps()
    with pytest.raises(BuildError, match="even with one at a time"):
        greedy(way=PLAIN, always=True, progress=steps, jobs=1)
    assert LOWERED not in steps.notes


APART = """
import json, pickle, sys
from pathlib import Path
from mmsetup.build import build
from mmsetup.errors import MmsetupError
from mmsetup.paths import cache_folder
sys.path.insert(0, str(Path(sys.argv[2])))
from tiny_package import Steps

recipe, sdist, toolchain = pickle.loads(Path(sys.argv[1]).read_bytes())
steps, told = Steps(), {}
try:
    built = build(recipe, sdist=sdist, toolchain=toolchain, progress=steps)
    told = {"from_cache": built.from_cache, "sha256": built.sha256}
except MmsetupError as error:
    told = {"error": type(error).__name__, "message": str(error), "remedy": error.remedy}
left = [str(path) for folder in ("wheels", "builds") for path in cache_folder(folder).rglob("*")]
print(json.dumps({**told, "notes": steps.notes, "left": left}))
"""


@pytest.fixture
def apart(toolchain, tmp_path):
    """Give what starts a build in a process of its own; ``disk`` is a folder and the size it shall have."""

    def start(recipe, sdist, *, disk=None):
        order = tmp_path / "order"
        order.write_bytes(pickle.dumps((recipe, sdist, toolchain)))
        command = [sys.executable, "-c", APART, order, Path(__file__).parent]
        if disk is not None:
            folder, size = disk
            folder.mkdir(parents=True, exist_ok=True)
            mount = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
            mount += ['mount -t tmpfs -o size="$1" none "$0" && shift && exec "$@"', folder, size]
            if subprocess.run([*mount, "true"], capture_output=True).returncode:
                pytest.skip("no file system can be mounted here")
            command = [*mount, *command]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    return start


def told_by(process):
    out, _ = process.communicate(timeout=120)
    return json.loads(out)


LARGE = EXTENSION + "\nchar large[64 << 20] = {1};\n"
# What fills the disk after the wheel was made lies in the private folder, which is there until it is kept.
FILLING = """
import atexit

def fill():
    with open("filler", "wb") as file:
        for size in (1 << 20, 1 << 10, 1):
            try:
                while True:
                    file.write(bytes(size))
                    file.flush()
            except OSError:
                pass

atexit.register(fill)
"""


@pytest.mark.parametrize(
    ("size", "change", "told"),
    [
        ("1m", {}, ("DiskSpaceError", "the disk ran full while trying to make the environment")),
        ("40m", {"extension": LARGE}, ("BuildError", "the disk is full")),
        ("40m", {"setup": FILLING + PLAIN_SETUP}, ("DiskSpaceError", "No space left on device")),
    ],
    ids=["environment", "compiler", "keeping"],
)
def test_a_full_disk_is_told(tiny, apart, size, change, told):
    recipe, sdist = tiny(**change)
    error, message = told
    told = told_by(apart(recipe, sdist, disk=(cache_folder("wheels").parent, size)))
    assert told.get("error") == error, told
    assert message in told["message"]
    assert told["left"] == []
    assert "MMSETUP_CACHE_DIR" in told["remedy"]


def test_a_full_folder_for_temporary_files_is_told_apart(tiny, apart, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    recipe, sdist = tiny(extension=EXTENSION + GREEDY.replace('extern "C" ', "") % {"n": 1, "rows": ROWS})
    told = told_by(apart(recipe, sdist, disk=(tmp_path / "temporary", "512k")))
    assert told.get("error") == "BuildError", told
    assert "the folder for temporary files is full" in told["message"]
    assert "TMPDIR" in told["remedy"]


def test_a_single_byte_that_changed_in_the_cache_is_found_and_built_again(tiny, toolchain):
    recipe, sdist = tiny()
    first = build(recipe, sdist=sdist, toolchain=toolchain, progress=Silent())
    assert build(recipe, sdist=sdist, toolchain=toolchain, progress=Silent()).from_cache
    content = bytearray(first.path.read_bytes())
    content[len(content) // 2] ^= 1
    first.path.write_bytes(content)
    again = build(recipe, sdist=sdist, toolchain=toolchain, progress=Silent())
    assert not again.from_cache
    assert hashlib.sha256(again.path.read_bytes()).hexdigest() == again.sha256
    assert build(recipe, sdist=sdist, toolchain=toolchain, progress=Silent()).from_cache


def test_of_two_real_builds_at_once_one_builds_and_the_other_waits(tiny, apart):
    recipe, sdist = tiny(setup="import time\ntime.sleep(3)\n" + PLAIN_SETUP)
    running = [apart(recipe, sdist) for _ in range(2)]
    told = sorted(map(told_by, running), key=lambda one: one["from_cache"])
    assert [one["from_cache"] for one in told] == [False, True]
    assert told[0]["sha256"] == told[1]["sha256"]
    assert "another mmsetup is building the same wheel; waiting for it" in told[1]["notes"]
    assert not any("compil" in note for note in told[1]["notes"])


def test_a_source_of_which_a_byte_changed_is_not_built(tiny, toolchain):
    recipe, sdist = tiny()
    content = bytearray(sdist.read_bytes())
    content[len(content) // 2] ^= 1
    sdist.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"is not the source of mmcv-full 0\.1"):
        build(recipe, sdist=sdist, toolchain=toolchain, progress=Silent())
    assert list(cache_folder("builds").iterdir()) == []
