"""Let uv find versions that fulfil all repairs at once and leave alone what is not part of them.

All of the environment takes part in the resolution: the stack pinned, the rest with the versions that are
here preferred, so that only what a repair makes impossible moves. What an installed distribution declares
counts as far as it holds now; what is violated already is a finding of its own, not an obstacle. uv gets this
as static metadata, and a stand-in wheel for each distribution, because many are on no index in their version
(``torch 1.13.1+cu117``, a built mmcv).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from mmsetup import uv
from mmsetup.doctor.context import Context, parsed
from mmsetup.doctor.declared import EDITIONS, requirements_of
from mmsetup.doctor.fix.repair import Replacement
from mmsetup.doctor.fixes import is_chosen_jointly
from mmsetup.install.manifest import read_manifest
from mmsetup.probe.machine import Distribution

__all__ = ["resolve"]

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)((?: --hash=\S+)*)$")


def resolve(
    context: Context, install: Sequence[str], remove: Sequence[str], again: Sequence[str], folder: Path
) -> tuple[Replacement, ...]:
    """Give what has to be put there, and in which version, for ``install`` to hold without ``remove``.

    ``again`` are distributions whose files are fetched in any case, in the version that is here. ``folder``
    is an empty folder to work in.

    Raises:
        LockError: no versions fulfil this.
        NetworkError, ProcessError: as uv tells.
    """
    here = {name: one for name, one in context.by_name.items() if name not in remove and parsed(one.version)}
    wanted: set[str] = {canonicalize_name(Requirement(line).name) for line in install}
    _write_stand_ins(folder / "here", (one for one in here.values() if one.name not in again))
    metadata = [_metadata(context, one, here, wanted) for one in here.values()]
    # A uv.toml of this folder adds to the user's own configuration; --config-file would replace it.
    (folder / "uv.toml").write_text(tomli_w.dumps({"dependency-metadata": metadata}), encoding="utf-8")
    _write(folder / "requirements.in", [*_roots(context, here, wanted, again), *install])
    _write(folder / "overrides.in", _never(here, remove))
    _write(folder / "pins.txt", _preferred(context, here, wanted))
    uv.call(
        [
            *("pip", "compile", "requirements.in", "--overrides", "overrides.in", "--quiet"),
            # uv takes a comma in the name of a folder for the end of it; this name has none.
            *("--python", context.environment.interpreter.path, "--find-links", "here"),
            *("--output-file", "pins.txt", "--generate-hashes", "--no-annotate", "--no-header"),
            *("--only-binary", ":all:"),
        ],
        "find versions that mend the environment",
        cwd=folder,
    )
    return tuple(_replaced(folder / "pins.txt", here, again))


def _roots(
    context: Context, here: Mapping[str, Distribution], wanted: set[str], again: Sequence[str]
) -> Iterator[str]:
    """Pin the stack and what came with the interpreter; let the rest be there in some version."""
    stack = {one.name for one in context.stack}
    for name, one in here.items():
        if name in wanted:
            continue
        is_fixed = name in stack or name in again or is_chosen_jointly(name)
        if is_fixed or not one.path.is_relative_to(context.environment.prefix):
            yield f"{name}=={one.version}"
        else:
            yield name


def _metadata(
    context: Context, one: Distribution, here: Mapping[str, Distribution], wanted: set[str]
) -> Mapping[str, Any]:
    """Give what a distribution requires, as far as that holds now or is what a repair is about."""
    requires = [
        f"{other.name}{other.specifier}"
        for other in requirements_of(one, context.markers)
        if (name := canonicalize_name(other.name)) in wanted or _holds(other, here.get(name))
    ]
    return {"name": one.name, "version": one.version, "requires-dist": requires}


def _holds(wanted: Requirement, found: Distribution | None) -> bool:
    version = parsed(found.version) if found else None
    return version is not None and wanted.specifier.contains(version, prereleases=True)


def _never(here: Mapping[str, Distribution], remove: Sequence[str]) -> list[str]:
    """Require nowhere what is removed, and no second edition of what is here."""
    names = set(remove)
    for editions in EDITIONS.values():
        if any(name in here for name in editions):
            names |= {name for name in editions if name not in here}
    return [f"{name} ; sys_platform == 'never'" for name in sorted(names)]


def _preferred(context: Context, here: Mapping[str, Distribution], wanted: set[str]) -> list[str]:
    """Give the versions to take if nothing speaks against them: those here, else those recorded."""
    manifest = read_manifest(context.environment.prefix)
    recorded = {
        canonicalize_name(name): version
        for name, version in (manifest.everything if manifest else {}).items()
    }
    preferred = {name: one.version for name, one in here.items()}
    preferred.update(
        {name: version for name, version in recorded.items() if name not in here or name in wanted}
    )
    return [f"{name}=={version}" for name, version in sorted(preferred.items()) if parsed(version)]


def _replaced(pins: Path, here: Mapping[str, Distribution], again: Sequence[str]) -> Iterator[Replacement]:
    text = pins.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        found = _PINNED.match(" ".join(line.split()))
        if found is None:
            continue
        name, version = canonicalize_name(found[1]), found[2]
        before = here[name].version if name in here else ""
        if not before or name in again or Version(before) != Version(version):
            hashes = tuple(re.findall(r"--hash=(\S+)", found[3]))
            yield Replacement(name, version, before, hashes)


def _write_stand_ins(folder: Path, distributions: Iterable[Distribution]) -> None:
    folder.mkdir()
    for one in distributions:
        name, version = one.name.replace("-", "_"), str(Version(one.version))
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
            archive.writestr(
                f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {one.name}\nVersion: {version}\n"
            )
            archive.writestr(
                f"{info}/WHEEL",
                "Wheel-Version: 1.0\nGenerator: mmsetup\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            archive.writestr(f"{info}/RECORD", "")


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
