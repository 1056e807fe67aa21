"""Find the version in what a tool prints about itself."""

from __future__ import annotations

import re

__all__ = ["printed"]

_PARENTHESIS = re.compile(r"\([^()]*\)")
_VERSION = re.compile(r"(?<![\w.])[vV]?(\d+(?:\.\d+)+)")


def printed(text: str) -> str:
    """Give the first dotted number outside parentheses, where vendors put their own; empty without one.

    ``gcc (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.1`` is 11.4.1, ``git version 2.39.5`` is 2.39.5.
    """
    previous = None
    while text != previous:
        previous, text = text, _PARENTHESIS.sub(" ", text)
    found = _VERSION.search(text)
    return found[1] if found else ""
