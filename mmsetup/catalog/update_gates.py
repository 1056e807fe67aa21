"""Compare ``data/gates.json`` with the released files: ``python -m mmsetup.catalog.update_gates``.

Downloads, with pip and from where that is set to look, every release of each distribution that a family in
``data/families.toml`` has beside its ops: the wheel, or where it has none and a family lists it, the source.
Reads the gates in each one's ``__init__`` and shows a line for each difference. ``--write`` writes the file
anew, and ``SHA256SUMS`` where it stands beside it. The exit status is 1 where there are differences that were
not written. ``--sums`` only renews ``SHA256SUMS``, after any change of the data.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from mmsetup.catalog import sums
from mmsetup.catalog.gate_reader import gates_in
from mmsetup.catalog.model import Gate
from mmsetup.errors import IntegrityError, MmsetupError, NetworkError, ProcessError
from mmsetup.process import clean_environment, run, run_together

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Member", "differences", "document", "members", "text", "top_module"]

_WHERE = "python -m pip config list  # shows where pip looks"
_SECONDS = 600.0
_AT_A_TIME = 4
_MOST_BYTES = 1 << 20
_AVAILABLE = re.compile(r"^Available versions: (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Member:
    """A distribution whose releases are read: its module, and the versions that families list."""

    distribution: str
    module: str
    versions: frozenset[Version]


def members(families: Mapping[str, Any]) -> tuple[Member, ...]:
    """Give the distributions beside the ops that the families in ``families.toml`` are made of, each once."""
    found: dict[str, Member] = {}
    for entry in (entry for family in families["families"] for entry in family["members"]):
        name = entry["distribution"]
        versions = frozenset(map(Version, entry["versions"]))
        known = found.get(name)
        found[name] = Member(name, entry["module"], versions | (known.versions if known else frozenset()))
    return tuple(found.values())


def top_module(archive: Path, module: str) -> str:
    """Give the text of the ``__init__.py`` of a module in a wheel or a source distribution.

    Raises:
        IntegrityError: it holds none, or is damaged.
    """
    wanted = f"{module}/__init__.py"
    try:
        return _member(archive, wanted).decode(errors="replace")
    except (LookupError, OSError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise IntegrityError(
            f"{archive.name} gives no {wanted}: {error}", remedy="python -m pip cache purge"
        ) from error


def _member(archive: Path, wanted: str) -> bytes:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel, wheel.open(wanted) as file:
            return file.read(_MOST_BYTES)
    with tarfile.open(archive) as sdist:
        top = sdist.getnames()[0].partition("/")[0]
        text = sdist.extractfile(f"{top}/{wanted}")
        if text is None:
            raise LookupError("it is no file")
        return text.read(_MOST_BYTES)


def document(read: Iterable[tuple[Member, Version, Path]], old: Mapping[str, Any]) -> dict[str, Any]:
    """Make the document of what was read: a member, a version of it, and the file of that.

    What ``old`` says beside the gates is kept; its date too.

    Raises:
        IntegrityError: a file is damaged. ValueError: it compares in a way that is not known.
    """
    gates: list[Gate] = []
    without: dict[tuple[str, str], list[str]] = {}
    for member, version, archive in sorted(read, key=lambda one: one[1]):
        kind = "wheel" if archive.suffix == ".whl" else "source distribution"
        source = f"{member.module}/__init__.py of the released {kind}"
        found = gates_in(top_module(archive, member.module), member.distribution, str(version), source=source)
        gates += found
        if not found:
            without.setdefault((member.distribution, source), []).append(str(version))
    order = {name: place for place, name in enumerate(dict.fromkeys(e["distribution"] for e in old["gates"]))}
    gates.sort(key=lambda gate: order.get(gate.distribution, len(order)))
    return {
        **old,
        "gates": [_entry(gate) for gate in gates],
        "without": [
            {"distribution": name, "versions": versions, "source": source}
            for (name, source), versions in sorted(without.items())
        ],
    }


def _entry(gate: Gate) -> dict[str, Any]:
    return {
        "distribution": gate.distribution,
        "version": gate.version,
        "on": gate.on,
        "minimum": gate.minimum,
        "maximum": gate.maximum or None,
        "maximum_inclusive": gate.maximum_inclusive if gate.maximum else None,
        "comparison": gate.comparison,
        "source": gate.source,
    }


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Give a line for each difference between two documents: what is new, gone or changed."""
    before, after = _told(old), _told(new)
    lines: list[str] = []
    for key in sorted({*before, *after}, key=lambda key: (key[0], Version(key[1]), key[2])):
        name = f"{key[0]} {key[1]}"
        had, has = before.get(key), after.get(key)
        if had is None:
            lines.append(f"new      {name}: {has}")
        elif has is None:
            lines.append(f"gone     {name}: {had}")
        elif had != has:
            lines.append(f"changed  {name}: {had} -> {has}")
    return lines


def _told(document: Mapping[str, Any]) -> dict[tuple[str, str, str], str]:
    told: dict[tuple[str, str, str], str] = {}
    for entry in document["gates"]:
        upper = ""
        if entry["maximum"]:
            upper = f",{'<=' if entry['maximum_inclusive'] else '<'}{entry['maximum']}"
        told[entry["distribution"], entry["version"], entry["on"]] = (
            f"{entry['on']} >={entry['minimum']}{upper} ({entry['comparison']}; {entry['source']})"
        )
    for entry in document.get("without", ()):
        for version in entry["versions"]:
            told[entry["distribution"], version, ""] = f"no gate ({entry['source']})"
    return told


