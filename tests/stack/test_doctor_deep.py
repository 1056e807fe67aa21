"""Ask a real environment that is really broken: the doctor tells how it dies, where, and no cause twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from uv import find_uv_bin

from mmsetup.catalog import load
from mmsetup.doctor import Diagnosis, Finding, doctor
from mmsetup.probe import environment, probe

pytestmark = pytest.mark.stack

EXTENSIONS = {
    "writes where nothing is": ("SIGSEGV", "void *PyInit__ext(void) { *(volatile int *)8 = 1; return 0; }"),
    "calls a null pointer": ("SIGSEGV", "void *PyInit__ext(void) { void *(*f)(void) = 0; return f(); }"),
    "aborts": ("SIGABRT", "#include <stdlib.h>\nvoid *PyInit__ext(void) { abort(); }"),
    "is for another processor": ("SIGILL", "void *PyInit__ext(void) { __builtin_trap(); }"),
    "lets the C library write": (
        "SIGSEGV",
        "#include <string.h>\nvoid *PyInit__ext(void) { volatile size_t n = 99999; return memset((void *)16, 1, n); }",
    ),
}


def linked(source: str, target: str) -> None:
    """Give a file a second name; a copy where the file systems differ."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


@pytest.fixture
def broken(stack_environment: Path, tmp_path: Path) -> Path:
    """A copy that shares its files with the original: nothing in it may be written to, only replaced."""
    shutil.copytree(stack_environment, tmp_path / "env", symlinks=True, copy_function=linked)
    return tmp_path / "env"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Diagnosis]:
    """Examine an environment by --deep, in a shell with variables, on this machine as it would be without a GPU."""
    machine, catalog = replace(probe(), driver=None, gpus=()), load()

    def make(prefix: Path, *, seconds: float = 120.0, **variables: str) -> Diagnosis:
        described = environment(prefix)
        with monkeypatch.context() as patch:
            patch.setattr(os, "environ", {**os.environ, **variables})
            return doctor(described, machine, catalog, deep=True, seconds=seconds)

    return make


def packages(prefix: Path) -> Path:
    return environment(prefix).site_packages[0]


def extension(prefix: Path) -> Path:
    (found,) = (packages(prefix) / "mmcv").glob("_ext.*so")
    return found


def put(place: Path, text: str) -> None:
    """Write a file anew, as the old one is shared with the original."""
    place.unlink(missing_ok=True)
    place.write_text(text)


def compiled(target: Path, source: str, scratch: Path) -> None:
    target.unlink()
    (scratch / "module.c").write_text(source)
    words = ["gcc", "-shared", "-fPIC", "-O0", "-w", str(scratch / "module.c"), "-o", str(target)]
    subprocess.run(words, check=True)


def uv(prefix: Path, *words: str) -> None:
    subprocess.run(
        [find_uv_bin(), "pip", *words, "--python", str(prefix / "bin" / "python"), "--quiet"],
        check=True,
        capture_output=True,
        text=True,
    )


def errors(diagnosis: Diagnosis) -> list[str]:
    return [finding.id for finding in diagnosis.of("error")]


def only(diagnosis: Diagnosis, number: str) -> Finding:
    (found,) = [finding for finding in diagnosis.findings if finding.id == number]
    return found


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if not path.is_dir()
    }


def test_a_good_environment_answers_everything_and_is_left_as_it_was(stack_environment, tmp_path):
    (tmp_path / "here").mkdir()
    before = files(stack_environment)
    command = [sys.executable, "-m", "mmsetup", "doctor", "--deep", "--env", str(stack_environment), "--json"]
    # Not in tmp_path, whose name can be too long for the sockets of workers.
    with tempfile.TemporaryDirectory() as temporary:
        variables = {**os.environ, "TMPDIR": temporary}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path / "here", env=variables
        )
        assert list(Path(temporary).iterdir()) == []
    assert done.returncode == 0, done.stdout
    document = json.loads(done.stdout)
    # What else there may be is of the machine, such as the wheels in its caches.
    assert [one for one in document["findings"] if one["id"].startswith("MM7")] == []
    assert {"MM711", "MM712", "MM713", "MM714", "MM721", "MM722", "MM723", "MM724", "MM725", "MM726"} <= set(
        document["checked"]
    )
    assert files(stack_environment) == before
    assert list((tmp_path / "here").iterdir()) == []


