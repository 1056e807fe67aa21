"""Addresses of pages: what may be shown of them, what is asked for, and the credentials they carry.

A mirror's address may hold a user name and a password. They are sent as a header to that origin alone, and
stand in no message, no listed file and no cache entry.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import SplitResult, quote, unquote, urlsplit

__all__ = ["SAFE_PATH", "SAFE_QUERY", "askable", "bare", "credentials", "origin", "printable", "shown"]

_HOST = re.compile(r"[A-Za-z0-9_.-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_PLAIN_PORTS = {"http": 80, "https": 443}
SAFE_PATH = "/%+~!,@:;="
SAFE_QUERY = SAFE_PATH + "?&"
"""What need not be quoted; blanks, $, {, }, # and quotes must: a requirements file reads them as its own."""


def printable(text: str, most: int = 80) -> str:
    """Give foreign text in one line of at most ``most`` characters, none of which steers a terminal."""
    line = " ".join(text[: most * 8].split())
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= most else line[: most - 1] + "…"


def bare(url: str) -> str:
    """Give an address without the user name and password.

    Raises:
        ValueError: it is malformed.
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def shown(url: str) -> str:
    """Give what may be shown of an address, however malformed: no user name, no password."""
    try:
        parts = urlsplit(url)
        is_sound = bool(parts.hostname) and (parts.port is None or parts.port >= 0)
    except ValueError:
        is_sound = False
    # In a malformed one nobody can tell where a password ends but at the last @.
    return printable(bare(url) if is_sound else url.rpartition("@")[2], most=300)


def askable(url: str) -> SplitResult:
    """Give the parts of an address that can be asked for, path and query quoted, without credentials.

    Raises:
        ValueError: it is none of http or https, or malformed; the words hold no password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"{shown(url)} is no address") from None
    if parts.scheme not in _PLAIN_PORTS:
        raise ValueError(f"{shown(url)} is neither http nor https")
    if not _HOST.fullmatch(host):
        raise ValueError(f"{shown(url)} names no host")
    host = f"[{host}]" if ":" in host else host
    return SplitResult(
        parts.scheme,
        host if port is None else f"{host}:{port}",
        quote(parts.path, safe=SAFE_PATH),
        quote(parts.query, safe=SAFE_QUERY),
        "",
    )


def origin(url: str) -> tuple[str, str, int]:
    """Give scheme, host and port of an address that can be asked for.

    Raises:
        ValueError: see :func:`askable`.
    """
    parts = askable(url)
    return parts.scheme, parts.hostname or "", parts.port or _PLAIN_PORTS[parts.scheme]


def credentials(url: str) -> str:
    """Give what an ``Authorization`` header says for the user name and password in an address, or nothing.

    RFC 7617: ``Basic`` and base64 of both, joined by a colon; UTF-8.
    """
    user, at, _ = urlsplit(url).netloc.rpartition("@")
    if not at:
        return ""
    name, _, password = user.partition(":")
    pair = f"{unquote(name)}:{unquote(password)}"
    return "Basic " + base64.b64encode(pair.encode("utf-8", errors="replace")).decode()
