"""Pages that are kept: given without asking, asked for only if they changed, told without a network."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import scripted
from werkzeug import Request, Response

from mmsetup.catalog.links import IndexFile, Listing
from mmsetup.catalog.page_cache import FRESH_SECONDS, KeptPage, PageCache, user_cache
from mmsetup.catalog.pages import Page, cached_pages, read_pages

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer

WHEEL = "mmcv_full-1.7.1-cp310-cp310-manylinux1_x86_64.whl"
URL = "https://index.test/a/"
FILE = IndexFile(WHEEL, f"https://index.test/a/{WHEEL}", "a" * 64, ">=3.7", yanked=True)
LISTING = Listing((FILE,), 3, ("file:///x: file: is no address of the web",))
HTML = f'<a href="{WHEEL}">x</a><a href="file:///x">y</a>'
HOUR = 3600.0


@pytest.fixture
def cache(tmp_path: Path) -> PageCache:
    return PageCache(tmp_path / "pages")


def one(url: str, cache: PageCache, seconds: float = 5.0) -> Page:
    return read_pages([url], seconds=seconds, cache=cache)[url]


def grown_older(cache: PageCache, url: str, seconds: float = HOUR) -> None:
    """Make what is kept of a page older than it is."""
    kept = cache.kept(url)
    assert kept is not None
    cache.keep(url, KeptPage(kept.listing, kept.fetched_at - seconds, kept.etag, kept.last_modified))


def entry(cache: PageCache) -> Path:
    (path,) = cache.folder.iterdir()
    return path


def test_a_page_comes_back_as_it_was_kept(cache: PageCache) -> None:
    page = KeptPage(LISTING, 1_700_000_000.5, '"tag"', "Mon, 01 Jan 2024 00:00:00 GMT")
    cache.keep(URL, page)
    assert cache.kept(URL) == page
    assert cache.kept(f"{URL}b") is None
    cache.forget(URL)
    assert cache.kept(URL) is None
    cache.forget(URL)


def test_a_fresh_page_is_given_without_asking(httpserver: HTTPServer, cache: PageCache) -> None:
    httpserver.expect_request("/a/").respond_with_data(HTML, content_type="text/html")
    url = httpserver.url_for("/a/")
    first = one(url, cache)
    second = one(url, cache)
    assert len(httpserver.log) == 1
    assert (first.age, first.tries, first.refused) == (0.0, 1, 1)
    assert 0 < second.age < 60
    assert second == Page(url, first.files, refused=1, refusals=first.refusals, age=second.age)


@pytest.mark.parametrize("validator", ["ETag", "Last-Modified"])
def test_an_older_page_is_asked_for_only_if_it_changed(
    httpserver: HTTPServer, cache: PageCache, validator: str
) -> None:
    value, asked = {
        "ETag": ('"one"', "If-None-Match"),
        "Last-Modified": ("Mon, 01 Jan 2024 00:00:00 GMT", "If-Modified-Since"),
    }[validator]

    def answer(request: Request) -> Response:
        if request.headers.get(asked) == value:
            return Response(status=304)
        return Response(HTML, content_type="text/html", headers={validator: value})

    httpserver.expect_request("/a/").respond_with_handler(answer)
    url = httpserver.url_for("/a/")
    first = one(url, cache)
    grown_older(cache, url)
    second = one(url, cache)
    assert [response.status_code for _, response in httpserver.log] == [200, 304]
    assert (second.files, second.refusals, second.age, second.tries) == (first.files, first.refusals, 0.0, 1)
    assert 0 < one(url, cache).age < 60
    assert len(httpserver.log) == 2


def test_a_page_that_changed_takes_the_place_of_the_old_one(httpserver: HTTPServer, cache: PageCache) -> None:
    url = httpserver.url_for("/a/")
    cache.keep(url, KeptPage(LISTING, time.time() - HOUR, '"old"'))
    httpserver.expect_request("/a/").respond_with_data("<a href=new.whl>x</a>", content_type="text/html")
    assert [file.filename for file in one(url, cache).files] == ["new.whl"]
    assert [file.filename for file in one(url, cache).files] == ["new.whl"]
    assert len(httpserver.log) == 1


def test_a_page_from_the_future_is_asked_for_again(httpserver: HTTPServer, cache: PageCache) -> None:
    url = httpserver.url_for("/a/")
    cache.keep(url, KeptPage(LISTING, time.time() + HOUR))
    httpserver.expect_request("/a/").respond_with_data("<a href=new.whl>x</a>", content_type="text/html")
    assert [file.filename for file in one(url, cache).files] == ["new.whl"]


def test_a_host_that_cannot_be_reached_is_an_error_with_the_age_of_what_is_known(cache: PageCache) -> None:
    with scripted([b""]) as server:
        pass
    known, unknown = f"{server.url}/a", f"{server.url}/b"
    cache.keep(known, KeptPage(LISTING, time.time() - HOUR))
    pages = read_pages([known, unknown], cache=cache)
    assert {page.error for page in pages.values()} == {"Connection refused"}
    assert pages[known].files == ()
    assert pages[known].last_known_age == pytest.approx(HOUR, abs=60)
    assert pages[unknown].last_known_age is None


def test_one_that_does_not_answer_in_time_too(cache: PageCache) -> None:
    with scripted([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"]) as server:
        cache.keep(server.url, KeptPage(LISTING, time.time() - HOUR))
        page = one(server.url, cache, 0.2)
    assert page.error
    assert page.last_known_age == pytest.approx(HOUR, abs=60)


def test_what_is_no_index_leaves_what_is_known_alone(httpserver: HTTPServer, cache: PageCache) -> None:
    url = httpserver.url_for("/a/")
    cache.keep(url, KeptPage(LISTING, time.time() - HOUR))
    httpserver.expect_request("/a/").respond_with_data("Log in please", content_type="text/html")
    page = one(url, cache)
    assert page.error.startswith("what answered is no wheel index")
    assert page.last_known_age is not None
    kept = cache.kept(url)
    assert kept is not None
    assert kept.listing == LISTING


def test_a_page_that_is_gone_is_forgotten(httpserver: HTTPServer, cache: PageCache) -> None:
    url = httpserver.url_for("/a/")
    cache.keep(url, KeptPage(LISTING, time.time() - HOUR))
    httpserver.expect_request("/a/").respond_with_data("", status=404)
    page = one(url, cache)
    assert (page.missing, page.last_known_age) == (True, None)
    assert cache.kept(url) is None


def test_what_is_kept_is_told_without_a_network_whatever_its_age(cache: PageCache) -> None:
    cache.keep(URL, KeptPage(LISTING, time.time() - 1000 * HOUR))
    (page,) = cached_pages([URL, "https://index.test/unknown", "http://[x"], cache).values()
    assert (page.url, page.files, page.refused, page.tries) == (URL, (FILE,), 3, 0)
    assert page.age == pytest.approx(1000 * HOUR, abs=60)
    assert page.answered


def test_no_password_is_kept_and_none_is_needed_to_find_a_page(cache: PageCache) -> None:
    cache.keep("https://name:s3same@index.test/a/", KeptPage(LISTING, time.time()))
    assert "s3same" not in entry(cache).read_text()
    with_name = "https://name:s3same@index.test/a/"
    assert list(cached_pages([URL, with_name], cache)) == [URL, with_name]


def test_the_oldest_go_beyond_500(cache: PageCache) -> None:
    cache.folder.mkdir()
    now = time.time()
    for number in range(504):
        path = cache.folder / f"{number:064}.json"
        path.touch()
        os.utime(path, (now - 1000 + number, now - 1000 + number))
    cache.keep(URL, KeptPage(LISTING, now))
    left = sorted(path.name for path in cache.folder.iterdir())
    assert len(left) == 500
    assert f"{4:064}.json" not in left
    assert f"{5:064}.json" in left
    assert cache.kept(URL) is not None


def test_what_killed_processes_left_is_cleared_after_an_hour(cache: PageCache) -> None:
    cache.folder.mkdir()
    now = time.time()
    for name, written in ((".new-old", now - 2 * HOUR), (".new-now", now)):
        (cache.folder / name).touch()
        os.utime(cache.folder / name, (written, written))
    cache.keep(URL, KeptPage(LISTING, now))
    assert [path.name for path in cache.folder.iterdir() if path.suffix != ".json"] == [".new-now"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        '{"schema": 1}',
        '{"schema": 2, "url": "https://index.test/a/"}',
        "\udcff",
    ],
)
def test_an_entry_that_cannot_be_read_is_as_good_as_none(
    httpserver: HTTPServer, cache: PageCache, content: str
) -> None:
    httpserver.expect_request("/a/").respond_with_data(HTML, content_type="text/html")
    url = httpserver.url_for("/a/")
    cache.keep(url, KeptPage(LISTING, time.time()))
    entry(cache).write_bytes(content.encode("utf-8", errors="surrogateescape"))
    assert cached_pages([url], cache) == {}
    assert len(one(url, cache).files) == 1
    assert len(httpserver.log) == 1
    assert cache.kept(url) is not None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("filename", "../a.whl"),
        ("filename", 3),
        ("url", "file:///etc/a.whl"),
        ("url", "https://name:pw@h/a.whl"),
        ("url", "https://h/a b.whl"),
        ("sha256", "abc"),
        ("requires_python", None),
        ("more", 1),
    ],
)
def test_a_file_that_no_page_could_list_is_none_of_the_cache(
    cache: PageCache, field: str, value: object
) -> None:
    cache.keep(URL, KeptPage(LISTING, time.time()))
    document = json.loads(entry(cache).read_text())
    document["listing"]["files"][0][field] = value
    entry(cache).write_text(json.dumps(document))
    assert cache.kept(URL) is None


def test_an_entry_of_another_page_is_not_taken(cache: PageCache) -> None:
    cache.keep(URL, KeptPage(LISTING, time.time()))
    kept = entry(cache).read_text()
    cache.forget(URL)
    cache.keep("https://index.test/b/", KeptPage(Listing(), time.time()))
    entry(cache).write_text(kept)
    assert cache.kept("https://index.test/b/") is None


def test_validators_that_no_header_can_hold_are_not_sent(cache: PageCache) -> None:
    assert KeptPage(LISTING, 0.0, "a\r\nX: y", "é").unless == {}
    assert KeptPage(LISTING, 0.0, "x" * 1000, "").unless == {}
    assert KeptPage(LISTING, 0.0, '"a"', "b").unless == {"If-None-Match": '"a"', "If-Modified-Since": "b"}


def test_a_cache_that_cannot_be_written_is_no_failure(httpserver: HTTPServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    httpserver.expect_request("/a/").respond_with_data(HTML, content_type="text/html")
    page = one(httpserver.url_for("/a/"), PageCache(tmp_path / "file" / "pages"))
    assert (len(page.files), page.error) == (1, "")


def test_nothing_half_written_stays(cache: PageCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.keep(URL, KeptPage(LISTING, 1.0))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mmsetup.catalog.page_cache.json.dump", full)
    cache.keep(URL, KeptPage(Listing(), 2.0))
    assert entry(cache).suffix == ".json"
    assert cache.kept(URL) == KeptPage(LISTING, 1.0)


def test_the_cache_of_the_user_lies_where_all_caches_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMSETUP_CACHE_DIR", str(tmp_path / "c"))
    assert user_cache().folder == tmp_path / "c" / "pages"


@given(st.floats(0, 1e7))
def test_an_age_is_never_nothing(ago: float) -> None:
    page = KeptPage(LISTING, 1e9 - ago)
    assert page.age(1e9) > 0
    assert page.is_fresh(1e9) == (1e9 - page.fetched_at < FRESH_SECONDS)
