"""``SHA256SUMS``: the hashes that a copy of the catalogue is signed by, in the form of coreutils.

``sha256sum -c SHA256SUMS`` checks a folder. ``python -m mmsetup.catalog.update_gates --sums`` renews the
file beside the data that mmsetup brings, or with ``--data DIR`` in another folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mmsetup import files
from mmsetup.errors import IntegrityError

__all__ = ["DATA", "FILES", "SUMS", "hashes", "renew", "text"]

DATA = Path(__file__).with_name("data")
"""The folder of the data that mmsetup brings."""

FILES = (
    "torch.json",
    "wheels.json",
    "gates.json",
    "drivers.json",
    "gpus.json",
    "families.toml",
    "sources.toml",
    "breaks.toml",
    "vendors.toml",
    "openmim.toml",
    "builds.toml",
    "patches.toml",
)
"""The files that make up a catalogue."""

SUMS = "SHA256SUMS"

# Two characters lie between: a blank, and a blank or the star of a file that was read as binary.
_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")


def hashes(listed: str, place: str) -> Mapping[str, str]:
    """Give the sha256 by file name of the text of a ``SHA256SUMS``; ``place`` is where it was found.

    Raises:
        IntegrityError: it is no such text, or lists not exactly the files that make up a catalogue.
    """
    found: dict[str, str] = {}
    faults: list[str] = []
    for number, line in enumerate(listed.splitlines(), 1):
        words = _LINE.fullmatch(line)
        if words is None:
            faults.append(f"line {number} is no sha256 and a file name")
        elif words[2] not in FILES:
            faults.append(f"line {number}: {words[2][:80]!r} is no file of a catalogue")
        elif words[2] in found:
            faults.append(f"line {number}: {words[2]} stands there twice")
        else:
            found[words[2]] = words[1].lower()
    faults += [f"{name} is not listed" for name in FILES if name not in found]
    if faults:
        raise IntegrityError(
            f"{place} does not list the files of a catalogue",
            evidence=faults[:20],
            remedy=f"sha256sum {' '.join(FILES)} > {SUMS}  # in the folder of the copy",
        )
    return found


def text(folder: Path) -> str:
    """Give the ``SHA256SUMS`` of the files in a folder.

    Raises:
        OSError: one cannot be read.
    """
    return "".join(f"{files.sha256(folder / name)}  {name}\n" for name in sorted(FILES))


def renew(folder: Path = DATA) -> None:
    """Write the ``SHA256SUMS`` of a folder.

    Raises:
        OSError: a file cannot be read or written.
    """
    (folder / SUMS).write_text(text(folder), encoding="utf-8")
