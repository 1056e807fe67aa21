"""The prebuilt way, walked for real: a server on this machine plays the OpenMMLab index with a wheel that was really built."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import socket
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from packaging.pylock import Pylock
from werkzeug import Request, Response

from mmsetup.lock import read

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer

pytestmark = pytest.mark.stack

PAIR = "/mmcv/dist/cu117/torch1.13.0"
WHEEL = "mmcv_full-1.7.2-cp310-cp310-manylinux1_x86_64.whl"
MODULE = "_ext.cpython-310-x86_64-linux-gnu.so"
KERNEL = "__global__ void twice(float *x) { x[threadIdx.x] *= 2; }\n"
AMPERE = {"MMSETUP_OVERRIDE_GPU_ARCHITECTURES": "sm_86", "MMSETUP_OVERRIDE_DRIVER": "535.104.05"}


class Index:
    """A find-links index of flat pages: ``offer`` puts a wheel beside its page, ``page`` sets any page."""

    def __init__(self, server: HTTPServer) -> None:
        self._server = server
        self.base = server.url_for("").rstrip("/")
        self._files: dict[str, Path] = {}

    def offer(self, wheel: Path, *, name: str = WHEEL, fragment: str = "", pair: str = PAIR) -> str:
        self._files[f"{pair}/{name}"] = wheel
        self._server.expect_request(f"{pair}/{name}").respond_with_handler(self._send)
        folder = pair.rpartition("/")[2]
        self.page(f'<a href="../{folder}/{quote(name)}{fragment}">{name}</a><br>', pair=pair)
        return f"{self.base}{pair}/{name}"

    def page(self, html: str, status: int = 200, *, pair: str = PAIR) -> None:
        answer = self._server.expect_request(f"{pair}/index.html")
        answer.respond_with_data(html, status=status, content_type="text/html")

    def withdraw(self) -> None:
        self._server.clear()

    def _send(self, request: Request) -> Response:
        return Response(self._files[request.path].read_bytes(), content_type="application/octet-stream")


@pytest.fixture(scope="module")
def ops_wheel(ops_wheel: Path, relabelled: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the ops as OpenMMLab names them."""
    folder = tmp_path_factory.mktemp("offered")
    return relabelled(ops_wheel, "1.7.2", folder, tags=WHEEL.split("-", 2)[2].removesuffix(".whl"))


@pytest.fixture
def index(httpserver: HTTPServer) -> Index:
    httpserver.no_handler_status_code = 404
    return Index(httpserver)


@pytest.fixture
def go(mmsetup: Callable, index: Index, tmp_path: Path) -> Callable:
    """Run mmsetup with that index as the mirror, and with a cache of its own."""
    work = tmp_path / "work"
    work.mkdir()

    def run(*args: str | Path, mirror: str = index.base, **env: str):
        env = {"MMSETUP_CACHE_DIR": str(tmp_path / "cache"), **env}
        return mmsetup(*args, cwd=work, MMSETUP_MIRROR=mirror, timeout=300, **env)

    return run


@pytest.fixture
def built_before(stack) -> dict[str, str]:
    """Give the variables with which a build finds in the cache what the session built."""
    return {"MMSETUP_CACHE_DIR": str(Path(stack.document["wheel"]["path"]).parents[2])}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def made_wheel(folder: Path, extension: Path | None = None) -> Path:
    """Make a whole wheel of the right name and version, with an extension as its operators or without any."""
    files = {
        "mmcv/__init__.py": b"__version__ = '1.7.2'\n",
        "mmcv_full-1.7.2.dist-info/METADATA": b"Metadata-Version: 2.1\nName: mmcv-full\nVersion: 1.7.2\n",
        "mmcv_full-1.7.2.dist-info/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: cp310-cp310-linux_x86_64\n"
        ),
    }
    if extension is not None:
        files[f"mmcv/{MODULE}"] = extension.read_bytes()
    record = "mmcv_full-1.7.2.dist-info/RECORD"
    lines = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}")
    wheel = folder / WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(record, "\n".join([*lines, f"{record},,"]) + "\n")
    return wheel


