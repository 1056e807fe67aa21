"""mim's way, walked for real: openmim from the registry drives pip in the environment that is being made."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from mmsetup import uv
from mmsetup.errors import ProcessError
from mmsetup.install.openmim import company
from mmsetup.install.via_mim import Errand, different_files, install_by_mim
from mmsetup.lock import Lock, LockedFile, LockedPackage
from mmsetup.probe import environment as described
from mmsetup.probe import probe
from mmsetup.progress import Silent

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer

pytestmark = pytest.mark.stack

PAIR = "/mmcv/dist/cu117/torch1.13.0"
OFFERED = "mmcv_full-1.7.2-cp310-cp310-manylinux1_x86_64.whl"
LABELLED = "1.7.2+pt1.13.1cu117"
OPERATORS = "import torch, mmcv.ops as ops, mmseg; boxes = torch.tensor([[0., 0, 9, 9], [0, 0, 8, 9]])\n"
OPERATORS += "print(len(ops.nms(boxes, torch.tensor([.9, .8]), .5)[1]))"


def site_packages(environment: Path) -> Path:
    return next(environment.glob("lib/python3*/site-packages"))


def distributions(environment: Path) -> dict[str, str]:
    folders = site_packages(environment).glob("*.dist-info")
    pairs = [folder.name.removesuffix(".dist-info").split("-", 1) for folder in folders]
    return {name.lower().replace("_", "-"): version for name, version in pairs}


def manifest(environment: Path) -> dict:
    return json.loads((environment / ".mmsetup" / "manifest.json").read_text())


def said_by(python: Path, code: str) -> str:
    done = subprocess.run([python, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def made(mmsetup: Callable, stack, tmp_path_factory: pytest.TempPathFactory):
    """Have mim install the ops that were built from source."""
    folder = tmp_path_factory.mktemp("mim")
    done = mmsetup("install", "--via", "mim", "--yes", "--no-smoke", "--json", cwd=folder)
    assert done.code == 0, done.err
    return done


@pytest.fixture(scope="module")
def environment(made) -> Path:
    return Path(made.document["environment"])


def test_what_was_built_is_what_mim_installed(made, environment: Path, ops_wheel: Path) -> None:
    packages, installed = made.document["packages"], made.document["mim"]["installed"]
    names = ("mmcv-full", "mmcls", "mmsegmentation")
    assert installed == [f"{name}=={packages[name]}" for name in names]
    assert different_files(ops_wheel, site_packages(environment)) == ()
    here = {**packages, "mmcv-full": LABELLED}
    for name in names:
        folder = site_packages(environment) / f"{name.replace('-', '_')}-{here[name]}.dist-info"
        assert (folder / "INSTALLER").read_text().strip() == "pip", "uv writes its own name there"
    assert said_by(environment / "bin" / "python", OPERATORS) == "1"


def test_what_openmim_would_change_is_told_and_does_not_happen(made, environment: Path, stack) -> None:
    mim = made.document["mim"]
    rows = {row["package"]: row for row in mim["changes"]}
    assert {rows[name]["kind"] for name in ("requests", "setuptools", "packaging")} == {"kept"}
    assert rows["setuptools"]["alone"] == "60.2.0"
    assert rows["openmim"]["kind"] == "new"
    assert (mim["put_back"], mim["fault"]) == ([], "")
    packages = {**stack.document["packages"], **mim["packages"], "mmcv-full": LABELLED}
    assert distributions(environment) == packages
    assert "stays as locked" in made.err
    assert said_by(environment / "bin" / "python", "import mim; print(mim.install.__name__)") == "install"


def test_the_scripts_work_and_nothing_names_the_folder_it_was_made_in(environment: Path) -> None:
    listed = subprocess.run([environment / "bin" / "mim", "list"], capture_output=True, text=True, check=True)
    assert "mmcv-full" in listed.stdout
    scripts = [path for path in (environment / "bin").iterdir() if not path.is_symlink()]
    assert not any(b".venv.mmsetup" in path.read_bytes() for path in scripts)
    assert [path.name for path in environment.parent.iterdir()] == [".venv"]


def test_a_second_run_does_nothing_and_asks_nothing(made, mmsetup: Callable, environment: Path) -> None:
    again = mmsetup("install", "--via", "mim", "--no-smoke", "--json", cwd=environment.parent)
    assert again.code == 0, again.err
    assert again.document["status"] == "unchanged"


def test_where_mim_fails_the_environment_stays(
    made, mmsetup: Callable, environment: Path, httpserver: HTTPServer, tmp_path: Path
) -> None:
    code = "def install(words):\n    print('no licence for', words[1].rpartition('/')[2])\n    return 3\n"
    broken = wheel(tmp_path, "openmim", "0.3.9", {"mim/__init__.py": code})
    digest = hashlib.sha256(broken.read_bytes()).hexdigest()
    page = f'<a href="/files/{broken.name}#sha256={digest}">{broken.name}</a>'
    httpserver.expect_request(re.compile("/simple/(?!openmim/).*")).respond_with_data("", status=404)
    httpserver.expect_request("/simple/openmim/").respond_with_data(page, content_type="text/html")
    httpserver.expect_request(f"/files/{broken.name}").respond_with_data(broken.read_bytes())
    before = manifest(environment)
    pins = environment / ".mmsetup" / "requirements.txt"
    done = mmsetup(
        "install", "--via", "mim", "--yes", "--no-smoke", "--reinstall", "--lock", pins,
        cwd=environment.parent, UV_INDEX=httpserver.url_for("/simple"),
    )  # fmt: skip
    assert done.code == 14, done.err
    assert "mim could not install mmcv-full; nothing was changed" in done.err
    assert "no licence for mmcv-full.txt" in done.err
    assert manifest(environment) == before
    assert [path.name for path in environment.parent.iterdir()] == [".venv"]


def test_a_lock_is_installed_by_mim_without_a_network(
    made, mmsetup: Callable, environment: Path, tmp_path: Path
) -> None:
    pins = environment / ".mmsetup" / "requirements.txt"
    args = ("install", "--via", "mim", "--yes", "--no-smoke", "--offline", "--json", "--lock", pins)
    done = mmsetup(*args, cwd=tmp_path)
    assert done.code == 0, done.err
    assert distributions(tmp_path / ".venv") == distributions(environment)
    # From mim to uv is a change: what openmim brought goes.
    args = ("install", "--no-smoke", "--offline", "--json", "--lock", pins)
    done = mmsetup(*args, cwd=tmp_path)
    assert (done.code, done.document["status"], done.document["mim"]) == (0, "installed", None), done.err
    assert "openmim" not in distributions(tmp_path / ".venv")


@pytest.fixture
def offered(ops_wheel: Path, relabelled: Callable, tmp_path: Path) -> Path:
    """Give the ops as OpenMMLab names them."""
    return relabelled(ops_wheel, "1.7.2", tmp_path, tags="cp310-cp310-manylinux1_x86_64")


@pytest.fixture
def go(mmsetup: Callable, httpserver: HTTPServer, offered: Path, tmp_path: Path) -> Callable:
    """Run mmsetup with an index in OpenMMLab's layout that offers the ops prebuilt, and with a cache of its own."""
    httpserver.expect_request(f"{PAIR}/index.html").respond_with_data(
        f'<a href="../torch1.13.0/{OFFERED}">{OFFERED}</a><br>', content_type="text/html"
    )
    httpserver.expect_request(f"{PAIR}/{OFFERED}").respond_with_data(
        offered.read_bytes(), content_type="application/octet-stream"
    )
    (tmp_path / "work").mkdir()

    def run(*args: str):
        return mmsetup(
            "install", "--via", "mim", "--no-smoke", *args,
            cwd=tmp_path / "work",
            MMSETUP_MIRROR=httpserver.url_for("").rstrip("/"),
            MMSETUP_CACHE_DIR=str(tmp_path / "cache"),
        )  # fmt: skip

    return run


