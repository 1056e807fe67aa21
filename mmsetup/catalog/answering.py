"""Whether addresses of files answer, asked with HEAD: nothing of the files is fetched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from mmsetup.catalog.fetching import Attempts, Failure, fetch

__all__ = ["failures"]

_AT_ONCE = 4
# Unauthorized, forbidden, no such method, not implemented: there is somebody, and HEAD is not how to ask.
_ANSWERS = frozenset({401, 403, 405, 501})


def failures(urls: Iterable[str], *, seconds: float) -> Mapping[str, Failure]:
    """Ask for all addresses at the same time, ``seconds`` at most, and give those that do not answer.

    A host that no connection comes about with is asked once. Who refuses HEAD itself (405, 501) or asks who
    is there (401, 403) answers.
    """
    hosts: dict[str, list[str]] = {}
    for url in dict.fromkeys(urls):
        hosts.setdefault(_host(url), []).append(url)
    found: dict[str, Failure] = {}
    done: set[str] = set()
    deadline = time.monotonic() + seconds

    def ask(url: str) -> Failure | None:
        answer = fetch(url, deadline, Attempts(), method="HEAD")
        failure = answer if isinstance(answer, Failure) and answer.status not in _ANSWERS else None
        if failure is not None:
            found[url] = failure
        done.add(url)
        return failure

    def ask_host(of_host: list[str]) -> None:
        first, *others = of_host
        failure = ask(first)
        if failure is not None and failure.unreachable:
            found.update(dict.fromkeys(others, failure))
            done.update(others)
            return
        parts = [others[number::_AT_ONCE] for number in range(_AT_ONCE)]
        lanes = [threading.Thread(target=_each, args=(part, ask), daemon=True) for part in parts]
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join(max(0.0, deadline - time.monotonic()))

    # Daemon threads: to look up a name cannot be interrupted, and must keep nobody waiting.
    threads = [threading.Thread(target=ask_host, args=(of_host,), daemon=True) for of_host in hosts.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = Failure(f"no answer within {seconds:g} s", unreachable=True)
    asked = [url for of_host in hosts.values() for url in of_host]
    return {url: found.get(url, late) for url in asked if url in found or url not in done}


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        # What is no address is refused by who asks for it.
        return url


def _each(urls: list[str], ask: Callable[[str], object]) -> None:
    for url in urls:
        ask(url)
