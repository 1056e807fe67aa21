"""uv itself is run: against a port at which nobody listens, with wishes that cannot be fulfilled, offline."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mmsetup import uv
from mmsetup.catalog import load
from mmsetup.errors import (
    DiskSpaceError,
    IntegrityError,
    InterpreterError,
    LockError,
    MmsetupError,
    NetworkError,
    ProcessError,
)
from mmsetup.lock import lock
from mmsetup.lock.resolve import source_distribution
from mmsetup.plan import Request
from mmsetup.plan.choose import plan
from mmsetup.probe import environment, probe

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give uv a cache of its own and none of the settings of this machine."""
    for name in ("UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{taken.getsockname()[1]}/simple")


def compile_(folder: Path, line: str, **options: bool) -> None:
    wanted = folder / "wanted.in"
    wanted.write_text(line + "\n")
    args = ["pip", "compile", "--quiet", "--only-binary", ":all:", "--python", sys.executable, wanted]
    uv.call(args, "resolve what is wanted", cwd=folder, **options)


def test_uv_is_found_and_says_where_its_cache_is(tmp_path: Path) -> None:
    assert uv.call(["--version"], "ask for the version").stdout.startswith("uv ")
    assert uv.cache_folder() == tmp_path / "cache"


def test_without_uv_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MmsetupError, match="uv is not installed") as caught:
        uv.binary()
    assert "pip install uv" in caught.value.remedy


def test_an_index_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="while trying to resolve what is wanted") as caught:
        compile_(tmp_path, "six")
    assert caught.value.exit_code == 4
    assert any("127.0.0.1" in line for line in caught.value.evidence)
    assert "PIP_INDEX_URL" in caught.value.remedy


def test_offline_with_an_empty_cache(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="the network was excluded") as caught:
        compile_(tmp_path, "six", offline=True)
    assert "leave --offline away" in caught.value.remedy


def test_a_wish_that_no_version_fulfils(
    tmp_path: Path, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    httpserver.expect_request("/simple/six/").respond_with_data(
        '<a href="six-1.17.0-py3-none-any.whl">six</a>', content_type="text/html"
    )
    monkeypatch.setenv("UV_DEFAULT_INDEX", httpserver.url_for("/simple"))
    with pytest.raises(LockError) as caught:
        compile_(tmp_path, "six==99")
    assert caught.value.exit_code == 5
    assert any("six==99" in line for line in caught.value.evidence)


def test_a_wheel_that_is_damaged(tmp_path: Path, httpserver: HTTPServer) -> None:
    name = "six-1.17.0-py3-none-any.whl"
    httpserver.expect_request(f"/{name}").respond_with_data(b"PK\3\4 this is no wheel")
    with pytest.raises(IntegrityError, match="is damaged"):
        compile_(tmp_path, f"six @ {httpserver.url_for('/' + name)}")


def test_a_wheel_that_is_not_there(tmp_path: Path, httpserver: HTTPServer) -> None:
    name = "six-1.17.0-py3-none-any.whl"
    httpserver.expect_request(f"/{name}").respond_with_data("", status=404)
    with pytest.raises(NetworkError) as caught:
        compile_(tmp_path, f"six @ {httpserver.url_for('/' + name)}")
    assert any("404" in line for line in caught.value.evidence)


def test_an_interpreter_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InterpreterError) as caught:
        uv.call(["venv", "--python", "/nonexistent/python", tmp_path / "env"], "make the environment")
    assert caught.value.exit_code == 13


def test_words_that_mean_nothing_here_stay_uvs_own() -> None:
    with pytest.raises(ProcessError, match="uv could not do the impossible") as caught:
        uv.call(["no-such-command"], "do the impossible")
    assert caught.value.returncode == 2
    assert any("no-such-command" in line for line in caught.value.evidence)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("error: failed to write\n  cause: No space left on device (os error 28)", DiskSpaceError),
        ("error: Hash mismatch for `six==1.17.0`", IntegrityError),
        ("error: Failed to fetch: https://x.test/\n  cause: operation timed out", NetworkError),
        ("error: Failed to fetch: https://x.test/\n  cause: invalid peer certificate: x", NetworkError),
    ],
)
def test_what_cannot_be_made_here_is_known_by_its_words(said: str, error: type[MmsetupError]) -> None:
    failed = ProcessError("uv failed", args=("uv",), returncode=1, output=said)
    found = uv._translated(failed, "install")
    assert type(found) is error
    assert found.remedy
    assert "trying to install" in str(found)


