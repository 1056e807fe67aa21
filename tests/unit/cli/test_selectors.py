"""The options that say what to choose: which of option, variable and project's table wins, and what is refused."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from mmsetup.catalog import Catalog, load
from mmsetup.cli import build as build_command
from mmsetup.cli import index, install, lock, plan
from mmsetup.cli.arguments import Json, Selectors, wishes
from mmsetup.errors import NoPlanError, RequestError
from mmsetup.inputs import given_lock
from mmsetup.plan import Request
from mmsetup.probe.machine import Cpu, Disk, Libc, Machine, Memory, OperatingSystem

KEPT = Path(__file__).parents[3] / "lockfiles" / "requirements.mmcv-full-py310.txt"
MACHINE = Machine(
    os=OperatingSystem("linux", "Debian GNU/Linux 12", "6.1"),
    libc=Libc("glibc", "2.36"),
    cpu=Cpu("x86_64", "a processor", 2, 2),
    memory=Memory(1, 1),
    disk=Disk(Path("/"), 1),
    container=None,
    driver=None,
    gpus=(),
    toolkits=(),
    compilers=(),
    interpreters=(),
)
TABLE = """
[tool.mmsetup]
family = "mmcv"
python = "3.9"
torch = "2.0"
cuda = "cu118"
with = ["mmdet"]
source = ["openmmlab"]
gpu = ["RTX 3090"]
driver = "470.82.01"
glibc = "2.31"
platform = "linux-x86_64"
build = false
prebuilt = true
patch = ["mmseg-admits-mmcv22"]
patches = false
mirror = "https://table.test/main"

[tool.mmsetup.mirrors]
onedl = "https://table.test/onedl"
pytorch = "https://table.test/torch"
"""
CHECKPOINTS = "load-whole-checkpoints-mmengine"
VARIABLES = {
    "openmmlab": ("MMSETUP_MIRROR", "MMCV_BASE_URL"),
    "onedl": ("MMSETUP_ONEDL_MIRROR",),
    "miropsota": ("MMSETUP_MIROPSOTA_MIRROR",),
    "pytorch": ("MMSETUP_TORCH_MIRROR",),
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty project, with no variable set that says anything."""
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MMSETUP_OVERRIDE_PYTHON", raising=False)
    for name in (name for names in VARIABLES.values() for name in names):
        monkeypatch.delenv(name, raising=False)
    return folder


def test_nothing_said_is_a_request_of_nothing(catalog: Catalog) -> None:
    assert Selectors().request(catalog) == Request()
    assert Selectors().machine(MACHINE, catalog) is MACHINE


def test_every_wish_reaches_the_request(catalog: Catalog) -> None:
    chosen = Selectors(
        family="mmcv",
        wanted=["mmdet==3.3.0"],
        without=["mmsegmentation"],
        python="3.10",
        torch="2.1",
        cuda="cu121",
        build=False,
        prebuilt=True,
        source=["openmmlab"],
        mirror=["onedl=https://one.test"],
        offline=True,
        cuda_compat=True,
        ptx=True,
        patch=["mmdet-admits-mmcv22", "mmseg-admits-mmcv22"],
        patches=False,
    )
    assert chosen.request(catalog, trusts_catalog=True) == Request(
        family="mmcv",
        wanted=("mmdet==3.3.0",),
        without=("mmsegmentation",),
        python="3.10",
        torch="2.1",
        cuda="cu121",
        may_build=False,
        sources=("openmmlab",),
        mirrors={"onedl": "https://one.test"},
        offline=True,
        forward_compatibility=True,
        with_ptx=True,
        may_patch=False,
        patches=("mmdet-admits-mmcv22", "mmseg-admits-mmcv22"),
        trusts_catalog=True,
    )


def test_the_table_of_the_project_says_what_no_option_does(catalog: Catalog, project: Path) -> None:
    (project / "pyproject.toml").write_text(TABLE)
    assert Selectors().request(catalog) == Request(
        family="mmcv",
        python="3.9",
        torch="2.0",
        cuda="cu118",
        wanted=("mmdet",),
        sources=("openmmlab",),
        may_build=False,
        may_patch=False,
        patches=("mmseg-admits-mmcv22",),
        mirrors={
            "openmmlab": "https://table.test/main",
            "onedl": "https://table.test/onedl",
            "pytorch": "https://table.test/torch",
        },
    )
    machine = Selectors().machine(MACHINE, catalog)
    assert [gpu.architecture for gpu in machine.gpus] == ["sm_86"]
    assert machine.driver is not None
    assert machine.driver.version == "470.82.01"
    assert machine.libc == Libc("glibc", "2.31")


