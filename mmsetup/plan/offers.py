"""Where prebuilt ops can come from: which pages, what they list, what the catalogue says instead."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from mmsetup.catalog import Source, WheelGroup
from mmsetup.catalog.links import IndexFile
from mmsetup.catalog.model import parsed
from mmsetup.catalog.pages import Page
from mmsetup.plan.builds import TorchBuild
from mmsetup.plan.situation import Situation, host_of

if TYPE_CHECKING:
    from packaging.tags import Tag

__all__ = ["Offer", "Offers", "page_addresses", "wheel_on"]

# PEP 513, PEP 571 and PEP 599 say which glibc the older names stand for; later ones (PEP 600) carry it.
_GLIBC = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_PAIR = re.compile(r"(?:.*?(?:pt|torch)(?P<torch>\d+(?:\.\d+)*))?\.?(?P<variant>cpu|cu\d+)")
_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_(\w+)")


@dataclass(frozen=True, slots=True)
class Offer:
    """A prebuilt wheel of the ops for a build of torch.

    ``file`` is the very file where the page was read; without it the catalogue alone speaks. ``group`` is
    what the catalogue knows of such wheels, where it knows any; ``page`` the address of the index page.
    """

    source: str
    version: Version
    page: str
    file: IndexFile | None
    group: WheelGroup | None


class Offers:
    """The offers of a situation, by build of torch."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        self._ops = situation.family.ops.distribution
        self._sources = [
            source for source in situation.catalog.sources if source.name in situation.ops_sources
        ]
        self._groups: dict[tuple[str, str, Version], list[WheelGroup]] = {}
        for group in situation.catalog.wheels:
            if group.distribution == self._ops and group.platform == situation.platform:
                self._groups.setdefault((group.index, group.variant, group.torch), []).append(group)
        self._dead = situation.dead_hosts
        self._usual: dict[Version, tuple[str, ...]] = {}
        self._listed: dict[str, list[tuple[Version, frozenset[Tag], IndexFile]]] = {}
        self._pythons = [
            known
            for known in situation.catalog.wheel_pythons
            if known.distribution == self._ops and known.platform == situation.platform
        ]

    def of(self, build: TorchBuild) -> Iterator[Offer]:
        """Give what there is for a build, as pages list it, or as the catalogue says of pages not read."""
        for source in self._sources:
            groups = self.groups(source, build)
            addresses = self.addresses(source, build)
            page = next((self._situation.pages[one] for one in addresses if self._answers(one)), None)
            was_asked = any(one in self._situation.pages for one in addresses)
            was_asked = was_asked or host_of(addresses[0]) in self._dead
            if page is not None and page.passed_over:
                continue
            if page is not None:
                yield from self._from_page(source, page, build, groups)
            elif not was_asked or (self._situation.request.trusts_catalog and not self._is_denied(addresses)):
                yield from self._from_catalog(source, build, groups, addresses[0])

    def groups(self, source: Source, build: TorchBuild) -> list[WheelGroup]:
        """Give what the catalogue knows that a source holds for a build's pair."""
        torch = build.release.version if source.fits == "release" else parsed(build.release.series)
        return self._groups.get((source.name, build.variant, torch), [])

    def addresses(self, source: Source, build: TorchBuild) -> tuple[str, ...]:
        """Give the addresses of a source's page for a build's pair, the usual one first."""
        return page_addresses(source, self._situation.request.mirrors, build, self._ops)

    def listed(self, page: Page) -> Iterator[Version]:
        """Give the versions of the ops that a page lists for the platform, for whatever Python."""
        for listed, tags, _ in self._wheels(page):
            if any(_is_on_platform(tag.platform, self._situation) for tag in tags):
                yield Version(listed.public)

    def wanted(self, build: TorchBuild) -> Iterator[tuple[str, ...]]:
        """Give the pages that can hold wheels for a build: documented ones, and any of a mirror."""
        for source in self._sources:
            if self.groups(source, build) or source.name in self._situation.request.mirrors:
                yield self.addresses(source, build)

    def absence(self, build: TorchBuild, *, but: Collection[str] = ()) -> Iterator[str]:
        """Say of each source, but for some, why it has nothing for a build."""
        for source in self._sources:
            if source.name in but:
                continue
            addresses = self.addresses(source, build)
            asked = [self._situation.pages[one] for one in addresses if one in self._situation.pages]
            failed = next((page for page in asked if not page.answered), None)
            if passed_over := next((page.passed_over for page in asked if page.passed_over), ""):
                yield f"{source.name} is passed over: {passed_over}"
            elif failed is not None:
                yield f"{source.name} did not give its page for this torch and variant: {failed.error}"
            elif host_of(addresses[0]) in self._dead:
                yield f"{source.name} cannot be reached"
            elif asked:
                yield (
                    f"{source.name} lists no wheel of {self._ops} for Python {build.python}, "
                    "this torch and variant, and this machine"
                )
            else:
                yield f"{source.name} is not known to have {self._ops} for this torch and variant"

    def _answers(self, address: str) -> bool:
        page = self._situation.pages.get(address)
        return page is not None and page.answered and not page.missing

    def _is_denied(self, addresses: tuple[str, ...]) -> bool:
        pages = self._situation.pages
        return all(pages[one].missing for one in addresses if one in pages) and addresses[0] in pages

    def _from_page(
        self, source: Source, page: Page, build: TorchBuild, groups: list[WheelGroup]
    ) -> Iterator[Offer]:
        chosen: dict[Version, tuple[bool, IndexFile]] = {}
        for listed, tags, file in self._wheels(page):
            version, names_it = Version(listed.public), _names_release(listed, build)
            # Of two wheels of a version, that which names this very release of torch is the better one.
            if version in chosen and (chosen[version][0] or not names_it):
                continue
            if _is_for(listed, source, build) and _fits(tags, build.python, self._situation):
                chosen[version] = names_it, file
        for version, (_, file) in chosen.items():
            # A version that the catalogue does not know is made as its neighbours for that pair are.
            known = (one for one in groups if version in one.versions)
            group = next(known, groups[0] if groups else None)
            yield Offer(source.name, version, page.url, file, group)

    def _from_catalog(
        self, source: Source, build: TorchBuild, groups: list[WheelGroup], address: str
    ) -> Iterator[Offer]:
        for group in groups:
            for version in group.versions:
                pythons = group.pythons or self._usual_pythons(version)
                if not pythons or build.python in pythons:
                    yield Offer(source.name, version, address, None, group)

    def _usual_pythons(self, version: Version) -> tuple[str, ...]:
        if version not in self._usual:
            fitting = (
                one.pythons for one in self._pythons if one.versions.contains(version, prereleases=True)
            )
            self._usual[version] = next(fitting, ())
        return self._usual[version]

    def _wheels(self, page: Page) -> list[tuple[Version, frozenset[Tag], IndexFile]]:
        if page.url not in self._listed:
            self._listed[page.url] = list(_parsed(page, self._ops))
        return self._listed[page.url]