def test_a_folder_for_temporary_files_whose_name_is_too_long(stack_environment, asked, tmp_path, monkeypatch):
    place = tmp_path / ("long" * 25)
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    diagnosis = asked(stack_environment, seconds=30, TMPDIR=str(place))
    assert errors(diagnosis) == ["MM725"]
    found = only(diagnosis, "MM725")
    # The workers cannot hand over what they made, and who waits for it waits for ever.
    assert any("AF_UNIX path too long" in line for line in found.evidence)
    assert found.remedy.startswith("TMPDIR=/tmp")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("how", EXTENSIONS)
def test_operators_that_die(broken, asked, tmp_path, how):
    name, source = EXTENSIONS[how]
    compiled(extension(broken), source, tmp_path)
    diagnosis = asked(broken)
    assert errors(diagnosis) == ["MM713"]
    found = only(diagnosis, "MM713")
    assert found.message.startswith(f"importing mmcv.ops: the process was killed by {name}")
    assert f"mmcv/{extension(broken).name}" in found.message
    assert any("mmcv/ops/" in line for line in found.evidence)
    assert "comparing compiled operators" in found.evidence[-1]


def test_operators_that_throw_through_c(broken, asked, tmp_path):
    source = 'extern "C" void *PyInit__ext(void) { throw "bad"; }'
    extension(broken).unlink()
    (tmp_path / "module.cc").write_text(source)
    place = packages(broken) / "mmcv" / "_ext.so"
    subprocess.run(["g++", "-shared", "-fPIC", str(tmp_path / "module.cc"), "-o", str(place)], check=True)
    found = only(asked(broken), "MM713")
    assert "SIGABRT in mmcv/_ext.so" in found.message
    assert any("terminate called after throwing" in line for line in found.evidence)


def test_operators_that_leave(broken, asked, tmp_path):
    compiled(extension(broken), "#include <stdlib.h>\nvoid *PyInit__ext(void) { exit(3); }", tmp_path)
    diagnosis = asked(broken)
    assert errors(diagnosis) == ["MM713"]
    found = only(diagnosis, "MM713")
    assert "the process ended with exit status 3 in mmcv/_ext" in found.message
    assert any("mmcv/ops/" in line for line in found.evidence)


def test_operators_that_run_for_ever(broken, asked, tmp_path):
    compiled(extension(broken), "void *PyInit__ext(void) { for (volatile int i = 0;; i++); }", tmp_path)
    diagnosis = asked(broken, seconds=25)
    assert errors(diagnosis) == ["MM714"]
    found = only(diagnosis, "MM714")
    assert "importing mmcv.ops: it was not done after 25 s in mmcv/_ext" in found.message
    assert any("mmcv/ops/" in line for line in found.evidence)
    assert "importing mmseg" in found.evidence[-1]


def test_an_import_that_waits_for_ever(broken, asked):
    place = packages(broken) / "mmseg" / "version.py"
    put(place, f"import threading\nthreading.Event().wait()\n{place.read_text()}")
    diagnosis = asked(broken, seconds=25)
    assert errors(diagnosis) == ["MM714"]
    found = only(diagnosis, "MM714")
    assert found.message.startswith("importing mmseg: it was not done after 25 s")
    assert any("mmseg/version.py:2 in <module>" in line for line in found.evidence)
    assert not any("comparing" in line for line in found.evidence)


def test_operators_with_wrong_numbers(broken, asked):
    place = packages(broken) / "mmcv" / "ops" / "nms.py"
    text = place.read_text()
    put(place, text.replace("inds = ext_module.nms(", "inds = 1 + ext_module.nms(", 1))
    assert place.read_text() != text
    diagnosis = asked(broken)
    assert errors(diagnosis) == ["MM721"]
    assert only(diagnosis, "MM721").message == "nms on cpu does not give what torchvision gives"


