"""The frame of the command line: how errors end a process, and what stands on which stream."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from mmsetup.cli.output import CLOSED_PIPE


def mmsetup(*args: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mmsetup", *args],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", **env},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_help_lists_the_commands_in_the_order_of_the_road(tmp_path: Path) -> None:
    done = mmsetup("--help", cwd=tmp_path)
    assert done.returncode == 0
    places = [
        done.stdout.index(f"│ {name} ")
        for name in ("install", "probe", "plan", "index", "lock", "build", "smoke", "doctor", "explain")
    ]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "command", ["install", "probe", "plan", "index", "lock", "build", "smoke", "doctor", "explain"]
)
def test_every_command_tells_its_options_and_takes_json(tmp_path: Path, command: str) -> None:
    done = mmsetup(command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "--json" in done.stdout


def test_help_imports_no_stage() -> None:
    code = (
        "import sys; sys.argv = ['mmsetup', '--help']\n"
        "from mmsetup.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([name for name in sys.modules if name.startswith('mmsetup.') and name.split('.')[1] in "
        "{'probe', 'plan', 'catalog', 'lock', 'build', 'install', 'smoke', 'doctor', 'binary'}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_error_ends_with_its_code_and_a_command_that_mends(tmp_path: Path) -> None:
    done = mmsetup("plan", "--family", "mmcv-ful", "--offline", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "mmcv-full" in done.stderr
    assert "try:" in done.stderr


def test_with_json_an_error_is_one_document_on_standard_output(tmp_path: Path) -> None:
    done = mmsetup("plan", "--family", "none", "--offline", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert told["schema"] == "mmsetup.error/1"
    assert (told["error"], told["exit_code"], done.returncode) == ("RequestError", 2, 2)


def streamed(words: str, tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell; ``MMSETUP`` is the command."""
    line = words.replace("MMSETUP", shlex.join([sys.executable, "-m", "mmsetup"]))
    return subprocess.run(
        ["bash", "-c", line],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200", **env},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "words",
    [
        "plan --offline",
        "plan --offline --json",
        "catalog show",
        "catalog show torch --json",
        "catalog update --bundled",
        "probe",
        "plan --family none --offline --json",
        "--version",
        "--help",
    ],
)
def test_a_full_standard_output_is_one_error(tmp_path: Path, words: str, unbuffered: str) -> None:
    state = str(tmp_path / "state")
    done = streamed(
        f"MMSETUP {words} >/dev/full", tmp_path, MMSETUP_STATE_DIR=state, PYTHONUNBUFFERED=unbuffered
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.stderr.count("error:") == 1
    if "none" in words:
        # The error of before goes before the one that it cannot be told as a document.
        assert (done.returncode, done.stderr.count("mmcv-full") > 0) == (2, True)
        return
    assert "standard output cannot be written: No space left on device" in done.stderr
    assert done.returncode == 8


@pytest.mark.parametrize("words", ["plan --family none --offline", "plan --offline --torch none --json"])
def test_a_full_standard_error_leaves_the_exit_code(tmp_path: Path, words: str) -> None:
    done = streamed(f"MMSETUP {words} 2>/dev/full", tmp_path)
    assert done.returncode == 2
    assert bool(done.stdout) == ("--json" in words)


@pytest.mark.parametrize(
    "words",
    [
        "plan --offline",
        "plan --offline --json",
        "catalog show torch",
        "catalog show torch --json",
        "probe",
        "--help",
        "plan --family none --offline 2>&1",
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_nobody_reads_ends_as_in_a_shell(tmp_path: Path, words: str, unbuffered: str) -> None:
    done = streamed(f"MMSETUP {words} | true; exit ${{PIPESTATUS[0]}}", tmp_path, PYTHONUNBUFFERED=unbuffered)
    assert done.stderr == ""
    assert done.returncode == CLOSED_PIPE == 128 + signal.SIGPIPE


def on_a_terminal(tmp_path: Path, *words: str, **env: str) -> str:
    """Run a command on a terminal, and give all that it sends there."""
    ours, theirs = os.openpty()
    started = subprocess.Popen(
        [sys.executable, "-m", "mmsetup", *words],
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm-256color", **env},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    sent = b""
    # A terminal that its last program has left answers with an error.
    with suppress(OSError):
        while part := os.read(ours, 1 << 16):
            sent += part
    os.close(ours)
    started.wait()
    return sent.decode()


@pytest.mark.parametrize(
    "words", [("plan", "--offline"), ("plan", "--family", "none", "--offline"), ("catalog",), ("--help",)]
)
def test_where_no_colour_is_asked_for_none_is_sent(
    tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    colour = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")
    assert not colour.search(on_a_terminal(tmp_path, *words, NO_COLOR="1"))
    if "none" in words:
        assert colour.search(on_a_terminal(tmp_path, *words))


def test_an_unknown_option_is_a_usage_error(tmp_path: Path) -> None:
    done = mmsetup("plan", "--no-such-option", cwd=tmp_path)
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr
    told = json.loads(mmsetup("plan", "--no-such-option", "--json", cwd=tmp_path).stdout)
    assert (told["error"], told["exit_code"]) == ("RequestError", 2)


@pytest.mark.parametrize(
    ("words", "told", "way"),
    [
        (["smoke", "--seed", "-1"], "--seed", "mmsetup smoke --help"),
        (
            ["install", "--via", "pip"],
            "for '--via': 'pip' is not one of 'uv', 'mim'",
            "mmsetup install --help",
        ),
        (["inspect"], "PATH", "mmsetup inspect --help"),
        (["catalog", "shwo"], "Did you mean 'show'?", "mmsetup catalog --help"),
        (["doctro"], "Did you mean 'doctor'?", "mmsetup --help"),
    ],
)
def test_a_wrong_word_is_named_with_the_help_of_its_command(
    tmp_path: Path, words: list[str], told: str, way: str
) -> None:
    done = mmsetup(*words, "--json", cwd=tmp_path)
    refusal = json.loads(done.stdout)
    assert (done.returncode, refusal["error"], refusal["remedy"]) == (2, "RequestError", way)
    assert told in refusal["message"]


def test_the_remedy_of_an_unanswered_question_is_the_same_command(tmp_path: Path) -> None:
    folder = tmp_path / "made by hand"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    done = mmsetup("install", "--env", str(folder), "--family", "mmcv", cwd=tmp_path)
    assert done.returncode == 12, done.stderr
    assert f"mmsetup install --env '{folder}' --family mmcv --yes" in done.stderr
    assert [place.name for place in tmp_path.iterdir()] == [folder.name]


def test_no_command_at_all_shows_the_help(tmp_path: Path) -> None:
    done = mmsetup(cwd=tmp_path)
    assert "install" in done.stdout
    assert done.stderr == ""
    assert done.returncode == 2


def test_a_terminal_without_the_signs_gets_others(tmp_path: Path) -> None:
    done = mmsetup("plan", "--offline", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("flag", [[], ["--json"]])
def test_an_interrupt_is_told(tmp_path: Path, flag: list[str]) -> None:
    code = (
        "import mmsetup.probe, sys\n"
        "def probe(**_):\n    raise KeyboardInterrupt\n"
        "mmsetup.probe.probe = probe\n"
        f"sys.argv = ['mmsetup', 'plan', *{flag!r}]\n"
        "from mmsetup.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 130
    assert "interrupted" in done.stderr
    if flag:
        assert json.loads(done.stdout)["error"] == "InterruptedByUserError"


@pytest.mark.parametrize("place", ["file", "file/below", "other"])
def test_a_target_that_cannot_be_is_refused_before_any_work(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    done = mmsetup("install", "--env", place, cwd=tmp_path)
    assert done.returncode == 7
    assert "--env" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "other"]


def test_a_lockfile_that_is_not_there(tmp_path: Path) -> None:
    done = mmsetup("install", "--lock", "no.txt", cwd=tmp_path)
    assert done.returncode == 5
    assert "mmsetup lock" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_version(tmp_path: Path) -> None:
    from mmsetup import __version__

    assert mmsetup("--version", cwd=tmp_path).stdout == f"mmsetup {__version__}\n"


@pytest.mark.parametrize("way", ["PYTHONPATH", "the current folder"])
def test_modules_of_others_with_names_of_the_standard_library_are_not_imported(
    tmp_path: Path, way: str
) -> None:
    for name in ("random", "tempfile", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')\n")
    variables = {**os.environ, **({"PYTHONPATH": str(tmp_path)} if way == "PYTHONPATH" else {})}
    folder = tmp_path if way == "the current folder" else tmp_path.parent
    command = [sys.executable, "-m", "mmsetup", "probe"]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
