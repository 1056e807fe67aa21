"""The commands: what lies on standard output, and with what status they end."""

import json

import pytest
import typer
from typer.testing import CliRunner

from mmsetup.cli import doctor, explain
from mmsetup.errors import CheckFailedError, RequestError, TargetError


@pytest.fixture
def command(monkeypatch):
    """Run one of the two commands in a process that knows of no environment."""
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    app = typer.Typer()
    app.command("doctor")(doctor.command)
    app.command("explain")(explain.command)
    return lambda *words: CliRunner().invoke(app, list(map(str, words)))


def test_a_healthy_environment_ends_with_0(command, site):
    done = command("doctor", "--env", site.prefix)
    assert done.exit_code == 0, done.exception
    assert "healthy: nothing was found" in done.stdout
    assert "torch 1.13.1" in done.stdout


def test_an_interpreter_names_its_environment(command, site):
    done = command("doctor", "--python", site.prefix / "bin" / "python", "--json")
    assert json.loads(done.stdout)["prefix"] == str(site.prefix)


def test_a_static_check_can_be_ignored_and_a_deep_one_selected(command, site):
    site.extension.unlink()
    # Nothing of torch imports in this environment: what is asked is whether its interpreter starts.
    words = (
        "doctor",
        "--env",
        site.prefix,
        "--deep",
        "--json",
        "--select",
        "MM201,MM711",
        "--ignore",
        "MM201",
    )
    done = command(*words)
    assert done.exit_code == 0, done.stdout
    assert json.loads(done.stdout)["checked"] == ["MM711"]


def test_errors_come_first_and_are_raised(command, site):
    site.extension.unlink()
    (site.packages / "~umpy").mkdir()
    done = command("doctor", "--env", site.prefix)
    assert isinstance(done.exception, CheckFailedError)
    assert done.exception.remedy == "mmsetup explain MM201"
    assert "1 error, 1 warning" in str(done.exception)
    assert done.stdout.index("error MM201") < done.stdout.index("warning MM104")
    assert f"mend   mmsetup install --env {site.prefix}" in done.stdout


def test_json_is_one_document_with_errors_too(command, site):
    site.extension.unlink()
    done = command("doctor", "--env", site.prefix, "--json")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["schema"] == "mmsetup.doctor/1"
    assert document["is_healthy"] is False
    assert [(finding["id"], finding["severity"]) for finding in document["findings"]] == [("MM201", "error")]
    assert set(document["findings"][0]) == {
        "id",
        "severity",
        "title",
        "message",
        "evidence",
        "remedy",
        "fix",
    }


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_strict_counts_warnings(command, site, form):
    (site.packages / "~umpy").mkdir()
    assert command("doctor", "--env", site.prefix, *form).exit_code == 0
    assert command("doctor", "--env", site.prefix, "--strict", *form).exit_code == 1


def test_ids_can_be_given_with_commas_and_repeated(command, site):
    done = command(
        "doctor",
        "--env",
        site.prefix,
        "--json",
        "--select",
        "MM20,MM4",
        "--select",
        "MM6",
        "--ignore",
        "MM40",
    )
    assert json.loads(done.stdout)["checked"] == ["MM201", "MM202", "MM203", "MM204", "MM601"]


def test_without_an_option_it_is_the_folder_here_then_the_active_one(command, site, bare, monkeypatch):
    monkeypatch.chdir(site.prefix.parent)
    monkeypatch.setenv("VIRTUAL_ENV", str(bare.prefix))
    assert json.loads(command("doctor", "--json").stdout)["prefix"] == str(bare.prefix)
    site.prefix.rename(site.prefix.parent / ".venv")
    assert json.loads(command("doctor", "--json").stdout)["prefix"] == str(site.prefix.parent / ".venv")


def test_without_any_environment_it_says_so(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command("doctor")
    assert isinstance(done.exception, TargetError)
    assert "no environment is active" in str(done.exception)


def test_two_environments_are_one_too_many(command, site):
    done = command("doctor", "--env", site.prefix, "--python", site.prefix / "bin" / "python")
    assert isinstance(done.exception, RequestError)


def test_what_stands_in_for_hardware_is_told(command, site, monkeypatch):
    monkeypatch.setenv("MMSETUP_OVERRIDE_GPU_ARCHITECTURES", "sm_120")
    monkeypatch.setenv("MMSETUP_OVERRIDE_DRIVER", "580.65.06")
    done = command("doctor", "--env", site.prefix)
    assert "pretended: " in done.stdout
    assert "error MM503" in done.stdout


def test_explain_lists_all(command):
    done = command("explain")
    assert done.exit_code == 0
    ids = [line.split()[0] for line in done.stdout.splitlines()]
    assert ids == sorted(ids)
    assert {"MM001", "MM101", "MM204", "MM601"} <= set(ids)


def test_explain_tells_one(command):
    done = command("explain", "mm204")
    assert "cause" in done.stdout
    assert "https://github.com/open-mmlab/mmcv/issues/2514" in done.stdout


def test_explain_as_a_document(command):
    document = json.loads(command("explain", "MM20", "--json").stdout)
    assert document["schema"] == "mmsetup.explain/1"
    assert [check["id"] for check in document["checks"]] == ["MM201", "MM202", "MM203", "MM204"]


def test_explain_refuses_what_is_no_id(command):
    assert isinstance(command("explain", "MM777").exception, RequestError)
