"""A wheel farm on a static server: wheels that were really built, found by pip, uv, mim and mmsetup itself."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from uv import find_uv_bin

from mmsetup import uv
from mmsetup.catalog.pages import read_pages
from mmsetup.install.via_mim import different_files

pytestmark = pytest.mark.stack

PAIR = "cu117/torch1.13.0"
PAGE = f"mmcv/dist/{PAIR}/index.html"
LABELLED = "1.7.2+pt1.13.1cu117"
OTHER = "1.7.2+pt2.0.1cu118"
JSON = "application/vnd.pypi.simple.v1+json"
OPERATORS = "import torch, mmcv.ops as ops; boxes = torch.tensor([[0., 0, 9, 9], [0, 0, 8, 9]])\n"
OPERATORS += "print(len(ops.nms(boxes, torch.tensor([.9, .8]), .5)[1]))"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class Served:
    """A folder behind an address, and the paths that were asked for; ``types`` is what each answer was called."""

    url: str
    folder: Path
    types: dict[str, str] = field(default_factory=dict)


class Static(SimpleHTTPRequestHandler):
    """A web server that knows files and nothing else."""

    def __init__(self, *args: object, served: Served, **more: object) -> None:
        self._served = served
        super().__init__(*args, **more)

    def guess_type(self, path: str) -> str:
        kind = super().guess_type(path)
        self._served.types[Path(path).name] = kind
        return kind

    def log_message(self, *_: object) -> None:
        pass


class Negotiating(Static):
    """One with the rule that mirrors of indexes have: who accepts JSON gets index.v1_json."""

    def do_GET(self) -> None:
        if self.path.endswith("/") and JSON in self.headers.get("Accept", ""):
            self.path += "index.v1_json"
        super().do_GET()

    def guess_type(self, path: str) -> str:
        super().guess_type(path)
        if path.endswith(".v1_json"):
            self._served.types[Path(path).name] = JSON
        return self._served.types[Path(path).name]


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Serve a folder on loopback."""
    servers = []

    def start(folder: Path, handler: type[Static] = Static) -> Served:
        served = Served("", folder)
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, served=served, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        return served

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def farm(
    ops_wheel: Path, relabelled: Callable, mmsetup: Callable, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Lay out a farm: the wheel that was built in the folder of its pair, and one that names another pair."""
    folder = tmp_path_factory.mktemp("farm") / "a farm"
    for place in (PAIR, "wheels"):
        (folder / place).mkdir(parents=True)
    shutil.copy(ops_wheel, folder / PAIR)
    relabelled(ops_wheel, OTHER, folder / "wheels")
    done = mmsetup("index", "--write", folder, "--json", cwd=folder)
    assert done.code == 0, done.err
    assert {wheel["version"] for wheel in done.document["wheels"]} == {LABELLED, OTHER}
    assert PAGE in done.document["written"]
    return folder


@pytest.fixture(scope="module")
def python(stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a Python of the wheel's version, with pip."""
    folder = tmp_path_factory.mktemp("pip") / "env"
    uv.call(
        ["venv", "--quiet", "--seed", "--python", Path(stack.document["python"]), folder], "make it with pip"
    )
    return folder / "bin" / "python"


@dataclass(frozen=True)
class Downloaded:
    """How pip ended, and where it was to download to."""

    code: int
    err: str
    folder: Path


@pytest.fixture
def download(python: Path, tmp_path: Path) -> Callable[..., Downloaded]:
    """Have pip download."""

    def run(*words: str) -> Downloaded:
        done = subprocess.run(
            [python, "-m", "pip", "--isolated", "download", "--no-deps", "--only-binary", ":all:",
             "--no-cache-dir", "--disable-pip-version-check", "-d", tmp_path / "got", *words],
            capture_output=True, text=True,
        )  # fmt: skip
        return Downloaded(done.returncode, done.stderr, tmp_path / "got")

    return run


@pytest.fixture
def with_uv(python: Path, tmp_path: Path) -> Callable[..., Path]:
    """Have uv install into a folder; give the folder."""

    def run(*words: str) -> Path:
        done = subprocess.run(
            [find_uv_bin(), "pip", "install", "--no-config", "--no-cache", "--no-deps", "--only-binary", ":all:",
             "--python", python, "--target", tmp_path / "site", *words],
            capture_output=True, text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("UV_")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return tmp_path / "site"

    return run


@pytest.fixture
def mirror(serve: Callable[..., Served], farm: Path) -> str:
    """Give the address of the farm on a web server that knows files and nothing else."""
    return serve(farm).url


def only_file(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


@pytest.mark.parametrize("page", [PAGE, "mmcv/dist/cu117/torch1.13/index.html"])
def test_pip_finds_links(page: str, mirror: str, download: Callable, ops_wheel: Path) -> None:
    done = download("--no-index", "-f", f"{mirror}/{page}", "mmcv-full==1.7.2")
    assert done.code == 0, done.err
    assert only_file(done.folder).name == ops_wheel.name
    assert sha256(only_file(done.folder)) == sha256(ops_wheel)


def test_pip_takes_the_index_of_a_pair_for_what_it_is(
    mirror: str, download: Callable, ops_wheel: Path
) -> None:
    # Of all wheels the other would be chosen: its version is the higher one.
    done = download("--index-url", f"{mirror}/cu117-torch1130/simple", "mmcv-full==1.7.2")
    assert done.code == 0, done.err
    assert only_file(done.folder).name == ops_wheel.name


def test_pip_finds_in_the_index_of_all_what_is_named_whole(
    mirror: str, download: Callable, farm: Path
) -> None:
    done = download("--index-url", f"{mirror}/simple", f"mmcv-full=={OTHER}")
    assert done.code == 0, done.err
    assert sha256(only_file(done.folder)) == sha256(only_file(farm / "wheels"))


def test_pip_refuses_a_wheel_that_was_exchanged(
    farm: Path, serve: Callable, download: Callable, tmp_path: Path
) -> None:
    changed = Path(shutil.copytree(farm, tmp_path / "changed"))
    with only_file(changed / PAIR).open("ab") as file:
        file.write(b"\0")
    done = download("--no-index", "-f", f"{serve(changed).url}/{PAGE}", "mmcv-full")
    assert done.code != 0
    assert "DO NOT MATCH THE HASHES" in done.err


@pytest.mark.parametrize(
    "words", [("--no-index", "--find-links", PAGE), ("--index-url", "cu117-torch1130/simple")]
)
def test_uv_installs(words: tuple[str, ...], mirror: str, with_uv: Callable, ops_wheel: Path) -> None:
    *options, page = words
    site = with_uv(*options, f"{mirror}/{page}", "mmcv-full==1.7.2")
    assert different_files(ops_wheel, site) == ()
    assert (site / f"mmcv_full-{LABELLED}.dist-info").is_dir()


def test_uv_finds_in_the_index_of_all_what_is_named_whole(mirror: str, with_uv: Callable) -> None:
    site = with_uv("--index-url", f"{mirror}/simple", f"mmcv-full=={OTHER}")
    assert (site / f"mmcv_full-{OTHER}.dist-info").is_dir()


def test_a_server_that_negotiates_sends_the_json(
    farm: Path, serve: Callable, download: Callable, with_uv: Callable, ops_wheel: Path
) -> None:
    served = serve(farm, Negotiating)
    index = f"{served.url}/cu117-torch1130/simple"
    done = download("--index-url", index, "mmcv-full")
    assert done.code == 0, done.err
    assert sha256(only_file(done.folder)) == sha256(ops_wheel)
    assert different_files(ops_wheel, with_uv("--index-url", index, "mmcv-full")) == ()
    page = read_pages([f"{index}/mmcv-full/"])[f"{index}/mmcv-full/"]
    assert [(file.filename, file.sha256) for file in page.files] == [(ops_wheel.name, sha256(ops_wheel))]
    assert served.types == {"index.v1_json": JSON, ops_wheel.name: "application/octet-stream"}


def test_mim_installs_what_the_mirror_has(
    mirror: str, stack, stack_environment: Path, tmp_path: Path, ops_wheel: Path
) -> None:
    made = tmp_path / "with-mim"
    uv.call(["venv", "--quiet", "--python", Path(stack.document["python"]), made], "make it")
    python = made / "bin" / "python"
    uv.call(["pip", "install", "--quiet", "--python", python, "openmim", "setuptools<81"], "install openmim")
    borrow(stack_environment, made)
    done = subprocess.run(
        [python, "-m", "mim", "install", "mmcv-full==1.7.2", "--no-deps", "--no-index", "--no-cache-dir"],
        capture_output=True,
        text=True,
        env={**os.environ, "MMCV_BASE_URL": mirror, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{mirror}/{PAGE}" in done.stdout
    assert different_files(ops_wheel, site_packages(made)) == ()
    ran = subprocess.run(
        [python, "-B", "-W", "ignore", "-c", OPERATORS], capture_output=True, text=True, cwd=tmp_path
    )
    assert ran.stdout.split() == ["1"], ran.stderr


def test_pip_takes_the_wheel_that_names_its_torch_and_so_do_the_gates(
    stack, stack_environment: Path, tmp_path: Path, ops_wheel: Path
) -> None:
    made = tmp_path / "with-pip"
    uv.call(["venv", "--quiet", "--seed", "--python", Path(stack.document["python"]), made], "make it")
    borrow(stack_environment, made)
    python = made / "bin" / "python"

    def pip(*words: str | Path) -> str:
        command = [python, "-B", "-m", "pip", "--isolated", "--disable-pip-version-check", *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        return done.stdout + done.stderr

    assert f"Successfully installed mmcv-full-{LABELLED}" in pip(
        "install", "--no-deps", "--no-index", ops_wheel
    )
    assert "Requirement already satisfied: mmcv-full==1.7.2" in pip(
        "install", "--no-deps", "--no-index", "mmcv-full==1.7.2"
    )
    # setup.py asks for one edition of opencv, and servers have another.
    complaints = [line for line in pip("check").splitlines() if "opencv-python" not in line]
    assert complaints in ([], ["No broken requirements found."])
    code = "import mmcv, mmseg; print(mmcv.__version__, mmseg.__version__)"
    ran = subprocess.run(
        [python, "-B", "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert ran.stdout.split() == ["1.7.2", "0.30.0"], ran.stderr


def borrow(lender: Path, borrower: Path) -> None:
    """Let an environment use what it lacks of another one, but for the ops."""
    own = {path.name for path in site_packages(borrower).iterdir()}
    names = {name.split("-")[0].lower() for name in own}
    for path in site_packages(lender).iterdir():
        if path.name.split("-")[0].lower() not in names and not path.name.startswith(
            ("mmcv", "_", "distutils")
        ):
            (site_packages(borrower) / path.name).symlink_to(path)


def site_packages(environment: Path) -> Path:
    return next(environment.glob("lib/python3*/site-packages"))


def test_the_plan_takes_the_mirror_at_its_word(
    mirror: str, mmsetup: Callable, tmp_path: Path, ops_wheel: Path
) -> None:
    cache = {"MMSETUP_CACHE_DIR": str(tmp_path / "cache")}
    done = mmsetup("plan", "--mirror", mirror, "--json", cwd=tmp_path, **cache)
    assert done.code == 0, done.err
    plan = done.document
    assert (plan["ops"]["kind"], plan["ops"]["source"]) == ("prebuilt", "openmmlab")
    (ops,) = [choice for choice in plan["choices"] if choice["name"] == "mmcv-full"]
    assert ops["file"]["url"] == f"{mirror}/{PAIR}/{quote(ops_wheel.name)}"
    assert ops["file"]["sha256"] == sha256(ops_wheel)
    found = mmsetup("index", "--mirror", mirror, cwd=tmp_path, **cache)
    assert (found.code, found.out) == (0, f"{mirror}/{PAGE}\n")


def test_what_the_mirror_has_is_installed_and_locked_and_is_the_same_afterwards(
    mirror: str, mmsetup: Callable, tmp_path: Path
) -> None:
    def go(*words: str | Path, folder: Path = tmp_path):
        more = {"MMSETUP_MIRROR": mirror, "MMSETUP_CACHE_DIR": str(tmp_path / "cache")}
        done = mmsetup(*words, "--json", cwd=folder, **more)
        assert done.code == 0, done.err
        return done.document

    first = go("install", "--no-smoke", "--no-build")
    assert (first["status"], first["wheel"]) == ("installed", None)
    assert (site_packages(tmp_path / ".venv") / f"mmcv_full-{LABELLED}.dist-info").is_dir()
    assert go("install", "--no-smoke", "--no-build")["status"] == "unchanged"
    go("lock", "--no-build", "--name", "near")
    for form in ("pylock.near.toml", "requirements.near.txt"):
        there = tmp_path / form.partition(".")[0]
        there.mkdir()
        lock = tmp_path / form
        assert go("install", "--no-smoke", "--lock", lock, folder=there)["status"] == "installed"
        assert go("install", "--no-smoke", "--lock", lock, folder=there)["status"] == "unchanged"
        shutil.rmtree(there)


def test_a_matrix_becomes_a_mirror_although_a_job_fails(
    serve: Callable, mmsetup: Callable, stack, tmp_path: Path, ops_wheel: Path
) -> None:
    plan = stack.document["plan"]
    torch = next(choice["version"] for choice in plan["choices"] if choice["name"] == "torch")
    jobs = tmp_path / "jobs.toml"
    jobs.write_text(
        "[[build]]\n"
        'python = "3.8"\ntorch = "2.8.0"\n'
        "[[build]]\n"
        f'family = "mmcv-full"\npython = "{plan["python"]}"\ntorch = "{torch}"\ncuda = "{plan["variant"]}"\n'
    )
    done = mmsetup("build", "--matrix", jobs, "--output", "wheels", cwd=tmp_path)
    wheel = tmp_path / "wheels" / PAIR / ops_wheel.name
    assert done.code == 1
    assert done.out == f"{wheel.relative_to(tmp_path)}\n"
    assert sha256(wheel) == sha256(ops_wheel)
    assert "1 of 2 builds failed" in done.err
    assert [line.split()[0] for line in done.err.splitlines() if line.startswith(("failed ", "kept "))] == [
        "failed",
        "kept",
    ]
    written = mmsetup("index", "--write", "wheels", cwd=tmp_path)
    assert written.code == 0, written.err
    found = mmsetup(
        "plan", "--no-build", "--mirror", serve(tmp_path / "wheels").url, "--json",
        cwd=tmp_path, MMSETUP_CACHE_DIR=str(tmp_path / "cache"),
    )  # fmt: skip
    assert found.code == 0, found.err
    assert found.document["ops"]["kind"] == "prebuilt"
