"""What the lists of prebuilt wheels say against torch, the sources and the families."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from packaging.version import Version

from mmsetup.catalog.contradictions.torch import cuda_of, unsorted
from mmsetup.catalog.model import Catalog, TorchRelease, WheelGroup, parsed

__all__ = ["of_torch_of_wheels", "of_wheels"]

_Fitting = Mapping[tuple[str, Version], Sequence[TorchRelease]]
"""The torch releases that wheels fit, by how they do (``series`` or ``release``) and the torch they name."""


def of_wheels(catalog: Catalog) -> Iterator[str]:
    """Give contradictions of the groups of wheels and of the sources' pages."""
    families = {family.ops.distribution: family for family in catalog.families}
    fitting = _fitting(catalog)
    for served in catalog.sources:
        for page in served.pages:
            if "{base}" not in page:
                yield f"sources.toml: {served.name}: {page} has no {{base}} for a mirror to replace"
    for group in catalog.wheels:
        place = _place(group)
        yield from _of_build(group, place)
        source = catalog.source(group.index)
        if source is None:
            yield f"{place}: sources.toml has no {group.index}"
        elif group.distribution not in source.distributions:
            yield f"{place}: {group.index} does not serve it"
        elif not _torch_of(group, catalog, fitting):
            yield f"{place}: torch.json has no such torch"
        family = families.get(group.distribution)
        if family is None:
            yield f"{place}: no family has these ops"
        elif unknown := set(group.versions) - set(family.ops.versions):
            yield f"{place}: family {family.name} lacks version {', '.join(sorted(map(str, unknown)))}"


def _of_build(group: WheelGroup, place: str) -> Iterator[str]:
    if group.glibc and not group.platform.startswith("linux"):
        yield f"{place}: it asks for a glibc"
    if group.architectures is not None:
        if cuda_of(group.variant) is None:
            yield f"{place}: it holds no code for GPUs and has architectures"
        yield from unsorted(place, group.architectures)


def of_torch_of_wheels(catalog: Catalog) -> Iterator[str]:
    """Give wheels for a torch, a variant or a Python that torch.json does not have on their platform."""
    fitting = _fitting(catalog)
    for group in catalog.wheels:
        yield from _of_torch(group, _torch_of(group, catalog, fitting))
    for one in catalog.wheel_pythons:
        place = f"wheels.json: Pythons of {one.distribution} {one.versions} on {one.platform}"
        groups = [
            group
            for group in catalog.wheels
            if (group.distribution, group.platform) == (one.distribution, one.platform)
            and any(one.versions.contains(version, prereleases=True) for version in group.versions)
        ]
        if not groups:
            yield f"{place}: there are no such wheels"
            continue
        known = {
            python
            for group in groups
            for release in _torch_of(group, catalog, fitting)
            for python in getattr(release.platforms.get(one.platform), "pythons", ())
        }
        if unknown := [python for python in one.pythons if python not in known]:
            yield f"{place}: torch.json has no torch of theirs for Python {', '.join(unknown)}"


def _of_torch(group: WheelGroup, fitting: Sequence[TorchRelease]) -> Iterator[str]:
    if not fitting:
        return
    place = _place(group)
    offers = [release.platforms[group.platform] for release in fitting if group.platform in release.platforms]
    if not offers:
        yield f"{place}: torch.json has no such torch for {group.platform}"
        return
    variants = {variant for one in offers for variant in (one.default_variant, *one.index_variants)}
    if group.variant not in variants:
        yield f"{place}: torch.json has no {group.variant} of it"
    pythons = {python for one in offers for python in one.pythons}
    if unknown := [python for python in group.pythons if python not in pythons]:
        yield f"{place}: torch.json has none of it for Python {', '.join(unknown)}"


def _fitting(catalog: Catalog) -> _Fitting:
    found: defaultdict[tuple[str, Version], list[TorchRelease]] = defaultdict(list)
    for release in catalog.torch:
        found["release", release.version].append(release)
        found["series", parsed(release.series)].append(release)
    return found


def _torch_of(group: WheelGroup, catalog: Catalog, fitting: _Fitting) -> Sequence[TorchRelease]:
    source = catalog.source(group.index)
    return fitting.get((source.fits if source else "series", group.torch), ())


def _place(group: WheelGroup) -> str:
    return (
        f"wheels.json: {group.index} {group.distribution} {group.variant} torch {group.torch} "
        f"{group.platform}"
    )
