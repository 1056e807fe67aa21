"""Take a newer copy of the catalogue, from a folder or the web, signed by the hashes in ``SHA256SUMS``."""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from mmsetup.catalog.addresses import askable, shown
from mmsetup.catalog.copies import Copy, keep_copy
from mmsetup.catalog.fetching import Answer, Attempts, fetch
from mmsetup.catalog.load import bundled_date, in_use, proven
from mmsetup.catalog.model import Catalog
from mmsetup.catalog.sums import SUMS, hashes
from mmsetup.errors import CatalogError, IntegrityError, NetworkError, RequestError
from mmsetup.files import writing

__all__ = ["update"]

_MOST_BYTES = 10_000_000
_SECONDS = 60.0
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")

_Read = Callable[[str], bytes]
"""Gives a file of the copy by its name."""


def update(origin: str, *, sha256: str = "", allow_older: bool = False) -> Copy:
    """Take the copy at ``origin``, prove it, and put it in place; mmsetup uses it from then on.

    ``origin`` is a folder or an ``http`` or ``https`` address of one, in which the data files lie and
    ``SHA256SUMS`` with their hashes. ``sha256`` is that of this file itself; plain ``http`` needs it.
    With ``allow_older`` the copy may be older than the one in use, never older than what mmsetup brings.

    Raises:
        RequestError: the origin is none, needs ``sha256``, or its copy is not newer than what is in use.
        NetworkError: a host does not answer, or answers with an error.
        IntegrityError: a file is not what its hash says, too large, or not one of a catalogue.
        CatalogError: a file has a fault, or contradicts another; ``evidence`` lists every one.
        DiskSpaceError, TargetError: the state folder cannot be written.
    """
    if sha256 and not _SHA256.fullmatch(sha256):
        raise RequestError(
            f"{sha256[:80]!r} is no sha256", remedy=f"sha256sum {SUMS}  # in the folder of the copy"
        )
    read, name = _reader(origin, pinned=bool(sha256))
    with writing(tempfile.gettempdir(), remedy="export TMPDIR=DIR"):
        scratch = tempfile.TemporaryDirectory(prefix="mmsetup-catalog-")
    with scratch as taken:
        folder = Path(taken)
        signed_by = _take(read, name, folder, sha256.lower())
        catalog = _sound(folder, name)
        _refuse_older(catalog, name, allow_older=allow_older)
        return keep_copy(Copy(folder, catalog.date, catalog.digest, signed_by, name))


def _take(read: _Read, name: str, folder: Path, sha256: str) -> str:
    """Write the files of a copy to a folder once all are what their hashes say; give the sha256 of those."""
    listed = read(SUMS)
    found = hashlib.sha256(listed).hexdigest()
    if sha256 and found != sha256:
        raise IntegrityError(
            f"{SUMS} of {name} is not what was asked for: sha256 {found}, not {sha256}",
            remedy="ask who publishes the copy for the sha256 of its SHA256SUMS",
        )
    wanted = hashes(listed.decode(errors="replace"), f"{SUMS} of {name}")
    files = {file: read(file) for file in wanted}
    wrong = [
        f"{file}: sha256 {hashlib.sha256(raw).hexdigest()}, not {wanted[file]}"
        for file, raw in files.items()
        if hashlib.sha256(raw).hexdigest() != wanted[file]
    ]
    if wrong:
        raise IntegrityError(
            f"{len(wrong)} file(s) of {name} are not what {SUMS} says",
            evidence=wrong,
            remedy="take the copy again; if that stays, tell those who publish it",
        )
    with writing(folder, remedy="export TMPDIR=DIR  # a folder on a larger disk"):
        for file, raw in {**files, SUMS: listed}.items():
            (folder / file).write_bytes(raw)
    return found


def _sound(folder: Path, name: str) -> Catalog:
    try:
        return proven(folder)
    except CatalogError as error:
        raise CatalogError(
            f"the copy of the catalogue in {name} has {len(error.evidence)} fault(s); nothing was changed",
            evidence=error.evidence,
            remedy="tell those who publish the copy",
        ) from error


def _refuse_older(catalog: Catalog, name: str, *, allow_older: bool) -> None:
    bundled = bundled_date()
    used, _ = in_use()
    if catalog.date > bundled and (allow_older or catalog.date > used.date):
        return
    if catalog.date <= bundled:
        raise RequestError(
            f"the copy in {name} is of {catalog.date}, what mmsetup brings is of {bundled}: "
            "it would never be used",
            remedy="mmsetup catalog update --bundled  # goes back to what mmsetup brings",
        )
    raise RequestError(
        f"the copy in {name} is of {catalog.date}, not newer than the one in use ({used.date})",
        remedy="mmsetup catalog update --from URL|DIR --allow-older",
    )


def _reader(origin: str, *, pinned: bool) -> tuple[_Read, str]:
    """Give what reads the files of a copy, and the name of its origin that may be shown and kept."""
    if "://" not in origin:
        folder = Path(origin)
        if not folder.is_dir():
            raise RequestError(f"there is no folder {origin}", remedy="mmsetup catalog update --from URL|DIR")
        return (lambda name: _local(folder, name)), str(folder.resolve())
    try:
        scheme = askable(origin).scheme
    except ValueError as error:
        raise RequestError(str(error), remedy="mmsetup catalog update --from https://HOST/FOLDER") from None
    if scheme == "http" and not pinned:
        raise RequestError(
            f"{shown(origin)} is plain http: anybody on the way could change the copy",
            remedy=f"mmsetup catalog update --from {shown(origin)} --sha256 SHA256_OF_{SUMS}",
        )
    until = time.monotonic() + _SECONDS
    parts = urlsplit(origin)
    named = shown(parts._replace(query="", fragment="").geturl())

    def remote(name: str) -> bytes:
        address = parts._replace(path=f"{parts.path.rstrip('/')}/{name}", fragment="").geturl()
        return _remote(address, until)

    return remote, named


def _local(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        if not path.is_file():
            raise IntegrityError(
                f"there is no file {path}",
                remedy="python -m mmsetup.catalog.update_gates --sums --data DIR  # writes SHA256SUMS",
            )
        with path.open("rb") as file:
            return _not_too_large(file.read(_MOST_BYTES + 1), str(path))
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}", remedy=f"ls -l {folder}") from error


def _remote(address: str, until: float) -> bytes:
    answer = fetch(address, until, Attempts())
    if isinstance(answer, Answer):
        return _not_too_large(answer.body, shown(address))
    if "larger than" in answer.words:
        raise _too_large(shown(address))
    raise NetworkError(
        f"{urlsplit(address).hostname} did not give {shown(address)}: {answer.words}",
        remedy="mmsetup catalog update --from DIR  # a copy that was carried here",
    )


def _not_too_large(raw: bytes, place: str) -> bytes:
    if len(raw) > _MOST_BYTES:
        raise _too_large(place)
    return raw


def _too_large(place: str) -> IntegrityError:
    return IntegrityError(
        f"{place} has more than {_MOST_BYTES // 1_000_000} MB, which no file of a catalogue has",
        remedy="tell those who publish the copy",
    )
