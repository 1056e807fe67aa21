"""A compiler cache is used where the user has one that runs, and nowhere else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from mmsetup.build.launcher import through_cache


@pytest.fixture
def variables(tmp_path):
    """Give the variables of a build on a search path with stand-ins for the compilers, and nothing else."""
    place = tmp_path / "bin"
    place.mkdir()
    for name in ("gcc", "g++", "nvcc"):
        program(place / name, 'echo "$(basename "$0") $*"')
    return {"PATH": str(place), "CC": "gcc", "CXX": "g++ -m64"}


@pytest.fixture
def cache(variables):
    """Put a stand-in for a compiler cache on that path, which says what it was called for."""

    def make(name, body='[ "$1" = --version ] || { echo through; exec "$@"; }'):
        program(Path(variables["PATH"]) / name, body)

    return make


def program(place, body):
    place.write_text(f"#!{shutil.which('sh')}\n{body}\n".replace("basename", shutil.which("basename")))
    place.chmod(0o755)


def test_without_a_cache_nothing_changes(variables, tmp_path):
    assert through_cache(variables, tmp_path, gpu=True) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


@pytest.mark.parametrize("name", ["ccache", "sccache"])
def test_compilers_are_reached_through_the_cache(variables, cache, tmp_path, name):
    cache(name)
    chosen = through_cache(variables, tmp_path, gpu=False)
    told = subprocess.run(
        [*chosen["CXX"].split(), "-c", "a b"], capture_output=True, text=True, env=variables
    )
    assert told.stdout.splitlines() == ["through", "g++ -m64 -c a b"]
    assert Path(chosen["CC"]).name == "gcc"
    assert "PYTORCH_NVCC" not in chosen
    assert chosen["CCACHE_BASEDIR"] == str(tmp_path)


def test_nvcc_too_where_code_for_gpus_is_compiled(variables, cache, tmp_path):
    cache("ccache")
    chosen = through_cache(variables, tmp_path, gpu=True)
    told = subprocess.run([chosen["PYTORCH_NVCC"], "x.cu"], capture_output=True, text=True, env=variables)
    assert told.stdout.splitlines() == ["through", "nvcc x.cu"]


@pytest.mark.parametrize("variable", ["PYTORCH_NVCC", "CXX", "CC"])
def test_what_names_the_folder_reaches_compilers_for_gpus_and_not_ccache(
    variables, cache, tmp_path, variable
):
    program_name = {"PYTORCH_NVCC": "nvcc", "CXX": "g++", "CC": "gcc"}[variable]
    says = 'echo "$(basename "$0") $CPATH|$NVCC_APPEND_FLAGS|$CCACHE_COMPILERCHECK|$*"'
    cache("ccache", f'[ "$1" = --version ] || {{ {says}; exec "$@"; }}')
    program(Path(variables["PATH"]) / program_name, says)
    seen = {**variables, "CXX": "g++", "CPATH": f"{tmp_path}/a b:$x", "NVCC_APPEND_FLAGS": "-G"}
    chosen = through_cache(seen, tmp_path, gpu=True, compilers="nvcc 13.0.88; g++ 12's")
    command = [chosen[variable], "a b.cu"]
    told = subprocess.run(command, capture_output=True, text=True, env=seen, check=True).stdout.splitlines()
    given, check = f"{tmp_path}/a b:$x|-G", "string:nvcc 13.0.88; g++ 12's"
    real = tmp_path / "launch" / "real" / program_name
    assert told == [f"ccache ||{check}|{real} a b.cu", f"{program_name} {given}|{check}|a b.cu"]


def test_nvcc_and_the_compiler_that_it_runs_go_without_sccache(variables, cache, tmp_path):
    cache("sccache")
    chosen = through_cache(variables, tmp_path, gpu=True, compilers="nvcc 13.0.88; g++ 12")
    assert not {"PYTORCH_NVCC", "CC"} & set(chosen)
    told = subprocess.run([*chosen["CXX"].split(), "x"], capture_output=True, text=True, env=variables)
    assert told.stdout.splitlines() == ["through", "g++ -m64 x"]


@pytest.mark.parametrize("outside", ["", "/of/the/user"])
def test_the_server_of_sccache_does_not_live_in_the_folder_of_the_build(
    variables, cache, tmp_path, monkeypatch, outside
):
    monkeypatch.setenv("TMPDIR", outside)
    says = f'echo "$1 in ${{TMPDIR-nothing}}" >> {tmp_path}/said'
    cache("sccache", f'{says}; [ "$1" = --version ]')
    chosen = through_cache({**variables, "TMPDIR": f"{tmp_path}/temporary"}, tmp_path, gpu=True)
    assert "CXX" in chosen
    _, started = (tmp_path / "said").read_text().splitlines()
    assert started == f"--start-server in {outside or 'nothing'}"


def test_a_cache_that_does_not_run_is_passed_over(variables, cache, tmp_path):
    cache("ccache", "exit 1")
    assert through_cache(variables, tmp_path, gpu=False) == {}
    cache("sccache")
    assert "CXX" in through_cache(variables, tmp_path, gpu=False)


def test_a_compiler_that_is_the_cache_already_is_left_alone(variables, cache, tmp_path):
    cache("ccache")
    compiler = Path(variables["PATH"]) / "g++"
    compiler.unlink()
    compiler.symlink_to("ccache")
    chosen = through_cache(variables, tmp_path, gpu=False)
    assert "CXX" not in chosen
    assert "CC" in chosen
