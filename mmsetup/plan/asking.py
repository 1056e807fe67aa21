"""How pages are asked: all within one time limit, through the page cache, or from that cache alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from mmsetup.catalog.page_cache import FRESH_SECONDS, PageCache, user_cache
from mmsetup.catalog.pages import Page, cached_pages, read_pages
from mmsetup.plan.choose import Ask

__all__ = ["asking"]

_SECONDS = 2.0


def asking(*, offline: bool) -> Ask:
    """Give what reads pages for plans: with the network, or what the cache holds whatever its age."""
    cache = user_cache()
    if offline:
        return lambda urls: cached_pages(urls, cache)
    return _Asking(_SECONDS, cache)


class _Asking:
    """Reads pages and remembers them, so that a second plan neither asks twice nor takes more time.

    A host that could not be reached is not asked again.
    """

    def __init__(self, seconds: float, cache: PageCache) -> None:
        self._left = seconds
        self._cache = cache
        self._known: dict[str, Page] = {}
        self._dead: dict[str, Page] = {}

    def __call__(self, urls: Iterable[str]) -> Mapping[str, Page]:
        wanted = list(urls)
        dead = [url for url in wanted if url not in self._known and _host(url) in self._dead]
        kept = cached_pages(dead, self._cache)
        for url in dead:
            page = kept.get(url)
            if page is None or page.age > FRESH_SECONDS:
                page = Page(url, error=self._dead[_host(url)].error, unreachable=True)
            self._known[url] = page
        new = [url for url in wanted if url not in self._known]
        if new and self._left > 0:
            began = time.monotonic()
            self._known.update(read_pages(new, seconds=self._left, cache=self._cache))
            self._left -= time.monotonic() - began
            self._dead.update({_host(url): self._known[url] for url in new if self._known[url].unreachable})
        return {url: self._known[url] for url in wanted if url in self._known}


def _host(url: str) -> str:
    return urlsplit(url).netloc
