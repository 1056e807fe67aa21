"""The links of an index page: which name a file, which are no concern of ours, and which are refused.

A link that leads to anything but a wheel or a source archive is passed over: parent folders, sort links,
pictures. A link that names such a file, but in a way in which no index needs to, is refused and counted:
nothing of it is repaired. So are links to files and programs of this machine (``file:``, ``javascript:``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote, urljoin, urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from mmsetup.catalog.addresses import SAFE_PATH, SAFE_QUERY, askable, printable

__all__ = ["IndexFile", "Links", "Listing", "NoIndexError", "is_file_address", "is_file_name", "is_sha256"]

_LONGEST_NAME = 255
_LONGEST_ADDRESS = 4096
_LONGEST_SPECIFIER = 200
_SHOWN_REFUSALS = 5
_SUFFIXES = (".whl", ".tar.gz")
_OF_THIS_MACHINE = ("file:", "javascript:", "data:", "vbscript:", "blob:")
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*\.(whl|tar\.gz)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"(?:^|&)sha256=([0-9A-Fa-f]{64})(?:&|$)")
_ADDRESS = re.compile(r"https?://[A-Za-z0-9_.:\[\]-]+/[A-Za-z0-9/%+~!,@:;=?&._-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNSAFE_SEGMENT = re.compile(r"(?:\.|%2e){1,2}", re.IGNORECASE)


class NoIndexError(ValueError):
    """What answered is no index, or none that can be trusted; the message is for the user."""


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file that a page lists; ``sha256`` is empty where the page does not tell it.

    ``requires_python`` is a version specifier, empty where the page has none that can be read; ``yanked``
    files were withdrawn by who released them.
    """

    filename: str
    url: str
    sha256: str = ""
    requires_python: str = ""
    yanked: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """What a page lists: its files, how many links were refused, and for the first few of those why."""

    files: tuple[IndexFile, ...] = ()
    refused: int = 0
    refusals: tuple[str, ...] = ()


