from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.version import Version

import mmsetup.catalog
from mmsetup.catalog import Gate, load
from mmsetup.errors import CatalogError

DATA = Path(mmsetup.catalog.__file__).with_name("data")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA, tmp_path / "data"))


def edit(path: Path, change: Callable[[dict], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def faults(folder: Path) -> tuple[str, ...]:
    with pytest.raises(CatalogError) as caught:
        load(folder)
    assert caught.value.exit_code == 15
    assert str(len(caught.value.evidence)) in str(caught.value)
    return caught.value.evidence


def test_the_catalogue_that_is_shipped_has_no_fault_and_a_source_for_everything() -> None:
    catalog = load()
    family = catalog.family("mmcv-full")
    assert family is not None
    said = [
        *(words for release in catalog.torch for words in release.sources.values()),
        *(gate.source for gate in catalog.gates),
        *(group.source for group in catalog.wheels),
        *(source.source for source in catalog.sources),
        *(words for found in catalog.breaks for words in found.source),
        *(row.source for row in catalog.toolkit_drivers),
        *(row.source for row in catalog.minor_compatibility),
        *(proof.source for proof in family.proven),
        *(family.ops.source, family.segmentation.source, family.build.source),
    ]
    assert all(len(words.strip()) > 5 for words in said)
    assert [release.version for release in catalog.torch] == sorted(
        (release.version for release in catalog.torch), reverse=True
    )


def test_every_proven_set_passes_its_own_gate_and_no_break_rejects_it() -> None:
    catalog = load()
    for family in catalog.families:
        for proof in family.proven:
            for python in proof.pythons:
                versions = {
                    "torch": proof.torch,
                    "python": Version(python),
                    family.ops.distribution: proof.ops,
                    family.segmentation.distribution: proof.segmentation,
                }
                met = [found for found in catalog.breaks if found.concerns(versions, built=True)]
                assert not any(found.reject or found.caution for found in met)


def test_the_digest_changes_with_any_file(folder: Path) -> None:
    before = load(folder).digest
    (folder / "breaks.toml").write_text((folder / "breaks.toml").read_text() + "\n# more\n")
    assert load(folder).digest != before == load().digest


def test_all_faults_of_several_files_are_reported_at_once(folder: Path) -> None:
    (folder / "breaks.toml").write_text("[[breaks]\n")
    (folder / "wheels.json").unlink()
    (folder / "sources.toml").write_bytes(b"\xff\xfe")
    edit(folder / "torch.json", lambda document: document["releases"][0].pop("pythons"))
    edit(folder / "torch.json", lambda document: document["releases"][1].update(version="one"))
    edit(folder / "gates.json", lambda document: document["gates"][2].update(minimum="9", maximum="1"))
    edit(folder / "drivers.json", lambda document: document["toolkits"].append("text"))
    found = "\n".join(faults(folder))
    for words in (
        "breaks.toml: ",
        "wheels.json: cannot be read: No such file or directory",
        "sources.toml: ",
        "torch.json: releases[0] lacks 'pythons'",
        "torch.json: releases[1]: Invalid version: 'one'",
        "gates.json: gates[2]: mmsegmentation 0.8.0 admits no version of mmcv",
        "drivers.json: toolkits[",
    ):
        assert words in found


@pytest.mark.parametrize("document", [{}, {"releases": []}, {"releases": "many"}, {"releases": None}])
def test_a_list_that_is_missing_is_a_fault_and_not_an_empty_catalogue(folder: Path, document: dict) -> None:
    (folder / "torch.json").write_text(json.dumps(document))
    assert "torch.json: there is no list of releases" in faults(folder)


def test_a_file_that_holds_no_table(folder: Path) -> None:
    (folder / "gates.json").write_text("[]")
    assert faults(folder) == ("gates.json: it is no table",)


@pytest.mark.parametrize(
    ("name", "key"), [("gates.json", "gates"), ("wheels.json", "groups"), ("drivers.json", "toolkits")]
)
@pytest.mark.parametrize("source", ["", "  ", None, 5])
def test_an_entry_without_a_source_is_a_fault(folder: Path, name: str, key: str, source: object) -> None:
    edit(folder / name, lambda document: document[key][0].update(source=source))
    assert faults(folder) == (f"{name}: {key}[0]: source is empty",)


def test_contradictions_between_files_are_faults(folder: Path) -> None:
    edit(
        folder / "torch.json",
        lambda document: document.update(
            releases=[entry for entry in document["releases"] if entry["version"] != "1.13.1"]
        ),
    )
    families = folder / "families.toml"
    families.write_text(families.read_text().replace('"1.7.1", "1.7.0"', '"1.7.1", "1.7"'))
    found = faults(folder)
    assert (
        "families.toml: mmcv-full: the proven set with torch 1.13.1 names a torch that torch.json lacks"
        in found
    )
    assert "families.toml: mmcv-full: how gates take 1.7 is not known: it has not three numbers" in found


def test_something_that_stands_twice_is_a_fault(folder: Path) -> None:
    breaks = folder / "breaks.toml"
    text = breaks.read_text()
    breaks.write_text(text + text[text.index("[[breaks]]") :])
    assert "breaks.toml: cxx17 stands there twice" in faults(folder)


@pytest.mark.parametrize(
    ("version", "inclusive", "admitted"),
    [
        ("1.3.12", False, False),
        ("1.3.13", False, True),
        ("1.7.2", False, True),
        ("1.8.0", False, False),
        ("1.8.0", True, True),
        ("1.8.1", True, False),
    ],
)
def test_a_gate_admits_its_range(version: str, inclusive: bool, admitted: bool) -> None:
    gate = Gate("mmsegmentation", "0.30.0", "mmcv", Version("1.3.13"), Version("1.8.0"), inclusive, "x")
    assert gate.admits(Version(version)) is admitted
    assert gate.range == f"mmcv >=1.3.13,{'<=' if inclusive else '<'}1.8.0"


@pytest.mark.parametrize(
    ("cuda", "floor"), [("11.7", "450.80.02"), ("12.1", "525.60.13"), ("13.0", "580"), ("99.0", None)]
)
def test_the_driver_floor_of_a_cuda(cuda: str, floor: str | None) -> None:
    found = load().driver_floor(Version(cuda))
    assert (found[0] if found else None) == (Version(floor) if floor else None)


def test_before_cuda_11_each_toolkit_needs_its_own_driver() -> None:
    older, newer = (load().driver_floor(Version(cuda)) for cuda in ("10.1", "10.2"))
    assert older
    assert newer
    assert older[0] < newer[0]
