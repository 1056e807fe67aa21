"""The smoke run of mmcv-full 1.x with mmsegmentation 0.x: everything through their own doors."""

import copy
import os
import shutil

import cv2
import mmcv
import mmseg
import numpy as np
import smoke_bench
import smoke_steps
import torch
import torchvision
from mmcv.parallel import collate
from mmcv.runner import HOOKS, Hook
from mmseg.apis import (
    inference_segmentor,
    init_segmentor,
    set_random_seed,
    single_gpu_test,
    train_segmentor,
)
from mmseg.datasets import build_dataloader, build_dataset
from mmseg.models import build_segmentor
from mmseg.utils import build_dp

_CONFIG = ".mim/configs/sem_fpn/fpn_r50_512x1024_80k_cityscapes.py"
_NORMALIZE = {"type": "Normalize", "mean": [128.0] * 3, "std": [64.0] * 3, "to_rgb": True}
_OF_THE_ORIGINAL = (
    "norm_cfg",
    "dataset_type",
    "data_root",
    "img_norm_cfg",
    "crop_size",
    "train_pipeline",
    "test_pipeline",
)
"""Variables of the original config that describe its own data set, and that nothing refers to any more."""
_WIDTH = 16


def run(job, speaker):
    """Check the ops, draw, train, evaluate, save, load and infer; tell what was measured."""
    device = smoke_steps.choose_device(job)
    smoke_steps.tell_versions(speaker, device, (torch, torchvision, mmcv, mmseg, np, cv2))
    speaker.stage("ops")
    smoke_steps.check_ops(speaker)
    speaker.stage("data")
    data = smoke_steps.draw(job)
    speaker.stage("train")
    config = _config(job, data, device)
    model, checkpoint = _train(job, config, device, speaker)
    speaker.stage("evaluate")
    _evaluate(model, config, device, speaker)
    speaker.stage("reload")
    files = _dump(job, config, checkpoint)
    fresh = _reload(model, files, config, device, speaker)
    speaker.stage("infer")
    files["pictures"] = _infer(job, (model, fresh), config, data, speaker)
    speaker.say("files", **files)


def _config(job, data, device):
    """Load a config that mmsegmentation ships and shrink it to what two cores train in half a minute."""
    path = os.path.join(os.path.dirname(mmseg.__file__), *_CONFIG.split("/"))
    config = mmcv.Config.fromfile(path)
    norm = {"type": "BN", "requires_grad": True}
    model = config.model
    model.pretrained = None
    model.backbone.update(depth=18, base_channels=_WIDTH, stem_channels=2 * _WIDTH, norm_cfg=norm)
    model.neck.update(in_channels=[_WIDTH, 2 * _WIDTH, 4 * _WIDTH, 8 * _WIDTH], out_channels=2 * _WIDTH)
    model.decode_head.update(
        in_channels=[2 * _WIDTH] * 4, channels=2 * _WIDTH, num_classes=len(smoke_bench.CLASSES), norm_cfg=norm
    )
    # Four of five pixels are bench; without weights the first hundred steps learn nothing else.
    model.decode_head.loss_decode.class_weight = [0.5] + [1.0] * (len(smoke_bench.CLASSES) - 1)
    iterations = job["iterations"]
    config.merge_from_dict(
        {
            "optimizer": {"_delete_": True, "type": "Adam", "lr": 0.008, "weight_decay": 0.0001},
            "optimizer_config": {"_delete_": True, "grad_clip": None},
            "lr_config": {"_delete_": True, "policy": "OneCycle", "max_lr": 0.008, "pct_start": 0.25},
            "runner": {"_delete_": True, "type": "IterBasedRunner", "max_iters": iterations},
            "checkpoint_config": {
                "_delete_": True,
                "by_epoch": False,
                "interval": iterations,
                "create_symlink": False,
                "meta": {"CLASSES": smoke_bench.CLASSES, "PALETTE": smoke_bench.PALETTE},
            },
            "log_config": {"_delete_": True, "interval": max(1, iterations // 10), "hooks": []},
            "work_dir": os.path.join(job["scratch"], "work"),
            "seed": job["seed"],
            "device": device.type,
            "gpu_ids": [device.index or 0],
            "cudnn_benchmark": False,
        }
    )
    config.data = _data(job, data)
    return config


def _data(job, data):
    side = (smoke_bench.SIZE, smoke_bench.SIZE)
    train = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations"},
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "RandomFlip", "prob": 0.5, "direction": "vertical"},
        _NORMALIZE,
        {"type": "DefaultFormatBundle"},
        {"type": "Collect", "keys": ["img", "gt_semantic_seg"]},
    ]
    transforms = [
        {"type": "Resize", "keep_ratio": True},
        {"type": "RandomFlip"},
        _NORMALIZE,
        {"type": "ImageToTensor", "keys": ["img"]},
        {"type": "Collect", "keys": ["img"]},
    ]
    test = [
        {"type": "LoadImageFromFile"},
        {"type": "MultiScaleFlipAug", "img_scale": side, "flip": False, "transforms": transforms},
    ]

    def split(name, pipeline):
        return {
            "type": "CustomDataset",
            "data_root": data,
            "img_dir": "img_dir/" + name,
            "ann_dir": "ann_dir/" + name,
            "img_suffix": ".png",
            "classes": smoke_bench.CLASSES,
            "palette": smoke_bench.PALETTE,
            "pipeline": pipeline,
        }

    # mmcv 1.x's IterLoader sleeps two seconds before each pass over the data: one long pass has none.
    passes = job["iterations"] * job["batch"] // job["train_images"] + 1
    return mmcv.ConfigDict(
        samples_per_gpu=job["batch"],
        # Workers would take the cores from the training, and shared memory that containers do not have.
        workers_per_gpu=0,
        persistent_workers=False,
        pin_memory=False,
        train={"type": "RepeatDataset", "times": passes, "dataset": split("train", train)},
        val=split("val", test),
        test=split("val", test),
    )


