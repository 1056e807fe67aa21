"""The data files: what mmsetup brings is sound, and every fault of another is reported at once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from mmsetup.catalog import Gate, load, sums
from mmsetup.catalog.contradictions.certainty import CERTAINTIES
from mmsetup.catalog.load import proven
from mmsetup.errors import CatalogError

SMALL = Path(__file__).parents[2] / "fixtures" / "catalog"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SMALL, tmp_path / "data"))


def edit(path: Path, change: Callable[[Any], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def swap(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def faults(folder: Path, read: Callable[[Path], object] = load) -> tuple[str, ...]:
    with pytest.raises(CatalogError) as caught:
        read(folder)
    assert caught.value.exit_code == 15
    assert str(len(caught.value.evidence)) in str(caught.value)
    return caught.value.evidence


def test_what_mmsetup_brings_holds_no_contradiction() -> None:
    catalog = proven(sums.DATA)
    assert {family.name for family in catalog.families} >= {"mmcv-full", "mmcv", "onedl"}
    assert [release.version for release in catalog.torch] == sorted(
        (release.version for release in catalog.torch), reverse=True
    )


def test_torch_compiles_for_what_its_released_files_list() -> None:
    """Read from ``supported_arches`` in torch/utils/cpp_extension.py of these wheels."""
    known = {str(release.version): [] for release in load(sums.DATA).torch}
    for row in load(sums.DATA).torch_architectures:
        for version in known:
            known[version] += row.architectures if row.torch.contains(version) else ()
    newest = {"1.5.1": "sm_75", "1.6.0": "sm_80", "1.13.1": "sm_86", "2.0.1": "sm_90", "2.1.2": "sm_90"}
    newest |= {"2.2.0": "sm_90a", "2.5.1": "sm_90a", "2.6.0": "sm_100", "2.7.1": "sm_120a"}
    newest |= {"2.8.0": "sm_121a", "2.9.1": "sm_121a", "2.15.0": "sm_121a"}
    assert {version: known[version][-1] for version in newest} == newest
    assert "sm_87" not in known["2.0.1"]
    assert "sm_101" in known["2.8.0"]
    assert "sm_101" not in known["2.9.0"]


def test_the_sums_of_what_mmsetup_brings_are_those_of_its_files() -> None:
    listed = (sums.DATA / sums.SUMS).read_text()
    assert listed == sums.text(sums.DATA), "renew it: python -m mmsetup.catalog.update_gates --sums"


def test_the_small_catalogue_is_sound(folder: Path) -> None:
    assert proven(folder).date == "2026-01-31"


def test_the_digest_changes_with_any_file(folder: Path) -> None:
    before = load(folder).digest
    for name in sums.FILES:
        with (folder / name).open("a") as file:
            file.write("\n")
        after = load(folder).digest
        assert after != before
        before = after


def test_all_faults_of_several_files_are_reported_at_once(folder: Path) -> None:
    (folder / "breaks.toml").write_text("[[breaks]\n")
    (folder / "wheels.json").unlink()
    (folder / "sources.toml").write_bytes(b"\xff\xfe")
    (folder / "gpus.json").write_text("[" * 100_000)
    edit(folder / "torch.json", lambda document: document["releases"][0].pop("platforms"))
    edit(folder / "torch.json", lambda document: document["releases"][1].update(version="one"))
    edit(folder / "gates.json", lambda document: document["gates"][0].update(minimum="9"))
    edit(folder / "drivers.json", lambda document: document["toolkits"].append("text"))
    edit(folder / "drivers.json", lambda document: document.update(date="31.1.2026"))
    found = "\n".join(faults(folder))
    for words in (
        "breaks.toml: ",
        "wheels.json: cannot be read: No such file or directory",
        "sources.toml: ",
        "gpus.json: it is nested too deep",
        "torch.json: releases[0] lacks 'platforms'",
        "torch.json: releases[1]: Invalid version: 'one'",
        "gates.json: gates[0]: mmsegmentation 0.30.0 admits no version of mmcv",
        "drivers.json: toolkits[",
        "drivers.json: date is not written as 2026-01-31",
    ):
        assert words in found


@pytest.mark.parametrize("name", sums.FILES)
def test_a_file_that_is_not_what_it_should_be_is_a_fault(folder: Path, name: str) -> None:
    with (folder / name).open("a") as file:
        file.write("[[[")
    assert {fault.partition(":")[0] for fault in faults(folder)} == {name}
    (folder / name).unlink()
    assert faults(folder) == (f"{name}: cannot be read: No such file or directory",)


def test_every_file_of_data_makes_up_the_catalogue() -> None:
    assert {path.name for path in sums.DATA.iterdir()} == {*sums.FILES, sums.SUMS}


@pytest.mark.parametrize(
    ("name", "old", "new", "fault"),
    [
        ("vendors.toml", 'linux = "32"', "linux = 32", "jetpacks[0]: linux is no text"),
        ("vendors.toml", 'gpu = "Jetson AGX Orin"', "", "chips[0]: 'gpu' is missing"),
        ("vendors.toml", '["2.8"]', "[]", "ops[0]: torch is no list of texts"),
        ("openmim.toml", "requires = [", "needs = [", "'requires' is missing"),
        ("openmim.toml", 'page = "', 'page = " " # "', "page is no text"),
        ("openmim.toml", 'python = "<3.12"', 'python = "old"', "setuptools[0]: Invalid specifier: 'old'"),
        ("openmim.toml", '"setuptools<82"', '"setuptools<"', "setuptools[0]: "),
        ("builds.toml", 'versions = ">=1.7"', 'versions = "new"', "apart[0]: Invalid specifier: 'new'"),
        ("builds.toml", 'why = "', 'because = "', "apart[0]: 'why' is missing"),
        ("builds.toml", "further = 430", "further = 0", "durations[0]: a further architecture takes no time"),
        ("builds.toml", "first = 1100", "", "durations[0]: 'first' is missing"),
    ],
)
def test_faults_in_what_one_stage_alone_needs(
    folder: Path, name: str, old: str, new: str, fault: str
) -> None:
    swap(folder / name, old, new)
    (found,) = faults(folder)
    assert found.startswith(f"{name}: {fault}")


@pytest.mark.parametrize("document", [{}, {"releases": []}, {"releases": "many"}, {"releases": None}])
def test_a_list_that_is_missing_is_a_fault_and_not_an_empty_catalogue(folder: Path, document: dict) -> None:
    (folder / "torch.json").write_text(json.dumps(document))
    assert "torch.json: there is no list of releases" in faults(folder)


def test_a_file_that_holds_no_table(folder: Path) -> None:
    (folder / "gates.json").write_text("[]")
    assert faults(folder) == ("gates.json: it is no table",)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("gates.json", "gates"),
        ("gates.json", "without"),
        ("wheels.json", "groups"),
        ("wheels.json", "pythons"),
        ("drivers.json", "toolkits"),
        ("drivers.json", "limits"),
        ("drivers.json", "toolkit_wheels"),
        ("drivers.json", "torch_architectures"),
        ("gpus.json", "gpus"),
    ],
)
@pytest.mark.parametrize("source", ["", "  ", None, 5])
def test_an_entry_without_a_source_is_a_fault(folder: Path, name: str, key: str, source: object) -> None:
    edit(folder / name, lambda document: document[key][0].update(source=source))
    assert any(fault.startswith(f"{name}: {key}[0]") and "source" in fault for fault in faults(folder))


IN_JSON = {
    "a torch twice": (
        "torch.json",
        lambda document: document["releases"].append(document["releases"][0]),
        "torch.json: 1.13.1 stands there twice",
    ),
    "code of no build": (
        "torch.json",
        lambda document: document["releases"][0]["platforms"]["linux-x86_64"].update(
            default_variant="cpu", index_variants=["cpu"]
        ),
        "torch.json: 1.13.1: architectures of cu117 on linux-x86_64, which is no build",
    ),
    "code for GPUs of the CPU": (
        "torch.json",
        lambda document: document["releases"][0]["architectures"]["linux-x86_64"].update(
            cpu={"sass": ["sm_70"], "ptx": [], "certainty": "measured"}
        ),
        "torch.json: 1.13.1: architectures of cpu on linux-x86_64, which holds no code for GPUs",
    ),
    "architectures in disorder": (
        "torch.json",
        lambda document: document["releases"][0]["architectures"]["linux-x86_64"]["cu117"].update(
            sass=["sm_86", "sm_37"]
        ),
        "torch.json: 1.13.1: cu117 on linux-x86_64: sass does not stand in ascending order, each once",
    ),
    "code that the toolkit cannot make": (
        "torch.json",
        lambda document: document["releases"][1]["architectures"]["linux-x86_64"]["cu121"].update(
            sass=["sm_37", "sm_90"]
        ),
        "torch.json: 2.1.0: cu121 on linux-x86_64 holds sm_37, and its toolkit compiles for sm_50 to sm_90",
    ),
    "a glibc elsewhere": (
        "torch.json",
        lambda document: document["releases"][0]["platforms"]["macos-arm64"].update(glibc="2.17"),
        "torch.json: 1.13.1: macos-arm64 asks for a glibc",
    ),
    "a CUDA without a driver": (
        "torch.json",
        lambda document: document["releases"][1]["platforms"]["linux-x86_64"].update(
            index_variants=["cu118", "cu121", "cu130"]
        ),
        "torch.json: drivers.json knows no driver for CUDA 13.0 of cu130",
    ),
    "an unknown certainty": (
        "wheels.json",
        lambda document: document["groups"][0].update(certainty="surely"),
        "wheels.json: openmmlab mmcv-full torch 1.13.0: certainty 'surely' is none of "
        + ", ".join(CERTAINTIES),
    ),
    "a certainty with grounds": (
        "drivers.json",
        lambda document: document["limits"][0].update(certainty="memory from 2.5"),
        "drivers.json: CUDA 11.7 to 11.8: certainty 'memory from 2.5' is none of " + ", ".join(CERTAINTIES),
    ),
    "wheels for no torch": (
        "wheels.json",
        lambda document: document["groups"][0].update(torch="1.12.0"),
        "wheels.json: openmmlab mmcv-full cu117 torch 1.12.0 linux-x86_64: torch.json has no such torch",
    ),
    "wheels of no source": (
        "wheels.json",
        lambda document: document["groups"][0].update(index="elsewhere"),
        "wheels.json: elsewhere mmcv-full cu117 torch 1.13.0 linux-x86_64: sources.toml has no elsewhere",
    ),
    "ops of no family": (
        "wheels.json",
        lambda document: document["groups"][0].update(distribution="mmcv"),
        "wheels.json: openmmlab mmcv cu117 torch 1.13.0 linux-x86_64: no family has these ops",
    ),
    "a version of no family": (
        "wheels.json",
        lambda document: document["groups"][0].update(versions=["1.7.9"]),
        (
            "wheels.json: openmmlab mmcv-full cu117 torch 1.13.0 linux-x86_64: "
            "family mmcv-full lacks version 1.7.9"
        ),
    ),
    "wheels for the CPU with code for GPUs": (
        "wheels.json",
        lambda document: document["groups"][1].update(
            architectures={"sass": ["sm_70"], "ptx": [], "certainty": "seen"}
        ),
        (
            "wheels.json: openmmlab mmcv-full cpu torch 1.13.0 linux-x86_64: "
            "it holds no code for GPUs and has architectures"
        ),
    ),
    "a gate and none": (
        "gates.json",
        lambda document: document["without"][0]["versions"].append("0.30.0"),
        "gates.json: mmsegmentation 0.30.0 has a gate and is said to have none",
    ),
    "neither a gate nor none": (
        "gates.json",
        lambda document: document["without"][0].update(versions=["0.4.0"]),
        "gates.json: nothing says whether mmsegmentation 0.5.0 has a gate",
    ),
    "a gate on a stranger": (
        "gates.json",
        lambda document: document["gates"][0].update(on="mmrotate"),
        "gates.json: no family has a module mmrotate, which gates are on",
    ),
    "a gate that admits nothing": (
        "gates.json",
        lambda document: document["gates"][0].update(maximum="1.7.0"),
        "families.toml: mmcv-full: mmsegmentation 0.30.0 admits no mmcv-full that the family has",
    ),
    "a newer toolkit with an older driver": (
        "drivers.json",
        lambda document: document["toolkits"][1].update(linux_minimum="510.1"),
        "drivers.json: CUDA 11.8.0 ships with driver 510.1, older than 515.43.4 of CUDA 11.7.0",
    ),
    "the same on Windows": (
        "drivers.json",
        lambda document: document["toolkits"][1].update(windows_minimum="510.1"),
        "drivers.json: CUDA 11.8.0 ships with driver 510.1 on Windows, older than 516.1 of CUDA 11.7.0",
    ),
    "a forward compatibility that is none": (
        "drivers.json",
        lambda document: document["forward_compatibility"][0].update(linux_minimum="530"),
        (
            "drivers.json: the forward compatibility of CUDA 12 starts at 530, "
            "where drivers run it anyhow (525.60.13)"
        ),
    ),
    "limits that overlap": (
        "drivers.json",
        lambda document: document["limits"][1].update(first="11.8"),
        "drivers.json: CUDA 11.8 has limits in two rows",
    ),
    "a gcc that is too old and too new": (
        "drivers.json",
        lambda document: document["limits"][0].update(gcc_minimum=12),
        "drivers.json: CUDA 11.7 takes gcc 12 to 11",
    ),
    "a toolkit in wheels without its compiler": (
        "drivers.json",
        lambda document: document["toolkit_wheels"][0].update(compiler="nvidia-cuda-cccl"),
        "drivers.json: toolkit_wheels[0]: nvidia-cuda-cccl is none of the distributions",
    ),
    "a toolkit in wheels for no platform": (
        "drivers.json",
        lambda document: document["toolkit_wheels"][0].update(platforms=[]),
        "drivers.json: toolkit_wheels[0]: platforms is empty",
    ),
    "a torch that compiles for two lists": (
        "drivers.json",
        lambda document: document["torch_architectures"][0].update(torch=">=1.13"),
        "drivers.json: what torch 2.1.0 compiles for stands in 2 rows",
    ),
    "a torch that compiles for nothing known": (
        "drivers.json",
        lambda document: document["torch_architectures"].pop(1),
        "drivers.json: what torch 2.1.0 compiles for stands in 0 rows",
    ),
    "what no torch compiles for": (
        "drivers.json",
        lambda document: document["torch_architectures"][1].update(torch=">=3"),
        "drivers.json: torch.json has no torch >=3 that could compile for anything",
    ),
    "architectures of builds in disorder": (
        "drivers.json",
        lambda document: document["torch_architectures"][0]["architectures"].reverse(),
        "drivers.json: what torch <2 compiles for does not stand in ascending order, each once",
    ),
    "an architecture that is none": (
        "drivers.json",
        lambda document: document["torch_architectures"][0].update(architectures=["8.6"]),
        "drivers.json: torch_architectures[0]: '8.6' is no architecture",
    ),
}


@pytest.mark.parametrize("case", IN_JSON)
def test_a_contradiction_in_a_table_is_a_fault(folder: Path, case: str) -> None:
    name, change, words = IN_JSON[case]
    edit(folder / name, change)
    assert words in faults(folder)


IN_TOML = {
    "a break twice": (
        "breaks.toml",
        'id = "cxx17"',
        'id = "numpy2-torch"',
        "breaks.toml: numpy2-torch stands there twice",
    ),
    "a break of a stranger": (
        "breaks.toml",
        "mmcv-full",
        "mmrotate",
        "breaks.toml: cxx17 speaks of mmrotate, which no plan holds",
    ),
    "a break that never holds": (
        "breaks.toml",
        'torch = ">=2.1"',
        'torch = ">=3"',
        "breaks.toml: cxx17 holds for nothing that the catalogue knows",
    ),
    "a bound that allows nothing": (
        "breaks.toml",
        '"numpy<2"',
        '"numpy<2,>2"',
        "breaks.toml: numpy2-torch allows no numpy: <2,>2",
    ),
    "bounds that clash": (
        "breaks.toml",
        "reject = true",
        'bounds = ["numpy>=2"]',
        (
            "breaks.toml: numpy2-torch wants numpy<2, cxx17 numpy>=2, and both hold for "
            "torch 2.1.0, python 3.10, mmcv-full 1.7.1"
        ),
    ),
    "a page without base": (
        "sources.toml",
        "{base}",
        "https://example.org",
        (
            "sources.toml: openmmlab: https://example.org/mmcv/dist/{variant}/torch{torch}/index.html "
            "has no {base} for a mirror to replace"
        ),
    ),
    "a role twice": (
        "families.toml",
        '"detection"',
        '"segmentation"',
        "families.toml: mmcv-full: segmentation stands there twice",
    ),
    "proven with no torch": (
        "families.toml",
        'torch = "1.13.1"',
        'torch = "1.12.1"',
        "families.toml: mmcv-full: the proven set with torch 1.12.1 names a torch that torch.json lacks",
    ),
    "proven with no Python": (
        "families.toml",
        'pythons = ["3.10"]',
        'pythons = ["3.11"]',
        (
            "families.toml: mmcv-full: the proven set with torch 1.13.1 "
            "names Python 3.11, which that torch has no wheel for"
        ),
    ),
    "proven past a gate": (
        "families.toml",
        'mmsegmentation = "0.30.0" }',
        'mmsegmentation = "0.29.0" }',
        (
            "families.toml: mmcv-full: the proven set with torch 1.13.1 "
            "names mmsegmentation 0.29.0, which the family lacks"
        ),
    ),
    "proven and broken": (
        "breaks.toml",
        'torch = ">=2.1", mmcv-full = "<1.7.2"',
        'torch = ">=1.13"',
        "families.toml: mmcv-full: the proven set with torch 1.13.1 meets the break cxx17 on Python 3.10",
    ),
}


@pytest.mark.parametrize("case", IN_TOML)
def test_a_contradiction_in_words_is_a_fault(folder: Path, case: str) -> None:
    name, old, new, words = IN_TOML[case]
    swap(folder / name, old, new)
    assert words in faults(folder)


def test_bounds_that_a_rejecting_break_keeps_apart_do_not_clash(folder: Path) -> None:
    with (folder / "breaks.toml").open("a") as file:
        file.write(
            '[[breaks]]\nid = "apart"\nwhen = { torch = ">=2.1", mmcv-full = "<1.7.2", build = true }\n'
            'effect = "x"\nbounds = ["numpy>=2"]\ncertainty = "high"\nsource = ["x"]\n'
        )
    load(folder)
    swap(folder / "breaks.toml", "reject = true", "caution = true")
    assert any("apart numpy>=2" in fault for fault in faults(folder))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"variant": "cu118"}, "torch.json has no cu118 of it"),
        ({"pythons": ["3.8", "3.12"]}, "torch.json has none of it for Python 3.12"),
        ({"platform": "windows-x86_64", "glibc": ""}, "torch.json has no such torch for windows-x86_64"),
    ],
)
def test_wheels_that_no_torch_can_use_are_found_by_a_thorough_search(
    folder: Path, change: dict[str, Any], words: str
) -> None:
    edit(folder / "wheels.json", lambda document: document["groups"][0].update(change))
    load(folder)
    assert any(fault.endswith(words) for fault in faults(folder, proven))


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
    gate = Gate("mmsegmentation", "0.30.0", "mmcv", "1.3.13", "1.8.0", inclusive, "x")
    assert gate.admits(Version(version)) is admitted
    assert gate.range == f"mmcv >=1.3.13,{'<=' if inclusive else '<'}1.8.0"


def test_a_gate_of_lists_compares_what_is_written() -> None:
    gate = Gate("mmdet", "2.4.0", "mmcv", "1.1.1", "1.2", True, "x", "unpadded")
    assert gate.admits(Version("1.1.6"))
    assert not gate.admits(Version("1.2.0"))
    assert Gate("mmdet", "2.4.0", "mmcv", "1.1.1", "", False, "x", "unpadded").admits(Version("9.0.0"))


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