@pytest.mark.parametrize("python", ["", "3.8"])
def test_what_a_project_wishes_for_leaves_a_lockfile_its_room(
    catalog: Catalog, project: Path, monkeypatch: pytest.MonkeyPatch, python: str
) -> None:
    (project / "pyproject.toml").write_text(TABLE)
    monkeypatch.setenv("MMSETUP_OVERRIDE_PYTHON", python)
    request, machine, _ = Selectors().resolved(catalog, MACHINE, beside_lock=True)
    assert request == Request(mirrors=Selectors().request(catalog).mirrors)
    assert "openmmlab" in request.mirrors
    assert machine is MACHINE
    assert given_lock(KEPT, request, catalog) is not None
    wished = Selectors(torch="2.0").request(catalog, beside_lock=True)
    with pytest.raises(RequestError, match="no room"):
        given_lock(KEPT, wished, catalog)


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({"family": "onedl"}, "family", "onedl"),
        ({"python": "3.12"}, "python", "3.12"),
        ({"torch": "2.8"}, "torch", "2.8"),
        ({"cuda": "cpu"}, "cuda", "cpu"),
        ({"wanted": ["mmpretrain"]}, "wanted", ("mmpretrain",)),
        ({"source": ["miropsota"]}, "sources", ("miropsota",)),
        ({"build": True}, "may_build", True),
        ({"prebuilt": False}, "may_use_prebuilt", False),
        ({"patch": ["mmdet-admits-mmcv22"]}, "patches", ("mmdet-admits-mmcv22",)),
        ({"patches": True}, "may_patch", True),
    ],
)
def test_an_option_wins_over_the_table(
    catalog: Catalog, project: Path, options: dict[str, Any], field: str, value: object
) -> None:
    (project / "pyproject.toml").write_text(TABLE)
    made = Selectors(**options).request(catalog)
    assert getattr(made, field) == value
    assert replace(made, **{field: getattr(Selectors().request(catalog), field)}) == Selectors().request(
        catalog
    )


def test_an_option_about_the_machine_wins_over_the_table(catalog: Catalog, project: Path) -> None:
    (project / "pyproject.toml").write_text(TABLE)
    machine = Selectors(gpu=["none"], driver="580.95.05", glibc="2.39").machine(MACHINE, catalog)
    assert (machine.gpus, machine.libc) == ((), Libc("glibc", "2.39"))
    assert machine.driver is not None
    assert machine.driver.version == "580.95.05"


