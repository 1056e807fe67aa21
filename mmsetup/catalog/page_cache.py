"""Pages that were read before, one JSON file for each, to ask less often and to plan without a network.

Nothing here is needed: an entry that cannot be read is as good as none, one that cannot be written is left.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmsetup.catalog.addresses import bare
from mmsetup.catalog.links import IndexFile, Listing, is_file_address, is_file_name, is_sha256
from mmsetup.paths import cache_folder

__all__ = ["FRESH_SECONDS", "KeptPage", "PageCache", "user_cache"]

FRESH_SECONDS = 600.0
"""A page that was fetched less than this ago is not asked for again."""

_SCHEMA = 1
_MOST_ENTRIES = 500
_MOST_BYTES = 64 * 1024 * 1024
_LONGEST_VALIDATOR = 200
_NEW = ".new-"
_ABANDONED_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class KeptPage:
    """What a page listed when it was fetched: ``fetched_at`` in seconds since 1970, UTC.

    ``etag`` and ``last_modified`` are what its server said to recognise this state of it by.
    """

    listing: Listing
    fetched_at: float
    etag: str = ""
    last_modified: str = ""

    @property
    def unless(self) -> Mapping[str, str]:
        """Give the headers with which a server may answer that the page is still this one."""
        named = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in named.items() if _is_validator(value)}

    def age(self, now: float) -> float:
        """Give the seconds since it was fetched, never quite 0; ``now`` is in seconds since 1970, UTC."""
        return max(0.001, now - self.fetched_at)

    def is_fresh(self, now: float) -> bool:
        """Tell whether it need not be asked for again; one from the future must."""
        return 0 <= now - self.fetched_at < FRESH_SECONDS


@dataclass(frozen=True, slots=True)
class PageCache:
    """The pages kept in ``folder``, which is made when the first one is kept."""

    folder: Path

    def kept(self, url: str) -> KeptPage | None:
        """Give what is kept of a page, however old; ``None`` where that is nothing, or cannot be read."""
        try:
            path = self._path(url)
            if path.stat().st_size > _MOST_BYTES:
                return None
            document = json.loads(path.read_bytes())
            return _page(document, bare(url))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def keep(self, url: str, page: KeptPage) -> None:
        """Keep a page in place of what was kept of it; beyond 500 pages those kept longest ago go."""
        with suppress(OSError, ValueError):
            path = self._path(url)
            document = {"schema": _SCHEMA, "url": bare(url), **asdict(page)}
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, prefix=_NEW)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(document, file)
                Path(name).replace(path)
            finally:
                Path(name).unlink(missing_ok=True)
            self._prune()

    def forget(self, url: str) -> None:
        """Remove what is kept of a page."""
        with suppress(OSError, ValueError):
            self._path(url).unlink(missing_ok=True)

    def _path(self, url: str) -> Path:
        return self.folder / f"{hashlib.sha256(bare(url).encode()).hexdigest()}.json"

    def _prune(self) -> None:
        kept: list[tuple[float, Path]] = []
        for path in self.folder.iterdir():
            # Another process may have removed it since.
            with suppress(FileNotFoundError):
                written = path.stat().st_mtime
                if path.suffix == ".json":
                    kept.append((written, path))
                # What a process that was killed did not finish.
                elif path.name.startswith(_NEW) and time.time() - written > _ABANDONED_SECONDS:
                    path.unlink()
        for _, path in sorted(kept)[: max(0, len(kept) - _MOST_ENTRIES)]:
            path.unlink(missing_ok=True)


def user_cache() -> PageCache:
    """Give the cache of this user, which ``MMSETUP_CACHE_DIR`` moves.

    Raises:
        TargetError: its folder cannot be made.
    """
    return PageCache(cache_folder("pages"))


def _page(document: Any, url: str) -> KeptPage:
    """Make a page of a document.

    Raises:
        ValueError, KeyError, TypeError: it is none, or one of another address.
    """
    if document["schema"] != _SCHEMA or document["url"] != url:
        raise ValueError("another schema or another page")
    listing = document["listing"]
    return KeptPage(
        Listing(
            tuple(_file(entry) for entry in listing["files"]),
            int(listing["refused"]),
            tuple(map(str, listing["refusals"])),
        ),
        float(document["fetched_at"]),
        str(document["etag"]),
        str(document["last_modified"]),
    )


def _file(entry: Any) -> IndexFile:
    file = IndexFile(**entry)
    if (
        not is_file_name(file.filename)
        or not is_file_address(file.url)
        or not (file.sha256 == "" or is_sha256(file.sha256))
        or not isinstance(file.requires_python, str)
        or not isinstance(file.yanked, bool)
    ):
        raise ValueError("no file of an index")
    return file


def _is_validator(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_VALIDATOR and text.isascii() and text.isprintable()
