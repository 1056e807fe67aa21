"""Configurations read without running them, held against what Python itself makes of the same lines."""

import ast
from pathlib import Path

import pytest

from mmsetup.project.evaluate import evaluated
from mmsetup.project.inherit import Configs
from mmsetup.project.values import UNKNOWN, Value


def plain(value: Value):
    if value.fields or value.held == {}:
        return {key: plain(inner) for key, inner in value.fields.items()}
    if isinstance(value.held, tuple):
        return [plain(inner) for inner in value.held]
    return value.held


def of(text: str, base: dict | None = None) -> dict:
    found = evaluated(ast.parse(text), "a.py", base or {})
    assert found is not None
    return {name: plain(value) for name, value in found.items()}


@pytest.mark.parametrize(
    "text",
    [
        "a = 1\nb = -a\nc = [a, b] + [3]\nd = c[0]\ne = a * 3 + 2\nf = 7 // 2\ng = 'x' + 'y'",
        "a = dict(x=1, y=dict(z='t'))\nb = {'k': a, 3: 4}\nc = a['y']['z']\n",
        "a = [0] * 3\nb, c = 1, 2\n[d, e] = [3, 4]\n",
        "x = 5\na = f'v{x}-{x}'\nb = dict(**dict(q=1), r=2)\n",
        "a = dict(x=dict(y=1))\na['x']['y'] = 2\na['z'] = 3\n",
        "a = [1]\na += [2]\nn: int = 4\n",
        "a = None\nb = True\nc = 1.5\nd = ()\n",
    ],
)
def test_it_gives_what_python_gives(text):
    names = {}
    exec(text, names)  # the lines above, as Python understands them
    names.pop("__builtins__")

    def listed(value):
        if isinstance(value, dict):
            return {str(key): listed(inner) for key, inner in value.items()}
        return [listed(inner) for inner in value] if isinstance(value, (list, tuple)) else value

    told = of(text)
    assert {name: listed(value) for name, value in names.items() if name != "__annotations__"} == told


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("import os\na = os.environ['X']", "a"),
        ("a = [n for n in range(3)]", "a"),
        ("a = dict(x=1)\na.update(x=2)", "a"),
        ("a = dict(x=1)\nfor k in a:\n    a[k] = 2", "a"),
        ("if True:\n    a = 1", "a"),
        ("a = 1\ndel a", "a"),
        ("a = b", "a"),
        ("a = 1 / 0", "a"),
        ("a = '{{ $HOME }}'", "a"),
        ("a = [1]\na.append(2)", "a"),
    ],
)
def test_what_only_running_tells_is_unknown(text, name):
    assert of(text)[name] is UNKNOWN


def test_a_base_that_is_changed_is_no_longer_known(tmp_path: Path):
    (tmp_path / "base.py").write_text("model = dict(head=dict(n=80))\nx = 1\nother = dict(a=1)\n")
    (tmp_path / "a.py").write_text(
        "_base_ = 'base.py'\ndetector = _base_.model\ndetector.head.update(n=1)\ndel _base_.other\nmodel = dict(d=2)\n"
    )
    config = Configs(tmp_path, lambda _: None).read(tmp_path / "a.py")
    assert config is not None
    assert plain(config.values["model"]) == {"d": 2}
    assert "other" not in config.values
    assert plain(config.values["x"]) == 1


def test_each_value_has_the_line_where_it_can_be_changed(tmp_path: Path):
    (tmp_path / "base.py").write_text("model = dict(\n    a=1,\n    b=dict(c=2))\n")
    (tmp_path / "a.py").write_text("_base_ = 'base.py'\n\nmodel = dict(b=dict(\n    c=3))\n")
    config = Configs(tmp_path, lambda _: None).read(tmp_path / "a.py")
    assert config is not None
    assert str(config.root.at("model.a").place) == "base.py:2"
    assert str(config.root.at("model.b.c").place) == "a.py:4"


@pytest.mark.parametrize("name", ["{{fileDirname}}/x.pth", "{{ fileBasenameNoExtension }}"])
def test_names_that_runners_fill_in(tmp_path: Path, name: str):
    (tmp_path / "a.py").write_text(f"model = dict(x='{name}')\n")
    config = Configs(tmp_path, lambda _: None).read(tmp_path / "a.py")
    assert config is not None
    assert config.root.at("model.x").held in {f"{tmp_path}/x.pth", "a"}


def test_a_long_sum_and_a_deep_list_end(tmp_path: Path):
    (tmp_path / "a.py").write_text("model = " + "+".join("1" * 3000) + "\n")
    config = Configs(tmp_path, lambda _: None).read(tmp_path / "a.py")
    assert config is None or config.values["model"].held in {3000, UNKNOWN}


@pytest.mark.parametrize(
    "text",
    [
        "a = 'x'\n" + "a = a + a\n" * 60,
        "a = 'x'\n" + "a = f'{a}{a}'\n" * 60,
        "a = ['x']\n" + "a = a + a\n" * 60,
        "a = ['x']\n" + "a += a\n" * 60,
        "a = 9\n" + "a = a * a\n" * 60,
        f"b = {'9' * 4000}\na = b * 1.5",
        f"a = '{'{{' * 40_000}' + ''\na = a * 2",
    ],
    ids=["text", "format", "list", "augmented", "number", "float", "braces"],
)
def test_what_doubles_again_and_again_is_unknown(text: str):
    assert of(text)["a"] is UNKNOWN


def test_a_base_that_goes_too_deep_is_none(tmp_path: Path):
    (tmp_path / "a.py").write_text("_base_ = " + "+".join(["'a'"] * 1500) + "\nmodel = dict(type='X')\n")
    config = Configs(tmp_path, lambda _: None).read(tmp_path / "a.py")
    assert config is None or config.values["model"].fields["type"].text == "X"