class Links:
    """Gathers the files of a page that came from the address ``page``; links are relative to ``base``."""

    def __init__(self, page: str, base: str = "") -> None:
        self._base = urljoin(page, base) if base else page
        self._base_climbs = bool(base) and _above_root(page, base)
        self._is_secure = urlsplit(page).scheme == "https"
        self._folders: dict[str, str] = {}
        self._files: dict[str, IndexFile] = {}
        self._refused = 0
        self._refusals: list[str] = []

    def add(
        self,
        link: str,
        *,
        filename: str = "",
        sha256: str = "",
        requires_python: str = "",
        yanked: bool = False,
    ) -> None:
        """Take a link, or refuse it, or pass over it; a ``filename`` told beside it must be the link's."""
        link = link.strip(" \t\r\n\f")
        try:
            file = self._file(link, filename)
        except ValueError as reason:
            self.refuse(filename or link, str(reason))
            return
        if file is None:
            return
        digest = sha256.lower() if is_sha256(sha256.lower()) else file.sha256
        known = self._files.get(file.filename)
        if known is not None:
            if known.sha256 and digest and known.sha256 != digest:
                self.refuse(file.filename, "it is listed with two different hashes")
            return
        self._files[file.filename] = IndexFile(
            file.filename, file.url, digest, _specifier(requires_python), yanked
        )

    def refuse(self, what: str, reason: str) -> None:
        """Count an entry that is left out."""
        self._refused += 1
        if len(self._refusals) < _SHOWN_REFUSALS:
            # What follows an @ alone: a link may hold a password.
            self._refusals.append(f"{printable(what.rpartition('@')[2])}: {reason}")

    def listing(self) -> Listing:
        """Give what was gathered."""
        return Listing(tuple(self._files.values()), self._refused, tuple(self._refusals))

    def _file(self, link: str, told_name: str) -> IndexFile | None:
        if link[:16].lower().startswith(_OF_THIS_MACHINE):
            raise ValueError(f"{link.partition(':')[0].lower()}: is no address of the web")
        if len(link) > _LONGEST_ADDRESS:
            raise ValueError(f"an address of {len(link)} characters")
        address, _, fragment = link.partition("#")
        path = address.partition("?")[0]
        last = unquote(path.rpartition("/")[2])
        if not told_name and not last.rstrip().lower().endswith(_SUFFIXES):
            return None
        if _CONTROL.search(unquote(link)):
            raise ValueError("a control character")
        if any(mark in last for mark in "/\\") or any(map(_climbs, path.split("/"))):
            raise ValueError("a file name that leads to another folder")
        if len(last) > _LONGEST_NAME:
            raise ValueError(f"a file name of {len(last)} characters")
        if not _FILENAME.fullmatch(last):
            raise ValueError("no name of a wheel or source archive")
        if told_name and told_name != last:
            raise ValueError("its address ends in another name")
        url = self._address(address)
        digest = _DIGEST.search(fragment)
        return IndexFile(last, url, digest[1].lower() if digest else "")

    def _address(self, address: str) -> str:
        # Thousands of links share a few folders, and to judge an address takes longer than all else.
        path, mark, query = address.partition("?")
        folder, slash, name = path.rpartition("/")
        if folder + slash not in self._folders:
            self._folders[folder + slash] = self._folder(folder + slash)
        return (
            self._folders[folder + slash] + quote(name, safe=SAFE_PATH) + mark + quote(query, safe=SAFE_QUERY)
        )

    def _folder(self, folder: str) -> str:
        try:
            own, target = urlsplit(folder), urljoin(self._base, folder or "./")
            parts = urlsplit(target)
        except ValueError:
            raise ValueError("no address") from None
        if _above_root(self._base, folder) or (self._base_climbs and not own.netloc):
            raise ValueError("it climbs above the root of its host")
        if parts.scheme not in {"http", "https"}:
            raise ValueError(f"{printable(parts.scheme)}: is no address of the web")
        if self._is_secure and parts.scheme == "http":
            raise ValueError("it leads from https to http")
        # The page's own credentials were taken off its address: these would be the link's.
        if "@" in parts.netloc:
            raise ValueError("it holds a user name")
        # urljoin takes https:///x and ///x for links relative to the page.
        if (own.scheme or folder.startswith("//")) and not own.netloc:
            raise ValueError("it names no host")
        try:
            return askable(target).geturl()
        except ValueError:
            raise ValueError("it names no host") from None


def is_file_name(text: str) -> bool:
    """Tell whether a text is the name of a wheel or source archive and nothing more than a name."""
    return len(text) <= _LONGEST_NAME and _FILENAME.fullmatch(text) is not None


def is_file_address(text: str) -> bool:
    """Tell whether a text is an address as a listing gives it: of the web, quoted, without credentials."""
    return _ADDRESS.fullmatch(text) is not None


def is_sha256(text: str) -> bool:
    """Tell whether a text is a sha256 in small hexadecimal digits."""
    return _SHA256.fullmatch(text) is not None


def _climbs(segment: str) -> bool:
    # Plain dots are how flat pages point to the folder beside them; quoted ones have no honest use.
    return "%" in segment and _UNSAFE_SEGMENT.fullmatch(segment) is not None


def _above_root(base: str, link: str) -> bool:
    """Tell whether a link has more dots than folders to leave, which ``urljoin`` passes over in silence."""
    own = urlsplit(link)
    start = "" if own.netloc or own.path.startswith("/") else urlsplit(base).path.rpartition("/")[0]
    depth = 0
    for segment in f"{start}/{own.path}".split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(segment, 1)
        if depth < 0:
            return True
    return False


@lru_cache(maxsize=512)
def _specifier(text: str) -> str:
    """Give a version specifier as it stands, or nothing for one that cannot be read."""
    if not text or len(text) > _LONGEST_SPECIFIER:
        return ""
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return ""
    return text.strip()
