"""Interpreters: found in the places where people keep them, asked once, and told apart from what only looks like one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mmsetup.errors import ProcessError
from mmsetup.probe import interpreters, remembered
from mmsetup.probe.host import Host
from mmsetup.process import Completed, run_together

Program = Callable[..., Path]
REAL = Path(sys.executable).resolve()
ANSWER = (
    '{"executable": "%s", "version": "3.10.9", "implementation": "cpython", "platform": "linux-x86_64", '
    '"prefix": "/opt", "free_threaded": false, "include": ["%s"], "site_packages": []}'
)


def test_one_interpreter_under_many_names_is_listed_once(tmp_path: Path) -> None:
    for name in ("python3", "python3.11", "python3-config", "python"):
        (tmp_path / name).symlink_to(REAL)
    found, notes = interpreters.read(
        Host(tmp_path, {"PATH": f"{tmp_path}:{tmp_path}", "HOME": str(tmp_path)})
    )
    assert notes == ()
    (one,) = found
    assert one.path == REAL
    assert one.version == "{}.{}.{}".format(*sys.version_info[:3])
    assert one.minor == "{}.{}".format(*sys.version_info[:2])
    assert (one.source, one.implementation) == ("PATH", sys.implementation.name)
    assert one.prefix == Path(sys.base_prefix)


def test_places_of_pyenv_and_uv(program: Program, tmp_path: Path) -> None:
    places = {
        "pyenv": tmp_path / "pyenv/versions/3.9.1/bin/python3",
        "uv": tmp_path / "data/uv/python/cpython-3.12.1-linux-x86_64-gnu/bin/python3.12",
        "PATH": tmp_path / "bin/python3.8",
    }
    for place in places.values():
        program(place)
    environ = {
        "PATH": str(tmp_path / "bin"),
        "PYENV_ROOT": str(tmp_path / "pyenv"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }
    found = list(interpreters.find(Host(tmp_path, environ)))
    assert {one.source: one.path for one in found} == places


def test_default_places_below_the_home_folder(program: Program, tmp_path: Path) -> None:
    program(tmp_path / ".pyenv/versions/3.9.1/bin/python3")
    program(tmp_path / ".local/share/uv/python/cpython-3.12.1/bin/python3")
    found = interpreters.find(Host(tmp_path, {"PATH": "", "HOME": str(tmp_path)}))
    assert [one.source for one in found] == ["pyenv", "uv"]


def test_shims_are_left_out(program: Program, tmp_path: Path) -> None:
    program(tmp_path / "shims/python3", "exit 1")
    assert (
        list(interpreters.find(Host(tmp_path, {"PATH": str(tmp_path / "shims"), "HOME": str(tmp_path)})))
        == []
    )


def test_script_that_starts_an_interpreter_stands_for_it(program: Program, tmp_path: Path) -> None:
    program(tmp_path / "bin/python3", f'exec "{REAL}" "$@"')
    found, notes = interpreters.read(Host(tmp_path, {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}))
    assert notes == ()
    assert [one.path for one in found] == [REAL]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "echo 'libpython3.so: cannot open shared object file' >&2; exit 127",
            "cannot open shared object file",
        ),
        ("echo Python", "answers with something else"),
        ("echo '{\"version\": 3}'", "answers with something else"),
        ("kill -SEGV $$", "SIGSEGV"),
    ],
)
def test_broken_interpreter_is_a_note(program: Program, tmp_path: Path, line: str, reason: str) -> None:
    broken = program(tmp_path / "bin/python3.9", line)
    (tmp_path / "bin/python3.10").symlink_to(REAL)
    found, notes = interpreters.read(Host(tmp_path, {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}))
    assert [one.path for one in found] == [REAL]
    assert len(notes) == 1
    assert notes[0].startswith(f"{broken} is no working interpreter")
    assert reason in notes[0]


def test_interpreter_that_hangs_is_a_note(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreters, "_SECONDS", 0.2)
    program(tmp_path / "bin/python3", "exec sleep 30")
    found, notes = interpreters.read(Host(tmp_path, {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}))
    assert found == ()
    assert "ran past 0.2 s" in notes[0]


def test_dangling_link_and_file_that_may_not_run_are_no_interpreters(tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to(tmp_path / "gone")
    (tmp_path / "python3.9").write_text("")
    (tmp_path / "python3.8").mkdir()
    assert list(interpreters.find(Host(tmp_path, {"PATH": str(tmp_path), "HOME": str(tmp_path)}))) == []


def test_second_look_asks_nobody_until_the_file_changes(program: Program, tmp_path: Path) -> None:
    log = tmp_path / "log"
    headers = tmp_path / "include"
    answer = ANSWER % (tmp_path / "bin/python3", headers)
    place = program(tmp_path / "bin/python3", f"echo asked >>'{log}'", f"echo '{answer}'")
    found = [interpreters.Found(place, "PATH")]
    first = interpreters.describe(found)
    assert interpreters.describe(found) == first
    assert log.read_text() == "asked\n"
    place.write_text(place.read_text() + "# newer\n")
    assert interpreters.describe(found) == first
    assert log.read_text() == "asked\nasked\n"


def test_headers_are_looked_for_anew(program: Program, tmp_path: Path) -> None:
    headers = tmp_path / "include"
    place = program(tmp_path / "bin/python3", f"echo '{ANSWER % (tmp_path / 'bin/python3', headers)}'")
    found = [interpreters.Found(place, "PATH")]
    (before,) = interpreters.describe(found)
    headers.mkdir()
    (headers / "Python.h").write_text("")
    (after,) = interpreters.describe(found)
    assert isinstance(before, interpreters.Described)
    assert isinstance(after, interpreters.Described)
    assert not before.interpreter.has_headers
    assert after.interpreter == replace(before.interpreter, has_headers=True)


def test_damaged_memory_is_asked_again(tmp_path: Path, cache: Path) -> None:
    found = [interpreters.Found(REAL, "PATH")]
    first = interpreters.describe(found)
    for file in (cache / "interpreters").iterdir():
        file.write_text('{"version": 3}')
    assert interpreters.describe(found) == first


def test_memory_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMSETUP_CACHE_DIR", str(tmp_path / "file"))
    key = remembered.key("kind", 1, [REAL])
    remembered.remember(key, {"a": 1})
    assert remembered.recall(key) is None
    assert isinstance(interpreters.describe([interpreters.Found(REAL, "PATH")])[0], interpreters.Described)


def test_versions_are_sorted_newest_first(program: Program, tmp_path: Path) -> None:
    for version in ("3.9.18", "3.10.1", "3.14.0rc1"):
        place = tmp_path / f"bin/python{version.rpartition('.')[0]}"
        program(place, f"echo '{(ANSWER % (place, tmp_path)).replace('3.10.9', version)}'")
    found, _ = interpreters.read(Host(tmp_path, {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}))
    assert [one.version for one in found] == ["3.14.0rc1", "3.10.1", "3.9.18"]


def test_programs_side_by_side_keep_their_order_and_their_errors() -> None:
    commands = [("sh", "-c", f"sleep 0.{9 - n}; echo {n}") for n in range(3)]
    outcomes = run_together(
        [*commands, ("nothing-of-this-name",), ("sh", "-c", "echo why >&2; exit 3")], timeout=20
    )
    assert [one.stdout for one in outcomes if isinstance(one, Completed)] == ["0\n", "1\n", "2\n"]
    errors = [one for one in outcomes if isinstance(one, ProcessError)]
    assert [error.returncode for error in errors] == [None, 3]
    assert errors[1].evidence == ("why",)
    longest = max(one.seconds for one in outcomes if isinstance(one, Completed))
    assert longest < 0.9 + 0.8 + 0.7
