"""``mmsetup index --write`` and ``mmsetup build --matrix`` as a user starts them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmsetup.build import BuiltWheel
from mmsetup.catalog import load
from mmsetup.cli import app
from mmsetup.cli.arguments import Selectors
from mmsetup.cli.matrix import jobs_of, of_job
from mmsetup.errors import BuildError, MmsetupError
from mmsetup.farm import BuildJob
from mmsetup.probe import probe


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Run a command in this process, in an empty folder."""
    (tmp_path / "here" / ".git").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    for name in ("MMSETUP_CACHE_DIR", "MMSETUP_STATE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))

    def run(*words: str | Path) -> Done:
        done = CliRunner().invoke(
            app, [str(word) for word in words], env={"COLUMNS": "200"}, standalone_mode=False
        )
        error = done.exception
        if isinstance(error, MmsetupError):
            return Done(error.exit_code, done.stdout, f"{done.stderr}{error}\ntry: {error.remedy}")
        if error is not None:
            raise error
        # Without standalone mode the status of typer.Exit is what the command returns.
        return Done(done.exit_code or int(done.return_value or 0), done.stdout, done.stderr)

    return run


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.toml"
    path.write_text(
        '[[build]]\nfamily = "mmcv-full"\npython = "3.10"\ntorch = "1.13.1"\ncuda = "cu117"\ngpu = ["sm_86"]\n'
        '[[build]]\nfamily = "mmcv"\npython = "3.10"\ntorch = "2.1.2"\n'
    )
    return path


def test_the_pages_are_told_one_a_line(call, wheel, farm):
    wheel("cu117/torch1.13.0")
    done = call("index", "--write", farm)
    assert done.code == 0
    assert f"{farm}/mmcv/dist/cu117/torch1.13.0/index.html" in done.out.splitlines()
    assert len(done.out.splitlines()) == 10
    assert "torch 1.13 cu117\n  mmcv_full-1.7.2-cp310-cp310-linux_x86_64.whl" in done.err
    assert "holds no code for any GPU" in done.err
    again = call("index", "--write", farm)
    assert (again.out, again.code) == ("", 0)
    assert "pages: 0 written, 10 unchanged; wheels: 1" in again.err


def test_the_document_of_the_pages(call, wheel, farm):
    wheel("cu117/torch1.13.0")
    document = json.loads(call("index", "--write", farm, "--json").out)
    assert document["schema"] == "mmsetup.farm/1"
    assert document["wheels"][0]["pair"] == {"major": 1, "minor": 13, "variant": "cu117"}
    assert "simple/mmcv-full/index.v1_json" in document["written"]


def test_what_else_is_asked_beside_it_is_refused(call, wheel, farm):
    wheel("cu117/torch1.13.0")
    for words in (("--torch", "1.13.1"), ("--pip",), ("--offline",), ("--env", "x")):
        done = call("index", "--write", farm, *words)
        assert (done.code, done.out) == (2, "")
        assert done.err.endswith(f"try: mmsetup index --write {farm}")
    assert [path.name for path in farm.iterdir()] == ["cu117"]


def test_every_key_of_a_job_is_a_selector_but_for_the_one_that_names_the_wheel():
    selectors = {field.name for field in fields(Selectors)}
    assert {field.name for field in fields(BuildJob)} - selectors == {"local_version"}


def test_a_job_a_line_and_each_is_a_command(call, jobs):
    done = call(
        "build", "--matrix", jobs, "--jobs-list", "--output", "all wheels", "--mirror", "https://host/x"
    )
    first, second = map(shlex.split, done.out.splitlines())
    assert first == [
        "mmsetup", "build", "--family", "mmcv-full", "--python", "3.10", "--torch", "1.13.1", "--cuda", "cu117",
        "--gpu", "sm_86", "--no-prebuilt", "--mirror", "https://host/x",
        "--output", "all wheels/cu117/torch1.13.0",
    ]  # fmt: skip
    assert second[-2:] == ["--output", "all wheels"]
    # What a line says is understood: it goes as far as the plan, and the network that it may not use.
    lone = call(*first[1:], "--offline", "--without", "nonsense")
    assert "--without nonsense" in lone.err


def test_a_job_is_asked_for_as_its_line_is(jobs):
    jobs.write_text(
        '[[build]]\nfamily = "mmcv"\nwith = ["mmcv==2.2.0"]\nptx = true\npatch = ["mmseg-admits-mmcv22"]\n'
        'gpu = ["sm_90"]\npatches = false\n[[build]]\ntorch = "2.1.2"\n'
    )
    catalog, here = load(), probe()
    (job, plain) = jobs_of(jobs, Selectors(), catalog, here)
    asked, _, _ = of_job(job, Selectors()).resolved(catalog, here)
    assert (asked.with_ptx, asked.patches, asked.may_patch) == (True, ("mmseg-admits-mmcv22",), False)
    asked, _, _ = of_job(plain, Selectors()).resolved(catalog, here)
    assert (asked.with_ptx, asked.patches, asked.may_patch) == (False, (), True)


def test_the_matrix_of_a_ci_service(call, jobs):
    document = json.loads(call("build", "--matrix", jobs, "--jobs-list", "--json").out)
    assert list(document) == ["include"]
    assert document["include"][0] == {
        "name": "mmcv-full, Python 3.10, torch 1.13.1 cu117, sm_86",
        "command": "mmsetup build --family mmcv-full --python 3.10 --torch 1.13.1 --cuda cu117 --gpu sm_86 --no-prebuilt",
        "family": "mmcv-full",
        "python": "3.10",
        "torch": "1.13.1",
        "cuda": "cu117",
        "gpu": ["sm_86"],
    }


def test_jobs_that_make_no_sense_are_refused_before_the_first(call, jobs):
    jobs.write_text(
        '[[build]]\nfamily = "mmcv-ful"\n[[build]]\ntorch = "1.13.1"\n[[build]]\npython = "3.99"\n'
        '[[build]]\ntorch = "1.13.1"\ncuda = "cu999"\n[[build]]\ngpu = ["sm_1"]\n'
        '[[build]]\ntorch = "1.13.1"\nlocal-version = "a b"\n[[build]]\npatch = ["nonsense"]\n'
    )
    for words in ((), ("--jobs-list",)):
        done = call("build", "--matrix", jobs, *words)
        assert (done.code, done.out) == (2, "")
        for number in (0, 2, 3, 4, 5, 6):
            assert f"build[{number}]: " in done.err
        assert "build[1]" not in done.err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--torch", "2.0"), "beside it are only --mirror and --offline"),
        (("--prebuilt",), "beside it are only"),
        (("--for", "."), "beside it are only"),
        (("--lock", "x.toml"), "a lockfile beside it has no room"),
        (("--local-version", "mine"), "the local version of a job is its key local-version"),
    ],
)
def test_what_is_built_is_said_once(words, what, call, jobs):
    done = call("build", "--matrix", jobs, *words)
    assert done.code == 2
    assert what in done.err


