"""Read the body of an index page by what its sender says it is: HTML (flat or PEP 503) or PEP 691 JSON.

The text must be what the sender says: an encoding that is not known, or bytes that are not of it, are
refused, because whoever reads them differently reads another page.
"""

from __future__ import annotations

import json
from email.message import Message
from typing import Any

from mmsetup.catalog.addresses import printable
from mmsetup.catalog.html_page import listing_of_html
from mmsetup.catalog.links import Links, Listing, NoIndexError

__all__ = ["ACCEPTED", "listing_of"]

ACCEPTED = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.8, "
    "text/html;q=0.5, */*;q=0.1"
)
"""What to say in ``Accept``: PEP 691 asks clients to name all they read, each with its weight."""

_MOST_FILES = 50_000
_SUFFIXES = (".whl", ".tar.gz")
# Object stores and raw file views send an index.html as one of the last two.
_HTML = frozenset(
    {
        "text/html",
        "application/vnd.pypi.simple.v1+html",
        "application/xhtml+xml",
        "text/plain",
        "application/octet-stream",
    }
)
# No codec of Python's that is none of text, and none in which plain letters spell other characters (utf-7).
_CODECS = {
    "utf-8": "utf-8-sig",
    "utf8": "utf-8-sig",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "iso-8859-1": "latin-1",
    "latin1": "latin-1",
    "windows-1252": "cp1252",
}


def listing_of(body: bytes, content_type: str, page: str) -> Listing:
    """Give what a page lists that came from the address ``page`` with this ``Content-Type``.

    Raises:
        NoIndexError: it is something else than an index, or its text is not what its sender says.
    """
    told = Message()
    told["Content-Type"] = content_type or "text/html"
    kind = told.get_content_type()
    charset = str(told.get_param("charset", "utf-8")).strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return _listing_of_json(_text(body, charset), page)
    if kind not in _HTML:
        raise NoIndexError(f"what answered is no wheel index (it is {printable(kind, 40)})")
    return listing_of_html(_text(body, charset), page)


def _text(body: bytes, charset: str) -> str:
    codec = _CODECS.get(charset)
    if codec is None:
        raise NoIndexError(f"the page is in {printable(charset, 40)}, an encoding that no index uses")
    try:
        text = body.decode(codec)
    except UnicodeDecodeError as error:
        raise NoIndexError(
            f"the page is not the {charset} text that it should be (byte {error.start})"
        ) from None
    if "\0" in text:
        raise NoIndexError("the page holds NUL characters, it is no text")
    return text


def _listing_of_json(text: str, page: str) -> Listing:
    try:
        document = json.loads(text, parse_int=_no_number, parse_float=_no_number)
    except RecursionError:
        raise NoIndexError("the page is JSON that is nested too deep") from None
    except ValueError:
        raise NoIndexError("the page is not the JSON that it should be") from None
    meta = document.get("meta") if isinstance(document, dict) else None
    version = meta.get("api-version") if isinstance(meta, dict) else None
    if not isinstance(version, str) or not isinstance(document.get("files"), list):
        raise NoIndexError("what answered is no wheel index (JSON without api-version and files)")
    if version.partition(".")[0] != "1":
        raise NoIndexError(f"it is an index of version {printable(version, 12)}, which is not known")
    if len(document["files"]) > _MOST_FILES:
        raise NoIndexError(f"it lists more than {_MOST_FILES} files")
    links = Links(page)
    for number, entry in enumerate(document["files"]):
        _add(links, entry, number)
    return links.listing()


def _no_number(_: str) -> None:
    """Pass over a number: none matters here, and to convert one of a million digits takes minutes."""


def _add(links: Links, entry: Any, number: int) -> None:
    filename, url = (entry.get("filename"), entry.get("url")) if isinstance(entry, dict) else (None, None)
    if not (isinstance(filename, str) and isinstance(url, str) and filename and url):
        links.refuse(f"files[{number}]", "no file name and address")
        return
    if not filename.strip().lower().endswith(_SUFFIXES):
        return
    hashes = entry.get("hashes")
    sha256 = hashes.get("sha256") if isinstance(hashes, dict) else None
    requires_python, yanked = entry.get("requires-python"), entry.get("yanked")
    links.add(
        url,
        filename=filename,
        sha256=sha256 if isinstance(sha256, str) else "",
        requires_python=requires_python if isinstance(requires_python, str) else "",
        # PEP 691: true, or the reason as a text that is not empty.
        yanked=isinstance(yanked, (bool, str)) and bool(yanked),
    )
