"""Compare ``data/torch.json`` with the default package index: ``python -m mmsetup.catalog.update_torch``.

Shows a line for each difference in what the index alone can tell: new releases, and by platform the Pythons
and the glibc that the wheels of torch and of its partner torchvision are tagged for. ``--write`` brings these
up to date in place and keeps all else, and renews ``SHA256SUMS`` where it stands beside the file. What the
index does not tell stays unknown for a new release: the code that the builds hold, and the variants on
PyTorch's own index. The exit status is 1 where there are differences that were not written.
"""

from __future__ import annotations

import argparse
import copy
import datetime as dt
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from mmsetup import uv
from mmsetup.catalog import sums
from mmsetup.catalog.model import PLATFORMS
from mmsetup.catalog.pages import read_pages
from mmsetup.errors import LockError, MmsetupError, NetworkError
from mmsetup.process import run

if TYPE_CHECKING:
    from packaging.tags import Tag

__all__ = ["Offer", "Partner", "default_index", "differences", "find_partner", "offers", "text", "updated"]

_SECONDS = 60.0
_LINUX = re.compile(r"(?:linux|manylinux1|manylinux20\d\d|manylinux_\d+_\d+)_(x86_64|aarch64)")
_MACOS = re.compile(r"macosx_\d+_\d+_(x86_64|arm64|universal2)")
# PEP 600, "Legacy manylinux tags".
_LEGACY = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}
_LAST_WITH_M = Version("3.7")
_UV_PLATFORMS = {
    "linux-x86_64": "x86_64-manylinux_2_28",
    "linux-aarch64": "aarch64-manylinux_2_28",
    "windows-x86_64": "x86_64-pc-windows-msvc",
    "macos-x86_64": "x86_64-apple-darwin",
    "macos-arm64": "aarch64-apple-darwin",
}
_NAME = re.compile(r"^[\w.-]+=")  # uv takes name=address
_PIP_INDEX = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
_UNKNOWN = {
    "variants": "not known: only the default index was read",
    "default_variant": "the nvidia-cuda-runtime that the wheel on the default index depends on",
    "architectures": "not known: no build was read",
    "pythons": "tags of the wheels on the default index",
}
_STRINGS = re.compile(r'\[\s+("[^"\[\]]*"(?:,\s+"[^"\[\]]*")*)\s+\]')


@dataclass(frozen=True, slots=True)
class Offer:
    """What the wheels of one release on one platform are tagged for.

    ``glibc`` maps a Python (``3.10``) to the lowest glibc that a wheel for it asks for, empty where none asks
    for one. ``since`` maps the first of many Pythons (``3`` of a ``py3`` wheel, ``3.9`` of ``cp39-abi3``)
    in the same way.
    """

    glibc: Mapping[str, str]
    since: Mapping[str, str]

    def asks(self, python: str) -> str | None:
        """Give the glibc that the wheel for ``python`` asks for; ``None`` where there is no such wheel."""
        open_ended = (asked for first, asked in self.since.items() if Version(first) <= Version(python))
        found = [*open_ended, *([self.glibc[python]] if python in self.glibc else [])]
        return min(found, key=_number) if found else None


@dataclass(frozen=True, slots=True)
class Partner:
    """The torchvision that belongs to a torch release, and the variant that its CUDA libraries tell."""

    torchvision: str
    variant: str


Releases = Mapping[Version, Mapping[str, Offer]]
"""What there is by release and platform."""

Find = Callable[[str, str, str], Partner | None]
"""Gives the partner of a torch release on a platform and a Python."""


def offers(filenames: Iterable[str]) -> dict[Version, dict[str, Offer]]:
    """Give what the wheels among ``filenames`` offer, by release and platform.

    Free-threaded Pythons and other implementations than CPython do not count; nor does an ABI that no Python
    has, such as ``cp38m`` on the Windows wheel of torch 1.7.0, which no installer takes.
    """
    found: dict[Version, dict[str, Offer]] = {}
    for filename in filenames:
        try:
            _, version, _, tags = parse_wheel_filename(filename)
        except InvalidWheelFilename:
            continue
        for tag in tags:
            python, is_first = _python(tag)
            for platform, glibc in _platforms(tag.platform) if python else ():
                offer = found.setdefault(version, {}).setdefault(platform, Offer({}, {}))
                kept: Any = offer.since if is_first else offer.glibc
                kept[python] = min(kept.get(python, glibc), glibc, key=_number)
    return found


def _python(tag: Tag) -> tuple[str, bool]:
    if tag.interpreter == "py3" and tag.abi == "none":
        return "3", True
    cpython = re.fullmatch(r"cp3(\d+)", tag.interpreter)
    if cpython is None:
        return "", False
    python = f"3.{cpython[1]}"
    own = tag.interpreter + ("m" if Version(python) <= _LAST_WITH_M else "")
    return (python, tag.abi == "abi3") if tag.abi in {"none", "abi3", own} else ("", False)


