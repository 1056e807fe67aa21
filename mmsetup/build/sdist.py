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
from pathlib import Path

from mmsetup.build.cache import digest
from mmsetup.errors import IntegrityError, NetworkError, RequestError
from mmsetup.paths import cache_folder
from mmsetup.progress import Progress

__all__ = ["fetch"]

_MOST_BYTES = 512 << 20
_SECONDS_OF_SILENCE = 15.0
_SECONDS_IN_ALL = 600.0
_RETRIES = 2
_CHUNK = 1 << 16
_SERVER_ERROR, _TOO_MANY_REQUESTS = 500, 429


def fetch(url: str, sha256: str, *, progress: Progress, pause: float = 1.0) -> Path:
    """Give the file at ``url``, from the cache or fetched; it is only ever there when its sha256 fits.

    ``https``, ``http`` and ``file`` are understood; proxies come from the environment, certificates from
    ``SSL_CERT_FILE``, ``PIP_CERT`` or the system. A transfer that fails is tried twice more, after ``pause``
    seconds and twice that.

    Raises:
        NetworkError: the host does not answer, answers with an error, or sends too much or too slowly.
        IntegrityError: what came is not what was promised.
        RequestError: the URL is of another kind.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"https", "http", "file"}:
        raise RequestError(f"cannot fetch {url}: only https, http and file are understood")
    name = Path(urllib.parse.unquote(parts.path)).name
    place = cache_folder("sdists", sha256.lower()[:32]) / name
    if place.is_file() and digest(place) == sha256.lower():
        return place
    for attempt in range(_RETRIES + 1):
        if attempt:
            progress.note(f"{parts.hostname} failed; trying again ({attempt} of {_RETRIES}).")
            time.sleep(pause * attempt)
        try:
            return _fetch_once(url, sha256.lower(), place, progress)
        except urllib.error.HTTPError as error:
            error.close()
            if attempt == _RETRIES or not (error.code >= _SERVER_ERROR or error.code == _TOO_MANY_REQUESTS):
                raise _unreachable(url, f"HTTP {error.code} {error.reason}") from error
        except (OSError, EOFError) as error:
            if attempt == _RETRIES or parts.scheme == "file":
                raise _unreachable(url, str(getattr(error, "reason", "") or error)) from error
    raise AssertionError


def _fetch_once(url: str, sha256: str, place: Path, progress: Progress) -> Path:
    deadline = time.monotonic() + _SECONDS_IN_ALL
    total = hashlib.sha256()
    handle, private = tempfile.mkstemp(prefix=".", suffix=".part", dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as target, _open(url) as response:
            length = int(response.headers.get("Content-Length") or 0)
            done = 0
            while chunk := response.read(_CHUNK):
                done += len(chunk)
                if done > _MOST_BYTES or time.monotonic() > deadline:
                    raise _unreachable(url, "it sends more, or more slowly, than such a file needs")
                total.update(chunk)
                target.write(chunk)
                progress.update(f"Fetching {place.name}", done=done, total=length)
            if length and done < length:
                raise EOFError(f"it ended after {done} of {length} bytes")
            target.flush()
            os.fsync(target.fileno())
        if total.hexdigest() != sha256:
            raise IntegrityError(
                f"{url} is not what was promised: sha256 {total.hexdigest()}, not {sha256}",
                remedy="Lock again; if the hash still differs, do not trust the source.",
            )
        Path(private).replace(place)
    finally:
        Path(private).unlink(missing_ok=True)
    return place


def _open(url: str) -> urllib.response.addinfourl:
    certificates = os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT")
    context = ssl.create_default_context(cafile=certificates) if url.startswith("https:") else None
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", "User-Agent": "mmsetup"})  # noqa: S310
    opened: urllib.response.addinfourl = urllib.request.urlopen(  # noqa: S310
        request, timeout=_SECONDS_OF_SILENCE, context=context
    )
    return opened


def _unreachable(url: str, why: str) -> NetworkError:
    host = urllib.parse.urlsplit(url).hostname or "this machine"
    return NetworkError(
        f"cannot fetch {url} from {host}: {why}",
        remedy="Check the connection, HTTPS_PROXY and SSL_CERT_FILE, then run the same command again.",
    )
