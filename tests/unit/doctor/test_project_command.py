"""``mmsetup doctor --project``: with an environment, without one, and whatever lies at the path."""

import json
import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import typer
from project_tree import CONFIG, furnish, write
from typer.testing import CliRunner

from mmsetup.cli import doctor, explain
from mmsetup.doctor.project import Project
from mmsetup.doctor.project.checks import CHECKS_OF_PROJECT
from mmsetup.doctor.project.tables import tables
from mmsetup.errors import CheckFailedError, RequestError, TargetError

DOCS = Path(__file__).parents[3] / "docs" / "doctor.md"
DOCKERFILE = "FROM pytorch/pytorch:latest\nRUN pip install mmcv-full\n"


@pytest.fixture
def command(monkeypatch):
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    app = typer.Typer()
    app.command("doctor")(doctor.command)
    app.command("explain")(explain.command)
    return lambda *words: CliRunner().invoke(app, list(map(str, words)))


def ids(done) -> list[str]:
    return [finding["id"] for finding in json.loads(done.stdout)["findings"]]


def test_without_an_environment_what_needs_none_runs(command, tmp_path):
    write(tmp_path / "p", {"Dockerfile": DOCKERFILE, "train.py": "import mmcv.runner\n"})
    done = command("doctor", "--project", tmp_path / "p", "--json")
    document = json.loads(done.stdout)
    assert done.exit_code == 0
    assert ids(done) == ["MM862", "MM863"]
    assert document["project"] == document["prefix"] == str(tmp_path / "p")
    assert document["python"] == ""
    assert document["checked"] == [one.check.id for one in CHECKS_OF_PROJECT if not one.needs_environment]
    assert command("doctor", "--project", tmp_path / "p", "--strict", "--json").exit_code == 1


def test_it_says_that_there_was_no_environment(command, tmp_path):
    done = command("doctor", "--project", write(tmp_path / "p", {"a.sh": "true\n"}))
    assert done.exit_code == 0, done.exception
    assert done.stdout.startswith(f"the project {tmp_path / 'p'}, without an environment")


def test_with_an_environment_both_are_examined(command, tmp_path, site):
    furnish(site)
    site.extension.unlink()
    write(tmp_path / "p", {"a.py": CONFIG.replace("'FCNHead'", "'FCNHaed'")})
    done = command("doctor", "--project", tmp_path / "p", "--env", site.prefix, "--json", "--ignore", "MM841")
    assert {"MM201", "MM811"} <= set(ids(done))
    assert done.exit_code == 1
    alone = command("doctor", "--project", tmp_path / "p", "--env", site.prefix, "--json", "--select", "MM8")
    assert {one[:3] for one in json.loads(alone.stdout)["checked"]} == {"MM8"}


def test_without_the_option_no_check_of_projects_runs(command, site):
    checked = json.loads(command("doctor", "--env", site.prefix, "--json").stdout)["checked"]
    assert not [one for one in checked if one.startswith("MM8")]


def test_the_environment_in_the_project_is_its_own(command, tmp_path, site, monkeypatch):
    folder = write(tmp_path / "p", {"a.py": "x = 1\n"})
    site.prefix.rename(folder / ".venv")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path))
    document = json.loads(command("doctor", "--project", folder, "--json").stdout)
    assert document["prefix"] == str(folder / ".venv")


def test_an_environment_that_is_named_has_to_be_one(command, tmp_path):
    folder = write(tmp_path / "p", {"a.py": "x = 1\n"})
    assert isinstance(command("doctor", "--project", folder, "--env", tmp_path / "no").exception, TargetError)


@pytest.mark.parametrize("name", ["nowhere", "/dev/null", "x" * 300])
def test_nothing_at_the_path(command, tmp_path, name):
    done = command("doctor", "--project", tmp_path / name)
    assert isinstance(done.exception, RequestError)
    assert "doctor --project" in done.exception.remedy


@pytest.mark.parametrize("other", ["--fix", "--fleet"])
def test_it_does_not_go_with_everything(command, tmp_path, other):
    assert isinstance(command("doctor", "--project", tmp_path, other).exception, RequestError)


def test_deep_needs_an_environment(command, tmp_path):
    assert isinstance(command("doctor", "--project", tmp_path, "--deep").exception, TargetError)


def test_an_empty_folder_has_nothing_to_read(command, tmp_path):
    (tmp_path / "p").mkdir()
    done = command("doctor", "--project", tmp_path / "p", "--json")
    assert done.exit_code == 0
    assert ids(done) == ["MM891"]


def test_a_file_is_examined_alone(command, tmp_path, site):
    furnish(site)
    write(tmp_path / "p", {"a.py": CONFIG.replace("'FCNHead'", "'FCNHaed'"), "b.py": "import mmdet\n"})
    done = command(
        "doctor", "--project", tmp_path / "p" / "a.py", "--env", site.prefix, "--json", "--select", "MM8"
    )
    assert [one for one in ids(done) if one != "MM841"] == ["MM811"]