def without_ops(folder: Path) -> Path:
    return made_wheel(folder)


def for_hopper(folder: Path) -> Path:
    """Make a wheel whose operators hold machine code for ``sm_90`` and nothing else, by nvcc itself."""
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    if not Path(nvcc).exists():
        pytest.skip("there is no nvcc")
    code = folder / "ext.cu"
    code.write_text('extern "C" void *PyInit__ext() { return nullptr; }\n' + KERNEL)
    command = [nvcc, "-shared", "-cudart", "none", "-Xcompiler", "-fPIC"]
    command += ["-gencode", "arch=compute_90,code=sm_90", code, "-o", folder / MODULE]
    subprocess.run(command, check=True)
    return made_wheel(folder, folder / MODULE)


def for_another_cuda(folder: Path) -> Path:
    """Make a wheel whose operators need the runtime of CUDA 12."""
    for name, source in (("runtime", "int cuda(void) { return 0; }"), ("ext", "int PyInit__ext;")):
        (folder / f"{name}.c").write_text(source)
    runtime = folder / "libcudart.so.12"
    making = ["gcc", "-shared", "-fPIC", "-Wl,--no-as-needed"]
    subprocess.run([*making, folder / "runtime.c", "-Wl,-soname,libcudart.so.12", "-o", runtime], check=True)
    subprocess.run([*making, folder / "ext.c", runtime, "-o", folder / MODULE], check=True)
    return made_wheel(folder, folder / MODULE)


def assert_nothing_is_left(work: Path) -> None:
    assert list(work.iterdir()) == []
    assert not list(work.parent.glob("cache/**/*.part"))


def test_the_plan_names_the_wheel_that_the_page_lists(go: Callable, index: Index, ops_wheel: Path) -> None:
    url = index.offer(ops_wheel)
    plan = go("plan", "--json").document
    assert (plan["ops"]["kind"], plan["ops"]["source"]) == ("prebuilt", "openmmlab")
    assert plan["ops"]["page"] == f"{index.base}{PAIR}/index.html"
    ops = next(choice for choice in plan["choices"] if choice["name"] == "mmcv-full")
    assert (ops["file"]["filename"], ops["file"]["url"], ops["file"]["sha256"]) == (WHEEL, url, "")
    assert ops["reason"] == "a wheel for cu117 and torch 1.13.0"
    assert (plan["python"], plan["variant"]) == ("3.10", "cu117")
    answered = {report["url"]: report["outcome"] for report in plan["sources"] if report["answered"]}
    assert answered[f"{index.base}{PAIR}/index.html"] == "1 file listed"


def test_the_lock_pins_it_by_address_and_hash_in_both_forms(
    go: Callable, index: Index, ops_wheel: Path, work: Path
) -> None:
    url = index.offer(ops_wheel, fragment=f"#sha256={sha256(ops_wheel)}")
    done = go("lock", "--name", "near", "--json")
    assert done.code == 0, done.err
    first, second = (work / name for name in ("pylock.near.toml", "requirements.near.txt"))
    lock = read(first)
    assert lock.build is None
    (file,) = lock.package("mmcv-full").files
    assert (file.url, file.sha256) == (url, sha256(ops_wheel))
    assert lock.digest == read(second).digest == done.document["digest"]
    assert f"mmcv-full @ {url} \\\n    --hash=sha256:{sha256(ops_wheel)}" in second.read_text()
    pylock = Pylock.from_dict(_toml(first))
    (archived,) = [package for package in pylock.packages if package.archive]
    assert archived.name == "mmcv-full"


