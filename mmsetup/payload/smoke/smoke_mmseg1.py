"""The smoke run of mmcv 2.x, mmengine and mmsegmentation 1.x, and of the packages that are their heirs."""

import copy
import os
import shutil

import cv2
import mmcv
import mmengine
import mmseg
import numpy as np
import smoke_bench
import smoke_steps
import torch
import torchvision
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.apis import inference_model, init_model, show_result_pyplot
from mmseg.evaluation import IoUMetric
from mmseg.registry import DATASETS

_CONFIG = ".mim/configs/sem_fpn/fpn_r50_4xb2-80k_cityscapes-512x1024.py"
_OF_THE_ORIGINAL = (
    "norm_cfg",
    "data_preprocessor",
    "dataset_type",
    "data_root",
    "crop_size",
    "img_ratios",
    "tta_pipeline",
    "tta_model",
    "optimizer",
)
"""Variables of the original config that describe its own data set, and that nothing refers to any more."""
_WIDTH = 16


def run(job, speaker):
    """Check the ops, draw, train, evaluate, save, load and infer; tell what was measured."""
    device = smoke_steps.choose_device(job)
    smoke_steps.tell_versions(speaker, device, (torch, torchvision, mmcv, mmengine, mmseg, np, cv2))
    speaker.stage("ops")
    smoke_steps.check_ops(speaker)
    speaker.stage("data")
    data = smoke_steps.draw(job)
    speaker.stage("train")
    config = _config(job, data)
    runner, checkpoint = _train(job, config, speaker)
    speaker.stage("evaluate")
    _evaluate(runner, speaker)
    model = runner.model.to(device).eval()
    speaker.stage("reload")
    files = _dump(job, config, checkpoint)
    fresh = _reload(model, files, config, device, speaker)
    speaker.stage("infer")
    files["pictures"] = _infer(job, (model, fresh), config, data, speaker)
    speaker.say("files", **files)


def _config(job, data):
    """Load a config that mmsegmentation ships and shrink it to what two cores train in half a minute."""
    config = Config.fromfile(os.path.join(os.path.dirname(mmseg.__file__), *_CONFIG.split("/")))
    for name in _OF_THE_ORIGINAL:
        config.pop(name, None)
    norm = {"type": "BN", "requires_grad": True}
    side = (smoke_bench.SIZE, smoke_bench.SIZE)
    model = config.model
    model.pretrained = None
    model.data_preprocessor.update(mean=[128.0] * 3, std=[64.0] * 3, size=side)
    model.backbone.update(depth=18, base_channels=_WIDTH, stem_channels=2 * _WIDTH, norm_cfg=norm)
    model.neck.update(in_channels=[_WIDTH, 2 * _WIDTH, 4 * _WIDTH, 8 * _WIDTH], out_channels=2 * _WIDTH)
    model.decode_head.update(
        in_channels=[2 * _WIDTH] * 4, channels=2 * _WIDTH, num_classes=len(smoke_bench.CLASSES), norm_cfg=norm
    )
    # Four of five pixels are bench; without weights the first hundred steps learn nothing else.
    model.decode_head.loss_decode.class_weight = [0.5] + [1.0] * (len(smoke_bench.CLASSES) - 1)
    iterations = job["iterations"]
    schedule = {
        "type": "OneCycleLR",
        "eta_max": 0.008,
        "pct_start": 0.25,
        "total_steps": iterations,
        "by_epoch": False,
    }
    own = {
        "work_dir": os.path.join(job["scratch"], "work"),
        "optim_wrapper": {
            "type": "OptimWrapper",
            "optimizer": {"type": "Adam", "lr": 0.008, "weight_decay": 0.0001},
        },
        "param_scheduler": [schedule],
        "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": iterations, "val_interval": iterations},
        "randomness": {"seed": job["seed"]},
    }
    # Set one by one, because update() merges each with what the original says.
    for name, value in {**own, **_data(job, data)}.items():
        config[name] = value
    config.env_cfg.cudnn_benchmark = False
    config.default_hooks.logger.interval = max(1, iterations // 10)
    config.default_hooks.checkpoint.interval = iterations
    return config


def _data(job, data):
    train = [
        {"type": "LoadImageFromFile"},
        {"type": "LoadAnnotations"},
        {"type": "RandomFlip", "prob": 0.5},
        {"type": "RandomFlip", "prob": 0.5, "direction": "vertical"},
        {"type": "PackSegInputs"},
    ]
    test = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}, {"type": "PackSegInputs"}]

    def loader(split, batch, sampler, pipeline):
        return {
            "batch_size": batch,
            # Workers would take the cores from the training, and shared memory that containers do not have.
            "num_workers": 0,
            "persistent_workers": False,
            "sampler": sampler,
            "dataset": {
                "type": "BaseSegDataset",
                "data_root": data,
                "data_prefix": {"img_path": "img_dir/" + split, "seg_map_path": "ann_dir/" + split},
                "img_suffix": ".png",
                "metainfo": {"classes": smoke_bench.CLASSES, "palette": smoke_bench.PALETTE},
                "pipeline": pipeline,
            },
        }

    endless = {"type": "InfiniteSampler", "shuffle": True}
    validation = loader("val", 1, {"type": "DefaultSampler", "shuffle": False}, test)
    return {
        "train_pipeline": train,
        "test_pipeline": test,
        "train_dataloader": loader("train", job["batch"], endless, train),
        "val_dataloader": validation,
        "test_dataloader": validation,
    }


