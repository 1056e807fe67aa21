"""Fetch one page over HTTP until a moment in time: retries, redirects, proxies, certificates, bad senders.

What is wrong with an address or an answer comes out as words for the user, which never hold a password.
"""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from threading import Event
from urllib.error import URLError
from urllib.parse import urljoin

from mmsetup import __version__
from mmsetup.catalog.addresses import askable, credentials, origin, printable, shown
from mmsetup.catalog.failures import is_passing, words
from mmsetup.catalog.listing import ACCEPTED
from mmsetup.catalog.proxies import Proxy, proxy_for
from mmsetup.catalog.trust import tls

__all__ = ["Answer", "Attempts", "Failure", "fetch"]

_MOST_BYTES = 16 * 1024 * 1024
_CHUNK = 1 << 16
_MOST_TRIES = 5
_MOST_REDIRECTS = 5
_FIRST_PAUSE = 0.1
_SHORTEST = 0.05
_OK, _NOT_MODIFIED, _UNAUTHORIZED, _PROXY_WANTS_PASSWORD = 200, 304, 401, 407
_MOVED = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({404, 410})
_PASSING = frozenset({429, 502, 503, 504})
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})\s*(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """A page as it came from ``url``, the address after all redirects; ``modified`` is false for a 304."""

    url: str
    body: bytes = b""
    content_type: str = ""
    etag: str = ""
    last_modified: str = ""
    modified: bool = True


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no page; ``status`` is the number of the answer that came instead, 0 where none did.

    All others but ``words`` are as in :class:`mmsetup.catalog.pages.Page`.
    """

    words: str
    missing: bool = False
    unreachable: bool = False
    wants_password: bool = False
    status: int = 0


@dataclass(slots=True)
class Attempts:
    """How a page is getting on, to be read from another thread: tries so far, and whether its host spoke."""

    tries: int = 0
    heard: Event = field(default_factory=Event)


class _FailedError(Exception):
    """One try failed; ``again`` is how long to wait at least before the next, ``None``: no other try."""

    def __init__(self, failure: Failure, again: float | None = None) -> None:
        super().__init__(failure.words)
        self.failure = failure
        self.again = again


def fetch(
    url: str,
    deadline: float,
    attempts: Attempts,
    *,
    unless: Mapping[str, str] | None = None,
    method: str = "GET",
) -> Answer | Failure:
    """Ask for a page until it comes, or it is certain that it does not, or ``deadline`` (monotonic seconds).

    A connection that breaks, and the answers 429, 502, 503 and 504, are taken for passing: the page is asked
    for again after 0.1 s, 0.2 s, 0.4 s …, or what ``Retry-After`` says, five times at most. With the headers
    ``unless`` (``If-None-Match``, ``If-Modified-Since``) an answer may be that nothing was modified. With the
    ``method`` HEAD it has no body.
    """
    while True:
        attempts.tries += 1
        try:
            return _tried(url, deadline, attempts.heard, dict(unless or {}), method)
        except _FailedError as failed:
            if failed.again is None or attempts.tries >= _MOST_TRIES:
                return failed.failure
            pause = max(failed.again, _FIRST_PAUSE * 2 ** (attempts.tries - 1))
            if time.monotonic() + pause + _SHORTEST > deadline:
                return failed.failure
            time.sleep(pause)


def _tried(url: str, deadline: float, heard: Event, unless: dict[str, str], method: str) -> Answer:
    at, authorization = url, ""
    for _ in range(_MOST_REDIRECTS + 1):
        try:
            # Of the origin that was named with them alone: a redirect must not take them elsewhere.
            authorization = credentials(url) if origin(at) == origin(url) else ""
            target, proxy = askable(at).geturl(), proxy_for(at)
        except ValueError as reason:
            raise _FailedError(Failure(str(reason), unreachable=True)) from None
        sent = {**unless, "User-Agent": f"mmsetup/{__version__}", "Accept": ACCEPTED}
        if authorization:
            sent["Authorization"] = authorization
        was_heard = False
        try:
            with _opened(target, sent, deadline, method) as answer:
                was_heard = True
                heard.set()
                if answer.status not in _MOVED:
                    if answer.status == _NOT_MODIFIED and unless:
                        return Answer(target, modified=False)
                    _check_status(answer, proxy, has_credentials=bool(authorization))
                    return _answer(answer, target, deadline)
                at = _next(answer, at)
        except (OSError, ValueError, HTTPException) as error:
            raise _failed(error, target, proxy, deadline, was_heard=was_heard) from None
    raise _FailedError(Failure(f"it redirects more than {_MOST_REDIRECTS} times"))


def _opened(target: str, headers: Mapping[str, str], deadline: float, method: str) -> HTTPResponse:
    # Only what speaks HTTP: no handler for files or FTP that a redirect could reach, none that follows one.
    opener = urllib.request.OpenerDirector()
    opener.add_handler(urllib.request.ProxyHandler())
    opener.add_handler(urllib.request.HTTPHandler())
    if target.startswith("https:"):
        opener.add_handler(urllib.request.HTTPSHandler(context=tls()))
    left = max(_SHORTEST, deadline - time.monotonic())
    request = urllib.request.Request(target, headers=dict(headers), method=method)  # noqa: S310 (see askable)
    answer = opener.open(request, timeout=left)
    if not isinstance(answer, HTTPResponse):
        raise TypeError("only HTTP was asked for")
    return answer


def _next(answer: HTTPResponse, at: str) -> str:
    to = answer.headers.get("Location", "")
    try:
        address = urljoin(at, to)
        scheme = askable(address).scheme
    except ValueError:
        raise _FailedError(
            Failure(f"it redirects to {shown(to) or 'nowhere'}, which is not followed")
        ) from None
    if at.startswith("https:") and scheme == "http":
        raise _FailedError(Failure(f"it redirects from https to {shown(address)}, which is not followed"))
    return address


def _check_status(answer: HTTPResponse, proxy: Proxy | None, *, has_credentials: bool) -> None:
    status = answer.status
    if status == _OK:
        return
    told = f"HTTP {status} {printable(answer.reason or '')}".strip()
    if status == _PROXY_WANTS_PASSWORD and proxy is not None:
        raise _FailedError(Failure(proxy.wants_password, wants_password=True))
    if status == _UNAUTHORIZED:
        told += (
            ": the user name and password in its address are not accepted"
            if has_credentials
            else ": it wants a user name and password (https://USER:PASSWORD@HOST as the mirror's address)"
        )
    again = _retry_after(answer.headers.get("Retry-After", "")) if status in _PASSING else None
    if again is not None and again > 1:
        told += f", to be asked again after {again:.0f} s"
    raise _FailedError(Failure(told, missing=status in _GONE, status=status), again)


def _retry_after(text: str) -> float:
    """Give the seconds that an answer asks to wait for (RFC 9110, 10.2.3): a number, or a date; else 0."""
    if re.fullmatch(r"[0-9]{1,9}", text.strip()):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return 0.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())


def _answer(answer: HTTPResponse, target: str, deadline: float) -> Answer:
    packed = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if packed not in {"", "identity"}:
        raise _FailedError(
            Failure(f"it sends the page packed ({printable(packed, 20)}), which nobody asked for")
        )
    return Answer(
        target,
        _body(answer, deadline),
        answer.headers.get("Content-Type", ""),
        answer.headers.get("ETag", ""),
        answer.headers.get("Last-Modified", ""),
    )


def _body(answer: HTTPResponse, deadline: float) -> bytes:
    if (answer.length or 0) > _MOST_BYTES:
        raise _FailedError(Failure("the page is larger than 16 MiB"))
    parts: list[bytes] = []
    size = 0
    # In parts: a server that sends a byte now and then would otherwise never run into a time limit.
    while chunk := answer.read1(_CHUNK):
        parts.append(chunk)
        size += len(chunk)
        if size > _MOST_BYTES:
            raise _FailedError(Failure("the page is larger than 16 MiB"))
        if time.monotonic() > deadline:
            raise _FailedError(Failure("the page came too slowly"))
    # read1 does not complain about a connection that ends early, and half a list looks like a list.
    if answer.length:
        raise _FailedError(Failure("the connection broke in the middle of the page"), again=0.0)
    return b"".join(parts)


def _failed(
    error: Exception, target: str, proxy: Proxy | None, deadline: float, *, was_heard: bool
) -> _FailedError:
    reason = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
    tunnel = _TUNNEL.match(str(reason)) if proxy is not None else None
    if proxy is not None and tunnel is not None:
        status = int(tunnel[1])
        refused = (
            f"the proxy {proxy.name} does not connect to it: HTTP {status} {printable(tunnel[2])}".strip()
        )
        wants_password = status == _PROXY_WANTS_PASSWORD
        told = proxy.wants_password if wants_password else refused
        failure = Failure(told, unreachable=True, wants_password=wants_password)
        return _FailedError(failure, 0.0 if status in _PASSING else None)
    told = words(reason, target, proxy, deadline)
    return _FailedError(Failure(told, unreachable=not was_heard), 0.0 if is_passing(reason) else None)
