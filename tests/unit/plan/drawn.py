"""Draw machines, requests and answers of pages, over a catalogue that is small enough to try everything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

from bare_machine import BARE, compiler, driver, python, toolkit
from hypothesis import strategies as st
from raw_catalog import Data, Entry, patch_fits, read_data

from mmsetup.catalog import Catalog
from mmsetup.catalog.links import IndexFile
from mmsetup.catalog.pages import Page
from mmsetup.plan.elsewhere import machine_elsewhere
from mmsetup.plan.request import Request
from mmsetup.probe.machine import Driver, Gpu, Libc, Machine

__all__ = ["DRIVERS", "Answers", "Situation", "situations", "small_catalog", "small_data", "some_patches"]

_TORCH = ("1.8.1", "1.10.1", "1.13.1", "2.1.2", "2.4.1", "2.8.0", "2.9.1", "2.15.0")
_FAMILIES = {
    "mmcv-full": {
        "mmcv-full": ("1.7.2", "1.7.1", "1.6.0", "1.4.0", "1.3.9"),
        "mmsegmentation": ("0.30.0", "0.22.0", "0.20.0", "0.11.0"),
        "mmdet": ("2.28.2", "2.20.0", "2.11.0"),
        "mmcls": ("0.25.0", "0.20.1"),
    },
    "mmcv": {
        "mmcv": ("2.2.0", "2.1.0", "2.0.0rc4"),
        "mmsegmentation": ("1.2.2", "1.1.0"),
        "mmengine": ("0.10.7", "0.7.1", "0.2.0"),
        "mmdet": ("3.3.0", "3.0.0"),
        "mmpretrain": ("1.2.0", "1.0.0"),
    },
    "onedl": {
        "onedl-mmcv": ("2.3.6.post1", "2.3.6", "2.3.2.post2"),
        "onedl-mmsegmentation": ("1.4.2", "1.3.0"),
        "onedl-mmengine": ("0.10.12", "0.10.8"),
        "onedl-mmdetection": ("3.5.1", "3.4.0"),
    },
}
_SOURCES = {"mmcv-full": ("openmmlab",), "mmcv": ("openmmlab", "miropsota"), "onedl": ("onedl",)}
_MODULES = {"mmcv-full": "mmcv", "mmsegmentation": "mmseg", "onedl-mmdetection": "mmdet"}
_KEPT = {name: versions for family in _FAMILIES.values() for name, versions in family.items()} | {
    name: (*_FAMILIES["mmcv-full"][name], *_FAMILIES["mmcv"][name]) for name in ("mmsegmentation", "mmdet")
}
_VARIANTS = (
    "cu102",
    "cu111",
    "cu113",
    "cu117",
    "cu118",
    "cu121",
    "cu124",
    "cu126",
    "cu128",
    "cu129",
    "cu130",
)

# At every floor and just below it, on Linux and on Windows, of drivers that carry a CUDA and of those that
# run it with the package for forward compatibility.
DRIVERS = (
    *("390.46", "410.48", "418.39", "418.40.04", "440.32", "440.33", "441.21", "441.22"),
    *("450.80.01", "450.80.02", "452.38", "452.39", "470.57.01", "470.57.02", "525.60.12", "525.60.13"),
    *("527.40", "527.41", "534.9", "535", "579.99", "580", "580.95.05"),
)
_ARCHITECTURES = (35, 37, 52, 61, 70, 75, 80, 86, 87, 89, 90, 100, 103, 110, 120, 121)
_GPUS = (
    *(("", f"sm_{number}") for number in _ARCHITECTURES),
    *(
        ("", ""),
        ("A100", "sm_80"),
        ("NVIDIA V100", "sm_70"),
        ("H100", "sm_90"),
        ("GeForce RTX 3090", "sm_86"),
    ),
)
_PYTHONS = (
    "3.6.15",
    "3.7.17",
    "3.8.18",
    "3.9.18",
    "3.10.2",
    "3.10.13",
    "3.11.7",
    "3.12.1",
    "3.13.0",
    "3.14.0",
)


@dataclass(frozen=True, slots=True)
class Situation:
    """What a plan is asked for; ``answers`` are made anew for each use of it."""

    machine: Machine
    request: Request
    seed: int

    def answers(self) -> Answers:
        return Answers(self.seed)


class Answers:
    """Answers pages as a seed has it: with files, without any, with an error, or not at all.

    The seed 0 answers nothing. Both spellings of a page's address get the same answer.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.given: dict[str, Page] = {}

    def __call__(self, urls: Iterable[str]) -> Mapping[str, Page]:
        pages = {url: page for url in urls if self._seed and (page := _answer(self._seed, url)) is not None}
        self.given.update(pages)
        return pages


