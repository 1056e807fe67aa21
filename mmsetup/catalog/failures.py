"""Words for what goes wrong on the way to a page, and whether to try again."""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPException, IncompleteRead

from mmsetup.catalog.addresses import printable
from mmsetup.catalog.proxies import Proxy
from mmsetup.catalog.trust import untrusted

__all__ = ["is_passing", "words"]

_BROKEN = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, IncompleteRead)
_BROKEN_TLS = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


def is_passing(reason: BaseException) -> bool:
    """Tell whether another try may well succeed: the connection came about and broke."""
    return isinstance(reason, (*_BROKEN, *_BROKEN_TLS))


def words(reason: BaseException, target: str, proxy: Proxy | None, deadline: float) -> str:
    """Say why no page came from the address ``target``.

    A certificate that is not trusted is looked at for its dates until ``deadline`` (monotonic seconds).
    """
    if isinstance(reason, ssl.SSLCertVerificationError):
        return untrusted(reason, target, proxy, deadline)
    if isinstance(reason, IncompleteRead):
        return "the connection broke in the middle of the page"
    told = _plain(reason)
    # Behind a proxy, names are looked up and connections made to the proxy.
    if proxy is not None and isinstance(reason, (socket.gaierror, ConnectionRefusedError)):
        return f"the proxy {proxy.name} ({proxy.variable}): {told}"
    return told


def _plain(reason: BaseException) -> str:
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    if isinstance(reason, socket.gaierror):
        return "the name of the host cannot be looked up"
    if isinstance(reason, ssl.SSLError) and reason.reason:
        return f"no TLS connection comes about: {printable(reason.reason.lower().replace('_', ' '))}"
    if isinstance(reason, OSError) and reason.strerror:
        return printable(str(reason.strerror))
    if isinstance(reason, HTTPException) and not isinstance(reason, OSError):
        return printable(f"its answer is no HTTP ({type(reason).__name__})")
    return printable(str(reason)) or type(reason).__name__
