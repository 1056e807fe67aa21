"""Real builds: a tiny package in every way that can go wrong, and what came of mmcv-full itself."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_package import EXTENSION, SETUP, Steps, newest_log

from mmsetup.binary import inspection, wheel
from mmsetup.build import build
from mmsetup.build.label import RECIPE_FILE
from mmsetup.build.recipe import PLAIN, UNITS
from mmsetup.errors import BuildError, IntegrityError
from mmsetup.paths import cache_folder
from mmsetup.progress import Silent

pytestmark = pytest.mark.stack

SECONDS_TO_END = 10
ENDLESS = "constexpr long f() { long s = 0; for (long i = 0; i < 1L << 40; ++i) s += i; return s; }\nconstexpr long x = f();\nint main() { return x; }\n"
ENDLESS_FLAGS = (
    "-O2 -DNDEBUG -std=c++17 -fconstexpr-loop-limit=2147483647 -fconstexpr-ops-limit=9223372036854775807"
)
TOGETHER = """
import glob
from setuptools import Extension, setup
sources = ["ext.c", *sorted(glob.glob("part*.cpp"))]
setup(name="mmcv-full", version="0.1", packages=["mmcv"], ext_modules=[Extension("mmcv._ext", sources)])
"""
CALLING = """
#include <Python.h>
int part0(void); int part1(void); int part2(void); int part3(void);
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_ext", 0, -1, 0};
PyMODINIT_FUNC PyInit__ext(void) {
  PyObject *made = PyModule_Create(&module);
  PyModule_AddIntConstant(made, "sum", part0() + 10 * part1() + 100 * part2() + 1000 * part3());
  return made;
}
"""
PARTS = {f"part{n}.cpp": f'extern "C" int part{n}() {{ return {n + 1}; }}\n' for n in range(4)}
CLASHING = {
    **PARTS,
    "part0.cpp": "static int own() { return 5; }\n" + 'extern "C" int part0() { return own(); }\n',
    "part1.cpp": "static int own() { return 8; }\n" + 'extern "C" int part1() { return own(); }\n',
    "part2.cpp": "static int own() { return 6; }\n" + 'extern "C" int part2() { return own(); }\n',
    "part3.cpp": "#define own 7\n" + 'extern "C" int part3() { return own; }\n',
}
CHECK_OPS = """
import torch, torchvision
from mmcv.ops import nms, roi_align
torch.manual_seed(0)
corner = torch.rand(200, 2) * 80
boxes = torch.cat([corner, corner + 5 + torch.rand(200, 2) * 30], 1)
scores = torch.rand(200)
assert torch.equal(nms(boxes, scores, 0.5)[1], torchvision.ops.nms(boxes, scores, 0.5))
image = torch.rand(1, 3, 32, 32)
rois = torch.cat([torch.zeros(5, 1), boxes[:5] / 4], 1)
ours = roi_align(image, rois, (7, 7), 1.0, 2, "avg", True)
theirs = torchvision.ops.roi_align(image, rois, (7, 7), 1.0, 2, True)
assert torch.allclose(ours, theirs, atol=1e-5)
print("agrees")
"""
KILLED = """
import pickle, sys
from pathlib import Path
from mmsetup.build import build
from mmsetup.progress import Silent
from mmsetup.uv import fetch_interpreter
recipe, sdist, toolchain = pickle.loads(Path(sys.argv[1]).read_bytes())
build(recipe, sdist=sdist, toolchain=toolchain, progress=Silent())
"""


@pytest.fixture
def flags_from_outside(monkeypatch):
    monkeypatch.setenv("CFLAGS", "-g0 -DFROM_OUTSIDE")


def processes_in(folder):
    """Give the command lines of all processes that work on something in ``folder``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(folder) in words:
                found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.usefixtures("own_folders", "flags_from_outside")
