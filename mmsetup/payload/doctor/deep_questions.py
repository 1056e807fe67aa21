"""The questions: each does a small thing that training does, and raises where it does not work."""

import importlib
import os

__all__ = ["AbsentError", "WrongAnswerError", "ask"]


class AbsentError(Exception):
    """What the question is about is not in this environment or on this machine."""


class WrongAnswerError(Exception):
    """It worked and gave what it should not."""


def ask(question, job):
    """Ask a question and give what was measured, an object, or nothing."""
    return globals()["_" + question["kind"]](question, job)


def _import(question, _job):
    importlib.import_module(question["module"])


def _arrays(_question, _job):
    import numpy as np
    import torch

    tensor = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    array = tensor.numpy()
    back = torch.from_numpy(np.asarray(array) + 1)
    _agree("tensor.numpy()", array.tolist(), [[0, 1, 2], [3, 4, 5]])
    _agree("torch.from_numpy()", back.tolist(), [[1, 2, 3], [4, 5, 6]])


def _config(_question, job):
    Config = importlib.import_module(job["framework"]).Config  # noqa: N806 (the name of a class)
    written, dumped = (os.path.join(job["scratch"], name) for name in ("written.py", "dumped.py"))
    with open(written, "w", encoding="utf-8") as file:
        file.write(
            "model = dict(type='A', heads=[dict(type='B', channels=16), dict(type='C')], scale=(2048, 512))\n"
            "classes = ('bench', 'hammer')\nlr = 1e-3\n"
        )
    config = Config.fromfile(written)
    _agree("a line of pretty_text", "lr = 0.001" in config.pretty_text, True)
    config.dump(dumped)
    again = Config.fromfile(dumped)
    found, wanted = ({key: each[key] for key in ("model", "classes", "lr")} for each in (again, config))
    _agree("a config that was dumped", found, wanted)


def _checkpoint(_question, job):
    import numpy as np
    import torch

    path = os.path.join(job["scratch"], "checkpoint.pth")
    model, fresh = torch.nn.Linear(4, 2), torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    # What OpenMMLab's runners and hooks put beside the weights.
    palette, best = np.array([[128, 64, 128]], dtype=np.uint8), np.float64(0.5)
    if job["framework"] == "mmcv":
        from mmcv.runner import load_checkpoint, save_checkpoint

        meta = {"epoch": 1, "CLASSES": ("bench",), "PALETTE": palette, "hook_msgs": {"best_score": best}}
        save_checkpoint(model, path, optimizer=optimizer, meta=meta)
        loaded = load_checkpoint(fresh, path, map_location="cpu")
        kept = loaded["meta"]["hook_msgs"]["best_score"]
    else:
        from mmengine.logging import HistoryBuffer
        from mmengine.runner.checkpoint import load_checkpoint, save_checkpoint

        saved = {
            "meta": {"epoch": 1, "dataset_meta": {"classes": ("bench",), "palette": palette}},
            "state_dict": model.state_dict(),
            "message_hub": {
                "log_scalars": {"train/loss": HistoryBuffer([0.7, 0.5], [1, 1])},
                "runtime_info": {"best_score": best},
                "resumed_keys": {},
            },
            "optimizer": optimizer.state_dict(),
        }
        save_checkpoint(saved, path)
        loaded = load_checkpoint(fresh, path, map_location="cpu")
        kept = loaded["message_hub"]["log_scalars"]["train/loss"].current()
    _agree("a number kept beside the weights", float(kept), 0.5)
    _agree("weights that were loaded", bool(torch.equal(model.weight, fresh.weight)), True)


def _loader(_question, job):
    import deep_loader

    deep_loader.load(job["sockets"])


def _ranks(question, job):
    import deep_ranks

    return deep_ranks.talk(question["backend"], job)


def _gpu(question, job):
    import torch

    device = question["device"]
    # Raises with the reason, where is_available() only says no.
    torch.cuda.init()
    if int(device.split(":")[1]) >= torch.cuda.device_count():
        raise AbsentError("torch sees %d GPUs" % torch.cuda.device_count())
    torch.set_num_threads(job["threads"])
    left = torch.arange(64 * 64, dtype=torch.float32).reshape(64, 64) / 4096
    product = (left.to(device) @ left.to(device)).cpu()
    _agree("a product of matrices on " + device, bool(torch.allclose(product, left @ left, atol=1e-2)), True)


def _ops(question, job):
    import torch

    importlib.import_module("torchvision")
    importlib.import_module("mmcv.ops")
    import smoke_ops

    torch.set_num_threads(job["threads"])
    device = question["device"]
    if device != "cpu" and (
        not torch.cuda.is_available() or int(device.split(":")[1]) >= torch.cuda.device_count()
    ):
        raise AbsentError("torch does not see " + device)
    return {"ops": list(smoke_ops.check(device))}


def _agree(what, found, wanted):
    if found != wanted:
        raise WrongAnswerError("%s gave %r where %r was right" % (what, found, wanted))
