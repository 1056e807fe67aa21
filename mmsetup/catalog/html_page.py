"""Anchors of an HTML page, and whether a page without files is an index at all.

The page is scanned for the few elements that matter, each place once. ``html.parser`` needs quadratic time
for what is not closed (128 KiB of ``<a `` take Python 3.11.7 86 s), and reads malformed pages differently
from one patch release to the next. What looks like an anchor inside an attribute of another element counts
as one.

An empty index looks much like any other page. A page that names no file is an index where nothing speaks
against it: it declares itself one (``pypi:repository-version``, "Links for …", "Index of …"), or it links to
archives of other kinds, or it is short and has neither words outside of links nor anything that acts
(scripts, forms, frames, refreshes). Else something stands in for the index: a login page, a captive portal,
a company's notice.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mmsetup.catalog.addresses import printable
from mmsetup.catalog.links import Links, Listing, NoIndexError

__all__ = ["listing_of_html"]

# Each takes a few microseconds, so many half a second. The largest known indexes list 10,000 files.
_MOST_ELEMENTS = 100_000
_MOST_ATTRIBUTES = 100
_LONGEST_VALUE = 4096
_LOOKED_AT = 1 << 18
_LONGEST_EMPTY = 1 << 16
_KNOWN_MAJOR = "1"
_ELEMENT = re.compile(
    r"<(?=[!abefimost])(?:(?P<comment>!--)"  # the first look makes it ten times faster
    r"|(?P<name>a|base|meta|title|script|style|textarea|form|input|iframe|frame|object|embed)(?=[\s/>]))",
    re.IGNORECASE,
)
_TAG_END = re.compile(r"[\s/]*>")
_ATTRIBUTE = re.compile(
    r"[\s/]*(?P<name>[^\s/>][^\s/>=]*)"
    r"(?:\s*=\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<open>[\"'])|(?P<plain>[^\s>]*)))?"
)
_TEXT_ONLY = ("script", "style", "textarea", "title")
_END_OF = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _TEXT_ONLY}
_ACTING = frozenset({"script", "form", "input", "iframe", "frame", "object", "embed", "textarea"})
_ANCHOR = re.compile(r"<a(?=[\s>])[^<>]*>[^<>]*</a[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_OTHER_ARCHIVE = re.compile(
    r"[^?#]*\.(zip|tgz|tar\.bz2|tar\.xz|egg|exe|whl\.metadata)([?#]|$)", re.IGNORECASE
)
_HEADING = re.compile(r"<h1[^<>]{0,100}>\s{0,20}([^<>]{1,100})", re.IGNORECASE)
_CALLED_INDEX = re.compile(
    r"\s*(links for|index of|directory listing for)\b|.*\bsimple index\b", re.IGNORECASE
)


@dataclass(slots=True)
class _Seen:
    """What a page holds; ``rest`` is its text without comments, scripts and title."""

    anchors: list[Mapping[str, str]] = field(default_factory=list)
    base: str = ""
    title: str = ""
    version: str = ""
    acts: bool = False
    rest: list[str] = field(default_factory=list)


def listing_of_html(text: str, page: str) -> Listing:
    """Give what an HTML page lists that came from the address ``page`` (PEP 503 or a flat list of links).

    Raises:
        NoIndexError: it is something else (see above), or larger than any index.
    """
    seen = _scan(text)
    if seen.version and seen.version.partition(".")[0] != _KNOWN_MAJOR:
        raise NoIndexError(f"it is an index of version {printable(seen.version, 12)}, which is not known")
    links = Links(page, seen.base)
    for anchor in seen.anchors:
        links.add(
            anchor["href"],
            requires_python=anchor.get("data-requires-python", ""),
            yanked="data-yanked" in anchor,
        )
    listing = links.listing()
    if not listing.files and not listing.refused:
        _check_is_index(seen, len(text))
    return listing


def _scan(text: str) -> _Seen:
    seen = _Seen()
    at = rest_from = elements = 0
    while found := _ELEMENT.search(text, at):
        elements += 1
        if elements > _MOST_ELEMENTS:
            raise NoIndexError(f"it has more than {_MOST_ELEMENTS} links, scripts and the like")
        seen.rest.append(text[rest_from : found.start()])
        rest_from = found.start()
        if found["comment"]:
            end = text.find("-->", found.end())
            at = rest_from = len(text) if end < 0 else end + len("-->")
            continue
        name = found["name"].lower()
        attributes, at = _attributes(text, found.end())
        _note(seen, name, attributes)
        if name in _END_OF:
            closing = _END_OF[name].search(text, at)
            inside, at = at, closing.start() if closing else len(text)
            rest_from = at
            if name == "title" and not seen.title:
                seen.title = printable(html.unescape(text[inside : min(at, inside + 500)]))
    seen.rest.append(text[rest_from:])
    return seen


def _note(seen: _Seen, name: str, attributes: Mapping[str, str]) -> None:
    if name == "a":
        if attributes.get("href", "").strip():
            seen.anchors.append(attributes)
    elif name == "base":
        seen.base = seen.base or attributes.get("href", "").strip()
    elif name == "meta":
        if attributes.get("name", "").lower() == "pypi:repository-version":
            seen.version = attributes.get("content", "").strip()
        seen.acts = seen.acts or attributes.get("http-equiv", "").lower() == "refresh"
    elif name in _ACTING:
        seen.acts = True


def _attributes(text: str, at: int) -> tuple[dict[str, str], int]:
    """Give the attributes of the tag whose name ends at ``at``, and where the tag ends.

    A tag that is not closed ends the page, as it does in a browser.
    """
    attributes: dict[str, str] = {}
    for _ in range(_MOST_ATTRIBUTES):
        if end := _TAG_END.match(text, at):
            return attributes, end.end()
        found = _ATTRIBUTE.match(text, at)
        if found is None or found["open"]:
            return {}, len(text)
        at = found.end()
        value = found["double"] or found["single"] or found["plain"] or ""
        # html.unescape raises for a character reference of more digits than Python turns into a number.
        value = html.unescape(value) if len(value) <= _LONGEST_VALUE else value
        attributes.setdefault(found["name"][:64].lower(), value)
    raise NoIndexError(f"a link in it has more than {_MOST_ATTRIBUTES} attributes")


def _check_is_index(seen: _Seen, length: int) -> None:
    text = "".join(seen.rest)[:_LOOKED_AT]
    heading = _HEADING.search(text)
    if seen.version or any(map(_CALLED_INDEX.match, (seen.title, heading[1] if heading else ""))):
        return
    if any(_OTHER_ARCHIVE.match(anchor["href"]) for anchor in seen.anchors):
        return
    words = printable(html.unescape(_TAG.sub(" ", _ANCHOR.sub(" ", text))[:500]))
    if any(map(str.isalnum, words)):
        told = f"it says: {words}"
    elif seen.acts:
        told = "a page of scripts or forms"
    elif length > _LONGEST_EMPTY:
        told = f"{length} characters without a link to a file"
    else:
        return
    raise NoIndexError(f"what answered is no wheel index ({f'title: {seen.title}' if seen.title else told})")