@pytest.mark.parametrize("which", ["oldest", "newest", "usual"])
def test_the_compiler_is_given_what_it_should(tiny, toolchain, interpreter_at, pinned, which):
    recipe, sdist = tiny()
    if which != "usual":
        python = interpreter_at(-1 if which == "newest" else 0)
        recipe = replace(
            recipe, python=python, requirements=pinned("setuptools<81", "wheel", "ninja", python=python)
        )
    built = build(recipe, sdist=sdist, toolchain=toolchain, progress=Silent())
    given = [line for line in newest_log().splitlines() if " -c " in line]
    assert given
    for line in given:
        assert "-DNDEBUG" in line
        assert re.search(r" -O[23] ", line)
        assert "-DMARK=1" in line
        assert not re.search(r"\s-g\w*\s", line)
        assert "FROM_OUTSIDE" not in line
    facts = wheel.inspect(built.path)
    assert facts.has_ops
    assert not [name for name in facts.ops.elf.sections if name.startswith(".debug")]
    assert built.requires == ("addict",)


@pytest.mark.usefixtures("own_folders")
def test_steps_of_ninja_are_shown(tiny, toolchain):
    files = {f"part{n}.cpp": f"int part{n}() {{ return {n}; }}\n" for n in range(3)}
    setup = SETUP.replace("NINJA = []", f"NINJA = {list(files)}").replace("FLAGS", "-O2 -DNDEBUG")
    recipe, sdist = tiny(setup=setup, files=files)
    steps = Steps()
    build(recipe, sdist=sdist, toolchain=toolchain, progress=steps)
    compiled = [(text, done, total) for text, done, total, _ in steps.seen if text.startswith("compiled")]
    assert [step[1:] for step in compiled] == [(1, 3), (2, 3), (3, 3)]
    assert {step[0] for step in compiled} == {f"compiled {name}" for name in files}
    assert steps.seen[-1][3] == 0


@pytest.mark.usefixtures("own_folders")
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"extension": "int broken = ;\n"}, "error: expected expression"),
        (
            {
                "setup": SETUP.replace("mmcv._ext", "mmcv._other").replace("ext.c", "other.c"),
                "files": {"other.c": EXTENSION.replace("_ext", "_other")},
            },
            r"holds no mmcv\._ext",
        ),
        ({"setup": "raise SystemExit('no way')\n"}, "exit status 1"),
        ({"setup": "print('done')\n"}, "made 0 wheels"),
        ({"setup": "import pkg_missing\n"}, "No module named 'pkg_missing'"),
        ({"setup": SETUP.replace('version="0.1"', 'version="0.2"')}, "not mmcv-full 0.1"),
        (
            {
                "setup": SETUP.replace("NINJA = []", "NINJA = ['slow.cpp']").replace("FLAGS", "-g0"),
                "files": {"slow.cpp": "int f;\n"},
            },
            "was not optimised",
        ),
        (
            {
                "extension": EXTENSION
                + "int absent_anywhere(void);\nint f(void) { return absent_anywhere(); }\n",
                "setup": SETUP.replace('["ext.c"]', '["ext.c"], extra_link_args=["-Wl,-z,defs"]'),
            },
            "undefined reference to",
        ),
    ],
    ids=[
        "does not compile",
        "no operators",
        "gives up",
        "makes nothing",
        "import",
        "version",
        "unoptimised",
        "does not link",
    ],
)
def test_what_cannot_be_built_is_told(tiny, toolchain, change, complaint):
    recipe, sdist = tiny(**change)
    with pytest.raises(BuildError, match=complaint) as caught:
        build(recipe, sdist=sdist, toolchain=toolchain, progress=Silent())
    assert "the whole log" in caught.value.remedy
    named = [word for word in caught.value.remedy.split() if word.endswith(".log")]
    assert [Path(word).is_file() for word in named] == [True]
    assert caught.value.evidence
    assert list(cache_folder("wheels").iterdir()) == []
    assert list(cache_folder("builds").iterdir()) == []


