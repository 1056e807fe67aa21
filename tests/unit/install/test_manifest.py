"""What is recorded in an environment, and what is noticed when it changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmsetup.catalog import load
from mmsetup.cli.arguments import Selectors
from mmsetup.install.manifest import (
    Manifest,
    fingerprint,
    read_manifest,
    write_manifest,
)
from mmsetup.plan import Request
from mmsetup.probe.machine import Cpu, Disk, Driver, Gpu, Libc, Machine, Memory, OperatingSystem

MACHINE = Machine(
    os=OperatingSystem("linux", "Debian GNU/Linux 12", "6.1"),
    libc=Libc("glibc", "2.36"),
    cpu=Cpu("x86_64", "a processor", 2, 2),
    memory=Memory(1, 1),
    disk=Disk(Path("/"), 1),
    container=None,
    driver=None,
    gpus=(),
    toolkits=(),
    compilers=(),
    interpreters=(),
)
MANIFEST = Manifest(
    fingerprint="f",
    created="now",
    lock_digest="d",
    python="3.10",
    packages={"a": "1"},
    file_hashes={},
    ops={},
)


def test_a_manifest_reads_as_it_was_written(tmp_path: Path) -> None:
    write_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path) == MANIFEST
    assert [path.name for path in (tmp_path / ".mmsetup").iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": "mmsetup.manifest/1"}', '{"schema": 7}'])
def test_a_broken_manifest_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / ".mmsetup").mkdir()
    (tmp_path / ".mmsetup" / "manifest.json").write_text(text)
    assert read_manifest(tmp_path) is None


def test_the_fingerprint_follows_what_a_plan_depends_on() -> None:
    catalog, request = load(), Request()
    mark = fingerprint(request, MACHINE, catalog)
    assert mark == fingerprint(request, replace(MACHINE, memory=Memory(2, 2)), catalog)
    others = {
        fingerprint(replace(request, torch="2.0.1"), MACHINE, catalog),
        fingerprint(request, replace(MACHINE, driver=Driver("535.1", "12.2", "nvml")), catalog),
        fingerprint(request, replace(MACHINE, gpus=(Gpu(0, "a GPU", "sm_86", 1),)), catalog),
        fingerprint(request, MACHINE, replace(catalog, digest="newer")),
        fingerprint(request, MACHINE, catalog, "a lockfile"),
        fingerprint(request, MACHINE, catalog, way="mim"),
        fingerprint(request, MACHINE, catalog, "a lockfile", way="mim"),
    }
    assert len(others | {mark}) == 8


def test_what_openmim_brought_counts_among_everything_that_was_installed() -> None:
    assert MANIFEST.everything == {"a": "1"}
    made = replace(MANIFEST, mim={"packages": {"openmim": "0.3.9", "a": "0"}})
    assert made.everything == {"a": "1", "openmim": "0.3.9"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Selectors(), Selectors(offline=True)),
        (Selectors(), Selectors(family="mmcv-full", build=True, prebuilt=True)),
        (Selectors(torch="1.13", wanted=["mmdet"]), Selectors(torch="1.13", wanted=["mmdet"], offline=True)),
    ],
)
def test_offline_and_what_goes_without_saying_are_the_same_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: Selectors, other: Selectors
) -> None:
    monkeypatch.chdir(tmp_path)
    catalog = load()
    requests = [selectors.request(catalog) for selectors in (one, other)]
    assert len({fingerprint(request, MACHINE, catalog) for request in requests}) == 1


@pytest.mark.parametrize(
    "other",
    [
        Selectors(wanted=["mmdet"]),
        Selectors(without=["mmcls"]),
        Selectors(source=["openmmlab"]),
        Selectors(build=False),
        Selectors(cuda_compat=True),
        Selectors(mirror=["https://mirror.test"]),
    ],
)
def test_every_wish_makes_another_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: Selectors
) -> None:
    monkeypatch.chdir(tmp_path)
    catalog = load()
    requests = [selectors.request(catalog) for selectors in (Selectors(), other)]
    assert len({fingerprint(request, MACHINE, catalog) for request in requests}) == 2
