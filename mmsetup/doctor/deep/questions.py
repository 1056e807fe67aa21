"""Which questions an environment is asked, in which children, and which checks an answer can concern."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmsetup.binary.operators import OPS_PACKAGE
from mmsetup.doctor.context import Context

__all__ = ["BASE", "Question", "lanes"]

BASE = ("numpy", "cv2", "torch", "torchvision")
"""What the parts of OpenMMLab import, in the order in which each can be blamed for itself."""
_WITH_APIS = ("mmseg", "mmdet")
_WITHOUT_OPS = ("mmcv-lite",)
_ENDS = ("MM713",)
"""A question of any kind can end the process."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question: its name, which shows in findings, and what the payload is to do.

    ``about`` says it in words (``importing mmcv.ops``). ``needs`` are the modules that it imports, without
    which it cannot be answered, and ``checks`` those that an answer can concern.
    """

    name: str
    kind: str
    about: str
    needs: tuple[str, ...]
    checks: tuple[str, ...]
    more: tuple[tuple[str, str], ...] = ()

    @property
    def job(self) -> Mapping[str, Any]:
        """Give what the payload is told."""
        return {"name": self.name, "kind": self.kind, **dict(self.more)}


def framework(context: Context) -> str:
    """Give the package that holds configs and checkpoints: an ``mmcv`` with a runner, else ``mmengine``."""
    mmcv = context.source(OPS_PACKAGE)
    if mmcv is not None and (mmcv / "runner").is_dir():
        return OPS_PACKAGE
    return "mmengine" if context.source("mmengine") is not None else ""


def lanes(context: Context, checks: Collection[str]) -> list[list[Question]]:
    """Give the questions that concern ``checks``: those of one lane are asked one after another.

    What can damage a process for what comes after it (a GPU) has a lane of its own.
    """
    found = [list(_imports(context)), list(_values(context))]
    if _has_operators(context):
        found.append([_operators(context, "cpu")])
    if context.environment.torch is not None:
        found.append(list(_groups(context)))
        found += _gpus(context)
    wanted = [[one for one in lane if set(one.checks) & set(checks)] for lane in found]
    return [lane for lane in wanted if lane]


def modules(context: Context) -> tuple[str, ...]:
    """Give the modules of the stack that are here, those that others import first."""
    held = {
        module
        for one in context.stack
        for module in one.top_level
        if module.startswith("mm") and context.source(module) is not None
    }
    first = ["mmengine", OPS_PACKAGE, *_WITH_APIS]
    own = sorted(held, key=lambda name: (first.index(name) if name in first else len(first), name))
    found = [name for name in BASE if context.source(name) is not None]
    for name in own:
        found.append(name)
        if name == OPS_PACKAGE and _has_operators(context):
            found.append(f"{OPS_PACKAGE}.ops")
        if name in _WITH_APIS:
            found.append(f"{name}.apis")
    return tuple(found)


def _imports(context: Context) -> Iterator[Question]:
    before: list[str] = []
    for module in modules(context):
        needs = tuple(before) if module.startswith("mm") else ()
        yield Question(
            f"import {module}",
            "import",
            f"importing {module}",
            (*needs, module),
            ("MM712", "MM714", *_ENDS),
            (("module", module),),
        )
        if not module.endswith(".apis"):
            before.append(module)


def _values(context: Context) -> Iterator[Question]:
    if context.environment.torch is None:
        return
    holder = framework(context)
    if context.source("numpy") is not None:
        about = "giving tensors to numpy and back"
        yield Question("arrays", "arrays", about, ("numpy", "torch"), ("MM722", *_ENDS))
    if holder:
        needs = (*BASE, holder)
        yield Question("config", "config", f"writing {holder}'s Config", needs, ("MM723", *_ENDS))
        about = f"saving and loading a checkpoint by {holder}"
        yield Question("checkpoint", "checkpoint", about, needs, ("MM724", *_ENDS))
    about = "loading batches with two workers"
    yield Question("loader", "loader", about, ("torch",), ("MM725", *_ENDS))


def _groups(context: Context) -> Iterator[Question]:
    backends = ["gloo", *(["nccl"] if len(_usable(context)) > 1 else [])]
    for backend in backends:
        yield Question(
            f"two processes by {backend}",
            "ranks",
            f"adding up in two processes by {backend}",
            ("torch",),
            ("MM726", *_ENDS),
            (("backend", backend),),
        )


def _gpus(context: Context) -> list[list[Question]]:
    found = []
    for index in _usable(context):
        device = f"cuda:{index}"
        more = (("device", device),)
        lane = [Question(device, "gpu", f"multiplying on {device}", ("torch",), ("MM727", *_ENDS), more)]
        if _has_operators(context):
            lane.append(_operators(context, device))
        found.append(lane)
    return found


def _usable(context: Context) -> range:
    """Give the numbers of GPUs that can be asked: none that is pretended, none with a torch without CUDA."""
    torch = context.environment.torch
    if context.machine.overrides or torch is None or not torch.cuda:
        return range(0)
    return range(len(context.machine.gpus))


def _operators(context: Context, device: str) -> Question:
    needs = tuple(
        one for one in modules(context) if one in {*BASE, "mmengine", OPS_PACKAGE, f"{OPS_PACKAGE}.ops"}
    )
    about = f"comparing compiled operators with torchvision's on {device}"
    return Question(f"ops on {device}", "ops", about, needs, ("MM721", *_ENDS), (("device", device),))


def _has_operators(context: Context) -> bool:
    """Tell whether there is an mmcv that should have operators."""
    owners = {one.name for one in context.owners(OPS_PACKAGE)}
    return context.source(OPS_PACKAGE) is not None and not (owners and owners <= set(_WITHOUT_OPS))
