"""What a project asks for in its pyproject.toml."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsetup.errors import RequestError
from mmsetup.settings import Settings, settings

ALL = """
[tool.mmsetup]
family = "mmcv"
python = "3.10"
torch = "2.1"
cuda = "cu118"
with = ["mmdet>=3", "timm"]
without = ["mmsegmentation"]
source = ["openmmlab"]
gpu = ["sm_90", "RTX 4090"]
driver = "535.104.05"
glibc = "2.31"
platform = "linux-x86_64"
build = false
prebuilt = true
offline = true
cuda-compat = false
ptx = true
patch = ["mmseg-admits-mmcv22"]
patches = false
mirror = "https://mirror.test/openmmlab"

[tool.mmsetup.mirrors]
pytorch = "https://mirror.test/whl"
"""

KEYS = (
    "family, python, torch, cuda, driver, glibc, platform, with, without, source, gpu, build, prebuilt, "
    "offline, cuda-compat, ptx, patch, patches, mirror, mirrors"
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


def written(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pyproject.toml"
    path.write_text(text)
    return path


def test_every_key_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "project", ALL)
    assert settings(path.parent) == Settings(
        family="mmcv",
        python="3.10",
        torch="2.1",
        cuda="cu118",
        requirements=("mmdet>=3", "timm"),
        without=("mmsegmentation",),
        source=("openmmlab",),
        gpu=("sm_90", "RTX 4090"),
        driver="535.104.05",
        glibc="2.31",
        platform="linux-x86_64",
        build=False,
        prebuilt=True,
        offline=True,
        cuda_compat=False,
        ptx=True,
        patch=("mmseg-admits-mmcv22",),
        patches=False,
        mirror="https://mirror.test/openmmlab",
        mirrors={"pytorch": "https://mirror.test/whl"},
        path=path,
    )


def test_the_nearest_file_counts_and_no_other(tmp_path: Path) -> None:
    written(tmp_path / "a", ALL)
    written(tmp_path / "a" / "b", "[project]\nname = 'x'\n")
    inner = tmp_path / "a" / "b" / "c" / "d"
    inner.mkdir(parents=True)
    assert settings(inner) == Settings()
    (tmp_path / "a" / "b" / "pyproject.toml").unlink()
    assert settings(inner).path == tmp_path / "a" / "pyproject.toml"


@pytest.mark.parametrize("mark", ["folder", "file"])
def test_the_search_ends_where_a_repository_begins(tmp_path: Path, mark: str) -> None:
    written(tmp_path, ALL)
    inner = tmp_path / "repository" / "src"
    inner.mkdir(parents=True)
    git = inner.parent / ".git"
    if mark == "folder":
        git.mkdir()
    else:
        git.write_text("gitdir: elsewhere")
    assert settings(inner) == Settings()
    path = written(inner.parent, ALL)
    assert settings(inner).path == path


def test_the_search_ends_at_home(tmp_path: Path, home: Path) -> None:
    written(tmp_path, ALL)
    inner = home / "project"
    inner.mkdir()
    assert settings(inner) == Settings()
    path = written(home, ALL)
    assert settings(inner).path == path


def test_no_file_at_all_and_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert settings(tmp_path / "nothing") == Settings()


def test_all_faults_are_told_at_once_with_file_and_key(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        [tool.mmsetup]
        famly = "mmcv"
        zzz = 1
        python = 3.10
        with = ["mmdet", 3, "a b c"]
        source = "openmmlab"
        gpu = [1, true]
        build = "no"
        mirror = 2026-01-01
        [tool.mmsetup.mirrors]
        pytorch = ["https://name:secret@mirror.test"]
        """,
    )
    with pytest.raises(RequestError) as caught:
        settings(tmp_path)
    told = str(caught.value)
    assert told == f"{path}: [tool.mmsetup] has 10 faults"
    assert caught.value.evidence == (
        "there is no key 'famly'; nearest: family",
        "there is no key 'zzz'; known: " + KEYS,
        "python is a number and must be a text; put it in quotes",
        "with[1] is a number and must be a text; put it in quotes",
        "source is a text and must be a list of texts",
        "gpu[0] is a number and must be a text; put it in quotes",
        "gpu[1] is true or false and must be a text; put it in quotes",
        "build is a text and must be true or false",
        "mirror is a date or time and must be a text",
        "mirrors.pytorch is a list and must be a text",
    )
    assert not any("secret" in line for line in caught.value.evidence)
    assert str(path) in caught.value.remedy


