"""Projects beside really installed packages: what the doctor says of them, and what really happens when they run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from uv import find_uv_bin

from mmsetup.catalog import load
from mmsetup.doctor import Diagnosis
from mmsetup.doctor.diagnose import doctor
from mmsetup.doctor.project import Project
from mmsetup.probe import environment, probe

pytestmark = pytest.mark.stack

# Faults in the releases themselves: the class is MOTChallengeMetric, and a RetinaNet was made of a Faster R-CNN.
_FAULTS = {
    "mmdet-3": "MOTChallengeMetrics is in no registry",
    "mmdet-2": "objects365/retinanet_r50_fpn_syncbn_1350k",
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory, python) -> Callable[..., Path]:
    """Give an environment with the wheels of packages alone, without what they need: only their files matter."""

    def make(*requirements: str) -> Path:
        folder = tmp_path_factory.mktemp("sources")
        (folder / "constraints.txt").write_text("setuptools<81\n")
        uv = [find_uv_bin(), "-q"]
        subprocess.run([*uv, "venv", "--python", python.path, folder / "env"], check=True)
        options = ["--no-deps", "--build-constraints", folder / "constraints.txt"]
        command = [*uv, "pip", "install", "--python", folder / "env", *options, *requirements]
        subprocess.run(command, check=True, env={**os.environ, "MMCV_WITH_OPS": "0"})
        return folder / "env"

    return make


@pytest.fixture(scope="module")
def first(sources) -> Path:
    return sources("mmcv==1.7.2", "mmsegmentation==0.30.0", "mmdet==2.28.2", "mmcls==0.25.0")


@pytest.fixture(scope="module")
def second(sources) -> Path:
    requirements = ("mmcv-lite==2.1.0", "mmengine==0.10.7", "mmsegmentation==1.2.2", "mmdet==3.3.0")
    return sources(*requirements, "mmpretrain==1.2.0")


def examined(prefix: Path, folder: Path, **more) -> Diagnosis:
    project = Project(folder, is_offline=True)
    return doctor(prefix, probe(), load(), project=project, select=["MM8"], **more)


def configs(prefix: Path, module: str) -> Path:
    return environment(prefix).site_packages[0] / module / ".mim" / "configs"


@pytest.mark.parametrize(
    ("family", "module", "faults"),
    [
        ("first", "mmseg", ()),
        ("second", "mmseg", ()),
        ("first", "mmdet", (_FAULTS["mmdet-2"],)),
        ("second", "mmdet", (_FAULTS["mmdet-3"],)),
        ("first", "mmcls", ()),
    ],
)
def test_the_configurations_of_the_packages_raise_no_false_alarm(request, family, module, faults):
    prefix = request.getfixturevalue(family)
    folder = configs(prefix, module)
    project = Project(folder, is_offline=True)
    diagnosis = doctor(prefix, probe(), load(), project=project, select=["MM8"])
    assert len(Project(folder).configs) > 150
    errors = [" ".join((finding.message, *finding.evidence)) for finding in diagnosis.of("error")]
    assert len(errors) == len(faults), errors
    assert all(fault in error for fault, error in zip(faults, errors, strict=True))
    # What is named and not here: data, weights, and in two releases a base. Nothing else.
    assert {finding.id for finding in diagnosis.of("warning")} <= {"MM841", "MM852", "MM813"}


def test_the_fault_of_a_release_is_one(second):
    """No file of mmdet 3.3.0 knows the name, but the configurations that ask for it."""
    folder = configs(second, "mmdet").parents[1]
    having = [
        path for path in folder.rglob("*.py") if "MOTChallengeMetrics" in path.read_text(encoding="utf-8")
    ]
    assert having
    assert all(".mim" in path.parts for path in having)


def test_the_configurations_of_one_generation_beside_the_other(first, second):
    for prefix, other in ((first, second), (second, first)):
        diagnosis = examined(prefix, configs(other, "mmseg"))
        (finding,) = [one for one in diagnosis.findings if one.id == "MM802"]
        number = int(finding.message.split()[0])
        assert number > 500
        assert number > 0.9 * len(Project(configs(other, "mmseg")).configs)


MODEL = """
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    pretrained=None,
    backbone=dict(type='ResNetV1c', depth=18, norm_cfg=norm_cfg),
    decode_head=dict(
        type='FCNHead', in_channels=512, channels=8, num_classes=3, norm_cfg=norm_cfg,
        loss_decode=dict(type='CrossEntropyLoss')),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
