"""Judge a wheel that was built: will its operators load beside the torch that they were built for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmsetup.binary import libraries, linkage
from mmsetup.binary.operators import OPS_MODULE
from mmsetup.binary.wheel import WheelFacts

__all__ = ["complaint"]


def complaint(facts: WheelFacts, architectures: Sequence[str], torch: Path | None) -> str:
    """Say what makes a wheel unusable, or nothing.

    ``architectures`` must all have machine code in it, ``torch`` is the package that it was built against
    (none: the extension does not use torch). What torch does not bring is looked for on this machine.

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
    if lacking := sorted(set(architectures) - set(facts.ops.architectures.sass)):
        return f"{OPS_MODULE} holds no machine code for {', '.join(lacking)}"
    return ""