def test_a_local_version_of_a_job_is_a_word_of_its_command(call, jobs):
    jobs.write_text('[[build]]\ntorch = "1.13.1"\nlocal-version = "none"\n')
    done = call("build", "--matrix", jobs, "--jobs-list")
    assert done.out == "mmsetup build --torch 1.13.1 --local-version none --no-prebuilt\n"


def test_a_local_version_that_is_none_is_refused_before_anything_is_asked(call):
    done = call("build", "--local-version", "a b")
    assert (done.code, done.out) == (2, "")
    assert "'a b' is no local version part" in done.err


def test_a_list_of_jobs_needs_jobs(call):
    assert call("build", "--jobs-list").code == 2


@pytest.fixture
def makes(wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first family build at once and the second fail."""
    path = wheel(version="1.7.2+pt1.13.1cu117")

    def make(request, *_: object, **__: object) -> BuiltWheel:
        assert not request.may_use_prebuilt
        if request.family == "mmcv":
            raise BuildError("the compiler was killed", remedy="free some memory")
        return BuiltWheel(path, "ab" * 32, "k" * 64, False, 60.0, 2, ())

    monkeypatch.setattr("mmsetup.road.wheel_for", make)


def test_a_job_that_fails_is_told_at_the_end(makes, call, jobs):
    done = call("build", "--matrix", jobs, "--output", "out")
    assert done.code == 1
    assert done.out == "out/cu117/torch1.13.0/mmcv_full-1.7.2+pt1.13.1cu117-cp310-cp310-linux_x86_64.whl\n"
    assert Path(done.out.strip()).is_file()
    lines = done.err.splitlines()
    assert "failed  0 s   -                  mmcv, Python 3.10, torch 2.1.2" in lines
    assert lines[-2:] == ["1 of 2 builds failed", "try: free some memory"]


def test_the_document_of_the_jobs(makes, call, jobs):
    done = call("build", "--matrix", jobs, "--json")
    assert done.code == 1
    document = json.loads(done.out)
    assert document["schema"] == "mmsetup.builds/1"
    first, second = document["jobs"]
    assert (first["status"], first["pair"]) == ("built", "cu117/torch1.13.0")
    assert (second["status"], second["exit_code"], second["error"]) == (
        "failed",
        6,
        "the compiler was killed",
    )
    assert second["command"] == "mmsetup build --family mmcv --python 3.10 --torch 2.1.2 --no-prebuilt"