data_root = 'data'
pipeline = [
    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='Resize', img_scale=(32, 32)),
    dict(type='DefaultFormatBundle'), dict(type='Collect', keys=['img', 'gt_semantic_seg'], meta_keys=())]
data = dict(samples_per_gpu=1, train=dict(
    type='CustomDataset', data_root=data_root, img_dir='images', ann_dir='masks', img_suffix='.png',
    seg_map_suffix='.png', classes=('a', 'b', 'c'), pipeline=pipeline))
runner = dict(type='IterBasedRunner', max_iters=1)
optimizer = dict(type='SGD', lr=0.01)
"""
BUILD = """
from mmcv import Config
from mmseg.models import build_segmentor
cfg = Config.fromfile('c.py')
build_segmentor(cfg.model)
"""
READ = """
from mmcv import Config
from mmseg.datasets import build_dataset
data = build_dataset(Config.fromfile('c.py').data.train)
for number in range(len(data)): data[number]
"""
STEP = """
import torch
from mmcv import Config
from mmseg.datasets import build_dataset
from mmseg.models import build_segmentor
cfg = Config.fromfile('c.py')
data, model = build_dataset(cfg.data.train), build_segmentor(cfg.model)
item = data[0]
image, labels = item['img'].data[None].float(), item['gt_semantic_seg'].data[None].long()
model.forward_train(torch.cat([image, image]), [{}, {}], torch.cat([labels, labels]))
"""
OWN = "from mmseg.models import BACKBONES, ResNetV1c\n\n@BACKBONES.register_module()\nclass LeafNet(ResNetV1c):\n    pass\n"


def ran(prefix: Path, folder: Path, code: str) -> str:
    """Run code in the project's folder and give what it fails with, or nothing."""
    done = subprocess.run(
        [prefix / "bin" / "python", "-W", "ignore", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    return "" if done.returncode == 0 else done.stderr


@pytest.fixture
def project(tmp_path: Path, stack_environment: Path) -> Path:
    """Give a project that builds, reads its data and takes a step."""
    (tmp_path / "c.py").write_text(MODEL)
    code = (
        "import os, numpy, mmcv\n"
        "for folder, most in (('images', 255), ('masks', 3)):\n"
        "    for name in 'ab':\n"
        "        shape = (32, 32, 3) if most > 3 else (32, 32)\n"
        "        content = numpy.random.randint(0, most, shape).astype('uint8')\n"
        "        mmcv.imwrite(content, f'data/{folder}/{name}.png')\n"
    )
    assert ran(stack_environment, tmp_path, code) == ""
    return tmp_path


def told(prefix: Path, folder: Path) -> list[str]:
    return [finding.id for finding in examined(prefix, folder).findings]


def test_a_project_that_works_is_healthy(stack_environment, project):
    assert ran(stack_environment, project, STEP) == ""
    assert told(stack_environment, project) == []


@pytest.mark.parametrize(
    ("old", "new", "code", "error", "identifier"),
    [
        ("'FCNHead'", "'FCNHaed'", BUILD, "FCNHaed is not in the models registry", "MM811"),
        ("'ResNetV1c'", "'mmcls.ResNet'", BUILD, "'NoneType' object has no attribute 'parent'", "MM811"),
        ("pretrained=None", "pretrained='open-mmlab://resnet18_v9'", "init", "resnet18_v9", "MM851"),
        ("pretrained=None", "pretrained='weights/none.pth'", "init", "none.pth", "MM852"),
        (
            "'DefaultFormatBundle'",
            "'PackSegInputs'",
            READ,
            "PackSegInputs is not in the pipeline registry",
            "MM811",
        ),
        ("ann_dir='masks'", "ann_dir='labels'", READ, "labels", "MM841"),
        ("num_classes=3", "num_classes=2", STEP, "out of bounds", "MM843"),
    ],
)
def test_what_is_found_really_fails(stack_environment, project, *, old, new, code, error, identifier):
    assert old in MODEL
    (project / "c.py").write_text(MODEL.replace(old, new))
    found = ran(
        stack_environment,
        project,
        BUILD.replace("(cfg.model)", "(cfg.model).init_weights()") if code == "init" else code,
    )
    assert error in found
    assert identifier in told(stack_environment, project)


def test_the_remedy_for_a_package_that_nothing_imports_works(stack_environment, project):
    text = MODEL.replace("'ResNetV1c'", "'mmcls.ResNet'")
    (project / "c.py").write_text(text)
    (finding,) = examined(stack_environment, project).findings
    (project / "c.py").write_text(f"{finding.remedy}\n{text}")
    assert ran(stack_environment, project, BUILD) == ""
    assert told(stack_environment, project) == []


def test_an_image_without_a_mask_really_fails(stack_environment, project):
    (project / "data" / "masks" / "b.png").unlink()
    assert "b.png" in ran(stack_environment, project, READ)
    assert told(stack_environment, project) == ["MM842"]


def test_masks_in_colour_really_fail(stack_environment, project):
    for name in "ab":
        (project / "data" / "masks" / f"{name}.png").write_bytes(
            (project / "data" / "images" / f"{name}.png").read_bytes()
        )
    assert ran(stack_environment, project, STEP) != ""
    assert told(stack_environment, project) == ["MM843"]


@pytest.mark.parametrize(
    ("code", "error", "identifier"),
    [
        ("import mmdet\n", "No module named 'mmdet'", "MM803"),
        ("from mmengine.config import Config\n", "No module named 'mmengine'", "MM801"),
        ("from mmseg.registry import MODELS\n", "No module named 'mmseg.registry'", "MM801"),
        ("import numpy as np\nnp.zeros(2, np.bool)\n", "has no attribute 'bool'", "MM831"),
    ],
)
def test_code_that_is_found_really_fails(stack_environment, tmp_path, code, error, identifier):
    (tmp_path / "t.py").write_text(f"import mmseg\n{code}")
    assert error in ran(stack_environment, tmp_path, f"import mmseg\n{code}")
    assert told(stack_environment, tmp_path) == [identifier]


def test_a_class_that_nothing_imports_really_fails_and_the_remedy_mends_it(stack_environment, project):
    (project / "leaves").mkdir()
    (project / "leaves" / "net.py").write_text(OWN)
    text = MODEL.replace("'ResNetV1c'", "'LeafNet'")
    (project / "c.py").write_text(text)
    assert "LeafNet is not in the models registry" in ran(stack_environment, project, BUILD)
    (finding,) = examined(stack_environment, project).findings
    assert finding.id == "MM812"
    (project / "c.py").write_text(finding.remedy.partition("  #")[0] + "\n" + text)
    assert ran(stack_environment, project, BUILD) == ""
    assert told(stack_environment, project) == []


def test_the_command_reads_a_project_with_an_environment_and_without(mmsetup, first, tmp_path):
    (tmp_path / "train.py").write_text("from mmengine import Config\n")
    (tmp_path / "Dockerfile").write_text("FROM pytorch/pytorch:latest\n")
    beside = mmsetup("doctor", "--project", ".", "--env", first, "--select", "MM8", "--json", cwd=tmp_path)
    assert [finding["id"] for finding in beside.document["findings"]] == ["MM801", "MM863"]
    assert beside.code == 1
    alone = mmsetup("doctor", "--project", ".", "--json", cwd=tmp_path, VIRTUAL_ENV="")
    assert [finding["id"] for finding in alone.document["findings"]] == ["MM863"]
    assert alone.code == 0