def _train(job, config, speaker):
    timed = copy.deepcopy(config)
    for name in ("val_dataloader", "val_cfg", "val_evaluator"):
        # The loop would validate after its last step; that belongs to the evaluation.
        timed.pop(name)
    runner = Runner.from_cfg(timed)
    losses = smoke_steps.Losses(speaker, job["iterations"])

    class SmokeProgress(Hook):
        """Tell the loss and the time left as the training goes."""

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):  # noqa: ARG002
            losses.take(float(outputs["loss"]))

    runner.register_hook(SmokeProgress())
    runner.train()
    losses.tell()
    return runner, os.path.join(config.work_dir, "iter_%d.pth" % job["iterations"])


def _evaluate(runner, speaker):
    """Tell the mean IoU as mmsegmentation's own test loop gives it, and what it is made of."""
    classes = len(smoke_bench.CLASSES)
    measured, nothing = [], []

    class SmokeAreas(Hook):
        """Keep the areas of each image, with what the model says and with all background."""

        def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):  # noqa: ARG002
            for sample in outputs:
                labels = sample.pred_sem_seg.data.squeeze()
                truth = sample.gt_sem_seg.data.squeeze().to(labels)
                for kept, said in ((measured, labels), (nothing, torch.zeros_like(labels))):
                    kept.append(IoUMetric.intersect_and_union(said, truth, classes, 255))

    runner.register_hook(SmokeAreas())
    percent = runner.test()["mIoU"]
    by_class, chance = (
        IoUMetric.total_area_to_metrics(*(sum(areas) for areas in zip(*kept)))["IoU"]  # noqa: B905 (Python 3.7)
        for kept in (measured, nothing)
    )
    speaker.say(
        "evaluation",
        images=len(measured),
        mean_iou=round(float(percent) / 100, 4),
        chance_mean_iou=float(np.nanmean(chance)),
        per_class_iou={
            name: float(iou)
            for name, iou in zip(smoke_bench.CLASSES, by_class)  # noqa: B905 (Python 3.7)
        },
    )


def _dump(job, config, checkpoint):
    """Put the checkpoint where it stays, and a config with which mmsegmentation's own tools can go on."""
    files = {
        name: os.path.join(job["output"], name + end)
        for name, end in (("checkpoint", ".pth"), ("config", ".py"))
    }
    shutil.move(checkpoint, files["checkpoint"])
    lasting = copy.deepcopy(config)
    lasting.pop("work_dir")
    lasting.default_hooks.logger.interval = 50
    for loader in (lasting.train_dataloader, lasting.val_dataloader, lasting.test_dataloader):
        # mmengine puts the folder of the config in here when it loads it.
        loader.dataset.data_root = "{{ fileDirname }}/" + smoke_steps.DATA
    lasting.dump(files["config"])
    return files


def _reload(model, files, config, device, speaker):
    """Load the checkpoint into a new model and compare what both say of the first validation images."""
    fresh = init_model(files["config"], files["checkpoint"], device=str(device))
    dataset = DATASETS.build(copy.deepcopy(config.val_dataloader.dataset))
    shown = min(smoke_steps.SHOWN, len(dataset))
    batch = pseudo_collate([dataset[index] for index in range(shown)])
    said = []
    for each in (model, fresh):
        prepared = each.data_preprocessor(copy.deepcopy(batch), training=False)
        metas = [sample.metainfo for sample in prepared["data_samples"]]
        with torch.no_grad():
            said.append(each.inference(prepared["inputs"], metas).softmax(dim=1))
    speaker.say("reload", error=float((said[0] - said[1]).abs().max()), images=shown)
    return fresh


def _infer(job, models, config, data, speaker):
    model, fresh = models
    model.cfg = copy.deepcopy(config)
    first = []

    def predict(file):
        results = [inference_model(each, file) for each in (fresh, model)]
        first.append(results[0])
        return [result.pred_sem_seg.data.squeeze().cpu().numpy() for result in results]

    samples, file = smoke_steps.segment_files(data, predict, speaker)
    overlay = show_result_pyplot(
        fresh, file, first[0], opacity=0.5, draw_gt=False, show=False, with_labels=False
    )
    return smoke_steps.write_pictures(job, samples, np.ascontiguousarray(overlay[..., ::-1]))