def _answer(seed: int, url: str) -> Page | None:
    spelled = re.sub(r"(/torch\d+\.\d+)\.0/", r"\1/", url).removesuffix("index.html")
    random = Random(f"{seed} {spelled}")
    kind = random.choice(["silent", "error", "missing", "empty", "files", "files", "files"])
    if kind == "silent":
        return None
    if kind == "error":
        return Page(url, error="no answer", unreachable=True)
    if kind == "missing":
        return Page(url, error="HTTP 404", missing=True)
    return Page(url, tuple(_files(spelled, random)) if kind == "files" else ())


def _files(url: str, random: Random) -> Iterable[IndexFile]:
    tags = (
        "manylinux1_x86_64",
        "manylinux_2_17_x86_64.manylinux2014_x86_64",
        "manylinux_2_35_x86_64",
        "win_amd64",
    )
    for name, version in _listed(url):
        for minor in (6, 7, 8, 9, 10, 11, 12, 13):
            if random.random() < 0.5:
                abi = f"cp3{minor}" + ("m" if minor < 8 else "")
                file = f"{name.replace('-', '_')}-{version}-cp3{minor}-{abi}-{random.choice(tags)}.whl"
                yield IndexFile(file, f"https://files.test/{file}")


def _listed(url: str) -> list[tuple[str, str]]:
    *_, variant, name, _ = url.split("/")
    if "/whl/" in url:
        versions = _partners() if name == "torch" else _partners().values()
        return [(name, f"{version}+{variant}") for version in versions]
    if "torch_packages_builder" in url:
        return [("mmcv", f"2.2.0+pt{torch}{cuda}") for torch in _TORCH for cuda in ("cpu", *_VARIANTS)]
    names = ["onedl-mmcv"] if "onedl" in url else ["mmcv-full", "mmcv"]
    return [(name, version) for name in names for version in _KEPT[name]]


@cache
def _partners() -> dict[str, str]:
    releases = read_data()["torch"]["releases"]
    return {
        release["version"]: release["torchvision"] for release in releases if release["version"] in _TORCH
    }


def small_catalog(catalog: Catalog) -> Catalog:
    """Give the catalogue with a few versions of everything."""

    def kept(part: Any) -> Any:
        return replace(part, versions=tuple(v for v in part.versions if str(v) in _KEPT[part.distribution]))

    return replace(
        catalog,
        torch=tuple(release for release in catalog.torch if str(release.version) in _TORCH),
        families=tuple(
            replace(family, ops=kept(family.ops), members=tuple(map(kept, family.members)), proven=())
            for family in catalog.families
        ),
        wheels=tuple(group for group in map(kept, catalog.wheels) if group.versions),
    )


def small_data(data: Data) -> Data:
    """Give the raw data with the same few versions."""

    def kept(part: Entry) -> dict[str, Any]:
        return {**part, "versions": [v for v in part["versions"] if v in _KEPT[part["distribution"]]]}

    families = [
        {**family, "ops": kept(family["ops"]), "members": [kept(member) for member in family["members"]]}
        for family in data["families"]["families"]
    ]
    groups = [group for group in map(kept, data["wheels"]["groups"]) if group["versions"]]
    return {
        **data,
        "torch": {"releases": [r for r in data["torch"]["releases"] if r["version"] in _TORCH]},
        "families": {**data["families"], "families": families},
        "wheels": {**data["wheels"], "groups": groups},
    }


def mostly(usual: object, *others: object, times: int = 2) -> st.SearchStrategy[Any]:
    """Draw the usual thing ``times`` as often as all others together."""
    return st.sampled_from([usual] * (times * len(others)) + list(others))


