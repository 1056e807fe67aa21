"""The data files as they are written, and their small rules told a second time: nothing of the loader or the planner."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

import mmsetup.catalog
from mmsetup.catalog.links import IndexFile
from mmsetup.probe.machine import Libc

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "Data",
    "Entry",
    "admits",
    "compute",
    "cuda_of",
    "fits",
    "libc_has",
    "pages_of",
    "parsed",
    "passes",
    "patch_fits",
    "read_data",
    "required",
    "runs_on",
    "sha256_of",
    "starts",
    "the_same",
]

Data = Mapping[str, Any]
Entry = Mapping[str, Any]
# The search reads the same few texts millions of times.
parsed = cache(Version)
required = cache(Requirement)
_PLATFORM_TAGS = {
    "linux-x86_64": r"(linux|manylinux\w+)_x86_64",
    "linux-aarch64": r"(linux|manylinux\w+)_aarch64",
    "windows-x86_64": "win_amd64",
    "macos-x86_64": r"macosx_\w+_(x86_64|universal2)",
    "macos-arm64": r"macosx_\w+_(arm64|universal2)",
}
_GLIBC_OF_NAMES = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}


def read_data() -> Data:
    """Give the content of every data file by its name without the ending."""
    folder = Path(mmsetup.catalog.__file__).parent / "data"
    return {
        **{file.stem: json.loads(file.read_text("utf-8")) for file in folder.glob("*.json")},
        **{file.stem: tomllib.loads(file.read_text("utf-8")) for file in folder.glob("*.toml")},
    }


@cache
def admits(specifier: str, version: str) -> bool:
    """Tell whether a range holds a version, release candidates included."""
    return SpecifierSet(specifier).contains(version, prereleases=True)


def starts(version: str, beginning: str) -> bool:
    """Tell whether a version is ``beginning`` or below it; an empty beginning is that of all."""
    wanted = beginning.split(".") if beginning else []
    return version.split(".")[: len(wanted)] == wanted


def the_same(python: str, asked: str) -> bool:
    """Tell whether a minor version of Python can be the one that was asked for, be it 3, 3.10 or 3.10.2."""
    return starts(python, asked) or starts(asked, python)


def cuda_of(variant: str) -> str:
    """Give 11.7 for cu117."""
    digits = variant.removeprefix("cu")
    return f"{digits[:-1]}.{digits[-1]}"


def runs_on(architecture: str, sass: Iterable[str], ptx: Iterable[str], *, integrated: bool = False) -> bool:
    """Tell whether code serves a GPU: cubins of its major version up to its minor one, or PTX that is not newer.

    What ends in ``a`` is for its own architecture and nothing else; and of cubins an integrated GPU runs its
    own alone (CUDA C++ Programming Guide, binary compatibility: none between desktop and Tegra).
    """
    gpu = compute(architecture)
    for name in sass:
        own = compute(name) == gpu
        if own or (not integrated and not name.endswith("a") and (gpu[0], 0) <= compute(name) < gpu):
            return True
    return any(compute(name) == gpu or (not name.endswith("a") and compute(name) < gpu) for name in ptx)


def compute(architecture: str) -> tuple[int, int]:
    """Give 8 and 6 for sm_86."""
    digits = re.sub(r"\D", "", architecture)
    return int(digits[:-1]), int(digits[-1])


def passes(gate: Entry, version: str) -> bool:
    """Tell whether the assertion of a release holds for a version of what it asserts about."""

    def read(text: str) -> Any:
        return [int(part) for part in text.split(".")] if gate["comparison"] == "unpadded" else parsed(text)

    if read(version) < read(gate["minimum"]):
        return False
    if not gate["maximum"]:
        return True
    if gate["maximum_inclusive"]:
        return bool(read(version) <= read(gate["maximum"]))
    return bool(read(version) < read(gate["maximum"]))


def patch_fits(patch: Entry, name: str, version: str) -> bool:
    """Tell whether a patch was written for a release."""
    written_for = {canonicalize_name(one): releases for one, releases in patch["releases"].items()}
    return name in written_for and admits(written_for[name], version)


def sha256_of(patch: Entry) -> str:
    """Give the sha256 of the edits of a patch: a list of file, old text, new text and count for each, as JSON."""
    edits = [[edit["file"], edit["old"], edit["new"], edit.get("times", 1)] for edit in patch["edits"]]
    return hashlib.sha256(json.dumps(edits, ensure_ascii=False).encode("utf-8")).hexdigest()


def pages_of(source: Entry, torch: str, variant: str, distribution: str, base: str = "") -> list[str]:
    """Give the addresses of a source's page for a pair, the usual spelling first; ``base`` replaces its own."""
    major, minor = torch.split(".")[:2]
    values = {
        "base": (base or source["base"]).rstrip("/"),
        "variant": variant,
        "torch": f"{major}.{minor}.0",
        "series": f"{major}.{minor}",
        "digits": f"{major}{minor}0",
        "release": torch,
        "distribution": distribution,
    }
    return [template.format(**values) for template in source["pages"]]


def libc_has(libc: Libc | None, needed: str) -> bool:
    """Tell whether a C library is new enough for wheels; one that is not known is."""
    return not needed or libc is None or (libc.name == "glibc" and parsed(libc.version) >= parsed(needed))


def fits(
    file: IndexFile,
    name: str,
    version: str,
    *,
    local: str,
    python: str,
    platform: str,
    libc: Libc | None,
) -> bool:
    """Tell from its name whether a file is the wheel of a version for a Python and a machine."""
    try:
        named, listed, _, tags = parse_wheel_filename(file.filename)
    except InvalidWheelFilename:
        return False
    if named != canonicalize_name(name) or listed.public != str(parsed(version)):
        return False
    if listed.local is not None and listed.local != local:
        return False
    return any(
        tag.interpreter == "cp" + python.replace(".", "")
        and re.fullmatch(_PLATFORM_TAGS[platform], tag.platform)
        and all(libc_has(libc, glibc) for glibc in _glibc_of(tag.platform))
        for tag in tags
    )


def _glibc_of(tag: str) -> Iterator[str]:
    yield from (glibc for name, glibc in _GLIBC_OF_NAMES.items() if tag.startswith(name + "_"))
    if numbered := re.match(r"manylinux_(\d+)_(\d+)_", tag):
        yield f"{numbered[1]}.{numbered[2]}"
