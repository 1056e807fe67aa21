from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsetup.catalog import IndexFile, read_pages
from mmsetup.catalog.pages import files_of

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer

BASE = "https://index.test/mmcv/dist/cu117/torch1.13.0/index.html"
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


def test_flat_pages_with_relative_links_and_quoted_names() -> None:
    html = (
        f'<a href="../torch1.13.0/{WHEEL}">a</a>'
        '<a href="torch-1.13.1%2Bcu117-cp310-cp310-linux_x86_64.whl#sha256=' + "AB" * 32 + '">b</a>'
        '<a href="/mmcv-full-1.7.1.tar.gz#md5=1">c</a><a href="index.html">d</a><a>e</a>'
    )
    assert files_of(html, BASE) == (
        IndexFile(WHEEL, f"https://index.test/mmcv/dist/cu117/torch1.13.0/{WHEEL}"),
        IndexFile(
            "torch-1.13.1+cu117-cp310-cp310-linux_x86_64.whl",
            "https://index.test/mmcv/dist/cu117/torch1.13.0/torch-1.13.1%2Bcu117-cp310-cp310-linux_x86_64.whl",
            "ab" * 32,
        ),
        IndexFile("mmcv-full-1.7.1.tar.gz", "https://index.test/mmcv-full-1.7.1.tar.gz"),
    )


def test_a_base_element_moves_the_links() -> None:
    (file,) = files_of(f'<base href="https://files.test/x/"><a href="{WHEEL}">a</a>', BASE)
    assert file.url == f"https://files.test/x/{WHEEL}"


@pytest.mark.parametrize(
    "href",
    [
        f"file:///etc/{WHEEL}",
        "../../../../../etc/passwd",
        f"javascript:alert('{WHEEL}')",
        f"ftp://index.test/{WHEEL}",
        f"http://index.test/{WHEEL}",
        f"..%2F..%2F{WHEEL}",
        f"..%5C{WHEEL}",
        f"https://[broken/{WHEEL}",
        f"--index-url%20x-{WHEEL}",
        "x" * 300 + ".whl",
        "a%0Ab.whl",
    ],
)
def test_links_that_no_index_needs_are_left_out(href: str) -> None:
    assert files_of(f'<a href="{href}">x</a>', BASE) == ()


def test_nothing_in_an_address_can_be_read_as_something_else_in_a_requirements_file() -> None:
    (file,) = files_of(f'<a href="a b/${{HOME}}/\t;python/{WHEEL}">x</a>', BASE)
    assert urlsplit(file.url).path.endswith(f"/a%20b/%24%7BHOME%7D/;python/{WHEEL}")
    assert not set(file.url) & set(" ${}\t\n")


def test_a_hash_that_is_none_is_not_taken() -> None:
    (file,) = files_of(f'<a href="{WHEEL}#sha256=abc">x</a>', BASE)
    assert file.sha256 == ""


@given(st.text(max_size=400))
def test_any_text_is_read_without_a_failure(text: str) -> None:
    for file in files_of(f"{text}<a href='{text}.whl'>{text}</a>", BASE):
        assert file.url.startswith("https://")
        assert "/" not in file.filename


def test_pages_are_read_and_a_missing_one_is_told_from_a_refusal(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/a").respond_with_data(f'<a href="{WHEEL}">x</a>')
    httpserver.expect_request("/b").respond_with_data("", status=404)
    httpserver.expect_request("/c").respond_with_data("", status=503)
    urls = [httpserver.url_for(path) for path in ("/a", "/b", "/c")]
    there, missing, refused = read_pages([*urls, urls[0]]).values()
    assert [file.filename for file in there.files] == [WHEEL]
    assert there.answered
    assert (missing.error, missing.missing, missing.answered) == ("HTTP 404 NOT FOUND", True, True)
    assert (refused.error, refused.missing, refused.answered) == (
        "HTTP 503 SERVICE UNAVAILABLE",
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
