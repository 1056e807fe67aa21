"""Read the pages of wheel indexes, all at once and within a time limit.

The index is the truth, the catalogue is the map: a page that answers tells which files there are. Flat pages
with relative links (OpenMMLab's) and PEP 503 pages are both lists of anchors; the sha256 is taken from the
link's fragment where it has one.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from html.parser import HTMLParser
from http.client import HTTPException, HTTPResponse
from urllib.parse import parse_qs, quote, unquote, urljoin, urlsplit

from mmsetup import __version__

__all__ = ["IndexFile", "Page", "read_pages"]

_MOST_BYTES = 16 * 1024 * 1024
_NOT_FOUND = 404
_LOADING = threading.Lock()
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,250}\.(whl|tar\.gz)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file that a page lists; ``sha256`` is empty where the page does not tell it."""

    filename: str
    url: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """The answer of one page: its files, or the ``error`` that came instead, and after how many ``seconds``.

    ``missing`` tells that the host answered that there is no such page, which says that there are no such
    wheels; ``unreachable`` that no answer came at all.
    """

    url: str
    files: tuple[IndexFile, ...] = ()
    error: str = ""
    missing: bool = False
    unreachable: bool = False
    seconds: float = 0.0

    @property
    def answered(self) -> bool:
        """Tell whether the host gave a usable answer, if only that there is no such page."""
        return not self.error or self.missing


def read_pages(urls: Iterable[str], *, seconds: float = 2.0) -> Mapping[str, Page]:
    """Ask all pages at the same time and wait ``seconds`` at most for all of them together.

    A page that has not come by then is given as an error; nothing is raised. Of each host one page is asked
    first: where no connection comes about, the others share its error.
    """
    deadline = time.monotonic() + seconds
    wanted = list(dict.fromkeys(urls))
    answers: dict[str, Page] = {}
    hosts: dict[str, list[str]] = {}
    for url in wanted:
        hosts.setdefault("/".join(url.split("/")[:3]), []).append(url)

    def ask_host(first: str, others: list[str]) -> None:
        answers[first] = page = _read(first, deadline)
        if page.unreachable:
            answers.update({url: replace(page, url=url, seconds=0.0) for url in others})
        else:
            _together([partial(ask, url) for url in others], deadline)

    def ask(url: str) -> None:
        answers[url] = _read(url, deadline)

    _together([partial(ask_host, first, others) for first, *others in hosts.values()], deadline)
    late = f"no answer within {seconds:g} s"
    return {url: answers.get(url) or Page(url, error=late, seconds=seconds) for url in wanted}


def _together(calls: list[Callable[[], None]], deadline: float) -> None:
    # Daemon threads: to look up a name cannot be interrupted, and must keep neither this call nor the
    # process waiting.
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _read(url: str, deadline: float) -> Page:
    began = time.monotonic()
    try:
        request = urllib.request.Request(  # noqa: S310 (the scheme is checked by _openable)
            _openable(url), headers={"User-Agent": f"mmsetup/{__version__}", "Accept": "text/html"}
        )
        left = max(0.05, deadline - began)
        with urllib.request.urlopen(request, timeout=left, context=_tls(url)) as answer:  # noqa: S310
            body = _body(answer, deadline)
            base = answer.geturl()
    except urllib.error.HTTPError as refusal:
        refusal.close()
        answer_words = f"HTTP {refusal.code} {refusal.reason}"
        return Page(
            url, (), answer_words, missing=refusal.code == _NOT_FOUND, seconds=time.monotonic() - began
        )
    except (OSError, ValueError, HTTPException) as refusal:
        reason = refusal.reason if isinstance(refusal, urllib.error.URLError) else refusal
        return Page(url, (), _words(reason), unreachable=True, seconds=time.monotonic() - began)
    if body is None:
        return Page(url, (), "the page is too large or came too slowly", seconds=time.monotonic() - began)
    files = files_of(body.decode("utf-8", errors="replace"), base)
    return Page(url, files, seconds=time.monotonic() - began)


def _body(answer: HTTPResponse, deadline: float) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    # In parts: a server that sends a byte now and then would otherwise never run into a time limit.
    while chunk := answer.read1(1 << 16):
        parts.append(chunk)
        size += len(chunk)
        if size > _MOST_BYTES or time.monotonic() > deadline:
            return None
    return b"".join(parts)


def files_of(html: str, base: str) -> tuple[IndexFile, ...]:
    """Give the wheels and source archives that a page at address ``base`` links to.

    What a page may not ask for is left out: other schemes than http and https, the step down from https to
    http, names with a folder in them or longer than a file name may be. Addresses come out with everything
    quoted that a requirements file would read as its own.
    """
    parser = _Anchors()
    parser.feed(html)
    parser.close()
    origin = urlsplit(parser.base or base)
    found: dict[str, IndexFile] = {}
    allowed = {"https"} if origin.scheme == "https" else {"http", "https"}
    for href in parser.hrefs:
        try:
            link = urlsplit(urljoin(origin.geturl(), href))
        except ValueError:
            continue
        filename = unquote(link.path.rsplit("/", 1)[-1])
        if link.scheme in allowed and _FILENAME.fullmatch(filename):
            address = link._replace(fragment="", path=quote(link.path, safe="/%+~!,@:;="))
            digest = parse_qs(link.fragment).get("sha256", [""])[0].lower()
            sha256 = digest if _SHA256.fullmatch(digest) else ""
            found[filename] = IndexFile(filename, address.geturl(), sha256)
    return tuple(found.values())


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []
        self.base = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if tag == "a" and href:
            self.hrefs.append(href.strip())
        elif tag == "base" and href and not self.base:
            self.base = href.strip()


def _openable(url: str) -> str:
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ValueError(f"{url} is neither http nor https")
    return url


def _tls(url: str) -> ssl.SSLContext | None:
    if not url.startswith("https:"):
        return None
    bundle = next((os.environ[name] for name in ("SSL_CERT_FILE", "PIP_CERT") if os.environ.get(name)), None)
    with _LOADING:
        return _trusting(bundle)


@lru_cache(maxsize=4)
def _trusting(bundle: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=bundle)


def _words(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    if isinstance(reason, socket.gaierror):
        return "the name of the host cannot be looked up"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {reason.verify_message} (SSL_CERT_FILE names a bundle)"
    if isinstance(reason, OSError) and reason.strerror:
        return str(reason.strerror)
    return str(reason) or type(reason).__name__
