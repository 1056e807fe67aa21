"""Private folders that do not outlive their process for long."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from mmsetup.build.workspace import remove_stale, workspace
from mmsetup.errors import TargetError

HOLD = """
import sys, time
from pathlib import Path
from mmsetup.build.workspace import workspace
with workspace(Path(sys.argv[1]), "held") as folder:
    (folder / "file").write_text("x")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    folder = tmp_path / process.stdout.readline().strip()
    yield process, folder
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_folder_is_removed_afterwards(tmp_path):
    with workspace(tmp_path, "one") as folder:
        (folder / "file").write_text("x")
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_it_is_removed_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="boom"), workspace(tmp_path, "one"):
        raise ValueError("boom")
    assert list(tmp_path.iterdir()) == []


def test_a_living_one_is_left_alone(tmp_path, holder):
    _, folder = holder
    assert remove_stale(tmp_path) == ()
    with workspace(tmp_path, "other"):
        assert (folder / "file").exists()


def test_a_killed_one_is_removed_by_the_next(tmp_path, holder):
    process, folder = holder
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / "file").exists()
    with workspace(tmp_path, "next"):
        assert not folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_remains_without_a_lock_are_removed(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "alone.lock").touch()
    assert remove_stale(tmp_path) == ("alone", "old")
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_is_no_folder_is_told(tmp_path):
    root = tmp_path / "root"
    root.write_text("a file")
    assert remove_stale(root) == ()
    with pytest.raises(TargetError, match=r"cannot write to .*root"), workspace(root, "one"):
        pass


def test_where_there_are_no_posix_locks_all_but_a_build_works(tmp_path):
    code = (
        "import sys; sys.modules['fcntl'] = None; from pathlib import Path; "
        "from mmsetup.build import remove_stale; sys.platform = 'win32'; "
        "print(remove_stale(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, tmp_path]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "()\n"
