"""What is told of any diagnosis: it has an id, and is no check that could be run for itself."""

from __future__ import annotations

from mmsetup.doctor.model import Check

__all__ = ["CHANGED", "CRASHED"]

CRASHED = Check(
    "MM001",
    title="A check could not be done",
    cause="A check raised an exception: a file changed while it was read, or mmsetup has a fault.",
    looks_at="The exception and the line that raised it.",
    remedy="Run the doctor again; if it stays, report it together with the evidence.",
    seen_in=(),
    run=lambda _: (),
)


CHANGED = Check(
    "MM002",
    title="The environment was changed while it was examined",
    cause="pip, uv or another mmsetup installs into it, or removes from it, at this moment: what is told of "
    "it is true of no moment.",
    looks_at="Which folders of metadata are in site-packages, and when each was changed, before and after "
    "the checks.",
    remedy="Wait until the installer is done, then run the doctor again.",
    seen_in=(),
    run=lambda _: (),
)
