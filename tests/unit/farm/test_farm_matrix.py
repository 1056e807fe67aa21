"""A file of builds: every fault at once, and every job a command line that says the same."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mmsetup.errors import RequestError
from mmsetup.farm import BuildJob, command_line, read_matrix


@pytest.fixture
def matrix(tmp_path: Path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "jobs.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_each_table_is_a_job(matrix):
    path = matrix(
        """
        [[build]]
        family = "mmcv-full"
        python = "3.10"
        torch = "1.13.1"
        cuda = "cu117"
        gpu = ["sm_86", "RTX 4090"]
        with = ["mmcv-full==1.7.2"]
        without = ["mmdet"]
        driver = "535.104.05"
        glibc = "2.31"
        ptx = true
        patch = ["mmseg-admits-mmcv22"]
        patches = false
        local-version = "site.2"

        [[build]]
        torch = "2.8.0"
        """
    )
    assert read_matrix(path) == (
        BuildJob(
            family="mmcv-full",
            python="3.10",
            torch="1.13.1",
            cuda="cu117",
            gpu=("sm_86", "RTX 4090"),
            wanted=("mmcv-full==1.7.2",),
            without=("mmdet",),
            driver="535.104.05",
            glibc="2.31",
            ptx=True,
            patch=("mmseg-admits-mmcv22",),
            patches=False,
            local_version="site.2",
        ),
        BuildJob(torch="2.8.0"),
    )


def test_every_fault_is_told_at_once(matrix):
    path = matrix(
        """
        verbose = true
        [[build]]
        python = 3.10
        pyton = "3.10"
        gpu = "sm_86"
        [[build]]
        gpu = ["sm_86", 90, ""]
        with = [["mmdet"]]
        colour = "red"
        torch = " "
        [[build]]
        [[build]]
        torch = "2.8.0"
        [[build]]
        torch = "2.8.0"
        [[build]]
        ptx = "yes"
        patches = 0
        """
    )
    with pytest.raises(RequestError, match=r"build\[0\]\.python is a number") as caught:
        read_matrix(path)
    known = (
        "family, python, torch, cuda, gpu, with, without, driver, glibc, ptx, patch, patches, local-version"
    )
    assert caught.value.evidence == (
        "there is no key 'verbose'; a job is a table [[build]]",
        "build[0].python is a number and must be a text; put it in quotes",
        "build[0]: there is no key 'pyton'; nearest: python",
        "build[0].gpu is a text and must be a list of texts",
        "build[1].gpu[1] is a number and must be a text; put it in quotes",
        "build[1].gpu[2] is '', which says nothing",
        "build[1].with[0] is a list and must be a text",
        f"build[1]: there is no key 'colour'; known: {known}",
        "build[1].torch is ' ', which says nothing",
        "build[2] asks for nothing",
        "build[4] is the same as build[3]",
        "build[5].ptx is a text and must be true or false",
        "build[5].patches is a number and must be true or false",
    )
    assert caught.value.remedy == f"edit {path}"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "it holds no job"),
        ("build = []", "it holds no job"),
        ("[build]\ntorch = '2.8.0'", r"must be a list of tables: \[\[build\]\]"),
        ("build = [1]", "must be a list of tables"),
        ("build = 'all'", "must be a list of tables"),
        ("[[build]\n", "it is no TOML"),
        (b"\xff\xfe", "it is no UTF-8 text"),
        ("a = " + "[" * 10_000, "it is no TOML"),
        ("[[build]]\nwhen = 2026-01-01", "there is no key 'when'"),
    ],
)
def test_a_file_that_is_none(text, what, matrix):
    with pytest.raises(RequestError, match=what) as caught:
        read_matrix(matrix(text))
    assert caught.value.evidence == ()


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(RequestError, match="cannot be read: No such file") as caught:
        read_matrix(tmp_path / "absent.toml")
    assert caught.value.remedy == "mmsetup build --matrix FILE"


def test_a_job_is_a_line_for_a_shell():
    job = BuildJob(family="mmcv-full", python="3.10", gpu=("RTX 4090", "sm_86"), wanted=("mmcv-full==1.7.2",))
    line = command_line(job, ("--output", "a folder"))
    assert line == (
        "mmsetup build --family mmcv-full --python 3.10 --gpu 'RTX 4090' --gpu sm_86 --with mmcv-full==1.7.2 "
        "--no-prebuilt --output 'a folder'"
    )


def test_what_is_on_or_off_is_an_option_without_a_value():
    job = BuildJob(torch="2.8.0", ptx=True, patch=("mmseg-admits-mmcv22",), patches=False)
    assert command_line(job) == (
        "mmsetup build --torch 2.8.0 --ptx --patch mmseg-admits-mmcv22 --no-patches --no-prebuilt"
    )
    assert str(job) == "the default family, torch 2.8.0, PTX, mmseg-admits-mmcv22, without patches"
    assert BuildJob(torch="2.8.0").wishes == {"torch": "2.8.0"}


@pytest.mark.parametrize("text", ["-rf", "$(reboot)", "a;b", "`x`", "'", '"'])
def test_what_a_job_says_stays_one_word(text):
    words = shlex.split(command_line(BuildJob(torch=text)))
    told = [f"--torch={text}"] if text.startswith("-") else ["--torch", text]
    assert words[2:] == [*told, "--no-prebuilt"]


def test_how_a_job_is_called():
    job = BuildJob(
        family="mmcv", python="3.10", torch="2.1.2", cuda="cu121", gpu=("sm_90",), without=("mmdet",)
    )
    assert str(job) == "mmcv, Python 3.10, torch 2.1.2 cu121, sm_90, without mmdet"
    assert str(BuildJob(cuda="cpu", gpu=("none",))) == "the default family, torch cpu, no GPU"
