"""A repair that is ended while uv asks an index which never answers: what is left, and what the next run does."""

import os
import signal
import socket
import subprocess
import sys

import pytest


@pytest.fixture
def mute():
    """An index that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


@pytest.fixture(autouse=True)
def of_a_terminal():
    """Let children inherit what a terminal gives, although nohup may have started the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def variables(mute, tmp_path):
    """The variables of a process whose temporary files, caches and index are those of the test."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))}
    return {
        **kept,
        "TMPDIR": str(temporary),
        "UV_DEFAULT_INDEX": f"http://127.0.0.1:{mute.getsockname()[1]}/simple",
        "UV_CACHE_DIR": str(tmp_path / "uv"),
        "MMSETUP_STATE_DIR": str(tmp_path / "state"),
        "MMSETUP_CACHE_DIR": str(tmp_path / "cache"),
        "COLUMNS": "200",
    }


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_stays_of_what_uv_was_asked(site, mute, variables, tmp_path, signum):
    site.remove("yapf")
    process = subprocess.Popen(
        [sys.executable, "-m", "mmsetup", "doctor", "--env", site.prefix, "--fix", "--yes"],
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    staging = site.prefix.with_name("env.mmsetup")
    connection, _ = mute.accept()
    (asked,) = staging.glob("mmsetup-fix-*")
    assert asked.stat().st_mode & 0o777 == 0o700
    assert (asked / "uv.toml").is_file()
    process.send_signal(signum)
    said = process.communicate(timeout=60)[1]
    connection.close()
    assert list((tmp_path / "temporary").iterdir()) == []
    if signum != signal.SIGKILL:
        assert process.returncode == 130, said
        assert not staging.exists()
        return
    assert asked.is_dir()
    (site.packages / "~umpy").mkdir()
    again = subprocess.run(
        [
            sys.executable,
            "-m",
            "mmsetup",
            "doctor",
            "--env",
            site.prefix,
            "--fix",
            "--yes",
            "--select",
            "MM104",
        ],
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert again.returncode == 0, again.stderr
    assert "an earlier run was interrupted" in again.stderr
    assert not staging.exists()


def test_an_interrupt_that_is_ignored_stays_so(site, mute, variables):
    """``nohup`` has a hangup ignored before mmsetup starts."""
    site.remove("yapf")
    process = subprocess.Popen(
        ["nohup", sys.executable, "-m", "mmsetup", "doctor", "--env", site.prefix, "--fix", "--yes"],
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    connection, _ = mute.accept()
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.terminate()
    assert process.wait(60) == 130
    connection.close()
