"""What is written down of a journey, inside the environment that it made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from mmsetup.build import BuiltWheel
from mmsetup.install import Manifest
from mmsetup.install.contents import recorded_ops
from mmsetup.install.via_mim import MimRun
from mmsetup.paths import manifest_folder
from mmsetup.render.document import document, dump, plain
from mmsetup.road.journey import Pinned
from mmsetup.smoke import SmokeReport

__all__ = ["manifest_of", "moved"]


def moved(report: SmokeReport, new: Path, place: Path) -> SmokeReport:
    """Give the report of an environment that was tried as ``new`` and will lie in ``place``."""

    def new_place(path: Path) -> Path:
        return place / path.relative_to(new) if path.is_relative_to(new) else path

    after = replace(
        report,
        environment=new_place(report.environment),
        python=new_place(report.python),
        output=new_place(report.output) if report.output else None,
        pictures=tuple(new_place(path) for path in report.pictures),
        checkpoint=new_place(report.checkpoint) if report.checkpoint else None,
        config=new_place(report.config) if report.config else None,
    )
    text = dump(document("mmsetup.smoke/1", after)) + "\n"
    (manifest_folder(new) / "smoke" / "report.json").write_text(text, encoding="utf-8")
    return after


def manifest_of(
    new: Path,
    pinned: Pinned,
    built: BuiltWheel | None,
    reports: Sequence[SmokeReport],
    runs: Sequence[MimRun],
    *,
    marks: tuple[str, str],
) -> Manifest:
    """Give the manifest of what was installed as ``new``.

    ``marks`` are the fingerprints of what was asked and of what was installed.
    """
    ops: dict[str, object] = {"origin": "prebuilt"}
    if built is not None:
        ops = {"origin": "built", "key": built.key, "sha256": built.sha256, "wheel": built.path.name}
    ops["files"] = recorded_ops(new)
    packages = pinned.lock.packages
    return Manifest(
        fingerprint=marks[0],
        content=marks[1],
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        lock_digest=pinned.lock.digest,
        python=pinned.lock.python,
        packages={package.name: package.version for package in packages},
        file_hashes={package.name: [file.sha256 for file in package.files] for package in packages},
        ops=ops,
        machine=plain(pinned.machine),
        plan=plain(pinned.plan) if pinned.plan else {},
        smoke=plain(reports[0]) if reports else {},
        mim=plain(runs[0]) if runs else {},
    )
