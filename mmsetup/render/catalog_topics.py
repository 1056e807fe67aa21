"""The topics of the catalogue as rows for people: each with its certainty and source."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmsetup.catalog import Catalog, Member
from mmsetup.catalog.gpus import architecture_of
from mmsetup.errors import RequestError

__all__ = ["TOPICS", "Topic", "topic"]

_SHOWN = 3
_ROW = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Topic:
    """What the catalogue tells of a topic: ``rows`` under ``columns`` for people, ``entries`` as they are."""

    name: str
    columns: _ROW
    rows: tuple[_ROW, ...]
    entries: Any


def topic(catalog: Catalog, name: str, wanted: str = "") -> Topic:
    """Give a topic, or of it what is called ``wanted``.

    Raises:
        RequestError: there is no such topic, or nothing of that name in it; the nearest are named.
    """
    make = TOPICS.get(name.lower())
    if make is None:
        raise RequestError(
            f"the catalogue has no topic {name!r}{_nearest(name.lower(), TOPICS)}",
            remedy=f"mmsetup catalog show {'|'.join(TOPICS)}",
        )
    return make(catalog, wanted)


def _torch(catalog: Catalog, wanted: str) -> Topic:
    if wanted:
        return _builds(catalog, wanted)
    rows = []
    for one in catalog.torch:
        platform, offered = next(iter(one.platforms.items()))
        others = len(one.platforms) - 1
        rows.append(
            (
                str(one.version),
                one.torchvision,
                platform + (f" (and {others} more)" if others else ""),
                _range(offered.pythons),
                " ".join(dict.fromkeys((offered.default_variant, *offered.index_variants))),
                offered.glibc or "-",
                one.sources.get("pythons", next(iter(one.sources.values()), "")),
            )
        )
    columns = ("torch", "torchvision", "platform", "Pythons", "variants, default first", "glibc", "source")
    return Topic("torch", columns, tuple(rows), catalog.torch)


def _builds(catalog: Catalog, wanted: str) -> Topic:
    releases = [one for one in catalog.torch if f"{one.version}.".startswith(f"{wanted}.")]
    _found(releases, "torch", wanted, [str(one.version) for one in catalog.torch])
    rows = []
    for one in releases:
        for platform, offered in one.platforms.items():
            for variant in dict.fromkeys((offered.default_variant, *offered.index_variants)):
                held = one.architectures.get((platform, variant))
                rows.append(
                    (
                        str(one.version),
                        platform,
                        variant + (" (default)" if variant == offered.default_variant else ""),
                        _range(offered.pythons),
                        " ".join(held.sass) if held else "-",
                        " ".join(held.ptx) if held else "-",
                        held.certainty if held else "-",
                        one.sources.get("architectures" if held else "variants", ""),
                    )
                )
    columns = ("torch", "platform", "variant", "Pythons", "machine code", "PTX", "certainty", "source")
    return Topic("torch", columns, tuple(rows), releases)


def _wheels(catalog: Catalog, wanted: str) -> Topic:
    family = catalog.family(wanted) if wanted else None
    names = {family.ops.distribution} if family else {wanted}
    groups = [one for one in catalog.wheels if not wanted or one.distribution in names]
    known = [*(one.name for one in catalog.families), *(one.distribution for one in catalog.wheels)]
    _found(groups, "wheels", wanted, known)
    rows = [
        (
            one.distribution,
            str(one.torch),
            one.variant,
            one.platform,
            _few(list(map(str, sorted(one.versions, reverse=True)))),
            _range(one.pythons) or "-",
            one.index,
            one.certainty,
            one.source,
        )
        for one in groups
    ]
    columns = ("ops", "torch", "variant", "platform", "versions", "Pythons", "index", "certainty", "source")
    return Topic("wheels", columns, tuple(rows), groups)


def _gates(catalog: Catalog, wanted: str) -> Topic:
    parts = [part for family in catalog.families for part in family.parts]
    names = {part.distribution for part in parts if wanted in {part.distribution, part.module}}
    gates = [one for one in catalog.gates if not wanted or one.distribution in names]
    rows = [(one.distribution, one.version, one.range, one.comparison, one.source) for one in gates]
    gated = {(one.distribution, one.version) for one in gates}
    for part in parts if wanted else ():
        # A version of a member that has no gate was read as well: the loader sees to that.
        free = [str(one) for one in part.versions if (part.distribution, str(one)) not in gated]
        if part.distribution in names and free and isinstance(part, Member):
            rows.append((part.distribution, _few(free), "nothing", "-", f"{part.module}/__init__.py"))
    _found(rows, "gates", wanted, [part.distribution for part in parts if isinstance(part, Member)])
    return Topic("gates", ("package", "version", "asserts", "compares", "source"), tuple(rows), gates)


def _breaks(catalog: Catalog, wanted: str) -> Topic:
    breaks = [one for one in catalog.breaks if not wanted or one.id == wanted]
    _found(breaks, "breaks", wanted, [one.id for one in catalog.breaks])
    rows = []
    for one in breaks:
        when = [f"{name} {specifier}" for name, specifier in one.when.items()]
        when += ["built from source"] * one.only_built + [" ".join(one.platforms)] * bool(one.platforms)
        follows = " ".join(one.bounds) or ("rejected" if one.reject else "only when asked for")
        rows.append((one.id, ", ".join(when), follows, one.effect, one.certainty, "; ".join(one.source)))
    columns = ("id", "when", "then", "effect", "certainty", "source")
    return Topic("breaks", columns, tuple(rows), breaks)


def _drivers(catalog: Catalog, wanted: str) -> Topic:
    rows = [
        (f"CUDA {one.major}, any", str(one.linux_minimum), str(one.windows_minimum), "documented", one.source)
        for one in catalog.minor_compatibility
    ]
    rows += [
        (f"CUDA {one.major}, with cuda-compat", str(one.linux_minimum), "-", one.certainty, one.source)
        for one in catalog.forward_compatibility
    ]
    rows += [
        (
            f"CUDA {one.cuda} ships with",
            str(one.linux_minimum),
            str(one.windows_minimum or "-"),
            "documented",
            one.source,
        )
        for one in catalog.toolkit_drivers
    ]
    rows += [
        (
            f"CUDA {one.first} to {one.last} compiles for",
            f"{one.lowest} to {one.highest}",
            f"gcc up to {one.gcc}" if one.gcc else "-",
            one.certainty,
            one.source,
        )
        for one in catalog.toolkit_limits
    ]
    rows += [
        (
            f"CUDA {one.first} to {one.last} as wheels",
            " ".join(one.platforms),
            " ".join(one.distributions),
            "measured",
            one.source,
        )
        for one in catalog.toolkit_wheels
    ]
    chosen = (
        [row for row in rows if f"{row[0].split()[1].rstrip(',')}.".startswith(f"{wanted}.")]
        if wanted
        else rows
    )
    _found(chosen, "drivers", wanted, [one.cuda for one in catalog.toolkit_drivers])
    entries = {
        "minor_version_compatibility": catalog.minor_compatibility,
        "forward_compatibility": catalog.forward_compatibility,
        "toolkits": catalog.toolkit_drivers,
        "limits": catalog.toolkit_limits,
        "toolkit_wheels": catalog.toolkit_wheels,
    }
    return Topic("drivers", ("CUDA", "Linux", "Windows", "certainty", "source"), tuple(chosen), entries)


def _gpus(catalog: Catalog, wanted: str) -> Topic:
    words = wanted.lower().split()
    gpus = [
        one
        for one in catalog.gpus
        if all(word in f"{one.name} {one.architecture}".lower().replace("(", "").split() for word in words)
    ]
    if not gpus:
        model = architecture_of(wanted, catalog.gpus)[1]
        gpus = [model] if model else []
        _found(gpus, "gpus", wanted, [one.name for one in catalog.gpus])
    rows = [(one.name, one.architecture, one.kind, one.certainty, one.source) for one in gpus]
    return Topic("gpus", ("GPU", "architecture", "kind", "certainty", "source"), tuple(rows), gpus)


def _sources(catalog: Catalog, wanted: str) -> Topic:
    sources = [one for one in catalog.sources if not wanted or one.name == wanted]
    _found(sources, "sources", wanted, [one.name for one in catalog.sources])
    rows = [
        (
            one.name,
            " ".join(one.distributions),
            " ".join(page.replace("{base}", one.base) for page in one.pages),
            " ".join(one.mirror_variables),
            f"{one.layout}, a {one.fits} of torch",
            one.source,
        )
        for one in sources
    ]
    columns = ("name", "serves", "pages", "mirror", "layout", "source")
    return Topic("sources", columns, tuple(rows), sources)


def _families(catalog: Catalog, wanted: str) -> Topic:
    families = [one for one in catalog.families if not wanted or one.name == wanted]
    _found(families, "families", wanted, [one.name for one in catalog.families])
    rows = [
        (
            one.name,
            part.distribution,
            getattr(part, "role", "ops") + (" (optional)" if getattr(part, "optional", False) else ""),
            str(len(part.versions)),
            _few(list(map(str, part.versions))) if not wanted else " ".join(map(str, part.versions)),
            part.source,
        )
        for one in families
        for part in one.parts
    ]
    columns = ("family", "distribution", "role", "count", "versions", "source")
    return Topic("families", columns, tuple(rows), families)


TOPICS: Mapping[str, Callable[[Catalog, str], Topic]] = {
    "torch": _torch,
    "wheels": _wheels,
    "gates": _gates,
    "breaks": _breaks,
    "drivers": _drivers,
    "gpus": _gpus,
    "sources": _sources,
    "families": _families,
}
"""The topics by name, and what makes each of a catalogue and the name that is wanted."""


def _found(entries: Sequence[object], name: str, wanted: str, known: Iterable[str]) -> None:
    if wanted and not entries:
        raise RequestError(
            f"the catalogue has nothing called {wanted!r} among {name}{_nearest(wanted, known)}",
            remedy=f"mmsetup catalog show {name}",
        )


def _nearest(wanted: str, known: Iterable[str]) -> str:
    by_folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(wanted.lower(), by_folded, n=4, cutoff=0.4)
    return f"; nearest: {', '.join(by_folded[name] for name in near)}" if near else ""


def _range(pythons: Sequence[str]) -> str:
    return f"{pythons[0]} to {pythons[-1]}" if len(pythons) > _SHOWN - 1 else " ".join(pythons)


def _few(versions: Sequence[str]) -> str:
    if len(versions) <= _SHOWN:
        return " ".join(versions)
    return f"{versions[0]} to {versions[-1]}"
