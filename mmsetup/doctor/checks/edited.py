"""MM108: Python files that are not those that were installed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from mmsetup.doctor.context import Context
from mmsetup.doctor.installed import difference, is_held_to
from mmsetup.doctor.model import Observation, check
from mmsetup.doctor.remedies import again
from mmsetup.probe.machine import Distribution

__all__ = ["edited"]

_MOST_NAMED = 5


@check(
    "MM108",
    title="Python files are not as they were installed",
    cause="Somebody edited them in site-packages, or a disk that filled up and a power that failed left "
    "empty ones. uv shares files with its cache: an editor that writes in place changes them there as well, "
    "and so in every environment that is made from then on.",
    looks_at="The sizes of the Python files of torch, of OpenMMLab and of what they need against RECORD. "
    "Empty ones are an error, others a warning. What conda and the system installed is not held to RECORD.",
    remedy="Take the distribution out of the installer's cache and install it again; keep an edit as a fork, "
    "or in the project as a class that is registered there.",
)
def edited(context: Context) -> Iterator[Observation]:
    """Observe Python files of another size than was recorded."""
    for one in context.environment.distributions:
        if one.name not in context.needed or not is_held_to(one):
            continue
        found = dict(_differing(context, one))
        if found:
            empty = [path for path in found if not path.stat().st_size]
            state = f"has {len(empty)} empty Python file(s)" if empty else "was edited where it is installed"
            yield Observation(
                "error" if empty else "warning",
                f"{one.name} {one.version} {state}",
                tuple(f"{path}: {found[path]}" for path in (empty or list(found))[:_MOST_NAMED]),
                _from_anew(context, one, shared=any(path.stat().st_nlink > 1 for path in found)),
            )


def _differing(context: Context, one: Distribution) -> Iterator[tuple[Path, str]]:
    folder = one.path.parent
    for name, size in context.listed[one.path]:
        if size >= 0 and name.endswith(".py"):
            state = difference(folder / name, size)
            # What is gone is told by MM106, what another distribution put over it by MM102.
            if state and state != "gone" and not context.is_of_another(one, name):
                yield folder / name, state


def _from_anew(context: Context, one: Distribution, *, shared: bool) -> str:
    command = again(context, one)
    return f"{shlex.join(['uv', 'cache', 'clean', one.name])} && {command}" if shared else command