def text(document: Mapping[str, Any]) -> str:
    """Write a document as the file has it: each list of versions on one line."""
    lines = json.dumps(document, indent=1, ensure_ascii=False)
    return re.sub(r'\[\s+("[^\[\]{}]*")\s+\]', lambda one: f"[{' '.join(one[1].split())}]", lines) + "\n"


def _listed(member: Member) -> list[Version]:
    try:
        told = run(
            [*_pip("index", "versions"), member.distribution, "--pre"],
            env=clean_environment(),
            timeout=_SECONDS,
        )
    except ProcessError as error:
        raise NetworkError(
            f"pip did not tell the releases of {member.distribution}",
            evidence=error.evidence,
            remedy=_WHERE,
        ) from error
    found = _AVAILABLE.search(told.stdout)
    return [Version(version.strip()) for version in found[1].split(",")] if found else []


def _pip(*words: str) -> list[str]:
    # A release that needs another Python has its gates all the same.
    return [sys.executable, "-m", "pip", *words, "--ignore-requires-python", "--disable-pip-version-check"]


def _archives(member: Member, folder: Path) -> dict[Version, Path]:
    """Give the files of a member that lie in a folder by version: the wheel where there is one."""
    found: dict[Version, Path] = {}
    for path in sorted(folder.iterdir()):
        try:
            name, version = (
                parse_wheel_filename(path.name)[:2]
                if path.suffix == ".whl"
                else parse_sdist_filename(path.name)
            )
        except (InvalidSdistFilename, InvalidWheelFilename):
            continue
        is_better = version not in found or path.suffix == ".whl"
        if name == canonicalize_name(member.distribution) and is_better:
            found[version] = path
    return found


def _download(
    member: Member, versions: Iterable[Version], kind: str, folder: Path, env: Mapping[str, str]
) -> None:
    """Download those versions of which there are files of a kind: ``--only-binary`` or ``--no-binary``.

    Raises:
        NetworkError: pip fails in another way.
    """
    words = [*_pip("download"), "--quiet", "--no-deps", kind, ":all:", "--dest", str(folder)]
    wanted = [f"{member.distribution}=={version}" for version in versions]
    outcomes = run_together([[*words, one] for one in wanted], env=env, timeout=_SECONDS, limit=_AT_A_TIME)
    for one, outcome in zip(wanted, outcomes, strict=True):
        told = outcome.output if isinstance(outcome, ProcessError) else outcome.stderr
        if outcome.returncode and "No matching distribution found" not in told:
            raise NetworkError(
                f"pip did not download {one}", evidence=told.strip().splitlines()[-10:], remedy=_WHERE
            )


def _read(member: Member, folder: Path, env: Mapping[str, str]) -> Iterator[tuple[Member, Version, Path]]:
    """Give the files of all releases of a member, from the folder or downloaded to it."""
    versions = _listed(member)
    known = _archives(member, folder)
    _download(member, [one for one in versions if one not in known], "--only-binary", folder, env)
    known = _archives(member, folder)
    # To look into a source distribution, pip runs its setup.py: only where a family needs to know.
    rest = [one for one in versions if one not in known and one in member.versions]
    _download(member, rest, "--no-binary", folder, env)
    known = _archives(member, folder)
    for version in versions:
        path = known.get(version)
        if path is not None and (path.suffix == ".whl" or version in member.versions):
            yield member, version, path
        else:
            print(f"left out {member.distribution} {version}: no wheel, and no family lists it")


def _building(families: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Give the environment in which pip builds with what the families' source distributions need."""
    lines = {
        line
        for family in families["families"]
        for entry in family["members"]
        for line in entry.get("sdist", {}).get("build_requires", ())
    }
    constraint = folder / "build-constraints.txt"
    constraint.write_text("".join(f"{line}\n" for line in sorted(lines)), encoding="utf-8")
    # The second name is that of newer ones.
    return {**clean_environment(), "PIP_CONSTRAINT": str(constraint), "PIP_BUILD_CONSTRAINT": str(constraint)}


def main(words: list[str] | None = None) -> int:
    """Show the differences, and with ``--write`` write them; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mmsetup.catalog.update_gates", description=__doc__)
    parser.add_argument("--write", action="store_true", help="bring the file up to date")
    parser.add_argument("--data", type=Path, default=sums.DATA, help="another folder than mmsetup's own")
    parser.add_argument("--files", type=Path, help="where files that were downloaded lie and are kept")
    parser.add_argument("--sums", action="store_true", help=f"only renew {sums.SUMS}, and read nothing")
    options = parser.parse_args(words)
    if options.sums:
        sums.renew(options.data)
        return 0
    place = options.data / "gates.json"
    old = json.loads(place.read_text(encoding="utf-8"))
    families = tomllib.loads((options.data / "families.toml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="mmsetup-gates-") as own:
        folder = options.files or Path(own)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            env = _building(families, Path(own))
            read = [one for member in members(families) for one in _read(member, folder, env)]
            new = document(read, old)
        except (MmsetupError, ValueError) as error:
            print(error, *getattr(error, "evidence", ()), sep="\n", file=sys.stderr)
            return getattr(error, "exit_code", 1)
    lines = differences(old, new)
    print(f"{len(read)} releases read", *(lines or ["no difference"]), sep="\n")
    if lines and options.write:
        new["date"] = dt.datetime.now(dt.timezone.utc).date().isoformat()
        place.write_text(text(new), encoding="utf-8")
        if (options.data / sums.SUMS).is_file():
            sums.renew(options.data)
    return int(bool(lines) and not options.write)


if __name__ == "__main__":
    sys.exit(main())
