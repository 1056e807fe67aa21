"""The local part of a version (PEP 440), by which a wheel tells its pair: ``1.7.2+pt1.13.1cu117``.

MiroPsota's index of wheels and mmsetup write it so; others put words before it (``sm90.pt2.8.0cu128``). Of
versions that are asked for without one it says nothing: ``==1.7.2`` is fulfilled by all of them.
"""

from __future__ import annotations

import re

from packaging.specifiers import Specifier
from packaging.version import Version

__all__ = ["VARIANT", "is_version", "labelled_pair", "pair_label"]

VARIANT = r"(?P<variant>cpu|cu\d{2,4})"
"""A CUDA variant, as part of a regular expression."""

_LABEL = re.compile(rf"(?:.*\.)?(?:pt|torch)(?P<torch>\d+\.\d+(?:\.\d+)?)\.?{VARIANT}", re.ASCII)


def pair_label(torch: str, variant: str) -> str:
    """Give the label of a torch (its own local part is left out) and a variant; without a torch none."""
    return f"pt{Version(torch).public}{variant}" if torch else ""


def labelled_pair(local: str) -> tuple[str, str] | None:
    """Give the torch (``1.13.1``, ``1.13``) and the variant that a local version part names, if it does."""
    found = _LABEL.fullmatch(local)
    return (found["torch"], found["variant"]) if found else None


def is_version(found: str, wanted: str) -> bool:
    """Tell whether what is there is the version that was wanted, with any local part where none was wanted.

    What is no version is what it says and nothing else.
    """
    if found == wanted:
        return True
    try:
        return Specifier(f"=={wanted}").contains(Version(found), prereleases=True)
    except ValueError:
        return False