def test_the_wheel_is_installed_and_its_operators_run(
    go: Callable, index: Index, ops_wheel: Path, work: Path
) -> None:
    index.offer(ops_wheel)
    done = go("install", "--no-smoke", "--json")
    assert done.code == 0, done.err
    code = "import torch, mmcv.ops as ops; boxes = torch.tensor([[0., 0, 9, 9], [0, 0, 8, 9]])\n"
    code += "print(len(ops.nms(boxes, torch.tensor([.9, .8]), .5)[1]))"
    python = work / ".venv" / "bin" / "python"
    ran = subprocess.run([python, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["1"]
    manifest = json.loads((work / ".venv" / ".mmsetup" / "manifest.json").read_text())
    assert manifest["ops"]["origin"] == "prebuilt"
    assert sha256(ops_wheel) in manifest["file_hashes"]["mmcv-full"]
    assert done.document["wheel"] is None
    assert sorted(path.name for path in work.iterdir()) == [".venv"]


def test_a_file_that_is_not_what_its_page_promises_is_not_locked(
    go: Callable, index: Index, ops_wheel: Path, work: Path
) -> None:
    index.offer(ops_wheel, fragment=f"#sha256={'0' * 64}")
    done = go("lock")
    assert done.code == 9
    assert "is not what its page promises" in done.err
    assert sha256(ops_wheel) in done.err
    assert_nothing_is_left(work)


def test_a_truncated_wheel_is_not_locked(
    go: Callable, index: Index, ops_wheel: Path, work: Path, tmp_path: Path
) -> None:
    short = tmp_path / "short.whl"
    short.write_bytes(ops_wheel.read_bytes()[: ops_wheel.stat().st_size // 2])
    index.offer(short)
    done = go("install", "--no-smoke")
    assert done.code == 9
    assert "is damaged" in done.err
    assert_nothing_is_left(work)


def test_a_wheel_without_operators_is_not_installed(
    go: Callable, index: Index, work: Path, tmp_path: Path
) -> None:
    index.offer(without_ops(tmp_path))
    done = go("install", "--no-smoke")
    assert done.code == 9
    assert "holds no compiled ops" in done.err
    assert_nothing_is_left(work)


@pytest.mark.parametrize("bytes_left", [0, 40, 3000])
def test_a_wheel_whose_operators_are_cut_short_is_not_installed(
    go: Callable, index: Index, work: Path, tmp_path: Path, bytes_left: int
) -> None:
    for_another_cuda(tmp_path)
    (tmp_path / MODULE).write_bytes((tmp_path / MODULE).read_bytes()[:bytes_left])
    index.offer(made_wheel(tmp_path, tmp_path / MODULE))
    done = go("install", "--no-smoke")
    assert done.code == 9, done.err
    assert "Traceback" not in done.err
    assert done.err.rpartition("try:")[2].strip()
    assert_nothing_is_left(work)


def test_a_wheel_without_code_for_the_gpu_is_not_installed(
    go: Callable, index: Index, work: Path, tmp_path: Path
) -> None:
    index.offer(for_hopper(tmp_path))
    asked = ("--python", "3.10", "--torch", "1.13.1", "--cuda", "cu117", "--gpu", "sm_86")
    plan = go("plan", *asked, "--json").document
    assert plan["ops"]["kind"] == "prebuilt"
    done = go("install", "--no-smoke", "--no-build", *asked)
    assert done.code == 9, done.err
    assert f"{WHEEL} does not run here: it holds no code for sm_86" in done.err
    assert f"mmcv/{MODULE}: sm_90" in done.err
    assert_nothing_is_left(work)


def test_the_command_that_is_named_for_a_wheel_that_does_not_run_installs(
    go: Callable, index: Index, built_before: dict[str, str], work: Path, tmp_path: Path
) -> None:
    index.offer(for_another_cuda(tmp_path))
    done = go("install", "--no-smoke", "--no-build", "--torch", "1.13", **built_before)
    assert done.code == 9, done.err
    assert "without --no-build this fits" in done.err
    assert_nothing_is_left(work)
    remedy = done.err.rpartition("try:")[2].split()
    assert remedy[:2] == ["mmsetup", "install"]
    again = go(*remedy[1:], "--no-smoke", "--json", **built_before)
    assert again.code == 0, again.err
    assert again.document["wheel"]["from_cache"]


def test_code_for_the_gpu_of_the_machine_is_asked_of_a_lock_as_well(
    go: Callable, index: Index, work: Path, tmp_path: Path
) -> None:
    index.offer(for_hopper(tmp_path))
    pins = tmp_path / "locks" / "requirements.near.txt"
    locked = go("lock", "--output", pins.parent, "--name", "near")
    assert locked.code == 0, locked.err
    (work / ".venv").mkdir()
    done = go("install", "--no-smoke", "--lock", pins, **AMPERE)
    assert done.code == 9, done.err
    assert "does not run here: it holds no code for override (sm_86)" in done.err
    assert done.err.rstrip().endswith("mmsetup install")
    assert list((work / ".venv").iterdir()) == []
    fitting = go("install", "--no-smoke", "--lock", pins, MMSETUP_OVERRIDE_GPU_ARCHITECTURES="sm_90")
    assert "does not run here" in fitting.err


def test_a_wheel_for_another_cuda_is_passed_over_and_the_ops_are_built(
    go: Callable, index: Index, built_before: dict[str, str], work: Path, tmp_path: Path
) -> None:
    index.offer(for_another_cuda(tmp_path))
    done = go("install", "--no-smoke", "--json", **built_before)
    assert done.code == 0, done.err
    told = "does not run here: it needs libcudart.so.12, and torch 1.13.1 cu117 brings libcudart.so.11.0"
    assert told in done.err
    plan = done.document["plan"]
    assert plan["ops"]["kind"] == "built"
    (passed_over,) = [one for one in plan["rejections"] if "passed over" in one["reason"]]
    assert told in passed_over["reason"]
    manifest = json.loads((work / ".venv" / ".mmsetup" / "manifest.json").read_text())
    assert manifest["ops"]["origin"] == "built"
    again = go("install", "--no-smoke", "--json", **built_before)
    assert again.document["status"] == "unchanged"


@pytest.mark.parametrize("options", [(), ("--no-build",)], ids=["build", "no build"])
def test_no_more_than_three_wheels_that_do_not_run_are_fetched(
    go: Callable, index: Index, built_before: dict[str, str], work: Path, options: tuple[str, ...]
) -> None:
    strange = for_another_cuda(work.parent)
    for pair in ("cu117/torch1.13.0", "cu117/torch2.0.0", "cu102/torch1.12.0", "cu102/torch1.11.0"):
        index.offer(strange, pair=f"/mmcv/dist/{pair}")
    done = go("install", "--no-smoke", "--json", "--python", "3.10", *options, **built_before)
    assert done.err.count("and looking inside") == 3
    if options:
        assert done.code == 9, done.err
        assert done.err.rstrip().endswith("--no-prebuilt --mirror openmmlab=" + index.base)
        assert_nothing_is_left(work)
    else:
        assert done.code == 0, done.err
        assert done.document["plan"]["ops"]["kind"] == "built"


def test_a_wheel_that_changed_after_it_was_locked_is_not_installed(
    go: Callable, index: Index, ops_wheel: Path, work: Path, tmp_path: Path
) -> None:
    served = Path(shutil.copy(ops_wheel, tmp_path / "served.whl"))
    index.offer(served)
    locked = go("lock", "--output", tmp_path / "locks", "--name", "near")
    assert locked.code == 0, locked.err
    shutil.copy(without_ops(tmp_path), served)
    done = go("install", "--no-smoke", "--lock", tmp_path / "locks" / "requirements.near.txt")
    assert done.code == 9
    assert "is not what was promised" in done.err
    assert_nothing_is_left(work)


def test_a_wheel_that_is_gone_after_it_was_locked_is_said(
    go: Callable, index: Index, ops_wheel: Path, work: Path, tmp_path: Path
) -> None:
    index.offer(ops_wheel)
    assert go("lock", "--output", tmp_path / "locks", "--name", "near").code == 0
    index.withdraw()
    done = go("install", "--no-smoke", "--lock", tmp_path / "locks" / "pylock.near.toml")
    assert done.code == 4
    assert WHEEL in done.err
    assert_nothing_is_left(work)


@pytest.mark.parametrize(
    ("html", "words"),
    [
        (
            "".join(
                f'<a href="{href}">x</a>'
                for href in (
                    f"file:///etc/{WHEEL}",
                    "../../../../etc/passwd",
                    f"javascript:fetch('{WHEEL}')",
                    quote(f"../{WHEEL}", safe=""),
                )
            ),
            "no files",
        ),
        ('<a href="mmcv_full-1.7.2-cp36-cp36m-manylinux1_x86_64.whl">other Python</a>', "1 file listed"),
        ('<a href="mmcv_full-1.7.2-cp310-cp310-win_amd64.whl">other system</a>', "1 file listed"),
    ],
    ids=["hostile", "other Python", "other system"],
)
def test_a_page_without_a_fitting_wheel_leads_to_a_build(
    go: Callable, index: Index, html: str, words: str
) -> None:
    index.page(html)
    plan = go("plan", "--python", "3.10", "--json").document
    assert plan["ops"]["kind"] == "built"
    report = next(report for report in plan["sources"] if report["url"].endswith(f"{PAIR}/index.html"))
    assert words in report["outcome"]
    assert report["follows"] == "mmcv-full is built from source"


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<h1>Welcome to the hotel</h1><a href='/login'>log in</a>", "no wheel index"),
        ("\0\xff<<a href=<a href='mmcv_full-1.7.2", "no text"),
    ],
    ids=["hotel", "noise"],
)
def test_a_mirror_that_is_none_ends_the_plan(go: Callable, index: Index, html: str, words: str) -> None:
    index.page(html)
    done = go("plan", "--python", "3.10")
    assert (done.code, done.out) == (4, "")
    assert "the mirror of openmmlab is none" in done.err
    assert words in done.err


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_page_that_is_refused_leads_to_a_build(go: Callable, index: Index, status: int) -> None:
    index.page("no", status)
    plan = go("plan", "--json").document
    assert plan["ops"]["kind"] == "built"
    report = next(report for report in plan["sources"] if report["url"].endswith(f"{PAIR}/index.html"))
    assert report["outcome"].startswith(f"HTTP {status} ")
    assert report["answered"] == (status == 404)


@pytest.fixture
def silent() -> Iterator[str]:
    """Give the address of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_hangs_costs_two_seconds_and_leads_to_a_build(go: Callable, silent: str) -> None:
    plan = go("plan", "--json", mirror=silent).document
    assert plan["ops"]["kind"] == "built"
    hung = [report for report in plan["sources"] if report["url"].startswith(silent)]
    assert max(report["seconds"] for report in hung) < 2.5
    assert {report["outcome"] for report in hung} <= {"no answer within 2 s", "no answer in time"}
    assert all(report["seconds"] <= 2.1 for report in hung)


def test_without_a_build_a_silent_index_is_named(go: Callable, silent: str) -> None:
    done = go("plan", "--no-build", mirror=silent)
    assert done.code == 3
    assert f"{silent.removeprefix('http://')} did not answer" in done.err
    assert done.err.rstrip().endswith(f"mmsetup plan --build --mirror openmmlab={silent}")


def _toml(path: Path) -> dict:
    try:
        import tomllib
    except ModuleNotFoundError:
        import tomli as tomllib
    return tomllib.loads(path.read_text(encoding="utf-8"))
