"""What Python cannot parse in a project: configurations, named files, and code that is read line by line."""

import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from project_tree import CONFIG, examine, found, furnish, one, write

from mmsetup.doctor.diagnose import doctor
from mmsetup.doctor.project import Project
from mmsetup.doctor.project.checks import CHECKS_OF_PROJECT
from mmsetup.probe import environment as look_at
from mmsetup.probe.host import Host
from mmsetup.probe.interpreters import read
from mmsetup.uv import fetch_interpreter

OPEN = "model = dict(\n"
NESTED = "model = dict(type=f'{dict(a=1)['a']}')\n"
MATCH = "match 3:\n    case _:\n        model = dict(type='EncoderDecoder')\n"
GROUPS = "try:\n    model = dict()\nexcept* ValueError:\n    pass\n"


@pytest.fixture
def told(tmp_path, site, machine, catalog):
    furnish(site)

    def make(files, name="", **more):
        folder = write(tmp_path / "project", files)
        more.setdefault("select", ["MM89"])
        return examine(folder / name, site, machine, catalog, **more)

    return make


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        (OPEN, "1:13", "'(' was never closed"),
        ("data = dict()\nmodel = dict(a=dict(b=1)\nx = 1\n", "2:13", "'(' was never closed"),
        ("model = dict(a=1)\n\0", "2:1", "null bytes"),
        (bytes(range(128, 256)), "1:", "can't decode byte 0x80"),
        ("model = dict(a=1)\nreturn 3\n", "2:1", "'return' outside function"),
        ("model = dict(a=1, a=2)\n", "1:19", "keyword argument repeated: a"),
        ("def f(:\n    pass\n", "1:7", "invalid syntax"),
    ],
)
def test_a_file_that_is_named_has_to_be_python(told, content, place, words):
    finding = one(told({"configs/bad.py": content}, "configs/bad.py"), "MM892")
    assert finding.severity == "error"
    (line,) = finding.evidence
    assert line.startswith(f"bad.py:{place}"), line
    assert words in line
    done = subprocess.run(shlex.split(finding.remedy), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert words in done.stderr


def test_the_command_of_the_remedy_is_quoted(told):
    finding = one(told({"configs/my fcn; ls.py": OPEN}), "MM892")
    assert shlex.split(finding.remedy)[1:3] == ["-m", "py_compile"]
    assert Path(shlex.split(finding.remedy)[3]).read_text() == OPEN


def test_without_an_environment_this_python_judges(tmp_path):
    folder = write(tmp_path / "p", {"t.py": "def f(:\n"})
    finding = one(examine(folder / "t.py", None, None, None, select=["MM892"]), "MM892")
    assert shlex.split(finding.remedy) == [sys.executable, "-m", "py_compile", str(folder / "t.py")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("configs/fcn.py", "x = (\n"),
        ("configs/fcn.py", "x = 1\0"),
        ("work/mine.py", "model = dict(\n"),
        ("mine.py", "data = {\n"),
        ("mine.py", "train_dataloader=dict(a=1\n"),
        ("mine.py", "_base_ = ['a.py'\n"),
    ],
)
def test_what_is_a_configuration_is_an_error_below_a_folder(told, name, content):
    diagnosis = told({name: content, "fine.py": CONFIG})
    assert found(diagnosis) == [("MM892", "error")]
    assert one(diagnosis, "MM892").evidence[0].startswith(f"{name}:1:")


@pytest.mark.parametrize("project", ["configs", "configs/mine"])
def test_a_folder_of_configurations_may_be_the_project(told, project, monkeypatch, tmp_path):
    diagnosis = told({"configs/mine/configs/a.py": "x = (\n", "configs/mine/b.py": "x = 1\n"}, project)
    assert found(diagnosis) == [("MM892", "error")]
    monkeypatch.chdir(tmp_path / "project")
    (tmp_path / "project/configs/mine/configs/a.py").rename("configs/mine/a.py")
    assert found(examine(Path(project), None, None, None, select=["MM89"])) == [("MM892", "error")]


@pytest.mark.parametrize("name", ["", "fcn.py"])
def test_a_base_is_a_configuration_wherever_it_lies(told, name):
    files = {
        "fcn.py": "_base_ = ['parts/a.py']\n",
        "parts/a.py": "_base_ = './b.py'\n",
        "parts/b.py": "x = (\n",
    }
    diagnosis = told(files, name)
    assert found(diagnosis) == [("MM892", "error")]
    (line,) = one(diagnosis, "MM892").evidence
    assert line.startswith("parts/b.py:1:5: SyntaxError: ")
    assert line.endswith("(_base_ in parts/a.py:1)")


def test_bases_that_are_none_are_left_alone(told):
    line = (
        "_base_ = ['fcn.py', '/dev/zero', '.', 'a\\0.py', 'gone.py', 'x.json', 'mmseg::b.py', 3, '{}.py']\n"
    )
    assert found(told({"fcn.py": line.format("x" * 5000)})) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tools/old.py", "print 'x'\n"),
        ("tools/old.py", "data = {}\nprint data\n"),
        ("tools/old.py", "model = dict(a=1)\nfor x in model:\n    print x\n"),
        ("tests/configs/bad.py", OPEN),
        ("configs/{{name}}.py", "{% if x %}\nmodel = dict()\n{% endif %}\n"),
        ("a.py", "def f(:\n"),
    ],
)
def test_other_code_that_does_not_parse_is_a_note(told, name, content):
    diagnosis = told({name: content, "fine.py": CONFIG})
    assert found(diagnosis) == [("MM891", "note")]
    finding = one(diagnosis, "MM891")
    assert name in finding.evidence[0]
    words = shlex.split(finding.remedy)
    assert words[1:3] == ["-m", "py_compile"]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 1


