"""Judge a wheel that was built: will its operators load beside the torch that they were built for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from packaging.version import Version

from mmsetup.binary import libraries, linkage
from mmsetup.binary.floors import floor
from mmsetup.binary.operators import OPS_MODULE
from mmsetup.binary.wheel import WheelFacts

__all__ = ["complaint"]


def complaint(facts: WheelFacts, architectures: Sequence[str], torch: Path | None, *, libc: str = "") -> str:
    """Say what makes a wheel unusable, or nothing.

    ``architectures`` must all be in it (``sm_90`` as machine code, ``compute_90`` as PTX), ``torch`` is the
    package that it was built against (none: the extension does not use torch). What torch does not bring is
    looked for on this machine. ``libc`` is the C library of the machine that it is for (``glibc 2.31``),
    which is not this one where another was named; where nobody knows it, it is not compared.

    Raises:
        IntegrityError: a library of torch cannot be read.
    """
    if facts.ops is None:
        return f"the wheel holds no {OPS_MODULE}: no operators were compiled"
    needs = facts.ops.elf
    loaded = libraries.brought_by_torch(torch) if torch else {}
    if absent := linkage.missing_libraries(needs, loaded):
        return f"{OPS_MODULE} needs libraries that are not there: {', '.join(absent)}"
    if torch and (unknown := linkage.missing_symbols(needs, torch / "lib")):
        return f"torch does not export {len(unknown)} symbols that {OPS_MODULE} needs, such as {min(unknown)}"
    name, _, there = libc.partition(" ")
    asked = floor(found.elf.versions_needed for found in facts.extensions).glibc
    if name == "glibc" and asked and Version(asked) > Version(there):
        return f"{OPS_MODULE} needs glibc {asked}, and the machine that it is built for has {there}"
    held = facts.ops.architectures
    code = {*held.sass, *(name.replace("sm_", "compute_") for name in held.ptx)}
    if lacking := sorted(set(architectures) - code):
        return f"{OPS_MODULE} holds no code for {', '.join(lacking)}"
    return ""
