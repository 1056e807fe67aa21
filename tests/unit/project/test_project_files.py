"""What of a project is read and what is not, and that no content ends in a traceback."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mmsetup.errors import RequestError
from mmsetup.project import files, read_project
from mmsetup.project.rules import rules

OLD = "import mmcv.runner\n"
NAMES = [
    "a.py",
    "pyproject.toml",
    "requirements.txt",
    "a.ipynb",
    "setup.py",
    "setup.cfg",
    "environment.yml",
    "Dockerfile",
]


def put(path: Path, content: str | bytes = OLD) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_folders_that_are_not_of_the_project_are_left_alone(tmp_path: Path) -> None:
    for folder in (".git", "node_modules", ".venv/lib", "data/ade", "work_dirs/x"):
        put(tmp_path / folder / "requirements.txt", "mmengine\n")
    (tmp_path / ".venv" / "pyvenv.cfg").touch()
    for folder in ("configs/_base_/datasets", "mmx/data"):
        put(tmp_path / folder / "a.py")
    wish = read_project(tmp_path)
    assert {clue.path for clue in wish.clues} == {"configs/_base_/datasets/a.py", "mmx/data/a.py"}
    assert wish.against == ()


def test_links_are_not_followed(tmp_path: Path) -> None:
    project = tmp_path / "project"
    put(project / "a.py")
    put(tmp_path / "outside" / "b.py", "import mmengine\n")
    (project / "loop").symlink_to(project)
    (project / "b.py").symlink_to(tmp_path / "outside" / "b.py")
    (project / "outside").symlink_to(tmp_path / "outside")
    (project / "gone.py").symlink_to(tmp_path / "gone")
    os.mkfifo(project / "pipe.py")
    wish = read_project(project)
    assert (wish.files_read, len(wish.clues), wish.against) == (1, 1, ())
    linked = tmp_path / "linked"
    linked.symlink_to(project)
    assert read_project(linked).files_read == 1


def test_files_that_are_too_large_or_binary_are_left_out_and_counted(tmp_path: Path) -> None:
    put(tmp_path / "a.py")
    put(tmp_path / "b.py", "import mmengine\n" + "#" * (1 << 20))
    put(tmp_path / "c.py", b"import mmengine\n\0\1\2")
    wish = read_project(tmp_path)
    assert wish.files_read == 1
    assert wish.notes == ("left out: 1 binary files", "left out: 1 files of more than 1 MiB")


def test_no_more_than_the_limit_is_read_and_the_top_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_FILES", 3)
    put(tmp_path / "zzz.py")
    for number in range(5):
        put(tmp_path / "deep" / f"{number}.py", "import mmengine\n")
    wish = read_project(tmp_path)
    assert wish.files_read == 3
    assert "zzz.py" in {clue.path for clue in wish.against}
    assert any(note.startswith("left out: 3 files beyond the limit") for note in wish.notes)


def test_no_more_bytes_than_the_limit_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_TOTAL", len(OLD))
    put(tmp_path / "a.py")
    put(tmp_path / "b.py", "import mmengine\n")
    assert read_project(tmp_path).against == ()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "latin-1"])
def test_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    put(tmp_path / "requirements.txt", "# Gr\xfc\xdfe\r\nmmcv-full==1.7.1\r\n".encode(encoding))
    wish = read_project(tmp_path)
    assert wish.requirements == ("mmcv-full==1.7.1",)
    assert wish.clues[0].line == 2


def test_code_of_another_python_is_read_line_by_line(tmp_path: Path) -> None:
    put(tmp_path / "a.py", "print 'x'\nimport os, mmcv.runner\nfrom mmdet.core import (\n  bbox2roi)\n")
    wish = read_project(tmp_path)
    assert [clue.line for clue in wish.clues] == [2, 3]
    assert wish.packages == ("mmdet",)
    assert wish.notes == ("1 file(s) could not be parsed, such as a.py: read line by line",)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 300,
        "-" * 90_000 + "1",
        "x = " + "1+" * 250_000 + "1",
        "a" + ".b" * 250_000,
        "f" + "()" * 250_000,
    ],
    ids=["brackets", "signs", "sums", "attributes", "calls"],
)
def test_code_that_is_nested_without_end_does_no_harm(tmp_path: Path, text: str) -> None:
    put(tmp_path / "a.py", f"import mmcv.runner\n{text}\n")
    put(tmp_path / "b.ipynb", "[" * 100_000)
    assert read_project(tmp_path).family == "mmcv-full"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pyproject.toml", "a." * 400_000 + "b = 1"),
        ("README.md", "pip install " + "a" * 900_000),
        ("README.md", "pip install " + "".join(f"torch==1.{number} \\\n" for number in range(50_000))),
        ("requirements.txt", "torch \\\n" * 120_000),
        ("a.ipynb", '{"cells": [{"cell_type": "code", "source": "' + "\\u0061\\n" * 100_000 + '"}]}'),
    ],
)
def test_files_that_are_made_to_take_long_are_given_up(tmp_path: Path, name: str, content: str) -> None:
    put(tmp_path / "clue.py")
    put(tmp_path / name, content)
    started = time.process_time()
    assert read_project(tmp_path).family == "mmcv-full"
    # Seconds of CPU; without its limits each takes minutes.
    assert time.process_time() - started < 20


def test_every_entry_of_the_table_has_a_source_and_a_family_that_exists() -> None:
    table = rules()
    families = set(table.generations)
    spoken = [*table.names.values(), *table.types.values(), *table.inner_keys.values()]
    spoken += [found.rule for every in table.keys.values() for found in every]
    assert {rule.family for rule in spoken} == families
    assert all("{" not in rule.meaning for rule in spoken)
    assert {found.family for found in table.distributions.values()} <= families | {""}
    raw = (Path(files.__file__).parent / "clues.toml").read_text()
    assert raw.count("\nsource = ") == sum(
        raw.count(f"\n[[{kind}]]") for kind in ("names", "keys", "inner", "distributions")
    ) + raw.count("\n[gates]")


PIECES = (
    "import mmcv|from mmcv.runner import|pip install|mmcv-full|==|$|{|\"|'|\\\n|\n| |[|]|\0|dependencies|=|cuda|python|- pip:|- "
    "|https://github.com/open-mmlab/mmcv@v|1.7.2|^|cells|;"
)
WORDS = st.sampled_from(PIECES.split("|"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(NAMES),
    content=st.one_of(
        st.binary(max_size=300), st.lists(WORDS, max_size=20).map(lambda words: "".join(words).encode())
    ),
)
@example(
    name="a.ipynb",
    content=b'{"cells": [{"cell_type": "code", "source": "import mmengine"}, 1, {"source": 2}]}',
)
@example(name="a.ipynb", content=b'{"cells": [{"cell_type": "code", "source": ["\\ud800", 3]}]}')
@example(
    name="pyproject.toml",
    content=b'project = 3\ntool = {poetry = {dependencies = {torch = "^' + b"9" * 5000 + b'"}}}',
)
@example(name="a.ipynb", content=b'{"cells": ' + b"9" * 5000 + b"}")
@example(name="environment.yml", content=b"- python=3.8.*=x\n- pytorch=" + b"9" * 490)
@example(name="requirements.txt", content=b"torch==" + b"9" * 490)
def test_no_content_raises_anything_else(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for asked in (path, tmp_path):
        with contextlib.suppress(RequestError):
            read_project(asked)
    path.unlink()


def test_a_folder_that_cannot_be_read_is_refused_at_the_top_and_left_out_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "a.py")
    put(tmp_path / "closed" / "b.py", "import mmengine\n")
    closed = [tmp_path / "closed"]
    scandir = os.scandir

    def refusing(folder: Path) -> object:
        # Permissions do not hold where the tests run as root.
        if folder in closed:
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(files.os, "scandir", refusing)
    wish = read_project(tmp_path)
    assert wish.against == ()
    assert wish.notes == ("left out: 1 folders that cannot be read",)
    closed.append(tmp_path)
    with pytest.raises(RequestError, match=r"cannot read the project .*: Permission denied"):
        read_project(tmp_path)


def test_a_name_in_no_encoding_can_be_shown(tmp_path: Path) -> None:
    put(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.py")))
    shown = str(read_project(tmp_path).clues[0])
    assert shown.encode("utf-8").startswith(b"?.py:1: ")