def test_whatever_lies_in_it(command, tmp_path, site):
    furnish(site)
    folder = write(
        tmp_path / "p",
        {
            "broken.py": "import mmcv\ndef (:\n",
            "two.py": "import mmcv\nprint 'x'\n",
            "binary.py": b"import mmcv\0\xff\xfe" * 50,
            "deep.py": "import mmcv\nmodel = " + "[" * 3000 + "]" * 3000 + "\n",
            "wide.py": "import mmcv\nmodel = 1" + "+1" * 20_000 + "\n",
            "latin.py": "import mmcv\nname = 'é'\n".encode("latin-1"),
            "notebook.ipynb": "{not json",
            "other.ipynb": json.dumps({"cells": [{"cell_type": "code", "source": 3}, None]}),
            "a.json": "[" * 100_000,
            "config.py": "_base_ = 3\nmodel = dict(type=7)\ndata = dict(train=[[[]]], val=3)\n",
            "looped.py": "_base_ = ['looped.py', '/dev/zero', '.']\nmodel = dict()\n",
            "Dockerfile": b"FROM \xff\nRUN pip install 'mmcv\n",
            "x.sh": "python -m torch.distributed.launch '\n",
        },
    )
    (folder / "loop").symlink_to(folder)
    (folder / "gone.py").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.py")
    done = command(
        "doctor", "--project", folder, "--env", site.prefix, "--json", "--offline", "--select", "MM8,MM001"
    )
    assert "MM001" not in ids(done), done.stdout
    assert "MM891" in ids(done)


def test_data_of_any_shape(command, tmp_path, site):
    furnish(site)
    values = [
        "3",
        "None",
        "[]",
        "['a', 3]",
        "dict(a=1)",
        "'a\\0b'",
        "'s3://bucket/x'",
        "'~nobody/x'",
        "'/'",
        "x",
    ]
    files = {
        f"c{number}.py": f"model = dict(type='EncoderDecoder', decode_head=dict(num_classes=3))\n"
        f"data = dict(train=dict(type='Leaves', data_root={root}, img_dir={value}, ann_dir={value}, split={value}))\n"
        f"load_from = {value}\n"
        for number, (root, value) in enumerate((root, value) for root in values for value in values[:-2])
    }
    done = command(
        "doctor",
        "--project",
        write(tmp_path / "p", files),
        "--env",
        site.prefix,
        "--json",
        "--offline",
        "--select",
        "MM8,MM001",
    )
    assert "MM001" not in ids(done), done.stdout


def test_more_than_is_read_is_told(command, tmp_path):
    folder = tmp_path / "p"
    (folder / "many").mkdir(parents=True)
    for number in range(12_000):
        (folder / "many" / f"{number}.py").touch()
    done = command("doctor", "--project", folder, "--json")
    assert ids(done) == ["MM891"]
    assert "7000 files beyond the limit" in json.loads(done.stdout)["findings"][0]["evidence"][0]


def test_other_forms_of_the_report(command, tmp_path):
    folder = write(tmp_path / "p", {"Dockerfile": DOCKERFILE})
    done = command("doctor", "--project", folder, "--markdown", "--junit", tmp_path / "j.xml")
    assert "MM863" in done.stdout
    assert "| project |" in done.stdout
    names = [case.get("name") for case in ET.parse(tmp_path / "j.xml").iter("testcase")]
    assert any(name.startswith("MM861 ") for name in names)


@pytest.mark.parametrize("form", ["--strict", "--markdown"])
def test_nothing_in_a_project_steers_a_terminal(command, tmp_path, form):
    line = "FROM pytorch/pytorch:latest \x1b]0;title\x07\x1b[2J\x9b31m"
    config = "model = dict(type='X', pretrained='\x1b[2Ja.pth')\n"
    folder = write(tmp_path / "p", {"Dockerfile": line, "a.py": config})
    done = command("doctor", "--project", folder, form)
    assert "MM863" in done.stdout
    assert "MM852" in done.stdout
    assert [one for one in done.stdout if not one.isprintable() and one not in "\n\N{ZERO WIDTH SPACE}"] == []


def test_nothing_of_the_project_is_run(command, tmp_path, site):
    furnish(site)
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    files = {
        "a.py": trap + CONFIG,
        "setup.py": trap,
        "conftest.py": trap,
        "sitecustomize.py": trap,
        "mmcv/__init__.py": trap,
    }
    command("doctor", "--project", write(tmp_path / "p", files), "--env", site.prefix)
    assert not (tmp_path / "ran").exists()


def test_a_check_of_a_project_that_raises_is_a_finding(command, tmp_path, monkeypatch):
    monkeypatch.setattr(Project, "dockerfiles", property(lambda _: 1 / 0))
    done = command("doctor", "--project", write(tmp_path / "p", {"a.py": "x = 1\n"}), "--json")
    assert set(ids(done)) == {"MM001"}
    assert done.exit_code == 0


