"""MM60x: the environment against the record that mmsetup left in it."""

from __future__ import annotations

from collections.abc import Iterator

from mmsetup.doctor.context import Context
from mmsetup.doctor.model import Observation, check
from mmsetup.doctor.recorded import differences

__all__ = ["drifted"]

_MOST_NAMED = 8


@check(
    "MM601",
    title="The environment differs from what mmsetup installed",
    cause="Something was installed, upgraded or removed after mmsetup made and tried the environment.",
    looks_at="The versions in the manifest inside the environment against the installed distributions.",
    remedy="mmsetup install --lock with the lockfile that lies in the environment makes it as it was.",
)
def drifted(context: Context) -> Iterator[Observation]:
    """Observe pinned distributions that are gone or have another version."""
    different = differences(context.environment)
    if different:
        more = len(different) - _MOST_NAMED
        yield Observation(
            "warning",
            f"{len(different)} distribution(s) are not as recorded",
            (*different[:_MOST_NAMED], *((f"and {more} more",) if more > 0 else ())),
            context.commands.restore,
        )
