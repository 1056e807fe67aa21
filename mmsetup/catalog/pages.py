"""Read the pages of wheel indexes, all at once and within a time limit.

The index is the truth, the catalogue is the map: a page that answers tells which files there are. What it
listed is kept, so that it need not be asked for again at once, and can be told without a network.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from mmsetup.catalog.addresses import shown
from mmsetup.catalog.fetching import Answer, Attempts, Failure, fetch
from mmsetup.catalog.html_page import listing_of_html
from mmsetup.catalog.links import IndexFile, Listing, NoIndexError
from mmsetup.catalog.listing import listing_of
from mmsetup.catalog.page_cache import KeptPage, PageCache

__all__ = ["IndexFile", "Page", "cached_pages", "files_of", "read_pages"]


@dataclass(frozen=True, slots=True)
class Page:
    """The answer of one page: its files, or the ``error`` that came instead, and after how many ``seconds``.

    ``missing`` tells that the host answered that there is no such page, which says that there are no such
    wheels; ``unreachable`` that no answer came at all. ``tries`` is how often it was asked for: 0 where the
    cache, or the error of another page of its host, spoke for it. ``refused`` links were left out,
    ``refusals`` says of the first few why. ``age`` is how many seconds ago a page from the cache was
    fetched, 0.0 for one that has just been; ``last_known_age`` the same for what the cache holds of a page
    that could not be read now, ``None`` where it holds nothing. ``is_foreign``: something answered that is no
    index; ``wants_password``: the proxy before it asks for one. ``passed_over`` says why ops that it lists
    are not taken, where one of them was opened and does not run.
    """

    url: str
    files: tuple[IndexFile, ...] = ()
    error: str = ""
    missing: bool = False
    unreachable: bool = False
    seconds: float = 0.0
    tries: int = 0
    refused: int = 0
    refusals: tuple[str, ...] = ()
    age: float = 0.0
    last_known_age: float | None = None
    is_foreign: bool = False
    wants_password: bool = False
    passed_over: str = ""

    @property
    def answered(self) -> bool:
        """Tell whether the host gave a usable answer, if only that there is no such page."""
        return not self.error or self.missing

    @property
    def shown_url(self) -> str:
        """Give the address as it may be shown: without the user name and password of a mirror."""
        return shown(self.url)


def read_pages(
    urls: Iterable[str], *, seconds: float = 2.0, cache: PageCache | None = None
) -> Mapping[str, Page]:
    """Ask all pages at the same time and wait ``seconds`` at most for all of them together.

    A page that has not come by then is given as an error; nothing is raised. Of each host one page is asked
    first: where no connection comes about, the others share its error. A page that ``cache`` holds is given
    from there when it was fetched in the last ten minutes; an older one is asked for only if it changed.
    """
    reading = _Reading(list(dict.fromkeys(urls)), seconds, cache)
    reading.ask()
    return reading.pages()


def cached_pages(urls: Iterable[str], cache: PageCache) -> Mapping[str, Page]:
    """Give those pages that the cache holds, whatever their ``age``, and ask nobody."""
    now = time.time()
    kept = {url: cache.kept(url) for url in dict.fromkeys(urls)}
    return {url: _from_cache(url, page, now) for url, page in kept.items() if page is not None}


def files_of(html: str, base: str) -> tuple[IndexFile, ...]:
    """Give the wheels and source archives that an HTML page at address ``base`` links to, if any.

    What a page may not ask for is left out: other schemes than http and https, the step down from https to
    http, names with a folder in them or longer than a file name may be. Addresses come out with everything
    quoted that a requirements file would read as its own.
    """
    try:
        return listing_of_html(html, base).files
    except NoIndexError:
        return ()


class _Reading:
    """One call: the pages wanted, what is kept of them, and how far each has come."""

    def __init__(self, urls: list[str], seconds: float, cache: PageCache | None) -> None:
        self._deadline = time.monotonic() + seconds
        self._seconds = seconds
        self._urls = urls
        self._cache = cache
        self._kept = {url: cache.kept(url) if cache else None for url in urls}
        self._attempts = {url: Attempts() for url in urls}
        self._pages: dict[str, Page] = {}

    def ask(self) -> None:
        now = time.time()
        hosts: dict[str, list[str]] = {}
        for url in self._urls:
            kept = self._kept[url]
            if kept is not None and kept.is_fresh(now):
                self._pages[url] = _from_cache(url, kept, now)
            else:
                hosts.setdefault("/".join(url.split("/")[:3]), []).append(url)
        self._together([partial(self._ask_host, urls) for urls in hosts.values()])

    def pages(self) -> Mapping[str, Page]:
        now = time.time()
        late = f"no answer within {self._seconds:g} s"
        found: dict[str, Page] = {}
        for url in self._urls:
            page = self._pages.get(url) or Page(
                url, error=late, seconds=self._seconds, tries=self._attempts[url].tries
            )
            kept = self._kept[url]
            is_known = kept is not None and not page.answered
            found[url] = replace(page, last_known_age=kept.age(now)) if kept and is_known else page
        return found

    def _ask_host(self, urls: list[str]) -> None:
        first, *others = urls
        lead = threading.Thread(target=self._ask, args=(first,), daemon=True)
        lead.start()
        self._attempts[first].heard.wait(self._left())
        page = self._pages.get(first)
        if page is not None and page.unreachable:
            self._pages.update({url: replace(page, url=url, seconds=0.0, tries=0) for url in others})
        elif self._left():
            self._together([partial(self._ask, url) for url in others])
        lead.join(self._left())

    def _ask(self, url: str) -> None:
        began = time.monotonic()
        attempts, kept = self._attempts[url], self._kept[url]
        try:
            got = fetch(url, self._deadline, attempts, unless=kept.unless if kept else None)
            page = self._page(url, got)
            self._pages[url] = replace(page, seconds=time.monotonic() - began, tries=attempts.tries)
        finally:
            attempts.heard.set()

    def _page(self, url: str, got: Answer | Failure) -> Page:
        if isinstance(got, Failure):
            if got.missing and self._cache is not None:
                self._cache.forget(url)
            return Page(
                url,
                error=got.words,
                missing=got.missing,
                unreachable=got.unreachable,
                wants_password=got.wants_password,
            )
        kept = self._kept[url]
        if not got.modified and kept is not None:
            now_kept = replace(kept, fetched_at=time.time())
        else:
            try:
                listing = listing_of(got.body, got.content_type, got.url)
            except NoIndexError as reason:
                return Page(url, error=str(reason), is_foreign=True)
            now_kept = KeptPage(listing, time.time(), got.etag, got.last_modified)
        if self._cache is not None:
            self._cache.keep(url, now_kept)
        return _page_of(url, now_kept.listing)

    def _left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def _together(self, calls: list[Callable[[], None]]) -> None:
        # Daemon threads: to look up a name cannot be interrupted, and must keep neither this call nor the
        # process waiting.
        threads = [threading.Thread(target=call, daemon=True) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self._left())


def _page_of(url: str, listing: Listing) -> Page:
    return Page(url, listing.files, refused=listing.refused, refusals=listing.refusals)


def _from_cache(url: str, kept: KeptPage, now: float) -> Page:
    return replace(_page_of(url, kept.listing), age=kept.age(now))
