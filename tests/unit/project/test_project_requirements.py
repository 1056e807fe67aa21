"""Every way in which people write down the versions that they used."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmsetup.project import ProjectWish, read_project

PAGE = "https://download.openmmlab.com/mmcv/dist/cu113/torch1.11.0/index.html"


def told(folder: Path, name: str, content: str) -> ProjectWish:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    (folder / "clue.py").write_text("import mmcv.runner\n")
    return read_project(folder)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "requirements.txt",
            f"-f {PAGE}\nmmcv_full==1.5.3",
            ["torch==1.11.*", "cuda==11.3", "mmcv-full==1.5.3"],
        ),
        ("requirements.txt", f"--find-links={PAGE}", ["torch==1.11.*", "cuda==11.3"]),
        ("requirements.txt", "mmcv-full==1.5.3 \\\n  --hash=sha256:00\n", ["mmcv-full==1.5.3"]),
        (
            "requirements.txt",
            "--extra-index-url https://download.pytorch.org/whl/cu117\nTorch == 1.13.1",
            ["cuda==11.7", "torch==1.13.1"],
        ),
        ("requirements/mminstall.txt", "mmcv-full>=1.4.4,<=1.7.0\n", ["mmcv-full<=1.7.0,>=1.4.4"]),
        (
            "requirements/runtime.txt",
            "torch>=1.6; python_version > '3.6'",
            ['torch>=1.6 ; python_version > "3.6"'],
        ),
        ("requirements/tests.txt", "mmcv-full==1.0.0\nmmdet\n", []),
        (
            "requirements.txt",
            "mmcv-full @ https://download.openmmlab.com/mmcv/dist/cu113/torch1.11.0/mmcv_full-1.5.3-cp38-cp38-manylinux1_x86_64.whl",
            ["torch==1.11.*", "cuda==11.3", "mmcv-full==1.5.3"],
        ),
        (
            "requirements.txt",
            "mmcv-full==1.7.2+pt1.13.1cu117\n",
            ["mmcv-full==1.7.2", "torch==1.13.1", "cuda==11.7"],
        ),
        (
            "requirements.txt",
            "mmcv-full @ file:///w/mmcv_full-1.7.2%2Bpt1.13.1cpu-cp310-cp310-manylinux_2_34_x86_64.whl\n",
            ["mmcv-full==1.7.2", "torch==1.13.1"],
        ),
        ("requirements.txt", "mmsegmentation==$VERSION\nnumpy<2\n???\n", []),
        (
            "setup.py",
            (
                "from setuptools import setup\nsetup(python_requires='>=3.8', install_requires=['mmcv-full>=1.3', 'x'],\n"
                "  extras_require={'a': ['torch<2']})\n"
            ),
            ["python>=3.8", "mmcv-full>=1.3", "torch<2"],
        ),
        (
            "setup.cfg",
            (
                "[metadata]\nname = mmdet\n[options]\npython_requires = >=3.7\ninstall_requires =\n  mmdet==2.28.2\n"
                "zip_safe = false\n[isort]\nknown_third_party = torch\n"
            ),
            ["python>=3.7", "mmdet==2.28.2"],
        ),
        (
            "pyproject.toml",
            (
                '[project]\nrequires-python = ">=3.8,<3.11"\ndependencies = ["torch==1.13.1"]\n'
                '[project.optional-dependencies]\nmim = ["mmcv-full<1.8"]\ntests = ["mmcv-full==1.0"]\n'
            ),
            ["python<3.11,>=3.8", "torch==1.13.1", "mmcv-full<1.8"],
        ),
        (
            "pyproject.toml",
            '[tool.poetry.dependencies]\npython = "^3.8"\ntorch = "1.13.1"\nmmcv-full = {version = "^1.7"}\nmmdet = "*"\n',
            ["python<4,>=3.8", "torch==1.13.1", "mmcv-full<2,>=1.7"],
        ),
        ("pyproject.toml", '[project\ndependencies = ["torch==1.13.1"]', ["torch==1.13.1"]),
        (
            "environment.yml",
            "dependencies:\n  - python=3.8\n  - pytorch::pytorch=1.11.0=py3.8_cuda11.3_0\n  - cudatoolkit=11.3.1\n"
            "  - torchvision>=0.12\n  - pip:\n    - mmcv-full==1.5.3\n    - -f " + PAGE + "\n  - numpy\n",
            [
                "python==3.8.*",
                "torch==1.11.0",
                "cuda==11.3",
                "torchvision>=0.12",
                "mmcv-full==1.5.3",
                "torch==1.11.*",
            ],
        ),
        (
            "docker/Dockerfile",
            'ARG PYTORCH="1.11.0"\nARG CUDA="11.3"\nARG MMCV="1.5.3"\n'
            "FROM pytorch/pytorch:${PYTORCH}-cuda${CUDA}-cudnn8-devel\n"
            "RUN apt-get update && \\\n    pip install --no-cache-dir mmcv-full==${MMCV} \\\n      -f "
            + PAGE
            + "\n",
            ["torch==1.11.0", "cuda==11.3", "mmcv-full==1.5.3", "torch==1.11.*"],
        ),
        (
            "Dockerfile",
            "FROM python:3.8-slim\nFROM nvidia/cuda:11.8.0-devel-ubuntu22.04\n",
            ["python==3.8.*", "cuda==11.8"],
        ),
        (
            "README.md",
            (
                "```shell\nconda create -n seg python=3.8 -y && conda activate seg\n"
                "conda install pytorch==1.11.0 torchvision==0.12.0 cudatoolkit=11.3 -c pytorch\n"
                'pip install -U openmim\nmim install "mmcv-full>=1.5.0, <1.8" mmdet\n```\n'
            ),
            [
                "python==3.8.*",
                "torch==1.11.0",
                "torchvision==0.12.0",
                "cuda==11.3",
                "mmcv-full<1.8,>=1.5.0",
            ],
        ),
        (
            "README.md",
            "Run `pip install mmcv-full==1.5.3`, then torch==9 is not read.\n",
            ["mmcv-full==1.5.3"],
        ),
        (
            "docs/install.sh",
            "python3 -m pip install torch==1.13.1+cu117; echo done\n",
            ["torch==1.13.1+cu117", "cuda==11.7"],
        ),
        (
            "README.md",
            f"pip install mmcv-full==1.5.3 -f {PAGE.replace('cu113', '{cu}')}\n",
            ["mmcv-full==1.5.3"],
        ),
    ],
)
def test_versions_are_read(tmp_path: Path, name: str, content: str, expected: list[str]) -> None:
    assert list(told(tmp_path, name, content).requirements) == expected


def test_a_clue_names_the_line_of_a_command_over_several_lines(tmp_path: Path) -> None:
    wish = told(tmp_path, "Dockerfile", "ARG V=1.5.3\nRUN true && \\\n  pip install \\\n   mmcv-full==$V\n")
    lines = {clue.line: clue.text for clue in wish.clues if clue.path == "Dockerfile"}
    assert lines == {4: "mmcv-full==$V"}


def test_requirements_files_come_before_readmes_and_several_pins_are_noted(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("pip install torch==1.8.0+cu111\npip install torch==1.11.0\n")
    wish = told(tmp_path, "requirements.txt", "torch==1.11.0\n")
    assert wish.requirements[0] == "torch==1.11.0"
    assert "pins torch to several versions: 1.11.0, 1.8.0+cu111" in wish.notes


def test_a_notebook_is_read_with_the_lines_of_its_file(tmp_path: Path) -> None:
    notebook = """{
 "cells": [
  {"cell_type": "markdown", "source": ["import mmengine"]},
  {"cell_type": "code", "source": [
    "!pip install mmcv-full==1.7.1 -f PAGE\\n",
    "%cd x\\n",
    "from mmseg.apis import init_segmentor\\n"
  ]}
 ]
}""".replace("PAGE", PAGE)
    (tmp_path / "demo.ipynb").write_text(notebook)
    wish = read_project(tmp_path)
    assert wish.family == "mmcv-full"
    assert {(clue.line, clue.text) for clue in wish.clues} == {
        (5, f"pip install mmcv-full==1.7.1 -f {PAGE}"),
        (7, "from mmseg.apis import init_segmentor"),
    }
    assert wish.against == ()
    assert wish.requirements == ("mmcv-full==1.7.1", "torch==1.11.*", "cuda==11.3")
