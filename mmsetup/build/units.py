"""Order how the source files of an extension are compiled together, and read what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmsetup.build.preflight import Toolchain
from mmsetup.build.recipe import PLAIN, Recipe

__all__ = ["clashes", "ordered"]

# gcc looks for garbage when its heap has doubled; without that, units are done a tenth sooner and still fit.
_HEAP_KB = 1_000_000


def ordered(recipe: Recipe, toolchain: Toolchain, report: Path, flags: Sequence[str] = ()) -> dict[str, Any]:
    """Give what ``payload/build_wheel.py`` is told; it writes to ``report`` what came of the units.

    ``flags`` are those that come after the recipe's and shape nothing.
    """
    if recipe.way == PLAIN:
        return {"flags": [*recipe.flags, *flags], "units": None}
    spared = [] if "clang" in toolchain.compiler else ["--param", f"ggc-min-heapsize={_HEAP_KB}"]
    return {
        "flags": [*recipe.flags, *flags, *spared],
        "units": {
            "jobs": toolchain.jobs,
            "apart": [list(group) for group in recipe.apart],
            "report": str(report),
        },
    }


def clashes(report: Path) -> tuple[str, ...]:
    """Say which source files did not compile together, one line a clash; nothing where there is no report."""
    try:
        found = json.loads(report.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    return tuple(_line(clash) for clash in found["clashes"])


def _line(clash: Mapping[str, Any]) -> str:
    files = ", ".join(clash["files"])
    others = ", ".join(clash["with"])
    return f"{files}{f' with {others}' if others else ''}: {clash['says'] or 'the compiler failed'}"
