"""Dockerfiles: what their commands would leave on a machine without a GPU."""

import time

import pytest
from project_tree import examine, found, one, write

GPU = "FROM pytorch/pytorch:1.13.1-cuda11.7-cudnn8-devel\n"
CLONE = (
    "RUN git clone https://github.com/open-mmlab/mmcv.git && cd mmcv && MMCV_WITH_OPS=1 pip install -e .\n"
)
PAGE = "-f https://download.openmmlab.com/mmcv/dist/cu117/torch1.13.0/index.html"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GPU + CLONE, [("MM861", "warning")]),
        (
            GPU
            + "RUN git clone https://github.com/open-mmlab/mmcv /mmcv\nRUN cd /mmcv && python setup.py develop\n",
            [("MM861", "warning")],
        ),
        (GPU + "RUN pip install git+https://github.com/open-mmlab/mmcv.git@v1.7.1\n", [("MM861", "warning")]),
        (GPU + "RUN MMCV_WITH_OPS=1 pip install mmcv==2.1.0\n", [("MM861", "warning")]),
        (GPU + f"RUN pip install --no-binary mmcv-full mmcv-full==1.7.2 {PAGE}\n", [("MM861", "warning")]),
        (GPU + "ENV FORCE_CUDA=1\n" + CLONE, [("MM861", "note")]),
        (GPU + 'ENV FORCE_CUDA="1" TORCH_CUDA_ARCH_LIST="8.0"\n' + CLONE, []),
        (GPU + "ENV FORCE_CUDA 1\nENV TORCH_CUDA_ARCH_LIST 8.0\n" + CLONE, []),
        (GPU + "RUN FORCE_CUDA=1 TORCH_CUDA_ARCH_LIST=8.0 pip install mmcv-full==1.7.2\n", []),
        (GPU + "ENV FORCE_CUDA=1 TORCH_CUDA_ARCH_LIST=8.0\n" + GPU + CLONE, [("MM861", "warning")]),
        (
            GPU.replace("\n", " AS Base\n")
            + "ENV FORCE_CUDA=1 TORCH_CUDA_ARCH_LIST=8.0\nFROM base\n"
            + CLONE,
            [],
        ),
        ("ARG FORCE_CUDA=1\nARG TORCH_CUDA_ARCH_LIST=8.0\n" + GPU + CLONE, []),
        (
            GPU + "ENV FORCE_CUDA=1 TORCH_CUDA_ARCH_LIST=8.0\nARG X=1\n" + GPU + CLONE,
            [("MM861", "warning")],
        ),
        (GPU + "ENV PIP_FIND_LINKS=https://wheels.invalid/\nRUN pip install mmcv-full==1.7.2\n", []),
        (GPU + "# RUN git clone https://github.com/open-mmlab/mmcv && pip install -e mmcv\n", []),
        ("FROM python:3.10-slim\n" + CLONE, []),
        (GPU + "RUN pip install mmcv-full==1.7.2\n", [("MM862", "warning")]),
        (
            GPU + "RUN pip install torch && \\\n    pip install 'mmcv>=2.0.0' mmsegmentation\n",
            [("MM862", "warning")],
        ),
        (GPU + f"RUN pip install mmcv-full==1.7.2 {PAGE}\n", []),
        (GPU + "RUN pip install mmsegmentation==0.30.0 mmcv_utils\n", []),
        (GPU + "RUN mim install mmcv-full==1.7.2\n", []),
        ("FROM pytorch/pytorch:latest\n", [("MM863", "warning")]),
        ("FROM nvidia/cuda\n", [("MM863", "warning")]),
        ("FROM nvidia/cuda:11.7.1-devel-ubuntu22.04 AS base\nFROM base\n", []),
        ("ARG IMAGE\nFROM ${IMAGE}\n", []),
        ("FROM pytorch/pytorch@sha256:0123\n", []),
        ("FROM python:latest\n", []),
    ],
)
def test_dockerfiles(tmp_path, machine, catalog, text, expected):
    assert found(examine(write(tmp_path / "p", {"Dockerfile": text}), None, machine, catalog)) == expected


def test_many_lines_take_no_time(tmp_path, machine, catalog):
    text = GPU + "RUN x\n" * 150_000 + CLONE
    started = time.monotonic()
    diagnosis = examine(write(tmp_path / "p", {"Dockerfile": text}), None, machine, catalog)
    assert found(diagnosis) == [("MM861", "warning")]
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("name", ["docker/Dockerfile.gpu", "train.dockerfile", "docker/dockerfile"])
def test_where_dockerfiles_are_found(tmp_path, machine, catalog, name):
    diagnosis = examine(write(tmp_path / "p", {name: GPU + CLONE}), None, machine, catalog)
    assert one(diagnosis, "MM861").evidence[0].startswith(f"{name}:2: RUN git clone")


def test_the_remedy_for_a_build_works(tmp_path, machine, catalog):
    finding = one(
        examine(write(tmp_path / "p", {"Dockerfile": GPU + CLONE}), None, machine, catalog), "MM861"
    )
    line = finding.remedy.partition("  #")[0]
    mended = write(tmp_path / "p", {"Dockerfile": f"{GPU}{line}\n{CLONE}"})
    assert found(examine(mended, None, machine, catalog)) == []


def test_a_command_over_several_lines_is_told_by_the_line_of_its_name(tmp_path, machine, catalog):
    text = GPU + "RUN pip install \\\n  numpy \\\n  mmcv-full\n"
    diagnosis = examine(write(tmp_path / "p", {"Dockerfile": text}), None, machine, catalog)
    assert one(diagnosis, "MM862").evidence == ("Dockerfile:4: mmcv-full",)