def test_configurations_that_are_python_are_no_finding(told):
    files = {
        "configs/a.py": CONFIG,
        "configs/b.py": "_base_ = './a.py'\nwork_dir = '{{ fileDirname }}'\nx = {{_base_.model}}\n",
        "configs/c.py": "# -*- coding: latin-1 -*-\nname = '\xe9'\n".encode("latin-1"),
        "configs/d.py": b"\xef\xbb\xbfx = 1\n",
        "configs/__init__.py": "",
    }
    assert found(told(files)) == []


def test_what_lies_in_it_is_compiled_and_not_run(told, tmp_path):
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\n"
    files = {
        "configs/a.py": trap,
        "configs/encodings.py": trap,
        "configs/json.py": trap,
        "configs/b.py": OPEN,
    }
    assert found(told(files)) == [("MM892", "error")]
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def told_beside(tmp_path, site, machine, catalog):
    """Examine one configuration beside an environment of another Python."""

    def make(text, **changes):
        described = look_at(site.prefix)
        there = replace(described, interpreter=replace(described.interpreter, **changes))
        folder = write(tmp_path / "p", {"configs/a.py": text})
        return doctor(there, machine, catalog, project=Project(folder), select=["MM89"])

    return make


def _other(minor: int) -> dict:
    every, _ = read(Host())
    fitting = [one for one in every if one.minor == f"3.{minor}"]
    chosen = fitting[0] if fitting else look_at(fetch_interpreter(f"3.{minor}")).interpreter
    return {"path": chosen.path, "version": chosen.version}


@pytest.mark.parametrize(
    ("minor", "text", "is_error"),
    [
        (8, MATCH, True),
        (10, MATCH, False),
        (10, GROUPS, True),
        (11, GROUPS, False),
        (11, NESTED, True),
        (12, NESTED, False),
        (13, NESTED, False),
        (13, OPEN, True),
        (8, OPEN, True),
    ],
)
def test_the_python_of_the_environment_judges(told_beside, minor, text, is_error):
    diagnosis = told_beside(text, **_other(minor))
    assert (("MM892", "error") in found(diagnosis)) == is_error
    if is_error:
        assert one(diagnosis, "MM892").message.startswith(f"Python 3.{minor}.")


@pytest.mark.parametrize(
    ("version", "expected"), [("3.99.0", ("MM891", "note")), ("3.7.0", ("MM892", "error"))]
)
def test_a_newer_python_that_does_not_start_is_not_judged_by_an_older(
    told_beside, tmp_path, version, expected
):
    assert found(told_beside(OPEN, path=tmp_path / "gone", version=version)) == [expected]


def test_each_check_alone_says_what_it_says_in_company(tmp_path, site, machine, catalog):
    furnish(site)
    files = {
        "configs/a.py": CONFIG.replace("'FCNHead'", "'FCNHaed'").replace("data_root='data'", "data_root='d'"),
        "configs/b.py": "_base_ = ['./a.py', './gone.py']\nload_from = 'w/a.pth'\ncustom_imports = dict(imports=['no.x'])\n",
        "configs/bad.py": OPEN,
        "classes.py": CONFIG.replace("num_classes=3", "num_classes=2").replace("FCNHead", "OwnHead"),
        "own.py": "@MODELS.register_module()\nclass OwnHead: ...\n",
        "data/images/1.jpg": "",
        "old.py": "import mmengine\nimport numpy as np\nprint 'x'\nx = np.int(1)\n",
        "quiet.py": "print 'nothing of the stack'\n",
        "train.py": "import mmengine\nimport numpy as np\nimport mmpose\nx = np.int(1)\n",
        "bin.py": b"\0",
        "Dockerfile": "FROM pytorch/pytorch:latest\nRUN pip install mmcv-full\n",
    }
    folder = write(tmp_path / "p", files)
    together = examine(folder, site, machine, catalog).findings
    assert {"MM801", "MM803", "MM811", "MM813", "MM841", "MM844", "MM852", "MM862", "MM891", "MM892"} <= {
        one.id for one in together
    }
    for check in CHECKS_OF_PROJECT:
        alone = examine(folder, site, machine, catalog, select=[check.check.id]).findings
        assert alone == tuple(one for one in together if one.id == check.check.id), check.check.id


def test_the_part_to_look_at_is_a_folder_of_the_project(tmp_path):
    folder = write(tmp_path / "my p", {f"many/{number}.py": "" for number in range(5001)} | {"a/b.py": ""})
    finding = one(examine(folder, None, None, None, select=["MM891"]), "MM891")
    assert shlex.split(finding.remedy, comments=True) == [
        "mmsetup",
        "doctor",
        "--project",
        str(folder / "many"),
    ]
