"""What an untrusted certificate says of itself: when it was valid.

Python's ``ssl`` tells nothing of a certificate that it does not trust, so that it is fetched once more by a
connection that trusts anything and asks for nothing, and the two dates are read from it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import datetime, timezone
from http.client import HTTPException, HTTPSConnection

__all__ = ["peer_validity", "validity"]

_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18
_MANY_BYTES = 0x80
_PIVOT = 50


def peer_validity(
    host: str, port: int, *, seconds: float, proxy: tuple[str, int, str] | None = None
) -> tuple[datetime, datetime] | None:
    """Give the first and last moment at which the certificate of a TLS server is valid, in UTC.

    ``proxy`` is host, port and what its ``Proxy-Authorization`` says. ``None`` where no connection comes
    about within ``seconds``, or where there are no dates.
    """
    trusting_all = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting_all.check_hostname = False
    trusting_all.verify_mode = ssl.CERT_NONE
    at = (host, port) if proxy is None else proxy[:2]
    connection = HTTPSConnection(*at, timeout=seconds, context=trusting_all)
    try:
        if proxy is not None:
            connection.set_tunnel(host, port, {"Proxy-Authorization": proxy[2]} if proxy[2] else {})
        connection.connect()
        peer = connection.sock
        der = peer.getpeercert(binary_form=True) if isinstance(peer, ssl.SSLSocket) else None
    except (OSError, ValueError, HTTPException):
        return None
    finally:
        connection.close()
    return validity(der) if der else None


def validity(der: bytes) -> tuple[datetime, datetime] | None:
    """Give the two dates of a certificate in DER, in UTC; ``None`` where it is none.

    RFC 5280, 4.1: a certificate is a sequence whose first element is a sequence of version (optional),
    serial number, algorithm, issuer, and validity, which is a sequence of two times.
    """
    try:
        (_, certificate), *_ = _elements(der)
        (_, content), *_ = _elements(certificate)
        fields = [value for tag, value in _elements(content) if tag != _VERSION]
        first, last = (_time(tag, value) for tag, value in _elements(fields[3]))
    except (ValueError, IndexError):
        return None
    return first, last


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & _MANY_BYTES:
            count = length & ~_MANY_BYTES
            length, at = int.from_bytes(der[at : at + count], "big"), at + count
        if at + length > len(der):
            raise ValueError("an element ends behind the certificate")
        yield tag, der[at : at + length]
        at += length


def _time(tag: int, value: bytes) -> datetime:
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        # RFC 5280, 4.1.2.5.1: two digits of 50 and more are of the 20th century.
        text = ("19" if int(text[:2]) >= _PIVOT else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)
