"""MM108: Python files that are not those that were installed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from mmsetup.doctor.context import Context
from mmsetup.doctor.installed import is_held_to
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
        found = {path: (size, about) for path, size, about in _differing(context, one)}
        empty = [path for path, (_, about) in found.items() if not about.st_size]
        if found:
            state = f"has {len(empty)} empty Python file(s)" if empty else "was edited where it is installed"
            yield Observation(
                "error" if empty else "warning",
                f"{one.name} {one.version} {state}",
                tuple(
                    f"{path}: {found[path][1].st_size} bytes instead of {found[path][0]}"
                    for path in (empty or list(found))[:_MOST_NAMED]
                ),
                _from_anew(context, one, shared=any(about.st_nlink > 1 for _, about in found.values())),
            )


def _differing(context: Context, one: Distribution) -> Iterator[tuple[Path, int, os.stat_result]]:
    """Give the Python files that are there and were recorded with another size in bytes."""
    for name, size in context.listed[one.path]:
        if size < 0 or not name.endswith(".py"):
            continue
        path = one.path.parent / name
        try:
            about = path.stat()
        except (OSError, ValueError):
            # What is gone is told by MM106.
            continue
        if about.st_size != size and not context.is_of_another(one, name):
            yield path, size, about


def _from_anew(context: Context, one: Distribution, *, shared: bool) -> str:
    command = again(context, one)
    return f"{shlex.join(['uv', 'cache', 'clean', one.name])} && {command}" if shared else command