def test_errors_of_a_project_end_with_1(command, tmp_path, site):
    furnish(site)
    write(tmp_path / "p", {"a.py": CONFIG.replace("'FCNHead'", "'FCNHaed'")})
    done = command("doctor", "--project", tmp_path / "p", "--env", site.prefix, "--offline")
    assert isinstance(done.exception, CheckFailedError)
    assert "error MM811  FCNHaed is in no registry" in done.stdout


def test_each_check_is_explained_and_documented(command):
    text = DOCS.read_text(encoding="utf-8")
    for one in CHECKS_OF_PROJECT:
        done = command("explain", one.check.id)
        assert one.check.title in done.stdout
        assert f"| `{one.check.id}` |" in text
        assert re.fullmatch(r"MM8\d\d", one.check.id)


def test_the_tables_hold_each_name_once():
    known = tables().known
    for key in ("keys", "used_1", "used_2"):
        assert len(known["config"][key]) == len(set(known["config"][key]))
    assert {release.family for release in tables().releases} == {"mmcv-full", "mmcv"}
    assert all(len(release.names) > 50 for release in tables().releases)
    for name, generation in tables().moved:
        own = [one for one in tables().releases if name in one.names]
        of = {"mmcv-full": 1, "mmcv": 2}
        assert generation in {of[one.family] for one in own} or not own, name


def test_a_file_that_closes_nothing_is_read_to_its_end(command, tmp_path, site):
    furnish(site)
    text = "import mmcv\n" + "from mmcv import (x, X.register_module(" * 20_000
    done = command(
        "doctor",
        "--project",
        write(tmp_path / "p", {"a.py": text, "c.py": CONFIG}),
        "--env",
        site.prefix,
        "--json",
        "--offline",
    )
    assert "MM001" not in ids(done)


OWN = """
custom_imports = dict(imports=['mydata'], allow_failed_imports=False)
_base_ = ['../base.py']
model = dict(decode_head=dict(num_classes=3))
data = dict(train=dict(type='Petals'))
load_from = 'weights/a.pth'
"""
AROUND = {
    "base.py": CONFIG,
    "configs/fcn.py": OWN,
    "mydata/__init__.py": "from .petals import Petals\n",
    "mydata/petals.py": "@DATASETS.register_module()\nclass Petals(CustomDataset):\n    CLASSES = ('a', 'b', 'c')\n",
    "broken/other.py": "import mmengine\nfrom mmdet.apis import x\n",
    "data/images/1.jpg": b"",
    "data/masks/1.png": b"",
    "weights/a.pth": b"x",
}


@pytest.mark.parametrize("way", ["configs/fcn.py", "{}/p/configs/fcn.py", "{}/link/configs/fcn.py"])
def test_a_file_below_the_current_folder_is_seen_from_there(command, tmp_path, site, monkeypatch, way):
    furnish(site)
    mending = "from mmseg.apis import train_segmentor\nrevert_sync_batchnorm(0)\ntrain_segmentor(0)\n"
    (site.packages / "mmseg/.mim/tools/train.py").write_text("")
    monkeypatch.chdir(write(tmp_path / "p", {**AROUND, "tools/train.py": mending}))
    (tmp_path / "link").symlink_to("p")
    words = ("--env", site.prefix, "--json", "--select", "MM8")
    done = command("doctor", "--project", way.format(tmp_path), *words)
    assert ids(done) == [], done.stdout


def test_what_is_wrong_in_a_file_is_told_by_its_path_from_there(command, tmp_path, site, monkeypatch):
    furnish(site)
    files = {**AROUND, "configs/fcn.py": OWN.replace("'mydata'", "'mydota'").replace("weights/", "w/")}
    monkeypatch.chdir(write(tmp_path / "p", files))
    words = ("--env", site.prefix, "--json", "--select", "MM803,MM852")
    done = command("doctor", "--project", "configs/fcn.py", *words)
    assert ids(done) == ["MM803", "MM852"]
    evidence = [finding["evidence"] for finding in json.loads(done.stdout)["findings"]]
    assert evidence[0] == ["configs/fcn.py:2: custom_imports mydota"]
    assert evidence[1] == ["configs/fcn.py:6: w/a.pth"]


def test_a_file_elsewhere_is_seen_from_its_folder(command, tmp_path, site, monkeypatch):
    furnish(site)
    folder = write(tmp_path / "p", AROUND)
    monkeypatch.chdir(write(tmp_path / "elsewhere", {"mydata/__init__.py": ""}))
    words = ("--env", site.prefix, "--json", "--select", "MM803,MM841")
    assert ids(command("doctor", "--project", folder / "configs" / "fcn.py", *words)) == ["MM803", "MM841"]
    config = (folder / "configs" / "fcn.py").rename(folder / "fcn.py")
    config.write_text(OWN.replace("../base.py", "base.py"))
    assert ids(command("doctor", "--project", config, *words)) == []
