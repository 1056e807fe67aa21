"""What is selected and would not run is refused: no check is no health."""

import json
from pathlib import Path

import pytest
import typer
from project_tree import write
from typer.testing import CliRunner

from mmsetup.cli import doctor, explain
from mmsetup.errors import RequestError


@pytest.fixture
def command(monkeypatch, tmp_path):
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command("doctor")(doctor.command)
    app.command("explain")(explain.command)
    return lambda *words: CliRunner().invoke(app, list(map(str, words)))


@pytest.mark.parametrize(
    ("words", "why", "again"),
    [
        ("--select MM7", "MM7 would not run: --deep alone", "--deep --select MM7"),
        ("--select MM2,MM71", "MM71 would not run: --deep alone", "--deep --select MM2,MM71"),
        ("--select MM8 --ignore MM841", "--project alone", "--project . --select MM8 --ignore MM841"),
        ("--deep --select MM711,MM8", "MM8 would not run", "--deep --project . --select MM711,MM8"),
        ("--select MM2 --ignore MM20,MM21", "leaves no check to run", "--select MM2"),
        ("--select MM2 --ignore MM", "--select MM2 with --ignore MM leaves no check", "--select MM2"),
        ("--ignore MM", "--ignore MM leaves no check", ""),
        ("--select MM002", "leaves no check", ""),
    ],
)
def test_what_is_selected_has_to_run(command, site, words, why, again):
    done = command("doctor", "--env", site.prefix, *words.split())
    assert isinstance(done.exception, RequestError)
    assert done.exception.exit_code == 2
    assert why in str(done.exception)
    assert done.exception.remedy == f"mmsetup doctor --env {site.prefix} {again}".strip()


def test_the_comparison_of_nodes_is_an_option_of_its_own(command, site):
    done = command("doctor", "--env", site.prefix, "--select", "MM2,MM904")
    assert "MM904 would not run: --fleet alone" in str(done.exception)
    assert done.exception.remedy == (
        f"mmsetup doctor --env {site.prefix} --fleet --select MM904  # by torchrun, srun or mpirun"
    )


@pytest.mark.parametrize("words", ["--select MM7", "--select MM2,MM8", "--ignore MM"])
def test_all_nodes_refuse_it_before_they_meet(command, site, monkeypatch, words):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = command("doctor", "--fleet", "--env", site.prefix, *words.split())
    assert isinstance(done.exception, RequestError)
    assert "would not run" in str(done.exception) or "no check to run" in str(done.exception)


def test_nodes_may_be_compared_alone(command, site, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    done = command("doctor", "--fleet", "--env", site.prefix, "--select", "MM904", "--json")
    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout)["nodes"]


@pytest.mark.parametrize("asked", ["MM801", "MM80,MM841", "MM2", "MM107,MM8"])
def test_a_project_alone_cannot_be_asked_for_what_needs_an_environment(command, tmp_path, asked):
    folder = write(tmp_path / "p", {"a.py": "x = 1\n"})
    done = command("doctor", "--project", folder, "--select", asked)
    assert isinstance(done.exception, RequestError)
    assert "there is no environment" in str(done.exception)
    assert done.exception.remedy == f"mmsetup doctor --env DIR --project {folder} --select {asked}"


@pytest.mark.parametrize("asked", ["MM8", "MM841", "MM8,MM001"])
def test_a_project_alone_runs_what_needs_none(command, tmp_path, asked):
    done = command("doctor", "--project", write(tmp_path / "p", {"a.py": "x = 1\n"}), "--select", asked)
    assert done.exit_code == 0, done.exception


def test_the_folder_that_is_taken_anyway_is_not_named(command, site):
    site.prefix.rename(Path(".venv"))
    assert command("doctor", "--select", "MM7").exception.remedy == "mmsetup doctor --deep --select MM7"
