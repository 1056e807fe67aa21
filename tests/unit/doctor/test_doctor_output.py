"""What the command prints and writes, together with its other options; and the fields that the docs promise."""

import json
import os
import pty
import re
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mmsetup.cli import doctor, explain
from mmsetup.doctor.diagnose import every_check
from mmsetup.doctor.fleet_checks import FLEET_CHECKS
from mmsetup.errors import CheckFailedError, ConfirmationError, DiskSpaceError, RequestError, TargetError

DOCS = Path(__file__).parents[3] / "docs" / "doctor.md"


@pytest.fixture
def command(monkeypatch):
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    for name in ("RANK", "WORLD_SIZE", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    app = typer.Typer()
    app.command("doctor")(doctor.command)
    app.command("explain")(explain.command)

    def run(*words):
        # Remedies repeat the command line of the process.
        monkeypatch.setattr(sys, "argv", ["mmsetup", *map(str, words)])
        return CliRunner().invoke(app, sys.argv[1:])

    return run


def promised() -> dict[str, list[str]]:
    """Read the tables of fields in the docs: heading, then names."""
    tables: dict[str, list[str]] = {}
    heading = ""
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"#### `(\S+)`", line):
            heading = found[1]
            tables[heading] = []
        elif found := re.match(r"\| `(\w+)` \|", line):
            tables.setdefault(heading, []).append(found[1])
        elif line.startswith("#"):
            heading = ""
    return tables


def test_a_document_has_exactly_the_promised_fields(command, site):
    site.remove("yapf")
    site.add("mmcv", "1.7.2", {"mmcv/second.py": ""})
    document = json.loads(command("doctor", "--env", site.prefix, "--json").stdout)
    fields = promised()
    assert list(document) == fields["mmsetup.doctor/1"]
    for part in document["parts"]:
        assert list(part) == fields["parts[]"]
    fixes = [finding["fix"] for finding in document["findings"] if finding["fix"]]
    assert fixes
    for finding in document["findings"]:
        assert list(finding) == fields["findings[]"]
    for fix in fixes:
        assert list(fix) == fields["findings[].fix"]


def test_a_document_of_a_repair_has_exactly_the_promised_fields(command, site):
    (site.packages / "~umpy").mkdir()
    done = command("doctor", "--env", site.prefix, "--json", "--fix", "--yes")
    document = json.loads(done.stdout)
    fields = promised()
    assert list(document) == [*fields["mmsetup.doctor/1"], "repair"]
    assert list(document["repair"]) == fields["repair"]
    assert document["repair"]["deleted"] == [str(site.packages / "~umpy")]
    assert document["findings"] == []
    assert {"repair.installed[]", "repair.left_out[]"} <= fields.keys()


def test_a_document_of_a_fleet_has_exactly_the_promised_fields(command, site, monkeypatch, tmp_path):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    done = command(
        "doctor", "--env", site.prefix, "--json", "--fleet", "--fleet-dir", tmp_path, "--fleet-timeout", 1
    )
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    fields = promised()
    assert list(document) == fields["mmsetup.fleet/1"]
    assert list(document["nodes"][0]) == fields["nodes[]"]
    assert list(document["missing"][0]) == fields["missing[]"]
    assert list(document["findings"][0]) == fields["findings[]"]
    assert fields["differences[]"] == ["kind", "name", "usual", "others"]
    inside = [name for name in fields["mmsetup.doctor/1"] if name not in {"schema", "is_healthy"}]
    assert list(document["nodes"][0]["diagnosis"]) == inside


def test_the_docs_name_every_exit_code_that_the_command_has():
    text = DOCS.read_text(encoding="utf-8").partition("## Exit codes")[2].partition("## What it prints")[0]
    named = {
        int(number)
        for line in text.splitlines()
        for number in re.findall(r"^\| ([\d, ]+) \|", line)
        for number in number.split(",")
    }
    kinds = (CheckFailedError, RequestError, TargetError, ConfirmationError, DiskSpaceError)
    assert {kind.exit_code for kind in kinds} <= named


def test_the_docs_list_the_checks_of_a_fleet():
    text = DOCS.read_text(encoding="utf-8")
    assert [one.id for one in FLEET_CHECKS] == re.findall(r"^\| `(MM9\d\d)` \|", text, re.MULTILINE)
    assert {one.id for one in FLEET_CHECKS} <= {one.id for one in every_check()}


