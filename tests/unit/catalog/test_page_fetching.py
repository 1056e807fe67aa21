"""The way to a page: retries, redirects, user names, proxies, and servers that mean no good."""

from __future__ import annotations

import gzip
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from scripted_server import scripted, tunnelling
from werkzeug import Request, Response

from mmsetup.catalog.pages import Page, read_pages

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer

WHEEL = "mmcv_full-1.7.1-cp310-cp310-manylinux1_x86_64.whl"
HTML = f'<a href="{WHEEL}">x</a>'
GOOD = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(HTML)}\r\n\r\n{HTML}".encode()
SECRET = "s3same"
BASIC = "Basic bmFtZTpzM3NhbWU="


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all tries made at once."""
    monkeypatch.setattr("mmsetup.catalog.fetching._FIRST_PAUSE", 0.001)


def read(url: str, seconds: float = 5.0) -> Page:
    page = read_pages([url], seconds=seconds)[url]
    assert SECRET not in f"{page.error}{page.shown_url}{page.files}{page.refusals}"
    assert page.error.isprintable()
    return page


def with_status(status: int, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Some words", "Content-Length: 0", *headers, "", ""]
    return "\r\n".join(lines).encode()


def test_a_page_is_asked_for_once_with_what_can_be_read() -> None:
    with scripted([GOOD]) as server:
        page = read(server.url)
    assert (page.tries, page.error, len(page.files)) == (1, "", 1)
    accepted = next(line for line in server.requests[0].splitlines() if line.startswith("Accept:"))
    assert "application/vnd.pypi.simple.v1+json," in accepted
    assert "text/html;q=0.5" in accepted
    assert "gzip" not in server.requests[0]


@pytest.mark.parametrize(
    "first", [None, with_status(429), with_status(502), with_status(503), with_status(504), GOOD[:-9], b""]
)
def test_what_passes_is_tried_again(first: bytes | None) -> None:
    with scripted([first, first, GOOD]) as server:
        page = read(server.url)
    assert (page.error, page.tries, len(page.files)) == ("", 3, 1)
    assert len(server.requests) == 3
    # 0.1 s and 0.2 s.
    assert page.seconds >= 0.3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 500, 501])
def test_what_does_not_pass_is_not_tried_again(status: int) -> None:
    with scripted([with_status(status), GOOD]) as server:
        page = read(server.url)
    assert page.error.startswith(f"HTTP {status} Some words")
    assert (page.tries, page.missing, page.unreachable) == (1, status in {404, 410}, False)


def test_tries_end_with_the_time_and_after_five() -> None:
    with scripted([with_status(503)]) as server:
        assert read(server.url, 0.5).tries < 5
        assert read(server.url, 10).tries == 5


@pytest.mark.usefixtures("impatient")
def test_a_connection_that_is_reset_for_ever_is_an_error_that_says_so() -> None:
    with scripted([None]) as server:
        page = read(server.url)
    assert (page.error, page.tries, page.unreachable) == ("Connection reset by peer", 5, True)


@pytest.mark.usefixtures("impatient")
def test_half_a_page_is_no_page() -> None:
    with scripted([GOOD[:-2]]) as server:
        page = read(server.url)
    assert (page.error, page.files) == ("the connection broke in the middle of the page", ())
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2F\r\n" + HTML.encode()[:20]
    with scripted([chunked]) as server:
        page = read(server.url)
    assert (page.error, page.files) == ("the connection broke in the middle of the page", ())


def test_a_short_wait_that_is_asked_for_is_kept_and_a_long_one_not_waited_for() -> None:
    with scripted([with_status(429, "Retry-After: 1"), GOOD]) as server:
        page = read(server.url, 4)
    assert (page.tries, len(page.files)) == (2, 1)
    assert page.seconds >= 1
    later = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=3600), usegmt=True)
    for wait in ("3600", later):
        with scripted([with_status(503, f"Retry-After: {wait}"), GOOD]) as server:
            page = read(server.url)
        assert page.error.startswith("HTTP 503 Some words, to be asked again after 3")
        assert (page.tries, page.seconds < 1) == (1, True)
    with scripted([with_status(503, "Retry-After: soon"), GOOD]) as server:
        assert read(server.url).tries == 2


def test_the_other_pages_of_a_host_do_not_wait_for_a_first_one_that_is_tried_again() -> None:
    calls: list[str] = []
    with scripted([with_status(503, "Retry-After: 1"), GOOD]) as server:
        first, second = read_pages([f"{server.url}/a", f"{server.url}/b"], seconds=3).values()
        calls = [request.split()[1] for request in server.requests]
    assert calls == ["/a", "/b", "/a"]
    assert (first.tries, second.tries) == (2, 1)
    assert second.seconds < first.seconds


@pytest.mark.usefixtures("impatient")
def test_pages_that_share_an_error_were_not_asked_for() -> None:
    with scripted([None]) as server:
        pages = read_pages([f"{server.url}/{number}" for number in range(3)], seconds=5)
    assert [page.tries for page in pages.values()] == [5, 0, 0]


def test_redirects_are_followed_and_links_are_relative_to_where_they_end(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/a").respond_with_response(Response(status=302, headers={"Location": "/b/"}))
    httpserver.expect_request("/b/").respond_with_response(
        Response(status=308, headers={"Location": "../c/d"})
    )
    httpserver.expect_request("/c/d").respond_with_data(HTML, content_type="text/html")
    page = read(httpserver.url_for("/a"))
    assert [file.url for file in page.files] == [httpserver.url_for(f"/c/{WHEEL}")]


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("file:///etc/passwd", "it redirects to file:///etc/passwd, which is not followed"),
        ("ftp://host.test/x", "it redirects to ftp://host.test/x, which is not followed"),
        ("javascript:alert(1)", "it redirects to javascript:alert(1), which is not followed"),
        ("http://[x", "it redirects to http://[x, which is not followed"),
        (f"gopher://name:{SECRET}@host.test/", "it redirects to gopher://host.test/, which is not followed"),
        ("/a", "it redirects more than 5 times"),
        ("", "it redirects more than 5 times"),
    ],
)
def test_redirects_that_lead_nowhere_good_are_not_followed(location: str, words: str) -> None:
    with scripted([with_status(302, f"Location: {location}")]) as server:
        page = read(f"{server.url}/a")
    assert (page.error, page.tries, page.unreachable) == (words, 1, False)


def test_a_user_name_and_password_in_an_address_are_sent_and_not_shown(httpserver: HTTPServer) -> None:
    def answer(request: Request) -> Response:
        if request.headers.get("Authorization") == BASIC:
            return Response(HTML, content_type="text/html")
        return Response(status=401, headers={"WWW-Authenticate": "Basic"})

    httpserver.expect_request("/a").respond_with_handler(answer)
    address = httpserver.url_for("/a")
    page = read(address.replace("//", f"//name:{SECRET.replace('s', '%73')}@"))
    assert [file.url for file in page.files] == [httpserver.url_for(f"/{WHEEL}")]
    assert page.shown_url == address
    assert "wants a user name and password (https://USER:PASSWORD@HOST" in read(address).error
    refused = read(address.replace("//", f"//other:{SECRET}@"))
    assert (
        refused.error == "HTTP 401 UNAUTHORIZED: the user name and password in its address are not accepted"
    )


def test_a_password_does_not_follow_a_redirect_to_another_host() -> None:
    with scripted([GOOD]) as other:
        moved = with_status(302, f"Location: {other.url}/b")
        with scripted([with_status(302, "Location: /b"), moved]) as server:
            page = read(server.url.replace("//", f"//name:{SECRET}@"))
    assert len(page.files) == 1
    assert all(f"Authorization: {BASIC}" in request for request in server.requests)
    assert len(server.requests) == 2
    assert "Authorization" not in other.requests[0]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"http://name:{SECRET}@[x/", "[x/"),
        (f"http://name:{SECRET}/y@host.test/", "host.test/"),
        (f"http://name:{SECRET}@host.test:port/", "host.test:port/"),
        (f"ftp://name:{SECRET}@host.test/", "ftp://host.test/"),
        (f"name:{SECRET}@host.test/", "host.test/"),
        (f"http://name:{SECRET}@/x", "/x"),
    ],
)
def test_no_malformed_address_gives_its_password_away(address: str, shown: str) -> None:
    page = read(address)
    assert page.unreachable
    assert page.shown_url == shown
    assert shown in page.error


def test_a_page_that_is_packed_is_refused(httpserver: HTTPServer) -> None:
    packed = gzip.compress(HTML.encode())
    httpserver.expect_request("/a").respond_with_response(
        Response(packed, headers={"Content-Encoding": "gzip"}, content_type="text/html")
    )
    httpserver.expect_request("/b").respond_with_data(packed, content_type="text/html")
    assert read(httpserver.url_for("/a")).error == "it sends the page packed (gzip), which nobody asked for"
    assert "not the utf-8 text" in read(httpserver.url_for("/b")).error


def test_a_page_that_is_too_large_is_refused_before_and_while_it_comes() -> None:
    told = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + HTML.encode()
    untold = b"HTTP/1.1 200 OK\r\n\r\n" + HTML.encode() + b" " * (17 << 20)
    for answer in (told, untold):
        with scripted([answer]) as server:
            page = read(server.url)
        assert (page.error, page.files, page.tries) == ("the page is larger than 16 MiB", (), 1)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "its answer is no HTTP (BadStatusLine)"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "its answer is no HTTP (HTTPException)"),
        (b"HTTP/1.1 500 \x1b[2J\x07\r\n\r\n", "HTTP 500 ?[2J?"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "HTTP 304 Not Modified"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "HTTP 204 No Content"),
        (GOOD.replace(b"text/html", b"image/png"), "what answered is no wheel index (it is image/png)"),
    ],
)
def test_answers_that_are_none(answer: bytes, words: str) -> None:
    with scripted([answer]) as server:
        page = read(server.url)
    assert (page.error, page.answered, page.tries) == (words, False, 1)


def test_a_proxy_that_wants_a_password_for_a_page(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    httpserver.expect_request("/a", headers={"Proxy-Authorization": BASIC}).respond_with_data(
        HTML, content_type="text/html"
    )
    httpserver.expect_request("/a").respond_with_data("", status=407)
    proxy = f"127.0.0.1:{httpserver.port}"
    monkeypatch.setenv("HTTP_PROXY", f"http://{proxy}")
    page = read("http://index.test/a")
    assert page.error == (
        f"the proxy {proxy} wants a user name and password (HTTP_PROXY=http://USER:PASSWORD@{proxy})"
    )
    assert page.tries == 1
    monkeypatch.setenv("HTTP_PROXY", f"http://name:other{SECRET}@{proxy}")
    page = read("http://index.test/a")
    assert page.error == f"the proxy {proxy} does not take the user name and password in HTTP_PROXY"
    monkeypatch.setenv("HTTP_PROXY", f"http://name:{SECRET}@{proxy}")
    assert [file.url for file in read("http://index.test/a").files] == [f"http://index.test/{WHEEL}"]


def test_a_proxy_that_wants_a_password_for_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    with tunnelling(BASIC) as proxy:
        monkeypatch.setenv("https_proxy", f"http://{proxy.address}")
        page = read("https://index.test/a")
        assert page.error == (
            f"the proxy {proxy.address} wants a user name and password "
            f"(https_proxy=http://USER:PASSWORD@{proxy.address})"
        )
        assert (page.tries, page.unreachable) == (1, True)
        monkeypatch.setenv("https_proxy", f"http://name:wrong{SECRET}@{proxy.address}")
        words = f"the proxy {proxy.address} does not take the user name and password in https_proxy"
        assert read("https://index.test/a").error == words


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("status", "tries"), [("403 Forbidden", 1), ("502 Bad Gateway", 5)])
def test_a_proxy_that_does_not_connect(monkeypatch: pytest.MonkeyPatch, status: str, tries: int) -> None:
    with tunnelling("", status) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        page = read("https://index.test/a")
    assert page.error == f"the proxy {proxy.address} does not connect to it: HTTP {status}"
    assert page.tries == tries


def test_a_proxy_that_is_not_there_and_one_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted([GOOD]) as server:
        pass
    proxy = server.url.removeprefix("http://")
    monkeypatch.setenv("HTTP_PROXY", f"http://name:{SECRET}@{proxy}")
    assert read("http://index.test/").error == f"the proxy {proxy} (HTTP_PROXY): Connection refused"
    for value in (f"name:{SECRET}@host:port", f"socks5://name:{SECRET}@host:1", f"http://name:{SECRET}@"):
        monkeypatch.setenv("HTTP_PROXY", value)
        words = "HTTP_PROXY holds no address of a proxy (HTTP_PROXY=http://HOST:PORT)"
        assert read("http://index.test/").error == words


def test_hosts_that_need_no_proxy_are_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with scripted([GOOD]) as server:
        assert len(read(server.url).files) == 1


def test_a_server_that_never_ends_its_page_is_given_up_in_time() -> None:
    began = time.monotonic()
    with scripted([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"]) as server:
        page = read(server.url, 0.3)
    assert page.error
    assert time.monotonic() - began < 3
