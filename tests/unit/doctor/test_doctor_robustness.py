"""Environments that are damaged, strange, huge, or change while they are looked at: findings, never a fault."""

import contextlib
import os
import shutil
import sys
import threading
import time

import pytest

from mmsetup.errors import MmsetupError, TargetError

NOISE = [
    b"",
    b"\xff\xfe\x00N\x00a\x00m\x00e",
    b"\x00" * 5000,
    "Name: größer\nVersion: 1\n".encode("latin-1"),
    b'a,b\n"' + b"x" * 200_000,
    b"[" * 5000,
    b'{"dir_info": {"editable": true}, "url": "file:///\\u0000"}',
]


def faults(diagnosis):
    """Give what the checks that could not be done stumbled over."""
    return [finding.evidence for finding in diagnosis.findings if finding.id == "MM001"]


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize(
    "name",
    ["METADATA", "RECORD", "WHEEL", "INSTALLER", "top_level.txt", "direct_url.json", "mmsetup-recipe.json"],
)
def test_metadata_that_is_noise(site, examine, name, noise):
    for info in site.packages.glob("*.dist-info"):
        (info / name).write_bytes(noise)
    assert faults(examine(site)) == []


@pytest.mark.parametrize("noise", NOISE)
def test_files_beside_that_are_noise(site, examine, noise, tmp_path, monkeypatch):
    for name in (
        "early.pth",
        "__editable___x_finder.py",
        "sitecustomize.py",
        "mmseg/__init__.py",
        "torch/version.py",
    ):
        (site.packages / name).write_bytes(noise)
    (site.packages / "x.pth").write_text("import __editable___x_finder; __editable___x_finder.install()\n")
    (site.prefix / "conda-meta").write_bytes(noise)
    (site.prefix / ".mmsetup").mkdir()
    (site.prefix / ".mmsetup" / "manifest.json").write_bytes(noise)
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_bytes(noise)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert faults(examine(site)) == []


@pytest.mark.parametrize("name", ["RECORD", "WHEEL", "direct_url.json", "top_level.txt"])
def test_metadata_that_is_no_file(site, examine, name):
    for number, info in enumerate(sorted(site.packages.glob("*.dist-info"))):
        (info / name).unlink(missing_ok=True)
        if number % 2:
            (info / name).mkdir()
        else:
            (info / name).symlink_to(info / name)
    assert faults(examine(site)) == []


@pytest.mark.parametrize("noise", [*NOISE, b"\x7fELF\x02\x01\x01", b"\x7fELF" + b"\xff" * 400])
def test_libraries_that_are_noise(site, examine, noise):
    for path in [*site.packages.rglob("*.so"), *site.packages.rglob("*.so.*")]:
        path.write_bytes(noise)
    diagnosis = examine(site)
    assert faults(diagnosis) == []
    assert {"MM202", "MM302"} <= {finding.id for finding in diagnosis.of("error")}


def test_named_pipes_do_not_hang(site, examine):
    (site.packages / "opencv_python_headless-4.11.0.86.dist-info" / "RECORD").unlink()
    os.mkfifo(site.packages / "opencv_python_headless-4.11.0.86.dist-info" / "RECORD")
    (site.packages / "cv2" / "cv2.abi3.so").unlink()
    os.mkfifo(site.packages / "cv2" / "cv2.abi3.so")
    os.mkfifo(site.packages / "sitecustomize.py")
    for name in ("METADATA", "top_level.txt", "INSTALLER"):
        (site.packages / "yapf-0.40.1.dist-info" / name).unlink()
        os.mkfifo(site.packages / "yapf-0.40.1.dist-info" / name)
    os.mkfifo(site.packages / "early.pth")
    done = []
    thread = threading.Thread(
        target=lambda: done.append(examine(site, select=["MM105", "MM12", "MM13"])), daemon=True
    )
    thread.start()
    thread.join(20)
    assert done
    assert faults(done[0]) == []


def test_a_loop_of_links_is_survived(site, examine):
    shutil.rmtree(site.packages / "cv2")
    (site.packages / "cv2").symlink_to("cv2")
    (site.packages / "numpy" / "again").symlink_to("..")
    assert faults(examine(site)) == []


def test_a_thousand_distributions_with_all_their_files_take_less_than_two_seconds(site, examine):
    for number in range(1000):
        info = site.packages / f"part{number}-1.0.dist-info"
        info.mkdir()
        wanted = "".join(f"Requires-Dist: part{(number + step) % 1000}>=1\n" for step in range(1, 6))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: part{number}\nVersion: 1.0\n{wanted}")
        (info / "INSTALLER").write_text("pip\n")
        rows = "".join(f"part{number}/module{row}.py,sha256=abc,10\n" for row in range(100))
        (info / "RECORD").write_text(rows)
    site.change("yapf", "0.40.1", requires=["part0"])
    began = time.process_time()
    diagnosis = examine(site)
    assert diagnosis.findings == ()
    assert time.process_time() - began < 2


def test_an_environment_that_is_being_changed_is_examined(site, examine):
    stop = threading.Event()
    kept = site.scratch / "kept"
    site.scratch.mkdir(exist_ok=True)
    shutil.copytree(site.packages, kept)

    def churn():
        while not stop.is_set():
            for name in ("mmcv", "cv2", "numpy-1.26.4.dist-info", "torch/lib", "mmcv_full-1.7.2.dist-info"):
                shutil.rmtree(site.packages / name, ignore_errors=True)
                shutil.copytree(kept / name, site.packages / name, dirs_exist_ok=True)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(15):
            with contextlib.suppress(MmsetupError):
                examine(site)
    finally:
        stop.set()
        thread.join()
    assert examine(site).findings == ()


def test_an_interpreter_that_is_a_dead_link_is_a_clear_error(site, examine):
    for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
        (site.prefix / "bin" / name).unlink(missing_ok=True)
        (site.prefix / "bin" / name).symlink_to("/nowhere/python3")
    with pytest.raises(TargetError, match="which is gone"):
        examine(site)
