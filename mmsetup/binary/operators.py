"""Where mmcv keeps its compiled operators, whichever distribution of it is installed, and which are inside.

``mmcv.ops`` names what it loads in calls of ``ext_loader.load_ext('_ext', [...])``; pybind11 keeps the names
that an extension offers as texts in ``.rodata``. Linkers let a text be the tail of another one, as
``deform_conv_forward`` is of ``modulated_deform_conv_forward``: a tail counts where the extension also
exports a function of that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mmsetup.binary import elf
from mmsetup.binary.elf import ElfFile

__all__ = ["OPS_MODULE", "OPS_PACKAGE", "Operators", "asked_for", "operators"]

OPS_PACKAGE: Final = "mmcv"
"""The top-level package of every edition of mmcv."""

OPS_MODULE: Final = "mmcv._ext"
"""The extension with the compiled operators."""

_CALL = re.compile(r"""load_ext\(\s*['"]_ext['"]\s*,\s*\[([^\]]*)\]""")
_TEXT = re.compile(r"""['"]([A-Za-z_]\w*)['"]""", re.ASCII)
_FUNCTION = re.compile(r"_Z(\d{1,3})(\w+)", re.ASCII)
_OPERATOR = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
# What lies behind an operator is a function of its own, and dispatch keeps its name as a text as well.
_BEHIND = ("_impl", "_kernel", "_launcher", "_cpu", "_cuda", "_laucher")
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Operators:
    """The operators in an extension, in order of their names.

    ``absent`` are those that ``mmcv.ops`` beside it loads and that are not inside; ``compared`` tells whether
    there was an ``mmcv.ops`` to ask. Without one, ``present`` are the functions that look like operators.
    """

    present: tuple[str, ...]
    absent: tuple[str, ...]
    compared: bool


def asked_for(sources: Iterable[str]) -> frozenset[str]:
    """Give the operators that the modules of ``mmcv.ops`` load, from their source."""
    return frozenset(
        name for source in sources for call in _CALL.findall(source) for name in _TEXT.findall(call)
    )


def operators(library: Path, facts: ElfFile, asked: frozenset[str]) -> Operators:
    """Tell which operators the extension at ``library`` holds, of which ``facts`` are known.

    Raises:
        IntegrityError: it cannot be read.
    """
    offset, size = facts.sections.get(".rodata", (0, 0))
    if size:
        with elf.mapped(library) as data:
            texts = b"\0" + data[offset : offset + min(size, _MOST_BYTES)]
    else:
        texts = b""
    functions = {
        match[2][: int(match[1])] for name in facts.exported if (match := _FUNCTION.match(name)) is not None
    }

    def is_inside(name: str) -> bool:
        text = name.encode() + b"\0"
        return b"\0" + text in texts or (name in functions and text in texts)

    if asked:
        inside = {name for name in asked if is_inside(name)}
        return Operators(tuple(sorted(inside)), tuple(sorted(asked - inside)), compared=True)
    likely = (name for name in functions if _OPERATOR.fullmatch(name) and not name.endswith(_BEHIND))
    return Operators(tuple(sorted(name for name in likely if is_inside(name))), (), compared=False)