@pytest.fixture
def together(tiny, toolchain):
    """Build an extension of four C++ files and one of C in units."""

    def make(files, *, progress=None, apart=(), jobs=1):
        recipe, sdist = tiny(setup=TOGETHER, extension=CALLING, files=files)
        recipe = replace(recipe, way=UNITS, apart=apart)
        chosen = replace(toolchain, jobs=jobs)
        return build(recipe, sdist=sdist, toolchain=chosen, progress=progress or Silent())

    return make


def sum_of(built, python, folder):
    folder.mkdir()
    shutil.unpack_archive(built.path, folder, "zip")
    command = [python.path, "-c", "import mmcv._ext; print(mmcv._ext.sum)"]
    return int(subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout)


@pytest.mark.usefixtures("own_folders")
def test_files_are_compiled_together(together, python, tmp_path):
    steps = Steps()
    built = together(PARTS, progress=steps)
    compiled = [re.search(r"-c (\S+)", line)[1] for line in newest_log().splitlines() if " -c " in line]
    assert sorted(Path(path).name[:4] for path in compiled) == ["ext.", "unit", "unit"]
    assert "compiling 5 files in 3 units" in steps.notes
    assert sum_of(built, python, tmp_path / "wheel") == 4321
    assert built.clashes == ()


@pytest.mark.usefixtures("own_folders")
@pytest.mark.parametrize("jobs", [1, 3])
def test_files_that_clash_are_found_and_compiled_apart(together, python, tmp_path, jobs):
    steps = Steps()
    built = together(CLASHING, progress=steps, jobs=jobs)
    assert sum_of(built, python, tmp_path / "wheel") == 7685
    if jobs == 1:
        assert [clash.split(":")[0] for clash in built.clashes] == ["part2.cpp with part0.cpp"]
        assert any(note.startswith("compiled apart") for note in steps.notes)


@pytest.mark.usefixtures("own_folders")
def test_files_that_are_known_to_clash_are_never_together(together, python, tmp_path):
    built = together(CLASHING, apart=(("part0.cpp", "part1.cpp", "part2.cpp"),))
    assert sum_of(built, python, tmp_path / "wheel") == 7685
    assert built.clashes == ()


@pytest.mark.usefixtures("own_folders")
def test_a_file_that_does_not_compile_at_all_ends_the_build(together):
    broken = CLASHING | {"part3.cpp": "int broken = ;\n"}
    with pytest.raises(BuildError, match="expected primary-expression"):
        together(broken)
    assert list(cache_folder("wheels").iterdir()) == []


@pytest.mark.usefixtures("own_folders")
def test_an_environment_that_cannot_be_made_is_told(tiny, toolchain):
    recipe, sdist = tiny()
    wrong = replace(recipe, requirements=("wheel==0.45.0 --hash=sha256:" + "0" * 64,))
    with pytest.raises(IntegrityError, match="locked hash") as caught:
        build(wrong, sdist=sdist, toolchain=toolchain, progress=Silent())
    assert "hash" in " ".join(caught.value.evidence).lower()


@pytest.mark.usefixtures("own_folders")
@pytest.mark.parametrize("way", [PLAIN, UNITS])
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_a_build_that_is_ended_leaves_nothing_behind(tiny, toolchain, tmp_path, signum, way):
    if way == PLAIN:
        setup = SETUP.replace("NINJA = []", "NINJA = ['slow1.cpp', 'slow2.cpp']")
        setup, parts = setup.replace("FLAGS", ENDLESS_FLAGS), 2
    else:
        options = f"sources, extra_compile_args={ENDLESS_FLAGS.split()[2:]}"
        setup, parts = TOGETHER.replace('"ext.c", ', "").replace("sources)]", options + ")]"), 4
        setup = setup.replace("part*", "slow*")
    recipe, sdist = tiny(
        setup=setup, files={f"slow{n + 1}.cpp": ENDLESS for n in range(parts)}, name="endless"
    )
    recipe = replace(recipe, way=way)
    order = tmp_path / "order"
    order.write_bytes(pickle.dumps((recipe, sdist, toolchain)))
    builds = cache_folder("builds")
    running = subprocess.Popen([sys.executable, "-c", KILLED, order], stderr=subprocess.DEVNULL)
    try:
        assert wait_for(lambda: any("cc1plus" in words for words in processes_in(builds)), 60)
        running.send_signal(signum)
        assert running.wait(15) == -signum
        assert wait_for(lambda: not processes_in(builds), SECONDS_TO_END), processes_in(builds)
    finally:
        running.kill()
        running.wait()
    assert list(cache_folder("wheels").iterdir()) == []
    following, sdist = tiny(name="following")
    build(following, sdist=sdist, toolchain=toolchain, progress=Silent())
    assert list(builds.iterdir()) == []