def test_a_requirement_that_is_none_is_told_with_its_place(tmp_path: Path) -> None:
    written(tmp_path, '[tool.mmsetup]\nwith = ["mmdet>=3", "a b c", "=="]')
    with pytest.raises(RequestError) as caught:
        settings(tmp_path)
    first, second = caught.value.evidence
    assert first.startswith("with[1] 'a b c' is no requirement: ")
    assert second.startswith("with[2] '==' is no requirement: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[tool.mmsetup\n", "it is no TOML: "),
        (b"[tool.mmsetup]\nfamily = '\xff'", "it is no UTF-8 text (byte 25)"),
        (b"[tool.mmsetup]\nwith = " + b"[" * 100_000, "it is no TOML: "),
        (b"[tool]\nmmsetup = 3", "mmsetup is a number and no table"),
        (b"tool = 'x'", "tool is a text and no table"),
        (b"[[tool.mmsetup]]\nfamily = 'mmcv'", "mmsetup is a list and no table"),
        (b"[tool.mmsetup]\nmirrors = 'x'", "mirrors is a text and must be a table of addresses"),
    ],
)
def test_a_file_that_cannot_be_understood_is_named(tmp_path: Path, text: bytes, words: str) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_bytes(text)
    with pytest.raises(RequestError) as caught:
        settings(tmp_path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert caught.value.evidence == ()


def test_beside_a_lockfile_holds_what_says_how_to_come_by_the_files(tmp_path: Path) -> None:
    path = written(tmp_path / "project", ALL)
    assert settings(path.parent).beside_lock() == Settings(
        offline=True,
        mirror="https://mirror.test/openmmlab",
        mirrors={"pytorch": "https://mirror.test/whl"},
        path=path,
    )


@pytest.mark.parametrize("key", ["offline", "cuda-compat", "ptx", "patches"])
def test_what_is_true_or_false_is_no_text(tmp_path: Path, key: str) -> None:
    path = written(tmp_path, f'[tool.mmsetup]\n{key} = "yes"\n')
    with pytest.raises(RequestError) as caught:
        settings(tmp_path)
    assert str(caught.value) == f"{path}: [tool.mmsetup]: {key} is a text and must be true or false"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('patch = "mmseg-admits-mmcv22"', "patch is a text and must be a list of texts"),
        ("patch = [true]", "patch[0] is true or false and must be a text; put it in quotes"),
        ('patches = ["mmseg-admits-mmcv22"]', "patches is a list and must be true or false"),
        ("patchs = true", "there is no key 'patchs'; nearest: patches"),
    ],
)
def test_which_patches_and_whether_any_are_told_apart(tmp_path: Path, line: str, fault: str) -> None:
    path = written(tmp_path, f"[tool.mmsetup]\n{line}\n")
    with pytest.raises(RequestError) as caught:
        settings(tmp_path)
    assert str(caught.value) == f"{path}: [tool.mmsetup]: {fault}"


def test_a_password_is_not_shown_with_the_settings(tmp_path: Path) -> None:
    written(
        tmp_path,
        '[tool.mmsetup]\nmirror = "https://name:secret@mirror.test"\nmirrors.a = "https://b:secret@c"',
    )
    assert "secret" not in repr(settings(tmp_path))


@hypothesis.settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_gives_settings_or_a_request_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(f"[tool.mmsetup]\n{text}", encoding="utf-8")
    try:
        found = settings(folder).path
    except RequestError as refusal:
        found = Path(str(refusal).partition(": ")[0])
    assert found == folder / "pyproject.toml"