@pytest.mark.parametrize("has", [True, False])
def test_the_certificates_of_the_system_are_trusted_where_there_are_any(
    monkeypatch: pytest.MonkeyPatch, has: bool
) -> None:
    monkeypatch.setattr(uv, "_system_certificates", lambda: has)
    assert uv.environment({}).get("UV_SYSTEM_CERTS") == ("1" if has else None)
    assert uv.environment({"UV_SYSTEM_CERTS": "0"})["UV_SYSTEM_CERTS"] == "0"
    assert "UV_SYSTEM_CERTS" not in uv.environment({"PIP_CERT": "company.pem"})


def test_a_python_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "pythons"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(
        InterpreterError, match=r"no Python 3\.9 is here and uv could not fetch one"
    ) as caught:
        uv.fetch_interpreter("3.9")
    assert "pyenv install 3.9" in caught.value.remedy
    assert caught.value.evidence


def test_what_only_pip_was_told_is_passed_on_to_uv(
    tmp_path: Path, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", httpserver.url_for("/pip/simple"))
    with pytest.raises(MmsetupError):
        compile_(tmp_path, "six")
    assert any(request.path == "/pip/simple/six/" for request, _ in httpserver.log)


@pytest.mark.parametrize(
    ("told", "name", "value"),
    [
        ({"PIP_INDEX_URL": "a"}, "UV_DEFAULT_INDEX", "a"),
        ({"PIP_INDEX_URL": "a", "UV_DEFAULT_INDEX": "b"}, "UV_DEFAULT_INDEX", "b"),
        ({"PIP_INDEX_URL": "a", "UV_INDEX_URL": "b"}, "UV_DEFAULT_INDEX", None),
        ({"PIP_EXTRA_INDEX_URL": "a"}, "UV_INDEX", "a"),
        ({"PIP_EXTRA_INDEX_URL": "a", "UV_EXTRA_INDEX_URL": "b"}, "UV_INDEX", None),
        ({"PIP_CERT": "a"}, "SSL_CERT_FILE", "a"),
        ({"PIP_CERT": "a", "SSL_CERT_FILE": "b"}, "SSL_CERT_FILE", "b"),
        ({"PIP_INDEX_URL": ""}, "UV_DEFAULT_INDEX", None),
    ],
)
def test_uvs_own_settings_go_before_those_of_pip(told: dict[str, str], name: str, value: str | None) -> None:
    assert uv.environment(told).get(name) == value


def test_a_plan_cannot_be_locked_without_its_interpreter_or_under_a_bad_name() -> None:
    catalog, machine = load(), probe()
    family = catalog.family("mmcv-full")
    assert family is not None
    made = replace(plan(machine, catalog, Request(offline=True)), interpreter=None)
    with pytest.raises(InterpreterError, match=r"needs Python 3\.10") as caught:
        lock(made, family, name="one")
    assert caught.value.exit_code == 13
    with pytest.raises(LockError, match="cannot name a lockfile"):
        lock(made, family, name="a.b")


def test_a_source_distribution_is_asked_for_without_being_run(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = "ab" * 32
    httpserver.expect_request("/simple/mmcv-full/").respond_with_data(
        f'<a href="/files/mmcv-full-1.7.2.tar.gz#sha256={digest}">x</a>', content_type="text/html"
    )
    monkeypatch.setenv("UV_DEFAULT_INDEX", httpserver.url_for("/simple"))
    monkeypatch.delenv("UV_NO_CONFIG")
    here = environment(Path(sys.executable)).interpreter.path
    found = source_distribution("mmcv-full", "1.7.2", here)
    assert (found.filename, found.sha256) == ("mmcv-full-1.7.2.tar.gz", digest)
    assert found.url == httpserver.url_for("/files/mmcv-full-1.7.2.tar.gz")
    assert not any(request.path.startswith("/files/") for request, _ in httpserver.log)


@pytest.mark.parametrize(
    ("glibc", "platform"), [("2.17", "2_17"), ("2.27", "2_17"), ("2.31", "2_31"), ("2.41", "2_40")]
)
def test_the_platform_for_a_c_library_is_none_that_needs_a_newer_one(glibc: str, platform: str) -> None:
    assert uv.platform_for(glibc) == f"x86_64-manylinux_{platform}"


def test_a_c_library_that_uv_does_not_know_is_refused() -> None:
    with pytest.raises(LockError, match=r"glibc 2\.12"):
        uv.platform_for("2.12")
