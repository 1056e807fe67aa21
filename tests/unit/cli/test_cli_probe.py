"""``mmsetup probe`` as a user starts it."""

from __future__ import annotations

import json
import sys
import venv
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mmsetup.cli.probe import command
from mmsetup.errors import RequestError, TargetError


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setenv("MMSETUP_CACHE_DIR", str(tmp_path / "cache"))
    made = typer.Typer()
    made.command()(command)
    return made


def test_one_json_document_and_nothing_else(app: typer.Typer, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", symlinks=True)
    done = CliRunner().invoke(app, ["--json", "--env", str(tmp_path / "env")])
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["schema"] == "mmsetup.probe/1"
    assert found["environment"]["prefix"] == str(tmp_path / "env")
    assert found["disk"]["path"] == str(tmp_path / "env")
    assert found["environment"]["interpreter"]["path"] == str(tmp_path / "env" / "bin" / "python")
    assert "minor" not in found["environment"]["interpreter"]
    assert done.stderr == ""


def test_report_for_people_goes_to_stdout(app: typer.Typer) -> None:
    done = CliRunner().invoke(
        app, ["--python", sys.executable], env={"MMSETUP_OVERRIDE_GPU_ARCHITECTURES": "sm_86"}
    )
    assert done.exit_code == 0
    assert done.stderr == ""
    assert done.stdout.startswith("System ")
    assert "sm_86" in done.stdout
    assert "\nEnvironment" in done.stdout
    assert "MMSETUP_OVERRIDE_GPU_ARCHITECTURES=sm_86" in done.stdout


def test_json_without_an_environment_says_null(app: typer.Typer) -> None:
    found = json.loads(CliRunner().invoke(app, ["--json"]).stdout)
    assert found["environment"] is None


def test_two_environments_are_too_many(app: typer.Typer) -> None:
    done = CliRunner().invoke(app, ["--env", "a", "--python", "b"])
    assert isinstance(done.exception, RequestError)


def test_folder_that_is_no_environment(app: typer.Typer, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["--env", str(tmp_path)])
    assert isinstance(done.exception, TargetError)
    assert done.stdout == ""


def test_malformed_override_stops(app: typer.Typer) -> None:
    done = CliRunner().invoke(app, [], env={"MMSETUP_OVERRIDE_DRIVER": "new"})
    assert isinstance(done.exception, RequestError)