def test_operators_that_are_missing_are_told_once(broken, asked):
    extension(broken).unlink()
    diagnosis = asked(broken)
    assert errors(diagnosis) == ["MM201"]
    found = only(diagnosis, "MM712")
    assert found.severity == "note"
    assert found.message.startswith(
        "importing mmcv.ops raises ModuleNotFoundError: No module named 'mmcv._ext'"
    )
    assert found.message.endswith("as MM201 explains")


def test_a_requirement_that_is_missing_is_told_once(broken, asked):
    uv(broken, "uninstall", "addict")
    diagnosis = asked(broken)
    assert errors(diagnosis) == ["MM111"]
    assert only(diagnosis, "MM712").message.endswith("as MM111 explains")


def test_an_edited_module_that_raises(broken, asked):
    place = packages(broken) / "mmseg" / "apis" / "__init__.py"
    put(place, f"{place.read_text()}\nraise RuntimeError('of this test alone')\n")
    diagnosis = asked(broken)
    assert errors(diagnosis) == ["MM712"]
    found = only(diagnosis, "MM712")
    assert found.message == "importing mmseg.apis raises RuntimeError: of this test alone"
    assert found.evidence[0].startswith("MM108 explains it: mmsegmentation ")
    assert "mmseg/apis/__init__.py" in found.evidence[1]


def test_a_yapf_that_breaks_the_text_of_configs(broken, asked):
    place = packages(broken) / "mmcv" / "utils" / "config.py"
    text = place.read_text()
    uv(broken, "install", "--no-deps", "yapf==0.43.0")
    # What mmcv up to 1.7.1 does.
    put(place, text.replace("if digit_version(yapf.__version__) >= digit_version('0.40.2'):", "if False:"))
    assert place.read_text() != text
    diagnosis = asked(broken)
    assert errors(diagnosis) == ["MM723"]
    found = only(diagnosis, "MM723")
    assert "FormatCode() got an unexpected keyword argument 'verify'" in found.message
    assert found.evidence[0].startswith("MM108 explains it: mmcv-full ")
    assert "mmcv/utils/config.py" in found.evidence[1]


def test_an_edited_yapf_that_breaks_the_text_of_configs(broken, asked):
    put(
        packages(broken) / "yapf" / "yapflib" / "yapf_api.py",
        "def FormatCode(*_, **__):\n    raise KeyError('style')\n",
    )
    diagnosis = asked(broken)
    assert errors(diagnosis) == ["MM723"]
    explained, place, *_ = only(diagnosis, "MM723").evidence
    assert explained.startswith("MM108 explains it: yapf ")
    assert "yapf_api.py:2 in FormatCode" in place


def test_numpy_2_beside_an_old_torch_is_told_once(broken, asked):
    uv(broken, "install", "--no-deps", "numpy==2.2.6")
    diagnosis = asked(broken)
    assert errors(diagnosis) == ["MM402"]
    deep = {finding.id: finding for finding in diagnosis.of("note")}
    assert "Numpy is not available" in deep["MM722"].message


def test_a_torchvision_of_another_release_is_told_once(broken, asked):
    uv(broken, "install", "--no-deps", "torchvision==0.13.1")
    diagnosis = asked(broken)
    assert errors(diagnosis) == ["MM301"]
    # The reference of the operators is what fails.
    assert only(diagnosis, "MM721").message.endswith("as MM301 explains")


def test_a_checkpoint_that_does_not_load(broken, asked):
    place = packages(broken) / "mmcv" / "runner" / "checkpoint.py"
    text = place.read_text()
    put(
        place,
        text.replace(
            "torch.load(filename, map_location=map_location)", "torch.load(filename, weights_only=True)"
        ),
    )
    assert place.read_text() != text
    diagnosis = asked(broken)
    assert errors(diagnosis) == ["MM724"]
    assert (
        "Weights only load failed" in only(diagnosis, "MM724").message
        or "Unsupported" in only(diagnosis, "MM724").message
    )


