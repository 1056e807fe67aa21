"""What torch releases say against themselves and against the CUDA toolkits that they were made with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from packaging.version import Version

from mmsetup.catalog.model import Architectures, Catalog, ToolkitLimits, TorchRelease

__all__ = ["cuda_of", "number_of", "of_torch", "unsorted"]

_ARCHITECTURE = re.compile(r"sm_(\d+)([a-z]?)")


def of_torch(catalog: Catalog) -> Iterator[str]:
    """Give contradictions among platforms, variants and architectures of the torch releases."""
    for release in catalog.torch:
        place = f"torch.json: {release.version}"
        for platform, offered in release.platforms.items():
            if offered.glibc and not platform.startswith("linux"):
                yield f"{place}: {platform} asks for a glibc"
            if len(set(offered.index_variants)) < len(offered.index_variants):
                yield f"{place}: {platform} has a variant twice"
        yield from _of_architectures(release, place, catalog)
    yield from _of_drivers(catalog)


def _of_architectures(release: TorchRelease, place: str, catalog: Catalog) -> Iterator[str]:
    for (platform, variant), held in release.architectures.items():
        offered = release.platforms.get(platform)
        if variant not in ((offered.default_variant, *offered.index_variants) if offered else ()):
            yield f"{place}: architectures of {variant} on {platform}, which is no build"
        cuda = cuda_of(variant)
        if cuda is None:
            yield f"{place}: architectures of {variant} on {platform}, which holds no code for GPUs"
            continue
        yield from unsorted(f"{place}: {variant} on {platform}", held)
        limits = next((row for row in catalog.toolkit_limits if row.first <= cuda <= row.last), None)
        if limits is not None:
            yield from _beyond(f"{place}: {variant} on {platform}", held, limits)


def _beyond(place: str, held: Architectures, limits: ToolkitLimits) -> Iterator[str]:
    lowest, highest = number_of(limits.lowest), number_of(limits.highest)
    for architecture in dict.fromkeys((*held.sass, *held.ptx)):
        if not lowest[0] <= number_of(architecture)[0] <= highest[0]:
            yield (
                f"{place} holds {architecture}, and its toolkit compiles for "
                f"{limits.lowest} to {limits.highest}"
            )


def _of_drivers(catalog: Catalog) -> Iterator[str]:
    variants = {
        variant
        for release in catalog.torch
        for offered in release.platforms.values()
        for variant in (offered.default_variant, *offered.index_variants)
    }
    for variant in sorted(variants):
        cuda = cuda_of(variant)
        if cuda is not None and catalog.driver_floor(cuda) is None:
            yield f"torch.json: drivers.json knows no driver for CUDA {cuda} of {variant}"


def unsorted(place: str, held: Architectures) -> Iterator[str]:
    """Say where architectures do not stand in ascending order, each once."""
    for name, architectures in (("sass", held.sass), ("ptx", held.ptx)):
        if list(architectures) != sorted(set(architectures), key=number_of):
            yield f"{place}: {name} does not stand in ascending order, each once"


def number_of(architecture: str) -> tuple[int, str]:
    """Give what architectures are ordered by: 90 and ``a`` of ``sm_90a``."""
    found = _ARCHITECTURE.fullmatch(architecture)
    return (int(found[1]), found[2]) if found else (0, architecture)


@cache
def cuda_of(variant: str) -> Version | None:
    """Give the CUDA version of a variant, 11.7 of ``cu117``; nothing for ``cpu``."""
    digits = variant.removeprefix("cu")
    return Version(f"{digits[:-1]}.{digits[-1]}") if digits.isdigit() else None
