"""How pages are asked: from the cache alone, or with the network, each once and all within one time."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from bare_machine import BARE, PAGES, wheel

from mmsetup.catalog import Catalog
from mmsetup.catalog.links import Listing
from mmsetup.catalog.page_cache import KeptPage, user_cache
from mmsetup.plan import Request
from mmsetup.plan.asking import asking
from mmsetup.plan.choose import plan

CU117 = f"{PAGES}/cu117/torch1.13.0/index.html"
DAY = 86400.0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMSETUP_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


def keep(url: str, *versions: str, age: float = 0.0) -> None:
    files = tuple(wheel(version) for version in versions)
    user_cache().keep(url, KeptPage(Listing(files), time.time() - age))


class _Answers(BaseHTTPRequestHandler):
    def __init__(self, asked: list[str], *args: object) -> None:
        self._asked = asked
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._asked.append(self.path)
        name = wheel("1.7.1").filename
        known = self.path == "/mmcv/dist/cu117/torch1.13.0/index.html"
        body = f'<a href="{name}">{name}</a>'.encode() if known else b""
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def index() -> Iterator[tuple[str, list[str]]]:
    """Serve a page; give the address of its host, and what was asked there."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Answers, asked))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def closed() -> str:
    """Give the address of a host where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


def test_offline_the_cache_answers_whatever_its_age_and_only_what_it_holds() -> None:
    keep(CU117, "1.7.1", age=400 * DAY)
    pages = asking(offline=True)([CU117, f"{PAGES}/cpu/torch1.13.0/index.html"])
    assert list(pages) == [CU117]
    assert pages[CU117].files == (wheel("1.7.1"),)
    assert pages[CU117].age == pytest.approx(400 * DAY, abs=60)


def test_offline_nobody_is_asked(index: tuple[str, list[str]]) -> None:
    host, asked = index
    assert asking(offline=True)([f"{host}/mmcv/dist/cu117/torch1.13.0/index.html"]) == {}
    assert asked == []


def test_offline_a_kept_page_confirms_a_plan_and_its_age_is_told(catalog: Catalog) -> None:
    keep(CU117, "1.7.1", age=3 * DAY)
    made = plan(BARE, catalog, Request(offline=True), ask=asking(offline=True))
    assert (made.ops.kind, made.ops.page, made.unconfirmed) == ("prebuilt", CU117, ())
    (report,) = [report for report in made.sources if report.url == CU117]
    assert report.age == pytest.approx(3 * DAY, abs=60)


def test_offline_an_alias_that_was_read_in_place_of_the_usual_page_confirms_too(catalog: Catalog) -> None:
    alias = f"{PAGES}/cu117/torch1.13/index.html"
    keep(alias, "1.7.1")
    made = plan(BARE, catalog, Request(offline=True), ask=asking(offline=True))
    assert (made.ops.kind, made.ops.page, made.unconfirmed) == ("prebuilt", alias, ())


def test_a_page_is_asked_once_by_one_who_asks(index: tuple[str, list[str]]) -> None:
    host, asked = index
    page = f"{host}/mmcv/dist/cu117/torch1.13.0/index.html"
    ask = asking(offline=False)
    first = ask([page])
    assert [file.filename for file in first[page].files] == [wheel("1.7.1").filename]
    assert ask([page]) == first
    assert len(asked) == 1


def test_what_was_read_answers_offline_afterwards(index: tuple[str, list[str]]) -> None:
    host, _ = index
    page = f"{host}/mmcv/dist/cu117/torch1.13.0/index.html"
    asking(offline=False)([page])
    kept = asking(offline=True)([page])
    assert [file.filename for file in kept[page].files] == [wheel("1.7.1").filename]


def test_a_fresh_page_is_not_asked_for_again(index: tuple[str, list[str]]) -> None:
    host, asked = index
    page = f"{host}/fresh/"
    keep(page, "1.7.2", age=30)
    assert asking(offline=False)([page])[page].files == (wheel("1.7.2"),)
    assert asked == []


def test_a_dead_host_is_asked_once(closed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmsetup.plan import asking as module

    rounds: list[list[str]] = []
    real = module.read_pages

    def counted(urls, **how):
        rounds.append(list(urls))
        return real(rounds[-1], **how)

    monkeypatch.setattr(module, "read_pages", counted)
    ask = asking(offline=False)
    first = ask([f"{closed}/a/", f"{closed}/b/"])
    assert all(page.unreachable for page in first.values())
    second = ask([f"{closed}/c/", f"{closed}/a/"])
    assert all(page.unreachable and page.error for page in second.values())
    assert rounds == [[f"{closed}/a/", f"{closed}/b/"]]


def test_a_dead_host_does_not_speak_for_another(closed: str, index: tuple[str, list[str]]) -> None:
    host, _ = index
    ask = asking(offline=False)
    ask([f"{closed}/a/"])
    page = f"{host}/mmcv/dist/cu117/torch1.13.0/index.html"
    pages = ask([page, f"{closed}/b/"])
    assert pages[page].answered
    assert not pages[f"{closed}/b/"].answered


def test_a_dead_host_hides_no_page_of_it_that_was_kept(closed: str) -> None:
    page = f"{closed}/kept/"
    keep(page, "1.7.1", age=30)
    ask = asking(offline=False)
    ask([f"{closed}/a/"])
    assert ask([page])[page].files == (wheel("1.7.1"),)


def test_all_that_one_asks_takes_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmsetup.plan import asking as module

    given: list[float] = []

    def slow(urls, *, seconds: float, cache: object):
        del cache
        given.append(seconds)
        time.sleep(0.2)
        return {url: module.Page(url, error="late") for url in urls}

    monkeypatch.setattr(module, "read_pages", slow)
    ask = asking(offline=False)
    for name in "abc":
        ask([f"https://host.test/{name}/"])
    assert given[0] > given[1] > given[2]
    assert given[0] - given[2] >= 0.4


def test_a_plan_through_a_live_mirror(index: tuple[str, list[str]], catalog: Catalog) -> None:
    host, asked = index
    dead = "http://127.0.0.1:9"
    request = Request(mirrors={"openmmlab": host, "pytorch": dead})
    made = plan(BARE, catalog, request, ask=asking(offline=False))
    assert made.choice("mmcv-full").version == "1.7.1"
    file = made.choice("mmcv-full").file
    assert file is not None
    assert file.url == f"{host}/mmcv/dist/cu117/torch1.13.0/{wheel('1.7.1').filename}"
    assert len(set(asked)) == len(asked)
