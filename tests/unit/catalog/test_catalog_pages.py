"""Pages asked for all at once, and never for longer than there is time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from mmsetup.catalog.pages import read_pages

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer

WHEEL = "mmcv_full-1.7.1-cp310-cp310-manylinux1_x86_64.whl"


@pytest.fixture
def closed() -> str:
    """Give an address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def silent() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def dripping() -> Iterator[str]:
    """Give the address of a server that sends a byte every 20 ms for as long as somebody reads."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        ended = threading.Event()

        def serve() -> None:
            try:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
                    while not ended.wait(0.02):
                        connection.sendall(b".")
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        ended.set()
        thread.join(5)


def test_pages_are_read_and_a_missing_one_is_told_from_a_refusal(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/a").respond_with_data(f'<a href="{WHEEL}">x</a>')
    httpserver.expect_request("/b").respond_with_data("", status=404)
    httpserver.expect_request("/c").respond_with_data("", status=500)
    urls = [httpserver.url_for(path) for path in ("/a", "/b", "/c")]
    there, missing, refused = read_pages([*urls, urls[0]]).values()
    assert [file.filename for file in there.files] == [WHEEL]
    assert there.answered
    assert (missing.error, missing.missing, missing.answered) == ("HTTP 404 NOT FOUND", True, True)
    assert (refused.error, refused.missing, refused.answered) == (
        "HTTP 500 INTERNAL SERVER ERROR",
        False,
        False,
    )


def test_a_refused_connection_is_told_at_once_for_all_pages_of_the_host(closed: str) -> None:
    began = time.monotonic()
    pages = read_pages([f"{closed}/{number}" for number in range(16)])
    assert time.monotonic() - began < 5
    assert {page.error for page in pages.values()} == {"Connection refused"}
    assert all(page.unreachable and not page.answered for page in pages.values())


@pytest.mark.parametrize("kind", ["silent", "dripping"])
def test_no_server_takes_more_than_the_time_there_is(kind: str, request: pytest.FixtureRequest) -> None:
    address = request.getfixturevalue(kind)
    began = time.monotonic()
    pages = read_pages([f"{address}/{number}" for number in range(4)], seconds=0.4)
    assert time.monotonic() - began < 5
    assert all(page.error and not page.files for page in pages.values())


def test_a_host_that_hangs_does_not_hold_up_another(httpserver: HTTPServer, silent: str) -> None:
    httpserver.expect_request("/a").respond_with_data(f'<a href="{WHEEL}">x</a>')
    pages = read_pages([f"{silent}/a", httpserver.url_for("/a")], seconds=0.5)
    assert [bool(page.files) for page in pages.values()] == [False, True]


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "nonsense", "http://", "http://[x"]
)
def test_an_address_that_cannot_be_asked_is_an_error_of_its_page(address: str) -> None:
    page = read_pages([address])[address]
    assert page.error
    assert page.unreachable


def test_a_name_that_does_not_exist_is_said_in_words() -> None:
    (page,) = read_pages(["http://no-such-host.invalid/"]).values()
    assert page.error == "the name of the host cannot be looked up"


def test_a_login_page_is_an_error_that_tells_its_title(httpserver: HTTPServer) -> None:
    login = "<title>Guest network</title><form action=/login><input name=user></form>"
    httpserver.expect_request("/a").respond_with_data(login, content_type="text/html")
    httpserver.expect_request("/b").respond_with_data("<h1>Links for mmcv</h1>", content_type="text/html")
    stranger, empty = read_pages([httpserver.url_for("/a"), httpserver.url_for("/b")]).values()
    assert stranger.error == "what answered is no wheel index (title: Guest network)"
    assert (stranger.answered, stranger.missing, stranger.unreachable) == (False, False, False)
    assert (empty.answered, empty.error, empty.files) == (True, "", ())


def test_bad_links_are_counted_beside_good_ones(httpserver: HTTPServer) -> None:
    html = f'<a href="{WHEEL}">x</a><a href="file:///{WHEEL}">y</a><a href="..%2Fb.whl">z</a><a href="../">up</a>'
    httpserver.expect_request("/a").respond_with_data(html, content_type="text/html")
    (page,) = read_pages([httpserver.url_for("/a")]).values()
    assert [file.filename for file in page.files] == [WHEEL]
    assert page.refused == 2
    assert page.refusals == (
        f"file:///{WHEEL}: file: is no address of the web",
        "..%2Fb.whl: a file name that leads to another folder",
    )
    assert page.answered


def test_a_page_in_json_is_read_by_what_its_sender_says(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/a/").respond_with_json(
        {"meta": {"api-version": "1.0"}, "files": [{"filename": WHEEL, "url": WHEEL, "hashes": {}}]},
        content_type="application/vnd.pypi.simple.v1+json",
    )
    (page,) = read_pages([httpserver.url_for("/a/")]).values()
    assert [file.url for file in page.files] == [httpserver.url_for(f"/a/{WHEEL}")]


def test_nothing_is_asked_where_nothing_is_wanted() -> None:
    assert read_pages([]) == {}
