"""Fetch a file with a known sha256 into the cache."""

from __future__ import annotations

import hashlib
import os
import ssl
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

from mmsetup import files
from mmsetup.errors import IntegrityError, NetworkError, RequestError
from mmsetup.files import CACHE_ELSEWHERE, writing
from mmsetup.paths import cache_folder
from mmsetup.progress import Progress

__all__ = ["fetch"]

_MOST_BYTES = 512 << 20
_SECONDS_OF_SILENCE = 15.0
_SECONDS_IN_ALL = 600.0
_SECONDS_TO_STALE = 24 * 3600.0
_RETRIES = 2
_CHUNK = 1 << 16
_SERVER_ERROR, _TOO_MANY_REQUESTS = 500, 429
_PART = ".part"


class _TransferError(Exception):
    """A transfer failed; ``may_pass`` says whether it is worth another try."""

    def __init__(self, message: str, *, may_pass: bool = True) -> None:
        super().__init__(message)
        self.may_pass = may_pass


def fetch(url: str, sha256: str, *, progress: Progress, pause: float = 1.0, offline: bool = False) -> Path:
    """Give the file at ``url``, from the cache or fetched; it is only ever there when its sha256 fits.

    ``https``, ``http`` and ``file`` are understood; proxies come from the environment, certificates from
    ``SSL_CERT_FILE``, ``PIP_CERT`` or the system. A transfer that fails is tried twice more, after ``pause``
    seconds and twice that. What transfers that were killed left behind is removed after a day. With
    ``offline`` no host is asked.

    Raises:
        NetworkError: the host does not answer, answers with an error, or sends too much or too slowly; or
            ``offline`` and the file is not in the cache.
        IntegrityError: what came is not what was promised.
        DiskSpaceError, TargetError: the cache cannot be written.
        RequestError: the URL is of another kind.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"https", "http", "file"}:
        raise RequestError(f"cannot fetch {url}: only https, http and file are understood")
    name = Path(urllib.parse.unquote(parts.path)).name
    place = cache_folder("sdists", sha256.lower()[:32]) / name
    _remove_stale(cache_folder("sdists"))
    if place.is_file() and files.sha256(place) == sha256.lower():
        return place
    local = parts.scheme == "file"
    if offline and not local:
        raise NetworkError(
            f"{name} is not in the cache, and the network was excluded",
            remedy="leave --offline away once: that fills the cache",
        )
    for attempt in range(_RETRIES + 1):
        if attempt:
            progress.note(f"{parts.hostname} failed; trying again ({attempt} of {_RETRIES})")
            time.sleep(pause * attempt)
        try:
            with writing(place.parent, remedy=CACHE_ELSEWHERE):
                return _fetch_once(url, sha256.lower(), place, progress)
        except _TransferError as error:
            if attempt == _RETRIES or local or not error.may_pass:
                raise _unreachable(url, str(error)) from error
    raise AssertionError


def _fetch_once(url: str, sha256: str, place: Path, progress: Progress) -> Path:
    deadline = time.monotonic() + _SECONDS_IN_ALL
    total = hashlib.sha256()
    handle, private = tempfile.mkstemp(prefix=".", suffix=_PART, dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as target, _open(url) as response:
            stated = response.headers.get("Content-Length") or ""
            length = int(stated) if stated.isdecimal() else 0
            done = 0
            while chunk := _read(response):
                done += len(chunk)
                if done > _MOST_BYTES or time.monotonic() > deadline:
                    raise _TransferError(
                        "it sends more, or more slowly, than such a file needs", may_pass=False
                    )
                total.update(chunk)
                target.write(chunk)
                progress.update(f"fetching {place.name}", done=done, total=length)
            if length and done < length:
                raise _TransferError(f"it ended after {done} of {length} bytes")
            target.flush()
            os.fsync(target.fileno())
        if total.hexdigest() != sha256:
            raise IntegrityError(
                f"{url} is not what was promised: sha256 {total.hexdigest()}, not {sha256}",
                remedy="mmsetup lock  # if the change is expected; otherwise ask who changed the file",
            )
        Path(private).replace(place)
    finally:
        Path(private).unlink(missing_ok=True)
    return place


def _remove_stale(folder: Path) -> None:
    """Remove what killed transfers left in any of the folders; no transfer lasts a day."""
    oldest = time.time() - _SECONDS_TO_STALE
    for part in folder.glob(f"*/.*{_PART}"):
        with suppress(OSError):
            if part.stat().st_mtime < oldest:
                part.unlink()


@contextmanager
def _transferring() -> Iterator[None]:
    """Keep failures of the network apart from those of the disk, which are an :exc:`OSError` as well."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        may_pass = error.code >= _SERVER_ERROR or error.code == _TOO_MANY_REQUESTS
        raise _TransferError(f"HTTP {error.code} {error.reason}", may_pass=may_pass) from error
    except (OSError, EOFError, HTTPException) as error:
        words = getattr(error, "reason", "") or error
        raise _TransferError(str(words) or type(error).__name__) from error


def _read(response: urllib.response.addinfourl) -> bytes:
    with _transferring():
        return response.read(_CHUNK)


def _open(url: str) -> urllib.response.addinfourl:
    certificates = os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT")
    with _transferring():
        context = ssl.create_default_context(cafile=certificates) if url.startswith("https:") else None
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", "User-Agent": "mmsetup"})  # noqa: S310
    with _transferring():
        opened: urllib.response.addinfourl = urllib.request.urlopen(  # noqa: S310
            request, timeout=_SECONDS_OF_SILENCE, context=context
        )
    return opened


def _unreachable(url: str, why: str) -> NetworkError:
    host = urllib.parse.urlsplit(url).hostname or "this machine"
    return NetworkError(
        f"cannot fetch {url} from {host}: {why}",
        remedy="check the network; behind a firewall set HTTPS_PROXY and SSL_CERT_FILE",
    )
