"""Find what the catalogue says in one place and denies in another.

Every entry is well-formed for itself when this is asked; see :mod:`mmsetup.catalog.load`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping

from mmsetup.catalog.contradictions.breaks import of_breaks
from mmsetup.catalog.contradictions.certainty import of_certainty
from mmsetup.catalog.contradictions.drivers import of_drivers
from mmsetup.catalog.contradictions.families import of_families
from mmsetup.catalog.contradictions.gates import of_gates
from mmsetup.catalog.contradictions.patches import of_patches
from mmsetup.catalog.contradictions.torch import of_torch
from mmsetup.catalog.contradictions.wheels import of_torch_of_wheels, of_wheels
from mmsetup.catalog.model import Catalog

__all__ = ["contradictions", "of_gates"]


def contradictions(catalog: Catalog, *, thorough: bool = False) -> Iterator[str]:
    """Give every contradiction between entries that are well-formed each for itself.

    A ``thorough`` search also compares what is told of wheels with what is told of torch's, where both come
    from lists that may lack something: a plan keeps to what both tell, and is right all the same.
    """
    for name, keys in _keys(catalog).items():
        yield from _twice(name, keys)
    yield from of_certainty(catalog)
    yield from of_torch(catalog)
    yield from of_wheels(catalog)
    yield from of_breaks(catalog)
    yield from of_drivers(catalog)
    yield from of_patches(catalog)
    yield from of_families(catalog)
    if thorough:
        yield from of_torch_of_wheels(catalog)


def _keys(catalog: Catalog) -> Mapping[str, Iterable[Hashable]]:
    return {
        "torch.json": (release.version for release in catalog.torch),
        "sources.toml": (source.name for source in catalog.sources),
        "breaks.toml": (found.id for found in catalog.breaks),
        "patches.toml": (one.name for one in catalog.patches),
        "families.toml": (family.name for family in catalog.families),
        "gates.json": ((gate.distribution, gate.version, gate.on) for gate in catalog.gates),
        "gpus.json": (gpu.name for gpu in catalog.gpus),
        "drivers.json": (f"CUDA {row.cuda}" for row in catalog.toolkit_drivers),
        "wheels.json": (
            (one.index, one.distribution, one.platform, one.variant, one.torch, version)
            for one in catalog.wheels
            for version in one.versions
        ),
    }


def _twice(name: str, keys: Iterable[Hashable]) -> Iterator[str]:
    for key, count in Counter(keys).items():
        if count > 1:
            words = " ".join(map(str, key)) if isinstance(key, tuple) else str(key)
            yield f"{name}: {words} stands there twice"