def _platforms(tag: str) -> Iterator[tuple[str, str]]:
    if tag == "any":
        yield from ((platform, "") for platform in PLATFORMS)
    elif tag == "win_amd64":
        yield "windows-x86_64", ""
    elif linux := _LINUX.fullmatch(tag):
        policy = tag.removesuffix(f"_{linux[1]}")
        numbers = policy.removeprefix("manylinux_").replace("_", ".")
        yield f"linux-{linux[1]}", "" if policy == "linux" else _LEGACY.get(policy, numbers)
    elif macos := _MACOS.fullmatch(tag):
        yield from (
            (f"macos-{machine}", "") for machine in ("x86_64", "arm64") if macos[1] in {machine, "universal2"}
        )


def _number(glibc: str) -> Version:
    return Version(glibc or "0")


def updated(
    document: Mapping[str, Any], torch: Releases, torchvision: Releases, find: Find
) -> dict[str, Any]:
    """Give the catalogue's document as the index would have it.

    ``find`` is asked for what tags do not tell: the partner of a release that the document lacks, and the
    variant of a build. Releases that are not final, are older than the oldest in the document, or that no
    torchvision goes with are left out.
    """
    new = copy.deepcopy(dict(document))
    entries = {Version(entry["version"]): entry for entry in new["releases"]}
    for version in _missing(new, torch):
        found = (_resolved(version, platform, torch, find) for platform in PLATFORMS)
        partner = next((each for each in found if each), None)
        if partner:
            entries[version] = {"version": str(version), "torchvision": partner.torchvision, "platforms": {}}
            entries[version] |= {"architectures": {}, "sources": dict(_UNKNOWN)}
    pythons = {python for release in torch.values() for offer in release.values() for python in offer.glibc}
    for version, entry in entries.items():
        offered, partners = torch.get(version, {}), torchvision.get(Version(entry["torchvision"]), {})
        for platform in PLATFORMS:
            held = entry["platforms"].pop(platform, None)
            tags = _both(offered.get(platform), partners.get(platform), sorted(pythons, key=Version))
            if tags and held is None:
                variant = _variant(version, platform, torch, find)
                held = {"default_variant": variant, "index_variants": [variant]} if variant else None
            if tags and held is not None:
                entry["platforms"][platform] = {"pythons": [], **held, **tags}
                if "glibc" not in tags:
                    entry["platforms"][platform].pop("glibc", None)
    new["releases"] = [entries[version] for version in sorted(entries) if entries[version]["platforms"]]
    return new


def _missing(document: Mapping[str, Any], torch: Releases) -> list[Version]:
    known = {Version(entry["version"]) for entry in document["releases"]}
    return [
        version for version in sorted({*torch} - known) if version > min(known) and not version.is_prerelease
    ]


