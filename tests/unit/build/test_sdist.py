"""Source distributions from a real server that is slow, wrong, or not there."""

from __future__ import annotations

import hashlib
import os
import resource
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from werkzeug import Response

from mmsetup.build.sdist import fetch
from mmsetup.errors import IntegrityError, NetworkError, RequestError, TargetError
from mmsetup.paths import cache_folder

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def left_behind():
    return [path.name for path in cache_folder("sdists").rglob("*") if path.is_file()]


def test_it_is_fetched_once(httpserver, recorder):
    httpserver.expect_ordered_request("/a/sample-1.0.tar.gz").respond_with_data(CONTENT)
    url = httpserver.url_for("/a/sample-1.0.tar.gz")
    path = fetch(url, SHA256.upper(), progress=recorder)
    assert path.name == "sample-1.0.tar.gz"
    assert path.read_bytes() == CONTENT
    assert recorder.updates[-1][1:3] == (len(CONTENT), len(CONTENT))
    assert fetch(url, SHA256, progress=recorder) == path
    assert len(httpserver.log) == 1


def test_a_damaged_copy_is_fetched_again(httpserver, recorder):
    httpserver.expect_request("/sample-1.0.tar.gz").respond_with_data(CONTENT)
    url = httpserver.url_for("/sample-1.0.tar.gz")
    fetch(url, SHA256, progress=recorder).write_bytes(b"cut")
    assert fetch(url, SHA256, progress=recorder).read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(httpserver, recorder):
    httpserver.expect_ordered_request("/s.tar.gz").respond_with_data("busy", status=503)
    httpserver.expect_ordered_request("/s.tar.gz").respond_with_data("slow down", status=429)
    httpserver.expect_ordered_request("/s.tar.gz").respond_with_data(CONTENT)
    path = fetch(httpserver.url_for("/s.tar.gz"), SHA256, progress=recorder, pause=0)
    assert path.read_bytes() == CONTENT
    assert len(recorder.notes) == 2


def test_a_server_that_stays_broken(httpserver, recorder):
    httpserver.expect_request("/s.tar.gz").respond_with_data("busy", status=503)
    with pytest.raises(NetworkError, match=r"from localhost: HTTP 503"):
        fetch(httpserver.url_for("/s.tar.gz"), SHA256, progress=recorder, pause=0)
    assert len(httpserver.log) == 3
    assert left_behind() == []


def test_an_absent_file_is_asked_for_once(httpserver, recorder):
    httpserver.expect_request("/s.tar.gz").respond_with_data("no", status=404)
    with pytest.raises(NetworkError, match="HTTP 404") as caught:
        fetch(httpserver.url_for("/s.tar.gz"), SHA256, progress=recorder)
    assert "HTTPS_PROXY" in caught.value.remedy
    assert len(httpserver.log) == 1


def test_other_content_than_promised(httpserver, recorder):
    httpserver.expect_request("/s.tar.gz").respond_with_data(b"<html>captive portal</html>")
    with pytest.raises(IntegrityError, match="not what was promised"):
        fetch(httpserver.url_for("/s.tar.gz"), SHA256, progress=recorder)
    assert left_behind() == []


def test_a_transfer_that_breaks_off(httpserver, recorder):
    def cut(_request):
        response = Response(CONTENT[:1000])
        response.headers["Content-Length"] = str(len(CONTENT))
        return response

    httpserver.expect_ordered_request("/s.tar.gz").respond_with_handler(cut)
    httpserver.expect_ordered_request("/s.tar.gz").respond_with_data(CONTENT)
    path = fetch(httpserver.url_for("/s.tar.gz"), SHA256, progress=recorder, pause=0)
    assert path.read_bytes() == CONTENT


def test_a_host_that_is_not_there(recorder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NetworkError, match=r"from 127\.0\.0\.1"):
        fetch(f"http://127.0.0.1:{port}/s.tar.gz", SHA256, progress=recorder, pause=0)


def test_a_local_file(tmp_path, recorder):
    source = tmp_path / "sample 1.0.tar.gz"
    source.write_bytes(CONTENT)
    assert fetch(source.as_uri(), SHA256, progress=recorder).name == "sample 1.0.tar.gz"
    with pytest.raises(NetworkError, match="this machine"):
        fetch((tmp_path / "absent").as_uri(), SHA256, progress=recorder)


def test_another_kind_of_url(recorder):
    with pytest.raises(RequestError, match="only https, http and file"):
        fetch("ftp://example.org/s.tar.gz", SHA256, progress=recorder)


def test_an_answer_that_is_no_http(recorder):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/s.tar.gz"
        with ThreadPoolExecutor() as pool:
            pool.submit(speak, server, 3)
            with pytest.raises(NetworkError, match="cannot fetch"):
                fetch(url, SHA256, progress=recorder, pause=0)
    assert left_behind() == []


def speak(server, times):
    for _ in range(times):
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


def test_offline_only_what_is_there(httpserver, tmp_path, recorder):
    httpserver.expect_request("/s.tar.gz").respond_with_data(CONTENT)
    url = httpserver.url_for("/s.tar.gz")
    with pytest.raises(NetworkError, match=r"s\.tar\.gz is not in the cache") as caught:
        fetch(url, SHA256, progress=recorder, offline=True)
    assert caught.value.remedy == "leave --offline away once: that fills the cache"
    assert httpserver.log == []
    path = fetch(url, SHA256, progress=recorder)
    assert fetch(url, SHA256, progress=recorder, offline=True) == path
    local = tmp_path / "local.tar.gz"
    local.write_bytes(CONTENT)
    assert fetch(local.as_uri(), SHA256, progress=recorder, offline=True).read_bytes() == CONTENT


def test_a_disk_that_takes_no_more_is_no_fault_of_the_network(httpserver, recorder):
    httpserver.expect_request("/s.tar.gz").respond_with_data(CONTENT)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(CONTENT) // 2, hard))
    try:
        with pytest.raises(TargetError, match=r"cannot write to .*: File too large") as caught:
            fetch(httpserver.url_for("/s.tar.gz"), SHA256, progress=recorder, pause=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "MMSETUP_CACHE_DIR" in caught.value.remedy
    assert len(httpserver.log) == 1
    assert left_behind() == []


def test_what_killed_transfers_left_is_removed_after_a_day(httpserver, recorder):
    httpserver.expect_request("/s.tar.gz").respond_with_data(CONTENT)
    old, young = (cache_folder("sdists", name) / ".x.part" for name in ("one", "two"))
    for part in (old, young):
        part.write_bytes(b"half")
    day_ago = time.time() - 25 * 3600
    os.utime(old, (day_ago, day_ago))
    fetch(httpserver.url_for("/s.tar.gz"), SHA256, progress=recorder)
    assert not old.exists()
    assert young.exists()