@pytest.mark.parametrize(
    ("source", "severity"),
    [("print('welcome', end='')", "note"), ("raise RuntimeError('of this test alone')", "warning")],
)
def test_code_at_the_start_that_prints_or_raises(broken, asked, source, severity):
    (packages(broken) / "sitecustomize.py").write_text(source)
    diagnosis = asked(broken)
    assert errors(diagnosis) == []
    found = only(diagnosis, "MM711")
    assert found.severity == severity
    assert any("of this test" in line or "welcome" in line for line in found.evidence)
    assert [one.id for one in diagnosis.findings if one.id.startswith("MM7")] == ["MM711"]


def test_code_at_the_start_that_ends_the_process(broken, asked):
    (packages(broken) / "sitecustomize.py").write_text("raise SystemExit('of this test alone')")
    diagnosis = asked(broken)
    assert errors(diagnosis) == ["MM711"]
    assert any("of this test alone" in line for line in only(diagnosis, "MM711").evidence)


def test_an_interface_that_is_not_there(stack_environment, asked):
    diagnosis = asked(stack_environment, GLOO_SOCKET_IFNAME="nothere0")
    assert errors(diagnosis) == []
    found = only(diagnosis, "MM726")
    assert found.severity == "warning"
    assert "nothere0" in found.message


def test_what_pythonpath_does_is_met_and_told_once(broken, asked, tmp_path):
    shutil.copytree(
        packages(broken) / "mmcv", tmp_path / "other" / "mmcv", ignore=shutil.ignore_patterns("_ext*")
    )
    diagnosis = asked(broken, PYTHONPATH=str(tmp_path / "other"))
    assert errors(diagnosis) == ["MM131"]
    found = only(diagnosis, "MM712")
    assert "No module named 'mmcv._ext'" in found.message
    assert found.message.endswith("as MM131 explains")


def can_mount() -> bool:
    words = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"]
    return shutil.which("unshare") is not None and subprocess.run(words, capture_output=True).returncode == 0


def test_too_little_shared_memory(stack_environment, tmp_path):
    if not can_mount():
        pytest.skip("nothing may be mounted here")
    command = [sys.executable, "-m", "mmsetup", "doctor", "--deep", "--env", str(stack_environment), "--json"]
    mounted = 'mount -t tmpfs -o size=16m tmpfs /dev/shm && exec "$@"'
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mounted, "sh", *command], capture_output=True, text=True, cwd=tmp_path
    )
    findings = {one["id"]: one for one in json.loads(done.stdout)["findings"]}
    assert {"MM725", "MM511"} == {one for one in findings if one.startswith(("MM7", "MM5"))}, done.stdout
    assert [one["id"] for one in findings.values() if one["severity"] == "error"] == ["MM725"]
    assert findings["MM725"]["evidence"][0].startswith("MM511 explains it")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind_when_it_is_interrupted(broken, tmp_path, sent):
    place = packages(broken) / "mmseg" / "version.py"
    put(place, "import time\ntime.sleep(600)\n")
    (tmp_path / "temporary").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "mmsetup", "doctor", "--deep", "--env", str(broken)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
    )
    until = time.monotonic() + 60
    while not running(broken) and time.monotonic() < until:
        time.sleep(0.1)
    time.sleep(2)
    assert running(broken)
    process.send_signal(sent)
    process.wait(20)
    until = time.monotonic() + 10
    while running(broken) and time.monotonic() < until:
        time.sleep(0.1)
    assert running(broken) == []
    if sent != signal.SIGKILL:
        assert list((tmp_path / "temporary").iterdir()) == []


def running(prefix: Path) -> list[str]:
    """Give the numbers of processes that the interpreter of an environment runs for the payload."""
    found = subprocess.run(
        ["pgrep", "-f", f"^{prefix}/bin/python.*payload/doctor"], capture_output=True, text=True
    )
    return found.stdout.split()