def _resolved(version: Version, platform: str, torch: Releases, find: Find) -> Partner | None:
    offer = torch.get(version, {}).get(platform)
    pythons = sorted({*offer.glibc, *offer.since}, key=Version) if offer else []
    # The newest Python is often without a torchvision for a while, and the oldest is the first to go.
    return find(str(version), platform, pythons[len(pythons) // 2]) if pythons else None


def _variant(version: Version, platform: str, torch: Releases, find: Find) -> str:
    if platform.startswith("macos"):
        return "cpu"
    partner = _resolved(version, platform, torch, find)
    return partner.variant if partner else ""


def _both(torch: Offer | None, torchvision: Offer | None, pythons: list[str]) -> dict[str, Any]:
    """Give the Pythons that both have wheels for, and the highest glibc that these ask for."""
    if torch is None or torchvision is None:
        return {}
    asked: dict[str, str] = {}
    for python in pythons:
        pair = torch.asks(python), torchvision.asks(python)
        if pair[0] is not None and pair[1] is not None:
            asked[python] = max(pair[0], pair[1], key=_number)
    glibc = max(asked.values(), key=_number, default="")
    return ({"pythons": list(asked)} if asked else {}) | ({"glibc": glibc} if glibc else {})


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Give a line for each difference between two documents: ``2.15.0 linux-x86_64 pythons: + 3.15``."""
    before = {entry["version"]: entry for entry in old["releases"]}
    after = {entry["version"]: entry for entry in new["releases"]}
    lines: list[str] = []
    for version in sorted({*before, *after}, key=Version):
        if version not in after:
            lines.append(f"{version}: gone")
        elif version not in before:
            lines.append(f"{version}: new, with torchvision {after[version]['torchvision']}")
        old_platforms = before.get(version, {}).get("platforms", {})
        new_platforms = after.get(version, {}).get("platforms", {})
        for platform in PLATFORMS:
            lines += _changes(
                f"{version} {platform}", old_platforms.get(platform), new_platforms.get(platform)
            )
    return lines


def _changes(place: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Iterator[str]:
    if after is None:
        if before is not None:
            yield f"{place}: gone"
        return
    if before is None:
        yield f"{place}: new"
    had, has = (before or {}).get("pythons", []), after["pythons"]
    signs = [f"- {python}" for python in had if python not in has]
    signs += [f"+ {python}" for python in has if python not in had]
    if signs:
        yield f"{place} pythons: {' '.join(signs)}"
    had, has = (before or {}).get("glibc", ""), after.get("glibc", "")
    if had != has:
        yield f"{place} glibc: {had or 'none'} -> {has or 'none'}"


def text(document: Mapping[str, Any]) -> str:
    """Write a document as the file has it: each list of strings on one line."""
    lines = json.dumps(document, indent=1, ensure_ascii=False)
    return _STRINGS.sub(lambda found: "[" + " ".join(found[1].split()) + "]", lines) + "\n"


def find_partner(release: str, platform: str, python: str) -> Partner | None:
    """Let uv resolve torch and torchvision for another machine; ``None`` where none goes with this torch.

    Raises:
        NetworkError: the index does not answer.
    """
    args = [
        "pip",
        "compile",
        "wanted.in",
        "--quiet",
        "--no-header",
        "--no-annotate",
        "--only-binary",
        ":all:",
    ]
    args += ["--python-version", python, "--python-platform", _UV_PLATFORMS[platform]]
    with tempfile.TemporaryDirectory(prefix="mmsetup-torch-") as folder:
        (Path(folder) / "wanted.in").write_text(f"torch=={release}\ntorchvision\n", encoding="utf-8")
        try:
            done = uv.call(args, f"find the torchvision of torch {release}", cwd=Path(folder))
        except LockError:
            return None
    return _partner(done.stdout)


def _partner(resolved: str) -> Partner:
    pins = dict(re.findall(r"^([\w.-]+)==([\w.+!]+)", resolved, re.MULTILINE))
    runtime = next((pins[name] for name in pins if name.startswith("nvidia-cuda-runtime")), "")
    cuda = Version(runtime) if runtime else None
    return Partner(pins["torchvision"], f"cu{cuda.major}{cuda.minor}" if cuda else "cpu")


def default_index() -> str:
    """Give the address of the default index as uv and pip know it: their settings, else pip's own default.

    Raises:
        MmsetupError: neither tells one.
    """
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if address := os.environ.get(name):
            return _NAME.sub("", address).rstrip("/")
    for words in (["-m", "pip", "config", "get", "global.index-url"], ["-c", _PIP_INDEX]):
        told = run([sys.executable, *words], check=False).stdout.strip()
        if told:
            return told.rstrip("/")
    raise MmsetupError("no index is set, and no pip is here that knows one", remedy="python -m ensurepip")


def _listed(index: str) -> tuple[list[str], list[str]]:
    addresses = {name: f"{index}/{name}/" for name in ("torch", "torchvision")}
    pages = read_pages(addresses.values(), seconds=_SECONDS)
    for name, address in addresses.items():
        if pages[address].error:
            raise NetworkError(
                f"the default index did not tell the files of {name}: {pages[address].error}",
                remedy="PIP_INDEX_URL=https://mirror.example/simple python -m mmsetup.catalog.update_torch",
            )
    torch, torchvision = ([file.filename for file in pages[address].files] for address in addresses.values())
    return torch, torchvision


def main(words: list[str] | None = None) -> int:
    """Show the differences, and with ``--write`` write them; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mmsetup.catalog.update_torch", description=__doc__)
    parser.add_argument("--write", action="store_true", help="bring the file up to date")
    parser.add_argument("--data", type=Path, default=sums.DATA, help="another folder than mmsetup's own")
    options = parser.parse_args(words)
    place = options.data / "torch.json"
    old = json.loads(place.read_text(encoding="utf-8"))
    try:
        torch, torchvision = _listed(default_index())
        offered = offers(torch)
        new = updated(old, offered, offers(torchvision), find_partner)
    except MmsetupError as error:
        print(error, *error.evidence, error.remedy, sep="\n", file=sys.stderr)
        return error.exit_code
    lines = differences(old, new)
    alone = [f"{version}: left out, no torchvision goes with it" for version in _missing(new, offered)]
    print(*([*lines, *alone] or ["no difference"]), sep="\n")
    if lines and options.write:
        new["date"] = dt.datetime.now(dt.timezone.utc).date().isoformat()
        place.write_text(text(new), encoding="utf-8")
        if (options.data / sums.SUMS).is_file():
            sums.renew(options.data)
    return int(bool(lines) and not options.write)


if __name__ == "__main__":
    sys.exit(main())