def page_addresses(
    source: Source, mirrors: Mapping[str, str], build: TorchBuild, distribution: str
) -> tuple[str, ...]:
    """Give the addresses of the page on which a source, or its mirror, lists a distribution for a pair."""
    base = mirrors.get(source.name, source.base)
    return _filled(source.pages, base.rstrip("/"), build.variant, build.release.version, distribution)


@lru_cache(maxsize=4096)
def _filled(
    pages: tuple[str, ...], base: str, variant: str, torch: Version, distribution: str
) -> tuple[str, ...]:
    filled = {
        "base": base,
        "variant": variant,
        "torch": f"{torch.major}.{torch.minor}.0",
        "series": f"{torch.major}.{torch.minor}",
        "digits": f"{torch.major}{torch.minor}0",
        "release": str(torch),
        "distribution": distribution,
    }
    return tuple(page.format(**filled) for page in pages)


def wheel_on(
    page: Page, name: str, version: Version, build: TorchBuild, situation: Situation
) -> IndexFile | None:
    """Give the wheel that a page lists for a distribution, version, and a build's Python and variant.

    A local version part, where a file name has one, must name the variant. A wheel for a newer glibc than
    the machine's does not fit.
    """
    text, interpreter = str(version), _interpreter(build.python)
    for listed, tags, file in _parsed(page, name, (text, interpreter)):
        if Version(listed.public) != version or (
            listed.local and build.variant not in listed.local.split(".")
        ):
            continue
        if _fits(tags, build.python, situation):
            return file
    return None


def _parsed(
    page: Page, name: str, needles: tuple[str, ...] = ()
) -> Iterator[tuple[Version, frozenset[Tag], IndexFile]]:
    wanted = canonicalize_name(name)
    beginning = wanted.replace("-", "_")
    for file in page.files:
        # Pages list thousands of files, and to parse a name takes fifty times longer than to look into it.
        if file.yanked or any(needle not in file.filename for needle in needles):
            continue
        if canonicalize_name(file.filename[: len(beginning)]) != wanted:
            continue
        try:
            found, version, _, tags = parse_wheel_filename(file.filename)
        except InvalidWheelFilename:
            continue
        if found == wanted:
            yield version, tags, file


def _is_for(listed: Version, source: Source, build: TorchBuild) -> bool:
    """Tell whether a wheel's local version part names a build's pair, or leaves it to the page to do so."""
    if listed.local is None:
        return not source.local
    pair = _PAIR.fullmatch(listed.local)
    if pair is None or pair["variant"] != build.variant:
        return False
    if pair["torch"] is None:
        return True
    torch = Version(pair["torch"])
    if source.fits == "release":
        return torch == build.release.version
    return torch.release[:2] == build.release.version.release[:2]


def _names_release(listed: Version, build: TorchBuild) -> bool:
    pair = _PAIR.fullmatch(listed.local or "")
    return pair is not None and pair["torch"] == str(build.release.version)


def _fits(tags: frozenset[Tag], python: str, situation: Situation) -> bool:
    interpreter = _interpreter(python)
    return any(tag.interpreter == interpreter and _is_on_platform(tag.platform, situation) for tag in tags)


def _interpreter(python: str) -> str:
    return "cp" + python.replace(".", "")


def _is_on_platform(name: str, situation: Situation) -> bool:
    system, processor = situation.platform.split("-", 1)
    if system == "windows":
        return name == "win_amd64"
    if system == "macos":
        return name.startswith("macosx_") and name.endswith((f"_{processor}", "_universal2"))
    if name == f"linux_{processor}":
        return True
    found = _MANYLINUX.fullmatch(name)
    if found:
        wanted, of = (int(found[1]), int(found[2])), found[3]
    else:
        kind, _, of = name.partition("_")
        if kind not in _GLIBC:
            return False
        wanted = _GLIBC[kind]
    glibc = situation.glibc
    return of == processor and (glibc is None or glibc.release >= wanted)