def test_a_wheel_that_is_there_is_given_without_asking_the_index(mmsetup, ops_wheel, tmp_path):
    nobody = "http://127.0.0.1:1"
    closed = {"HTTPS_PROXY": nobody, "HTTP_PROXY": nobody, "ALL_PROXY": nobody, "UV_HTTP_RETRIES": "0"}
    done = mmsetup("build", "mmcv-full==1.7.2", cwd=tmp_path, **closed)
    assert done.code == 0, done.err
    assert Path(done.out.strip()) == ops_wheel
    # Where one has to be built, the index is asked and does not answer.
    done = mmsetup("build", "mmcv-full==1.7.2", cwd=tmp_path, **closed, MMSETUP_CACHE_DIR=str(tmp_path))
    assert done.code == 4, done.err


def test_the_real_wheel_is_small_and_whole(ops_wheel):
    facts = wheel.inspect(ops_wheel, expect=wheel.Expected("mmcv-full", "1.7.2"))
    assert facts.has_ops
    assert facts.ops.architectures.sass == ()
    assert "libc10.so" in facts.ops.elf.needed
    assert facts.size < 3_000_000
    with zipfile.ZipFile(ops_wheel) as archive:
        library = archive.read(facts.ops.member)
    assert b"torch/include/c10" in library
    assert str(cache_folder("builds")).encode() not in library


def test_the_real_wheel_tells_where_it_belongs(ops_wheel, stack):
    plan = stack.document["plan"]
    torch = next(choice["version"] for choice in plan["choices"] if choice["name"] == "torch")
    found = inspection.inspect(ops_wheel)
    assert found.label.version == f"1.7.2+pt{torch}{plan['variant']}"
    assert found.label.tags == (f"cp310-cp310-{found.manylinux or 'linux_x86_64'}",)
    assert found.manylinux.startswith("manylinux_2_")
    with zipfile.ZipFile(ops_wheel) as archive:
        info = next(name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name)
        told = json.loads(archive.read(f"{info}/{RECIPE_FILE}"))
        assert b"__version__ = '1.7.2'" in archive.read("mmcv/version.py")
    assert (told["recipe"]["torch"], told["recipe"]["variant"]) == (torch, plan["variant"])
    assert told["key"] == stack.document["wheel"]["key"]
    assert str(Path.home()) not in json.dumps(told)


def test_the_real_wheel_holds_what_mmcv_ops_loads(ops_wheel, stack_environment, tmp_path):
    script = Path(__file__).with_name("all_operators.py")
    shutil.unpack_archive(ops_wheel, tmp_path, "zip")
    command = [stack_environment / "bin" / "python", "-W", "ignore", script, tmp_path]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    told = json.loads(done.stdout)
    assert told["absent"] == []
    assert len(told["names"]) > 100
    # This version has no bezier_align; everything else was computed.
    assert [name for name, result in told["results"].items() if isinstance(result, str)] == ["bezier_align"]


def test_the_real_operators_agree_with_torchvision(stack_environment):
    done = subprocess.run(
        [stack_environment / "bin" / "python", "-W", "ignore", "-c", CHECK_OPS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "agrees", done.stderr
