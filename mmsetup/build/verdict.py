"""Judge a wheel that was built: will its operators load beside the torch that they were built for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmsetup.binary import linkage
from mmsetup.binary.wheel import OPS_MODULE, WheelFacts

__all__ = ["complaint"]


def complaint(
    facts: WheelFacts, architectures: Sequence[str], torch_libraries: Path | None, folders: Sequence[Path]
) -> str:
    """Say what makes a wheel unusable, or nothing.

    ``architectures`` must all have machine code in it, ``torch_libraries`` is torch's ``lib`` folder (none:
    the extension does not use torch), ``folders`` are those in which its libraries are looked for.

    Raises:
        IntegrityError: a library of torch cannot be read.
    """
    if facts.ops is None:
        return f"the wheel holds no {OPS_MODULE}: no operators were compiled"
    needs = facts.ops.elf
    if absent := linkage.missing_libraries(needs, folders):
        return f"{OPS_MODULE} needs libraries that are not there: {', '.join(absent)}"
    if torch_libraries and (unknown := linkage.missing_symbols(needs, torch_libraries)):
        return f"torch does not export {len(unknown)} symbols that {OPS_MODULE} needs, such as {min(unknown)}"
    if lacking := sorted(set(architectures) - set(facts.ops.architectures.sass)):
        return f"{OPS_MODULE} holds no machine code for {', '.join(lacking)}"
    return ""