def _train(job, config, device, speaker):
    @HOOKS.register_module(name="SmokeProgress", force=True)
    class SmokeProgress(Hook):
        """Tell the loss and the time left as the training goes."""

        def after_train_iter(self, runner):
            losses.take(float(runner.outputs["log_vars"]["loss"]))

    os.makedirs(config.work_dir)
    set_random_seed(job["seed"])
    model = build_segmentor(config.model)
    model.init_weights()
    model.CLASSES, model.PALETTE = smoke_bench.CLASSES, smoke_bench.PALETTE
    dataset = build_dataset(config.data.train)
    hooked = copy.deepcopy(config)
    hooked.custom_hooks = [{"type": "SmokeProgress"}]
    losses = smoke_steps.Losses(speaker, job["iterations"])
    train_segmentor(model, [dataset], hooked, distributed=False, validate=False, timestamp="smoke", meta={})
    losses.tell()
    checkpoint = os.path.join(config.work_dir, "iter_%d.pth" % job["iterations"])
    return model.to(device).eval(), checkpoint


def _evaluate(model, config, device, speaker):
    dataset = build_dataset(config.data.val, {"test_mode": True})
    loader = build_dataloader(
        dataset, 1, 0, dist=False, shuffle=False, persistent_workers=False, pin_memory=False
    )
    wrapped = build_dp(model, device.type, device_ids=[device.index or 0])
    measured = dataset.evaluate(single_gpu_test(wrapped, loader, pre_eval=True), metric="mIoU")
    side = (smoke_bench.SIZE, smoke_bench.SIZE)
    nothing = dataset.evaluate([np.zeros(side, np.int64)] * len(dataset), metric="mIoU")
    speaker.say(
        "evaluation",
        images=len(dataset),
        mean_iou=float(measured["mIoU"]),
        chance_mean_iou=float(nothing["mIoU"]),
        per_class_iou={name: float(measured["IoU." + name]) for name in smoke_bench.CLASSES},
    )


def _dump(job, config, checkpoint):
    """Put the checkpoint where it stays, and a config with which mmsegmentation's own tools can go on."""
    files = {
        name: os.path.join(job["output"], name + end)
        for name, end in (("checkpoint", ".pth"), ("config", ".py"))
    }
    shutil.move(checkpoint, files["checkpoint"])
    lasting = copy.deepcopy(config)
    for name in _OF_THE_ORIGINAL:
        lasting.pop(name, None)
    lasting.merge_from_dict(
        {
            "work_dir": None,
            "log_config": {"interval": 50, "hooks": [{"type": "TextLoggerHook", "by_epoch": False}]},
            "evaluation": {"interval": job["iterations"], "metric": "mIoU", "pre_eval": True},
        }
    )
    for split in (lasting.data.train.dataset, lasting.data.val, lasting.data.test):
        # mmcv puts the folder of the config in here when it loads it.
        split.data_root = "{{ fileDirname }}/" + smoke_steps.DATA
    lasting.dump(files["config"])
    return files


def _reload(model, files, config, device, speaker):
    """Load the checkpoint into a new model and compare what both say of the first validation images."""
    fresh = init_segmentor(files["config"], files["checkpoint"], device=str(device))
    dataset = build_dataset(config.data.val, {"test_mode": True})
    shown = min(smoke_steps.SHOWN, len(dataset))
    batch = collate([dataset[index] for index in range(shown)], samples_per_gpu=shown)
    images, metas = batch["img"][0].to(device), batch["img_metas"][0].data[0]
    with torch.no_grad():
        before, after = (each.inference(images, metas, False) for each in (model, fresh))
    speaker.say("reload", error=float((before - after).abs().max()), images=len(images))
    return fresh


def _infer(job, models, config, data, speaker):
    model, fresh = models
    model.cfg = config
    samples, first = smoke_steps.segment_files(
        data, lambda file: [inference_segmentor(each, file)[0] for each in (fresh, model)], speaker
    )
    overlay = fresh.show_result(first, [samples[0][2]], palette=smoke_bench.PALETTE, opacity=0.5)
    return smoke_steps.write_pictures(job, samples, overlay)