def test_the_wheel_of_the_page_that_the_plan_chose_is_what_mim_installs(
    go: Callable, tmp_path: Path, offered: Path
) -> None:
    done = go("--yes", "--no-build", "--json")
    assert done.code == 0, done.err
    environment = tmp_path / "work" / ".venv"
    assert f"/{done.document['mim']['page']}" == f"{PAIR}/index.html"
    assert done.document["plan"]["ops"]["kind"] == "prebuilt"
    assert different_files(offered, site_packages(environment)) == ()
    assert said_by(environment / "bin" / "python", OPERATORS) == "1"
    recorded = manifest(environment)
    assert recorded["ops"]["origin"] == "prebuilt"
    assert recorded["mim"]["openmim"] == distributions(environment)["openmim"]
    assert hashlib.sha256(offered.read_bytes()).hexdigest() in recorded["file_hashes"]["mmcv-full"]


def test_without_a_terminal_the_changes_are_shown_and_nothing_is_done(go: Callable, tmp_path: Path) -> None:
    done = go("--no-build")
    assert done.code == 12
    assert "openmim alone" in done.err
    assert "mmsetup install --via mim --no-smoke --no-build --yes" in done.err
    assert list((tmp_path / "work").iterdir()) == []


def wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> Path:
    """Make a small pure wheel."""
    info = f"{name}-{version}.dist-info"
    contents = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, text in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text)}")
    place = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(place, "w") as archive:
        for path, text in {**contents, f"{info}/RECORD": "\n".join([*lines, f"{info}/RECORD,,"])}.items():
            archive.writestr(path, text)
    return place


