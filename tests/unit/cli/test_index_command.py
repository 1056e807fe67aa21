"""``mmsetup index`` as a user starts it: the address alone on standard output."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmsetup.catalog.links import IndexFile, Listing
from mmsetup.catalog.page_cache import KeptPage, PageCache
from mmsetup.cli import app
from mmsetup.errors import MmsetupError


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it wrote; an error's words and its remedy stand in ``stderr``."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]
PAGES = "https://download.openmmlab.com/mmcv/dist"
CU117 = f"{PAGES}/cu117/torch1.13.0/index.html"
CU121 = f"{PAGES}/cu121/torch2.1.0/index.html"
PAIR = ("--torch", "1.13.1", "--cuda", "cu117", "--python", "3.10", "--platform", "linux-x86_64")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder, with no environment active and no mirror named."""
    (tmp_path / "here" / ".git").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "MMCV_BASE_URL", "MMSETUP_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MMSETUP_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "here"


@pytest.fixture
def index() -> Run:
    """Run the command in this process."""

    def run(*words: str, **env: str) -> Done:
        done = CliRunner().invoke(app, ["index", *words], env=env, standalone_mode=False)
        error = done.exception
        if isinstance(error, MmsetupError):
            return Done(error.exit_code, done.stdout, f"{done.stderr}{error}\ntry: {error.remedy}")
        if error is not None:
            raise error
        return Done(done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def process() -> Run:
    """Run the command in a process of its own."""

    def run(*words: str) -> Done:
        args = [sys.executable, "-m", "mmsetup", "index", *words]
        done = subprocess.run(args, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return Done(done.returncode, done.stdout, done.stderr)

    return run


def with_torch(folder: Path, version: str, cuda: str) -> Path:
    venv.create(folder, symlinks=True)
    package = folder / "lib" / "python{}.{}".format(*sys.version_info[:2]) / "site-packages" / "torch"
    package.mkdir(parents=True)
    (package / "version.py").write_text(f"__version__ = {version!r}\ncuda = {cuda!r}\n", encoding="utf-8")
    return folder


def test_the_address_alone_on_standard_output(process: Run) -> None:
    done = process("--offline", *PAIR)
    assert (done.returncode, done.stdout) == (0, f"{CU117}\n")
    assert "mmcv-full 1.7.1 for torch 1.13.1 cu117, Python 3.10" in done.stderr
    assert "documented according to the catalogue; the page was not asked" in done.stderr


def test_a_page_that_was_kept_is_told_with_its_age(index: Run, tmp_path: Path) -> None:
    name = "mmcv_full-1.7.2-cp310-cp310-manylinux1_x86_64.whl"
    listing = Listing((IndexFile(name, f"https://files.test/{name}"),))
    PageCache(tmp_path / "cache" / "pages").keep(CU117, KeptPage(listing, time.time() - 7200))
    done = index("--offline", *PAIR)
    assert done.stdout == f"{CU117}\n"
    assert "mmcv-full 1.7.2" in done.stderr
    assert "listed there 120 minutes ago" in done.stderr


def test_a_host_that_is_silent_is_told_and_the_catalogue_answers(index: Run) -> None:
    done = index(*PAIR, "--mirror", "http://127.0.0.1:9")
    assert done.stdout == "http://127.0.0.1:9/mmcv/dist/cu117/torch1.13.0/index.html\n"
    assert "the page did not answer" in done.stderr


def test_all_arguments_for_pip(index: Run) -> None:
    done = index("--offline", "--pip", *PAIR)
    (line,) = done.stdout.splitlines()
    words = line.split()
    assert words[:2] == ["torch==1.13.1", "torchvision==0.14.1"]
    assert words[words.index("--find-links") + 1] == CU117
    assert {"mmcv-full==1.7.1", "mmsegmentation==0.30.0", "numpy<2"} <= set(words)


def test_what_pip_cannot_patch_is_told_and_left_out(index: Run) -> None:
    words = ("--family", "mmcv", "--torch", "2.4", "--platform", "linux-x86_64")
    done = index("--offline", "--pip", *words, "--patch", "mmseg-admits-mmcv22")
    assert "mmcv==2.2.0" in done.stdout
    assert "mmsegmentation" not in done.stdout
    told = (
        "mmsegmentation has to be patched (mmseg-admits-mmcv22), which mmsetup install does and pip does not"
    )
    assert told in done.stderr.splitlines()


def test_one_document_with_every_candidate(index: Run) -> None:
    done = index(
        "--offline",
        "--json",
        "--family",
        "mmcv",
        "--torch",
        "2.1",
        "--gpu",
        "RTX 4090",
        "--driver",
        "550.54.14",
    )
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert told["schema"] == "mmsetup.index/1"
    assert told["url"] == told["candidates"][0]["url"]
    assert {page["url"] for page in told["candidates"]} >= {CU121, f"{PAGES}/cu118/torch2.1.0/index.html"}
    first = told["candidates"][0]
    assert first.keys() == {
        *("url", "source", "torch", "variant", "python", "ops"),
        *("answered", "outcome", "age_seconds", "certainty"),
    }
    assert (first["answered"], first["outcome"], first["certainty"]) == (None, "not asked", "documented")
    assert told["plan"]["family"] == "mmcv"


def test_candidates_say_whether_their_page_answered(index: Run, tmp_path: Path) -> None:
    PageCache(tmp_path / "cache" / "pages").keep(CU117, KeptPage(Listing(()), time.time()))
    told = json.loads(index("--offline", "--json", "--torch", "1.13", "--python", "3.10").stdout)
    assert CU117 not in {page["url"] for page in told["candidates"]}
    told = json.loads(index("--json", *PAIR, "--mirror", "http://127.0.0.1:9").stdout)
    assert told["candidates"][0]["answered"] is False
    assert told["candidates"][0]["outcome"]


def test_the_environment_that_is_asked_about_tells_torch_and_python(index: Run, tmp_path: Path) -> None:
    folder = with_torch(tmp_path / "env", "2.1.2+cu121", "12.1")
    done = index("--offline", "--family", "mmcv", "--env", str(folder))
    here = "{}.{}".format(*sys.version_info[:2])
    assert done.stdout == f"{CU121}\n", done.stderr
    assert f"torch 2.1.2 cu121, Python {here}" in done.stderr
    assert f"for torch 2.1.2+cu121 of {folder}" in done.stderr
    words = index("--offline", "--pip", "--family", "mmcv", "--env", str(folder)).stdout.split()
    assert words[0].startswith("mmcv==")
    assert not any(word.startswith("torch") for word in words)


def test_the_active_environment_counts_where_it_has_torch(index: Run, tmp_path: Path) -> None:
    folder = with_torch(tmp_path / "env", "2.1.2+cu118", "11.8")
    done = index("--offline", "--family", "mmcv", VIRTUAL_ENV=str(folder))
    assert done.stdout == f"{PAGES}/cu118/torch2.1.0/index.html\n", done.stderr
    venv.create(tmp_path / "bare", symlinks=True)
    done = index("--offline", *PAIR, VIRTUAL_ENV=str(tmp_path / "bare"))
    assert done.stdout == f"{CU117}\n"


def test_options_for_another_torch_than_the_environment_s_are_refused(index: Run, tmp_path: Path) -> None:
    folder = with_torch(tmp_path / "env", "2.1.2+cu121", "12.1")
    done = index("--offline", *PAIR, "--env", str(folder))
    assert (done.returncode, done.stdout) == (2, ""), done.stderr


def test_nvidia_s_own_torch_is_refused(index: Run, tmp_path: Path) -> None:
    folder = with_torch(tmp_path / "env", "2.3.0a0+ebedce2", "12.4")
    done = index("--offline", "--env", str(folder))
    assert (done.returncode, done.stdout) == (2, "")
    assert "NVIDIA's own build" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--torch", "2.4", "--cuda", "cu117"), 2, "was never built for cu117"),
        (("--family", "mmcv-ful"), 2, "mmcv-full"),
        (("--gpu", "RTX 4091"), 2, "nearest"),
        (("--python", "3.11", "--with", "mmcv-full==1.4.0"), 3, "fits this machine"),
        (("--python", "2.7"), 13, "2.7"),
        (("--env", "nowhere"), 7, "nowhere"),
        (("--for", "nowhere"), 2, "nowhere"),
    ],
)
def test_what_cannot_be_answered_leaves_standard_output_empty(
    index: Run, words: tuple[str, ...], code: int, told: str
) -> None:
    done = index("--offline", *words)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert told in done.stderr
    assert "try:" in done.stderr


def test_an_error_leaves_standard_output_empty_but_for_its_document(process: Run) -> None:
    done = process("--offline", "--torch", "2.4", "--cuda", "cu117")
    assert (done.returncode, done.stdout) == (2, "")
    assert "try:" in done.stderr
    told = json.loads(process("--offline", "--json", "--torch", "2.4", "--cuda", "cu117").stdout)
    assert (told["error"], told["exit_code"]) == ("RequestError", 2)


def test_the_password_of_a_mirror_is_pip_s_alone(index: Run) -> None:
    mirror = "http://user:secret@127.0.0.1:9"
    done = index("--offline", *PAIR, "--mirror", mirror)
    assert done.stdout.startswith(mirror)
    assert "secret" not in done.stderr
    done = index("--offline", "--json", *PAIR, "--mirror", mirror)
    assert json.loads(done.stdout)["url"] == "http://127.0.0.1:9/mmcv/dist/cu117/torch1.13.0/index.html"
    assert "secret" not in done.stdout


def test_a_project_tells_the_family(index: Run, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("from mmengine.runner import Runner\n")
    done = index("--offline", "--for", str(tmp_path / "train.py"), "--torch", "2.1", "--cuda", "cu121")
    assert done.stdout == f"{CU121}\n", done.stderr
