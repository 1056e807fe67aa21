"""``mmsetup catalog`` as a user starts it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mmsetup.catalog import load, sums
from mmsetup.cli.catalog import app
from mmsetup.errors import CatalogError, MmsetupError, RequestError
from mmsetup.files import sha256
from mmsetup.render.catalog_topics import TOPICS

SMALL = Path(__file__).parents[2] / "fixtures" / "catalog"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMSETUP_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(SMALL, tmp_path / "copy"))
    torch = json.loads((folder / "torch.json").read_text())
    (folder / "torch.json").write_text(json.dumps({**torch, "date": "2100-01-01"}))
    sums.renew(folder)
    return folder


def told(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.exception
    assert done.stderr == ""
    return done.stdout


def document(*words: str) -> dict:
    found = json.loads(told(*words, "--json"))
    assert found["schema"] == "mmsetup.catalog/1"
    return found


def refused(kind: type[MmsetupError], *words: str) -> MmsetupError:
    done: Result = CliRunner().invoke(app, list(words))
    assert type(done.exception) is kind
    assert done.stdout == ""
    return done.exception


def test_the_summary_fits_a_screen() -> None:
    catalog, lines = load(), told("show").splitlines()
    assert len(lines) < 24
    words = "\n".join(lines)
    assert catalog.date in words
    assert catalog.digest[:12] in words
    assert "what mmsetup brings" in words
    assert all(family.name in words for family in catalog.families)


def test_no_subcommand_shows_the_summary() -> None:
    assert told() == told("show")


def test_the_summary_as_a_document() -> None:
    catalog, found = load(), document("show")
    assert found["digest"] == catalog.digest
    assert found["folder"] == str(sums.DATA)
    assert found["copy"] is None
    assert found["counts"]["torch_releases"] == len(catalog.torch)
    assert list(found["families"]) == [family.name for family in catalog.families]


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_is_a_table_with_its_sources_below_and_a_document(topic: str) -> None:
    head, *rows = told("show", topic).splitlines()
    assert head.split()[-1] == "source"
    table, notes = rows[: rows.index("")], rows[rows.index("") + 1 :]
    assert len(table) > 2
    numbers = {row.split()[-1] for row in table}
    assert numbers == {note.split()[0] for note in notes}
    found = document("show", topic)
    assert found["topic"] == topic
    assert len(found["entries"]) > 2


@pytest.mark.parametrize(
    ("topic", "name", "words"),
    [
        ("torch", "1.13.1", "cu117 (default)"),
        ("torch", "1.13", "1.13.0"),
        ("wheels", "onedl", "onedl-mmcv"),
        ("wheels", "mmcv-full", "openmmlab"),
        ("gates", "mmsegmentation", "mmcv >=1.3.13,<1.8.0"),
        ("gates", "mmdet", "mmcv >=1.3.17,<=1.8.0"),
        ("breaks", "cxx17", "built from source"),
        ("drivers", "12.1", "CUDA 12.1.0 ships with"),
        ("gpus", "4090", "GeForce RTX 4090  "),
        ("gpus", "sm_89", "GeForce RTX 4090  "),
        ("sources", "openmmlab", "MMSETUP_MIRROR"),
        ("families", "onedl", "onedl-mmsegmentation"),
    ],
)
def test_a_name_in_a_topic(topic: str, name: str, words: str) -> None:
    every, some = told("show", topic), told("show", topic, name)
    assert words in some
    assert len(some.splitlines()) < len(every.splitlines()) or topic == "torch"


def test_releases_without_a_gate_are_told() -> None:
    assert "nothing" in told("show", "gates", "onedl-mmsegmentation")


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (("gpuz",), "gpus"),
        (("gpus", "RTX 4091"), "4090"),
        (("torch", "1.13.9"), "1.13."),
        (("families", "mmcv-ful"), "mmcv-full"),
        (("breaks", "cxx18"), "cxx17"),
        (("gates", "mmsegmentatio"), "mmsegmentation"),
        (("wheels", "mmcvfull"), "mmcv-full"),
    ],
)
def test_an_unknown_topic_or_name_is_told_with_the_nearest(words: tuple[str, ...], nearest: str) -> None:
    error = refused(RequestError, "show", *words)
    assert nearest in str(error)
    assert error.remedy


def test_a_catalogue_without_contradictions_is_told_with_what_was_compared() -> None:
    assert told("check").startswith(f"no contradiction in {sums.DATA}")
    assert f"{len(load().gates)} gates" in told("check")
    assert document("check", "--from", str(SMALL))["counts"]["gates"] == 2


def test_every_fault_is_told(copy: Path) -> None:
    (copy / "gpus.json").unlink()
    (copy / "gates.json").write_text("{}")
    error = refused(CatalogError, "check", "--from", str(copy))
    assert error.exit_code == 15
    assert {line.partition(":")[0] for line in error.evidence} == {"gpus.json", "gates.json"}


def test_an_update_is_told_with_the_sha256_to_pin_and_used(copy: Path, state: Path) -> None:
    words = told("update", "--from", str(copy))
    assert sha256(copy / "SHA256SUMS") in words
    summary = document("show")
    assert summary["date"] == "2100-01-01"
    assert summary["copy"]["origin"] == str(copy)
    assert summary["folder"].startswith(str(state))
    assert f"a copy of {copy}" in told("show")
    assert told("check").startswith("no contradiction in " + summary["folder"])
    assert document("update", "--bundled") == {
        "schema": "mmsetup.catalog/1",
        "copy": None,
        "removed": True,
    }
    assert document("show")["copy"] is None
    assert told("update", "--bundled") == "there was no copy\n"


@pytest.mark.parametrize("name", ["gpus.json", "vendors.toml", "openmim.toml", "builds.toml"])
def test_a_copy_in_use_that_was_damaged_is_a_fault(copy: Path, name: str) -> None:
    told("update", "--from", str(copy))
    used = Path(document("show")["folder"])
    with (used / name).open("a") as file:
        file.write("[[[")
    error = refused(CatalogError, "check")
    assert error.exit_code == 15
    (fault,) = error.evidence
    assert fault.startswith(f"{name}: ")
    assert "mmsetup catalog update --bundled" in error.remedy
    told("update", "--bundled")
    assert told("check").startswith(f"no contradiction in {sums.DATA}")


@pytest.mark.parametrize(
    "words",
    [(), ("--from", "x", "--bundled"), ("--bundled", "--allow-older"), ("--sha256", "0" * 64)],
)
def test_options_that_make_no_sense(words: tuple[str, ...]) -> None:
    assert refused(RequestError, "update", *words).exit_code == 2