def pinned(name: str, version: str, *digests: str) -> LockedPackage:
    return LockedPackage(name, version, tuple(LockedFile("", digest) for digest in digests))


@pytest.fixture
def small(tmp_path: Path):
    """Lay out an environment with a stub of torch and a lock, for a Python for which openmim's own pins are too old."""
    here = [
        found
        for found in probe().interpreters
        if found.implementation == "cpython"
        and not found.free_threaded
        and Version("3.12") <= Version(found.minor) < Version("3.14")
    ]
    python = here[0] if here else described(uv.fetch_interpreter("3.12")).interpreter
    torch = "class version:\n    cuda = '12.1'\n__version__ = '2.2.2+cu121'\n"
    uv.call(["venv", "--quiet", "--relocatable", "--python", python.path, tmp_path / "new"], "make it")
    site = site_packages(tmp_path / "new")
    (site / "torch").mkdir()
    (site / "torch" / "__init__.py").write_text(torch)
    ops = wheel(tmp_path, "mmcv_full", "1.7.2", {"mmcv/__init__.py": "found = True\n"})
    (tmp_path / "in").write_text("setuptools>=82\n")
    uv.call(["pip", "compile", "--quiet", "--generate-hashes", "--python", python.path, tmp_path / "in",
             "-o", tmp_path / "pins"], "pin setuptools")  # fmt: skip
    uv.call(["pip", "install", "--quiet", "--python", tmp_path / "new" / "bin" / "python", "-r",
             tmp_path / "pins"], "install setuptools")  # fmt: skip
    words = (tmp_path / "pins").read_text().split()
    version = next(word.partition("==")[2] for word in words if word.startswith("setuptools=="))
    digests = [word.partition("sha256:")[2] for word in words if "sha256:" in word]
    packages = (
        pinned("mmcv-full", "1.7.2", hashlib.sha256(ops.read_bytes()).hexdigest()),
        pinned("setuptools", version, *digests),
        pinned("torch", "2.2.2", "00" * 32),
    )
    (site / "torch-2.2.2.dist-info").mkdir()
    return Lock("small", "mmcv-full", python.minor, "linux-x86_64", "cu121", packages, None, ""), ops, python


def test_setuptools_gives_way_for_as_long_as_mim_works(small, tmp_path: Path) -> None:
    lock, ops, python = small
    found = company(lock, python.path, ())
    (row,) = [row for row in found.changes if row.package == "setuptools"]
    assert (row.kind, row.locked) == ("changed", lock.package("setuptools").version)
    assert [limit.requirement.startswith("setuptools>=66") for limit in row.breaks] == [True]
    new = tmp_path / "new"
    run = install_by_mim(
        Errand(lock, {"mmcv-full": ops}, found), new, new / "bin" / "python", tmp_path / "there", Silent()
    )
    assert run.put_back == (f"setuptools {row.used} → {row.locked}",)
    assert distributions(new)["setuptools"] == row.locked
    assert "pkg_resources" in run.fault
    assert "setuptools" not in run.packages
    assert run.page == "mmcv/dist/cu121/torch2.2.0/index.html"
    assert said_by(new / "bin" / "python", "import mmcv; print(mmcv.found)") == "True"


def test_a_wheel_that_is_none_for_this_python_is_no_reason_to_build(small, tmp_path: Path) -> None:
    lock, ops, python = small
    other = ops.rename(ops.with_name("mmcv_full-1.7.2-cp36-cp36m-manylinux1_x86_64.whl"))
    found = company(lock, python.path, ())
    new = tmp_path / "new"
    with pytest.raises(ProcessError, match="mim could not install mmcv-full") as caught:
        install_by_mim(
            Errand(lock, {"mmcv-full": other}, found), new, new / "bin" / "python", tmp_path, Silent()
        )
    assert any("No matching distribution found for mmcv-full" in line for line in caught.value.evidence)