def machines(catalog: Catalog) -> st.SearchStrategy[Machine]:
    """Draw machines: Linux on x86-64 mostly, WSL and every other platform too, with none to three GPUs."""
    gpus = st.lists(st.sampled_from(_GPUS), max_size=3).map(
        lambda drawn: tuple(Gpu(n, name or f"GPU {code}", code, 0) for n, (name, code) in enumerate(drawn))
    )
    interpreters = st.lists(
        st.builds(
            lambda version, changes: python(version, **changes),
            st.sampled_from(_PYTHONS),
            mostly({}, {"implementation": "pypy"}, {"free_threaded": True}, {"platform": "linux-i686"}),
        ),
        max_size=3,
        unique_by=lambda here: here.path,
    )
    here = st.builds(
        replace,
        st.just(BARE),
        os=mostly(BARE.os, replace(BARE.os, wsl=True), times=5),
        gpus=gpus,
        driver=mostly(
            driver("580.95.05"),
            None,
            *map(driver, DRIVERS),
            *(Driver("", carried, "override") for carried in ("", "10.2", "11.4", "12.4", "13.0")),
            times=1,
        ),
        libc=mostly(
            Libc("glibc", "2.36"),
            None,
            Libc("musl", "1.2"),
            *(Libc("glibc", version) for version in ("2.12", "2.17", "2.27", "2.28", "2.33", "2.34", "2.35")),
        ),
        toolkits=st.lists(
            st.builds(
                lambda version, nvcc: toolkit(version, nvcc=nvcc),
                st.sampled_from(["10.2", "11.1", "11.7", "11.8", "12.4", "12.8", "13.0"]),
                mostly(True, False, times=5),
            ),
            max_size=3,
        ).map(tuple),
        compilers=st.sampled_from(
            [(), *((compiler(version),) for version in ("5.4.0", "8.5.0", "11.4.0", "12.2.0", "14.1.0"))]
        ),
        interpreters=interpreters.map(tuple),
    )
    platform = mostly("", "windows-x86_64", "windows-x86_64", "linux-aarch64", "macos-arm64", "macos-x86_64")
    return st.builds(lambda machine, name: _moved(machine, name, catalog), here, platform)


def _moved(machine: Machine, platform: str, catalog: Catalog) -> Machine:
    if not platform:
        return machine
    moved = machine_elsewhere(machine, catalog, platform=platform)
    if platform.startswith("macos"):
        return moved
    return replace(moved, gpus=machine.gpus, driver=machine.driver)


def _patches_of(family: str) -> list[str]:
    """Name the patches that can be asked for in a family of few versions."""
    return [
        patch["name"]
        for patch in read_data()["patches"]["patches"]
        if patch.get("asked")
        and any(
            patch_fits(patch, name, version)
            for name, versions in _FAMILIES[family].items()
            for version in versions
        )
    ]


_PATCHES = {family: _patches_of(family) for family in _FAMILIES}


@st.composite
def requests(draw: st.DrawFn, machine: Machine, family: str = "") -> Request:
    """Draw requests, half of which ask for little."""
    family = family or draw(st.sampled_from(sorted(_FAMILIES)))
    parts = _FAMILIES[family]
    others = [name for name in parts if name not in {"mmcv-full", "mmcv", "onedl-mmcv"}]
    wishes = draw(st.lists(st.sampled_from(sorted(parts)), max_size=draw(mostly(0, 1, 2)), unique=True))
    paths = [str(here.path) for here in machine.interpreters]
    return Request(
        family=family,
        python=draw(
            mostly("", "3", "3.6", "3.7", "3.8", "3.9", "3.10", "3.10.13", "3.11", "3.12", "3.13", *paths)
        ),
        torch=draw(mostly("", "1", "1.8", "1.10.1", "1.13", "2", "2.1", "2.4.1", "2.8", "2.9", "2.15")),
        cuda=draw(mostly("", "cpu", *_VARIANTS)),
        wanted=tuple(draw(_wish(name, parts[name])) for name in wishes),
        without=draw(mostly((), *((name,) for name in others), times=4)),
        sources=draw(mostly((), *((name,) for name in _SOURCES[family]), times=4)),
        may_use_prebuilt=draw(mostly(True, False, times=6)),
        may_build=draw(mostly(True, False)),
        may_fetch_python=draw(mostly(True, False, times=4)),
        offline=draw(mostly(False, True, times=8)),
        mirrors=draw(mostly({}, {"openmmlab": "http://mirror.test/base/"}, times=8)),
        accepts_cautions=draw(mostly(False, True, times=4)),
        trusts_catalog=draw(mostly(True, False)),
        forward_compatibility=draw(mostly(False, True)),
        may_patch=draw(mostly(True, False)),
        patches=draw(some_patches(family)),
    )


def some_patches(family: str) -> st.SearchStrategy[tuple[str, ...]]:
    """Draw some of the patches that can be asked for in a family, in any order."""
    known = _PATCHES[family]
    return st.lists(st.sampled_from(known), unique=True).map(tuple) if known else st.just(())


def _wish(name: str, versions: Iterable[str]) -> st.SearchStrategy[str]:
    named = st.sampled_from([name, _MODULES.get(name, name)])
    limit = st.sampled_from(
        ["", *(f"{sign}{version}" for sign in ("==", "<=", ">=") for version in versions)]
    )
    return st.builds(lambda first, second: first + second, named, limit)


@st.composite
def situations(draw: st.DrawFn, catalog: Catalog, family: str = "") -> Situation:
    """Draw a machine, a request and the seed of the answers; half of the time nothing answers."""
    machine = draw(machines(catalog))
    seed = draw(st.just(0) | st.integers(1, 1 << 30))
    return Situation(machine, draw(requests(machine, family)), seed)
