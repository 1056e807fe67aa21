"""The lockfiles that the project keeps: pinned sets that anybody can install."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from mmsetup.catalog import load
from mmsetup.lock import read

FOLDER = Path(__file__).parents[3] / "lockfiles"
KEPT = sorted(FOLDER.iterdir())


def test_there_is_one_for_each_proven_set() -> None:
    sets = {
        (family.name, python, str(proof.torch))
        for family in load().families
        for proof in family.proven
        for python in proof.pythons
    }
    kept = {(lock.family, lock.python, lock.package("torch").version) for lock in map(read, KEPT)}
    assert kept == sets


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_it_holds_versions_and_hashes_and_no_address(path: Path) -> None:
    lock = read(path)
    assert path.name == f"requirements.{lock.name}.txt"
    assert "://" not in path.read_text(encoding="utf-8")
    assert lock.build is not None
    for package in (*lock.packages, *lock.build.requires):
        assert package.files
        assert all(len(file.sha256) == 64 for file in package.files)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_its_versions_belong_together(path: Path) -> None:
    lock, catalog = read(path), load()
    family = catalog.family(lock.family)
    assert family is not None
    pins = {package.name: Version(package.version) for package in lock.packages}
    torch = next(release for release in catalog.torch if release.version == pins["torch"])
    assert Version(torch.torchvision) == pins["torchvision"]
    assert lock.python in torch.platforms[lock.platform].pythons
    chosen = {name: pins[name] for name in family.distributions if name in pins}
    gates = [gate for name, version in chosen.items() for gate in catalog.gates_of(name, version)]
    between = [
        (gate, part) for gate in gates if (part := family.named(gate.on)) and part.distribution in chosen
    ]
    told = {gate.distribution for gate in catalog.gates}
    assert any(part is family.ops for _, part in between) or told.isdisjoint(chosen)
    assert [gate for gate, part in between if not gate.admits(chosen[part.distribution])] == []


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_it_keeps_to_every_bound_of_a_known_break(path: Path) -> None:
    lock, catalog = read(path), load()
    pins = {package.name: Version(package.version) for package in lock.packages}
    known = {**pins, "python": Version(lock.python)}
    met = [
        found
        for found in catalog.breaks
        if found.concerns(known, built=True) and (not found.platforms or lock.platform in found.platforms)
    ]
    assert [found.id for found in met if found.reject] == []
    bounds = [Requirement(line) for found in met for line in found.bounds]
    kept = [bound for bound in bounds if bound.name.lower() in pins]
    assert "numpy" in {bound.name for bound in kept} or pins["torch"] >= Version("2.3")
    assert [str(bound) for bound in kept if pins[bound.name.lower()] not in bound.specifier] == []


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_its_versions_are_those_that_were_proven(path: Path) -> None:
    lock, catalog = read(path), load()
    family = catalog.family(lock.family)
    assert family is not None
    pins = {package.name: Version(package.version) for package in lock.packages}
    (proof,) = [
        known for known in family.proven if known.torch == pins["torch"] and lock.python in known.pythons
    ]
    assert {name: pins[name] for name in proof.versions} == proof.versions