def test_the_python_of_a_variable_stands_between_option_and_table(
    catalog: Catalog, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text(TABLE)
    monkeypatch.setenv("MMSETUP_OVERRIDE_PYTHON", "3.8")
    assert Selectors().request(catalog).python == "3.8"
    assert Selectors(python="3.10").request(catalog).python == "3.10"


# Mirrors ------------------------------------------------------------------------------------------------------


def test_every_source_has_a_variable_for_its_mirror(catalog: Catalog) -> None:
    assert {source.name: source.mirror_variables for source in catalog.sources} == VARIABLES


@pytest.mark.parametrize(
    ("source", "name"), [(source, name) for source, names in VARIABLES.items() for name in names]
)
def test_a_variable_names_a_mirror(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, source: str, name: str
) -> None:
    monkeypatch.setenv(name, "https://variable.test")
    assert Selectors().request(catalog).mirrors == {source: "https://variable.test"}


@pytest.mark.parametrize(
    ("texts", "mirrors"),
    [
        (["https://m.test"], {"openmmlab": "https://m.test"}),
        (["openmmlab=https://m.test"], {"openmmlab": "https://m.test"}),
        (["onedl=https://m.test/x"], {"onedl": "https://m.test/x"}),
        (["pytorch=http://m.test"], {"pytorch": "http://m.test"}),
        (["https://m.test/?key=1"], {"openmmlab": "https://m.test/?key=1"}),
        (
            ["https://a.test", "onedl=https://b.test"],
            {"openmmlab": "https://a.test", "onedl": "https://b.test"},
        ),
        (["https://a.test", "https://b.test"], {"openmmlab": "https://b.test"}),
    ],
)
def test_an_option_names_a_mirror(catalog: Catalog, texts: list[str], mirrors: dict[str, str]) -> None:
    assert Selectors(mirror=texts).request(catalog).mirrors == mirrors


def test_an_option_wins_over_a_variable_and_that_over_the_table(
    catalog: Catalog, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "pyproject.toml").write_text(TABLE)
    monkeypatch.setenv("MMSETUP_MIRROR", "https://variable.test/main")
    monkeypatch.setenv("MMCV_BASE_URL", "https://variable.test/old")
    monkeypatch.setenv("MMSETUP_ONEDL_MIRROR", "https://variable.test/onedl")
    made = Selectors(mirror=["onedl=https://option.test"]).request(catalog)
    assert made.mirrors == {
        "openmmlab": "https://variable.test/main",
        "onedl": "https://option.test",
        "pytorch": "https://table.test/torch",
    }


def test_the_mirror_that_a_table_names_for_the_source_itself(catalog: Catalog, project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.mmsetup.mirrors]\nopenmmlab = "https://table.test"\n')
    assert Selectors().request(catalog).mirrors == {"openmmlab": "https://table.test"}


@pytest.mark.parametrize("text", ["opnmmlab=https://m.test", "=https://m.test"])
def test_a_mirror_of_a_source_that_nobody_knows_is_refused(catalog: Catalog, text: str) -> None:
    with pytest.raises(RequestError) as caught:
        Selectors(mirror=[text]).request(catalog)
    assert "known: openmmlab, onedl, miropsota, pytorch" in str(caught.value)
    assert caught.value.remedy == "mmsetup plan --mirror openmmlab=https://HOST/FOLDER"


def test_a_source_of_the_table_that_nobody_knows_is_refused(catalog: Catalog, project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.mmsetup.mirrors]\nopnmmlab = "https://table.test"\n')
    with pytest.raises(RequestError, match="opnmmlab"):
        Selectors().request(catalog)


# Projects -----------------------------------------------------------------------------------------------------


def test_a_project_is_read_into_the_request(catalog: Catalog, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "train.py").write_text("from mmengine.runner import Runner\nimport mmdet\n")
    (code / "requirements.txt").write_text("torch==2.1.2\nmmcv==2.1.0\n")
    request, machine, answer = Selectors(project=code).resolved(catalog, MACHINE)
    assert (request.family, request.torch) == ("mmcv", "2.1.2")
    assert set(request.wanted) == {"mmdet", "mmcv==2.1.0"}
    assert machine is MACHINE
    assert answer is not None
    assert set(answer.kept) == {"torch==2.1.2", "mmcv==2.1.0"}
    named, _, _ = Selectors(project=code, family="onedl").resolved(catalog, MACHINE)
    assert named.family == "onedl"


def test_without_a_project_there_is_no_answer_about_one(catalog: Catalog) -> None:
    assert Selectors().resolved(catalog, MACHINE) == (Request(), MACHINE, None)


# The decorator ------------------------------------------------------------------------------------------------

COMMANDS: dict[str, Callable[..., object]] = {
    "install": install.command,
    "plan": plan.command,
    "lock": lock.command,
    "build": build_command.command,
    "index": index.command,
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_plans_takes_all_selectors(name: str) -> None:
    parameters = inspect.signature(COMMANDS[name]).parameters
    assert {one.name for one in fields(Selectors)} <= parameters.keys()
    assert "selectors" not in parameters


def test_a_command_gets_its_selectors_and_its_own_options() -> None:
    told: list[object] = []

    @wishes
    def command(selectors: Selectors, json: Json = False) -> None:
        """Say something."""
        told.extend((selectors, json))

    app = typer.Typer()
    app.command()(command)
    words = [
        "--family",
        "mmcv",
        "--with",
        "a",
        "--with",
        "b",
        "--no-build",
        "--patch",
        "c",
        "--patch",
        "d",
        "--no-patches",
        "--gpu",
        "H100",
        "--json",
        "--for",
        "x",
    ]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert told == [
        Selectors(
            family="mmcv",
            wanted=["a", "b"],
            build=False,
            patch=["c", "d"],
            patches=False,
            gpu=["H100"],
            project=Path("x"),
        ),
        True,
    ]
    assert command.__doc__ == "Say something."


def test_an_option_that_is_not_given_says_nothing() -> None:
    told: list[Selectors] = []

    @wishes
    def command(selectors: Selectors) -> None:
        told.append(selectors)

    app = typer.Typer()
    app.command()(command)
    assert CliRunner().invoke(app, [], catch_exceptions=False).exit_code == 0
    assert told[0].request(load()) == Request()


def test_every_option_has_its_help() -> None:
    app = typer.Typer()
    app.command()(plan.command)
    done = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    for option in (
        *(
            "--for",
            "--family",
            "--with",
            "--without",
            "--python",
            "--torch",
            "--cuda",
            "--build",
            "--no-build",
        ),
        *("--prebuilt", "--no-prebuilt", "--source", "--mirror", "--offline", "--ptx"),
        *("--patch", "--patches", "--no-patches"),
        *("--gpu", "--driver", "--cuda-compat", "--glibc", "--platform"),
    ):
        assert f"{option} " in done.output


# Whole commands -----------------------------------------------------------------------------------------------


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run ``mmsetup plan --json --offline`` in this process; give its document."""
    monkeypatch.setenv("MMSETUP_CACHE_DIR", str(tmp_path / "cache"))

    def run(*words: str) -> dict[str, Any]:
        app = typer.Typer()
        app.command()(plan.command)
        done = CliRunner().invoke(app, ["--json", "--offline", *words], catch_exceptions=False)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


def test_offline_a_plan_is_answered_from_the_catalogue(told: Callable[..., dict[str, Any]]) -> None:
    words = (
        "--gpu",
        "RTX 3090",
        "--driver",
        "535.104.05",
        "--python",
        "3.10",
        "--glibc",
        "2.31",
        "--no-build",
    )
    made = told(*words)
    assert made["schema"] == "mmsetup.plan/2"
    assert (made["family"], made["variant"]) == ("mmcv-full", "cu118")
    assert made["ops"]["page"] == "https://download.openmmlab.com/mmcv/dist/cu118/torch2.0.0/index.html"
    assert made["unconfirmed"] == ["mmcv-full", "torch", "torchvision"]
    assert made["project"] is None
    assert {"pretended: --gpu 'RTX 3090'", "pretended: --glibc 2.31"} <= set(made["notes"])


def test_the_document_of_a_plan_names_its_patches(told: Callable[..., dict[str, Any]]) -> None:
    made = told("--family", "mmcv", "--torch", "2.8", "--no-prebuilt", "--patch", CHECKPOINTS)
    (patch,) = made["patches"]
    assert (patch["name"], patch["package"]) == (CHECKPOINTS, "mmengine")
    assert len(patch["sha256"]) == 64
    assert patch["changes"]
    assert patch["reason"]
    assert patch["evidence"].startswith("https://")


def test_a_table_can_forbid_patches_and_an_option_allow_them_again(
    told: Callable[..., dict[str, Any]], project: Path
) -> None:
    words = ("--python", "3.13", "--no-prebuilt")
    assert [patch["package"] for patch in told(*words)["patches"]] == ["mmcv-full"] * 4
    (project / "pyproject.toml").write_text("[tool.mmsetup]\npatches = false\n")
    with pytest.raises(NoPlanError, match=r"with Python 3\.13"):
        told(*words)
    assert len(told(*words, "--patches")["patches"]) == 4


def test_offline_a_lock_of_what_only_the_catalogue_says_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    from mmsetup.errors import NetworkError
    from mmsetup.lock import lock as locked
    from mmsetup.plan.choose import plan as choose
    from mmsetup.probe.machine import Interpreter

    here = Interpreter(Path("/python"), "3.10.13", "cpython", "linux-x86_64", "PATH", True, Path("/"))
    request = Selectors(python="3.10", build=False, offline=True).request(catalog, trusts_catalog=True)
    made = choose(replace(MACHINE, interpreters=(here,)), catalog, request, ask=lambda _: {})
    family = catalog.family(made.family)
    assert family is not None
    with pytest.raises(NetworkError, match="the files of mmcv-full") as caught:
        locked(made, family, name="x", offline=True)
    assert caught.value.exit_code == 4
    assert caught.value.remedy == "mmsetup lock  # without --offline"
    assert list(tmp_path.glob("*.txt")) == []