@pytest.fixture(params=[[], ["--json"], ["--markdown"]], ids=["text", "json", "markdown"])
def form(request):
    return request.param


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([], 1),
        (["--ignore", "MM201"], 0),
        (["--ignore", "MM201", "--strict"], 1),
        (["--ignore", "MM201,MM104", "--strict"], 0),
        (["--select", "MM104"], 0),
        (["--select", "MM104", "--strict"], 1),
        (["--select", "MM2", "--ignore", "MM201", "--strict"], 0),
    ],
)
def test_the_options_go_together(command, site, form, options, code):
    written = site.prefix.parent / "out.xml"
    site.extension.unlink()
    (site.packages / "~umpy").mkdir()
    done = command("doctor", "--env", site.prefix, *form, *options, "--junit", written)
    assert done.exit_code == code
    root = ET.parse(written).getroot()
    assert (root.get("failures") != "0") is bool(code)
    assert int(root.get("tests")) > 0
    assert list(written.parent.glob(".out*")) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--json", "--markdown"],
        ["--fleet", "--fix"],
        ["--fleet", "--markdown"],
        ["--fleet"],
        ["--fleet", "--select", "MM777"],
    ],
)
def test_what_contradicts_itself_is_refused(command, site, words):
    assert isinstance(command("doctor", "--env", site.prefix, *words).exception, RequestError)


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("--strict --json --markdown", "--strict --json"),
        ("--fleet --fix --yes --select MM2", "--fleet --select MM2"),
        ("--deep --fleet --fleet-dir /x --fleet-timeout=3 --strict", "--deep --strict"),
        ("--project /x --fix -y --ignore MM8", "--project /x --ignore MM8"),
        ("--select MM1 --python /x/bin/python", "--select MM1"),
        ("--yes --strict", "--yes --strict --fix"),
        ("-y --deep", "--deep"),
        ("--offline --strict", "--strict"),
        ("--fleet-dir /x", "--fleet-dir /x --fleet"),
        ("--fleet-timeout 120", "--fleet-timeout 120 --fleet"),
    ],
)
def test_a_remedy_keeps_what_else_was_asked(command, site, words, left):
    error = command("doctor", "--env", site.prefix, *words.split()).exception
    assert isinstance(error, RequestError)
    assert error.remedy == f"mmsetup doctor --env {site.prefix} {left}"


def test_a_version_is_no_path_of_an_interpreter(command):
    error = command("doctor", "--python", "3.10", "--strict").exception
    assert isinstance(error, RequestError)
    assert error.remedy == "mmsetup doctor --strict --python DIR/bin/python"


def test_a_junit_file_that_cannot_be_written_is_told(command, site, tmp_path):
    file = tmp_path / "nowhere" / "out.xml"
    done = command("doctor", "--env", site.prefix, "--junit", file)
    assert isinstance(done.exception, TargetError)
    assert str(done.exception) == f"cannot write to {file}: there is no folder {file.parent}"
    assert done.exception.remedy.startswith(f"mmsetup doctor --env {site.prefix} --junit FILE  # ")


def test_a_junit_file_is_refused_before_the_examination(command, tmp_path):
    error = command("doctor", "--env", tmp_path / "no-environment", "--junit", tmp_path).exception
    assert str(error) == f"cannot write to {tmp_path}: it is a folder"


def test_markdown_of_a_real_diagnosis_names_neither_user_nor_host(command, site, monkeypatch):
    monkeypatch.setenv("USER", "wilhelmine")
    monkeypatch.setenv("HOME", str(site.prefix.parent))
    site.extension.unlink()
    done = command("doctor", "--env", site.prefix, "--markdown")
    assert done.exit_code == 1
    assert done.stdout.startswith("### mmsetup doctor: 1 error\n")
    assert str(site.prefix.parent) not in done.stdout
    assert socket.gethostname() not in done.stdout.replace("<host>", "") or len(socket.gethostname()) < 3
    assert "mmsetup install --env ~/env" in done.stdout


def test_fix_without_a_terminal_asks_for_yes(command, site):
    (site.packages / "~umpy").mkdir()
    done = command("doctor", "--env", site.prefix, "--fix")
    assert isinstance(done.exception, ConfirmationError)
    assert done.exception.remedy == f"mmsetup doctor --env {site.prefix} --fix --yes"
    assert (site.packages / "~umpy").exists()


def test_fix_with_nothing_to_mend_ends_with_the_diagnosis(command, site):
    assert command("doctor", "--env", site.prefix, "--fix").exit_code == 0
    site.extension.unlink()
    done = command("doctor", "--env", site.prefix, "--fix", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["repair"]["commands"] == []


def on_a_terminal(*words: object, answer: str = "") -> tuple[int, str]:
    """Run mmsetup with a terminal as its three streams; give its exit code and what it showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mmsetup", *map(str, words)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "NO_COLOR": ""},
    )
    os.close(theirs)
    if answer:
        os.write(ours, f"{answer}\n".encode())
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    return process.wait(60), shown.decode(errors="replace")


def test_colours_are_for_terminals_alone(command, site):
    site.extension.unlink()
    assert "\x1b" not in command("doctor", "--env", site.prefix).stdout
    code, shown = on_a_terminal("doctor", "--env", site.prefix)
    assert code == 1
    assert "\x1b[1;31merror MM201" in shown


@pytest.mark.parametrize(("answer", "code", "is_there"), [("n", 12, True), ("y", 0, False)])
def test_fix_asks_on_a_terminal(site, answer, code, is_there):
    (site.packages / "~umpy").mkdir()
    ended, shown = on_a_terminal("doctor", "--env", site.prefix, "--fix", answer=answer)
    assert ended == code, shown
    assert "rm -rf" in shown
    assert "Do this?" in shown
    assert (f"mmsetup doctor --env {site.prefix}\r\n" in shown) is is_there
    assert (site.packages / "~umpy").exists() is is_there


@pytest.mark.parametrize(("asked", "worded"), [("MM104", "1 check"), ("MM104,MM201", "2 checks")])
def test_the_number_of_checks_is_worded(command, site, asked, worded):
    words = ("doctor", "--env", site.prefix, "--select", asked)
    assert command(*words).stdout.endswith(f" ({worded})\n")
    assert f"Versions ({worded})" in command(*words, "--markdown").stdout
