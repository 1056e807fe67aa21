"""Compare mmcv's compiled operators with torchvision's, forward and backward, in float32 on one device.

An error is the largest difference between two tensors, divided by the largest value in the reference where
that is above 1: absolute for small values, relative to the scale of the tensor for large ones.
"""

import re

import torch
import torchvision

_MISSING = re.compile(
    r"implementation for device \S+ not found|not compiled with (GPU|CUDA) support", re.IGNORECASE
)
"""How mmcv says that an operator is not compiled for a device (its ``pytorch_device_registry.hpp``)."""


def check(device):
    """Give a measurement of each operator: ``op``, ``device``, ``state``, ``errors`` by tensor, ``detail``.

    ``state`` is ``measured``, ``unavailable`` (not compiled for this device) or ``crashed`` (raised something
    else).
    """
    for name, measure in (
        ("nms", _nms),
        ("roi_align", _roi_align),
        ("deform_conv2d", _deform_conv2d),
        ("modulated_deform_conv2d", _modulated_deform_conv2d),
        ("sigmoid_focal_loss", _sigmoid_focal_loss),
    ):
        measurement = {"op": name, "device": str(device), "state": "measured", "errors": {}, "detail": ""}
        try:
            torch.manual_seed(0)
            measurement["errors"] = measure(torch.device(device))
        except Exception as error:
            missing = _MISSING.search(str(error))
            measurement["state"] = "unavailable" if missing else "crashed"
            measurement["detail"] = "%s: %s" % (
                type(error).__name__,
                str(error).splitlines()[0] if str(error) else "",
            )
        yield measurement


def _error(ours, theirs):
    ours, theirs = ours.detach().double().cpu(), theirs.detach().double().cpu()
    if ours.shape != theirs.shape:
        raise ValueError("a tensor of shape %s where %s was right" % (tuple(ours.shape), tuple(theirs.shape)))
    # A NaN would compare as no difference at all in max().
    if not bool(torch.isfinite(ours).all()):
        raise ValueError("a tensor with values that are not finite")
    return float((ours - theirs).abs().max() / max(1.0, float(theirs.abs().max())))


def _compare(names, leaves, ours, theirs):
    """Run both functions on copies of ``leaves`` and compare results and the gradients of every leaf."""
    results, gradients = [], []
    for function in (ours, theirs):
        inputs = [leaf.clone().requires_grad_(True) for leaf in leaves]
        result = function(*inputs)
        weights = torch.linspace(-1, 1, result.numel(), device=result.device).reshape(result.shape)
        (result * weights).sum().backward()
        results.append(result)
        gradients.append([leaf.grad for leaf in inputs])
    errors = {"forward": _error(*results)}
    for name, mine, reference in zip(names, *gradients):  # noqa: B905 (Python 3.7)
        errors["gradient of " + name] = _error(mine, reference)
    return errors


def _nms(device):
    from mmcv.ops import nms

    corners = torch.rand(200, 2) * 80
    boxes = torch.cat([corners, corners + 8 + torch.rand(200, 2) * 40], dim=1).to(device)
    scores = torch.rand(200).to(device)
    kept = nms(boxes, scores, 0.5)[1]
    wanted = torchvision.ops.nms(boxes, scores, 0.5)
    return {
        "forward": _error(kept, wanted) if len(kept) == len(wanted) else float(abs(len(kept) - len(wanted)))
    }


def _roi_align(device):
    from mmcv.ops import roi_align

    features = torch.rand(2, 4, 16, 20).to(device)
    rois = torch.tensor(
        [[0, 1.5, 2, 30, 25], [1, 0, 0, 38, 30], [1, 10.2, 4.7, 19.9, 28.1], [0, -3, -2, 9, 8.0]]
    )
    rois = rois.to(device)
    return _compare(
        ("input",),
        (features,),
        lambda x: roi_align(x, rois, (5, 4), 0.5, 2, "avg", True),
        lambda x: torchvision.ops.roi_align(x, rois, (5, 4), 0.5, 2, True),
    )


def _convolution(device):
    x = torch.randn(2, 4, 11, 9)
    # At whole numbers the interpolation has a kink, and its gradient two right values: keep off them.
    offset = torch.randint(-2, 3, (2, 18, 11, 9)).float() + 0.15 + 0.7 * torch.rand(2, 18, 11, 9)
    weight = torch.randn(6, 4, 3, 3) / 6
    return [tensor.to(device) for tensor in (x, offset, weight)]


def _deform_conv2d(device):
    from mmcv.ops import deform_conv2d

    return _compare(
        ("input", "offset", "weight"),
        _convolution(device),
        lambda x, offset, weight: deform_conv2d(x, offset, weight, 1, 1, 1, 1, 1, False, 2),
        lambda x, offset, weight: torchvision.ops.deform_conv2d(x, offset, weight, padding=1),
    )


def _modulated_deform_conv2d(device):
    from mmcv.ops import modulated_deform_conv2d

    x, offset, weight = _convolution(device)
    mask, bias = torch.rand(2, 9, 11, 9).to(device), torch.randn(6).to(device)
    return _compare(
        ("input", "offset", "mask", "weight", "bias"),
        (x, offset, mask, weight, bias),
        lambda x, offset, mask, weight, bias: modulated_deform_conv2d(
            x, offset, mask, weight, bias, 1, 1, 1, 1, 1
        ),
        lambda x, offset, mask, weight, bias: torchvision.ops.deform_conv2d(
            x, offset, weight, bias, padding=1, mask=mask
        ),
    )


def _sigmoid_focal_loss(device):
    from mmcv.ops import sigmoid_focal_loss

    scores = (torch.randn(64, 5) * 2).to(device)
    labels = torch.randint(0, 6, (64,)).to(device)  # 5 is the background: no class is right
    target = torch.nn.functional.one_hot(labels, 6)[:, :5].float()
    return _compare(
        ("input",),
        (scores,),
        lambda x: sigmoid_focal_loss(x, labels, 2.0, 0.25, None, "none"),
        lambda x: torchvision.ops.sigmoid_focal_loss(x, target, 0.25, 2.0, "none"),
    )
