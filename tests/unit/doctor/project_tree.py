"""Projects written by hand, and what the packages beside them look like, for the tests of ``doctor --project``."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmsetup.doctor import Diagnosis, Finding
from mmsetup.doctor.diagnose import doctor, doctor_of_project
from mmsetup.doctor.project import Project

MODELS = """
from mmcv.utils import Registry
MODELS = Registry('model')

@MODELS.register_module()
class EncoderDecoder: ...

@MODELS.register_module()
class FCNHead: ...

@MODELS.register_module()
class ResNetV1c: ...

@MODELS.register_module()
class CrossEntropyLoss: ...
"""
PIPELINES = """
@PIPELINES.register_module()
class LoadImageFromFile: ...
@PIPELINES.register_module()
class LoadAnnotations: ...
@PIPELINES.register_module()
class DefaultFormatBundle: ...
@PIPELINES.register_module()
class Collect: ...
@PIPELINES.register_module(['Albu', 'Albumentations'])
class Wrapper: ...
"""
DATASETS = """
@DATASETS.register_module()
class CustomDataset:
    CLASSES = None
    def __init__(self, pipeline, img_dir, img_suffix='.jpg', seg_map_suffix='.png', reduce_zero_label=False): ...

@DATASETS.register_module()
class Leaves(CustomDataset):
    CLASSES = ('ground', 'leaf', 'stem')
    def __init__(self, **kwargs):
        super(Leaves, self).__init__(img_suffix='.jpg', seg_map_suffix='.png', **kwargs)
"""
RUNNERS = """
@RUNNERS.register_module()
class IterBasedRunner: ...
@HOOKS.register_module()
class TextLoggerHook: ...
@INITIALIZERS.register_module(name='Pretrained')
class PretrainedInit: ...
NORM_LAYERS.register_module('SyncBN', module=SyncBatchNorm)
NORM_LAYERS.register_module('BN', module=nn.BatchNorm2d)
"""
CONFIG = """
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    backbone=dict(type='ResNetV1c', norm_cfg=norm_cfg),
    decode_head=dict(type='FCNHead', num_classes=3, loss_decode=dict(type='CrossEntropyLoss')),
)
optimizer = dict(type='SGD', lr=0.01)
runner = dict(type='IterBasedRunner', max_iters=10)
lr_config = dict(policy='poly')
data = dict(
    samples_per_gpu=2,
    train=dict(
        type='Leaves', data_root='data', img_dir='images', ann_dir='masks',
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='Collect')]),
)
"""
TRAIN = """
from mmcv.cnn.utils import revert_sync_batchnorm
import torch
def main():
    revert_sync_batchnorm(None)
if __name__ == '__main__':
    main()
"""


def furnish(site) -> None:
    """Give the packages of the first generation in a made environment something to register."""
    for path, text in {
        "mmcv/runner/__init__.py": RUNNERS,
        "mmcv/model_zoo/open_mmlab.json": '{"resnet50_v1c": "https://download.invalid/resnet50_v1c.pth"}',
        "mmseg/models/__init__.py": MODELS,
        "mmseg/datasets/__init__.py": DATASETS,
        "mmseg/datasets/pipelines.py": PIPELINES,
        "mmseg/.mim/tools/train.py": TRAIN,
    }.items():
        place = site.packages / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def second_generation(site) -> None:
    """Put mmcv 2, mmengine and mmsegmentation 1 in the place of what is in a made environment."""
    for name in ("mmcv-full", "mmsegmentation"):
        site.remove(name)
    for module in ("mmcv", "mmseg"):
        shutil.rmtree(site.packages / module, ignore_errors=True)
    norm = "MODELS.register_module('SyncBN', module=SyncBatchNorm)\n"
    site.add("mmcv", "2.1.0", {"mmcv/__init__.py": norm, "mmcv/version.py": "__version__ = '2.1.0'\n"})
    engine = """
@MODELS.register_module()
class BaseModel: ...
@LOOPS.register_module()
class IterBasedTrainLoop: ...
@HOOKS.register_module()
class LoggerHook: ...
@OPTIM_WRAPPERS.register_module()
class OptimWrapper: ...
"""
    site.add(
        "mmengine",
        "0.10.7",
        {"mmengine/__init__.py": engine, "mmengine/version.py": "__version__ = '0.10.7'\n"},
    )
    site.add(
        "mmsegmentation",
        "1.2.2",
        {
            "mmseg/__init__.py": "",
            "mmseg/models/__init__.py": MODELS.replace("mmcv.utils", "mmengine"),
            "mmseg/datasets/__init__.py": DATASETS.replace("CustomDataset", "BaseSegDataset"),
            "mmseg/datasets/transforms.py": "@TRANSFORMS.register_module()\nclass PackSegInputs: ...\n"
            "@TRANSFORMS.register_module()\nclass LoadImageFromFile: ...\n",
            "mmseg/.mim/configs/_base_/models/fcn.py": "model = dict(type='EncoderDecoder', backbone=dict(type='ResNetV1c'))\n",
        },
    )


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write the files of a project."""
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            place.write_bytes(content)
        else:
            place.write_text(content)
    return folder


def examine(folder: Path, site, machine, catalog, **more) -> Diagnosis:
    """Examine a project beside an environment, or alone; no host is asked."""
    project = Project(folder, is_offline=more.pop("is_offline", True))
    more.setdefault("select", ["MM8"])
    if site is None:
        return doctor_of_project(project, **more)
    return doctor(site.prefix, machine, catalog, project=project, **more)


def found(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """Give the ids and severities of all findings but of files that are nowhere here."""
    return [(finding.id, finding.severity) for finding in diagnosis.findings]


def one(diagnosis: Diagnosis, identifier: str) -> Finding:
    """Give the one finding of an id."""
    (finding,) = [finding for finding in diagnosis.findings if finding.id == identifier]
    return finding


def png(
    rows: Iterable[bytes], width: int, *, colours: int = 0, bits: int = 8, filters: Iterable[int] = ()
) -> bytes:
    """Write a PNG; the rows are as they are stored, with the filters that are named."""
    rows = list(rows)
    kinds = list(filters) or [0] * len(rows)
    raw = b"".join(bytes([kind]) + row for kind, row in zip(kinds, rows, strict=True))
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colours, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    palette = chunk(b"PLTE", bytes(range(256)) * 3) if colours == 3 else b""
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + palette
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )
