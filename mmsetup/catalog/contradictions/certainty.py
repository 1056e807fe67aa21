"""Entries that do not say in a known word how sure they are."""

from __future__ import annotations

from collections.abc import Iterator

from mmsetup.catalog.model import Catalog

__all__ = ["CERTAINTIES", "of_certainty"]

CERTAINTIES = {
    "verified": "tried here",
    "measured": "read from the released file",
    "documented": "said by its maker",
    "seen": "met in logs, pages or files",
    "high": "told by several who met it",
    "issue": "told by one who met it",
    "inferred": "concluded from others, which may be named (inferred from 2.5)",
    "possible": "not excluded",
    "memory": "known from use, no page was read",
}
"""The words for how sure an entry is, and what each means."""


def of_certainty(catalog: Catalog) -> Iterator[str]:
    """Give the entries whose certainty is none of the known words."""
    for place, certainty in _told(catalog):
        word, _, grounds = certainty.partition(" from ")
        if word not in CERTAINTIES or (grounds and word != "inferred"):
            yield f"{place}: certainty {certainty!r} is none of {', '.join(CERTAINTIES)}"


def _told(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for release in catalog.torch:
        for (platform, variant), held in release.architectures.items():
            yield f"torch.json: {release.version}: {variant} on {platform}", held.certainty
    for group in catalog.wheels:
        yield f"wheels.json: {group.index} {group.distribution} torch {group.torch}", group.certainty
    for one in catalog.wheel_pythons:
        yield f"wheels.json: Pythons of {one.distribution} {one.versions}", one.certainty
    for found in catalog.breaks:
        yield f"breaks.toml: {found.id}", found.certainty
    for floor in catalog.forward_compatibility:
        yield f"drivers.json: forward compatibility of CUDA {floor.major}", floor.certainty
    for limits in catalog.toolkit_limits:
        yield f"drivers.json: CUDA {limits.first} to {limits.last}", limits.certainty
    for gpu in catalog.gpus:
        yield f"gpus.json: {gpu.name}", gpu.certainty
