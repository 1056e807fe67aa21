"""Run in an environment with torch: print what the compiled ops offer and what they give on fixed inputs, as JSON.

Usage: ``python all_operators.py FOLDER``, where ``FOLDER`` holds the package mmcv (``site-packages``, or a
wheel unpacked). The extension is loaded alone. ``names`` are all that it offers, ``absent`` those that
``mmcv.ops`` loads and it lacks, ``results`` by op the sha256 of the tensors that it gave on the CPU.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import math
import sys
from pathlib import Path

import torch


def extension(folder):
    place = next((folder / "mmcv").glob("_ext*.so"))
    spec = importlib.util.spec_from_file_location("_ext", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def asked_for(folder):
    names = set()
    for file in (folder / "mmcv" / "ops").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "load_ext":
                names.update(ast.literal_eval(node.args[1]))
    return names


def digest(value):
    if isinstance(value, torch.Tensor):
        value = value.detach().contiguous()
        return hashlib.sha256(
            f"{value.dtype}{tuple(value.shape)}".encode() + value.numpy().tobytes()
        ).hexdigest()
    if isinstance(value, (list, tuple)):
        return [digest(one) for one in value]
    return repr(value)


def boxes(count, size):
    corner = torch.rand(count, 2) * size
    return torch.cat([corner, corner + 2 + torch.rand(count, 2) * size / 3], 1)


def rotated(count, size):
    return torch.cat(
        [torch.rand(count, 2) * size, 2 + torch.rand(count, 2) * size / 3, torch.rand(count, 1) * math.pi], 1
    )


def quadrilaterals(count, size):
    x0, y0, x1, y1 = boxes(count, size).unbind(1)
    return torch.stack([x0, y0, x1, y0, x1, y1, x0, y1], 1) + torch.rand(count, 8)


def align(kind):
    def run(ext, function="roi_align"):
        image, out = torch.rand(2, 3, 24, 24), torch.zeros(6, 3, 5, 5)
        width = {"bezier": 16, "rotated": 5, "plain": 4}[kind]
        found = {"bezier": torch.rand(6, 16) * 24, "rotated": rotated(6, 24), "plain": boxes(6, 18)}[kind]
        rois = torch.cat([torch.tensor([0, 1] * 3).float()[:, None], found], 1)
        assert rois.shape[1] == width + 1
        gradient, given = torch.zeros_like(image), torch.rand_like(out)
        if kind == "plain":
            results = []
            for mode in (0, 1):
                y, x = torch.zeros_like(out), torch.zeros_like(out)
                ext.roi_align_forward(image, rois, out, y, x, 5, 5, 0.9, 2, mode, True)
                ext.roi_align_backward(given, rois, y, x, gradient, 5, 5, 0.9, 2, mode, True)
                results += [out.clone(), gradient.clone(), y, x]
            return results
        if kind == "bezier":
            ext.bezier_align_forward(image, rois, out, 5, 5, 0.9, 2, True)
            ext.bezier_align_backward(given, rois, gradient, 5, 5, 0.9, 2, True)
        else:
            sizes = {"pooled_height": 5, "pooled_width": 5, "spatial_scale": 0.9, "sampling_ratio": 2}
            ext.roi_align_rotated_forward(image, rois, out, **sizes, aligned=True, clockwise=False)
            ext.roi_align_rotated_backward(given, rois, gradient, **sizes, aligned=True, clockwise=False)
        return [out, gradient]

    return run


def feature_align(ext):
    image, out, gradient = torch.rand(2, 3, 8, 8), torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    best = rotated(128, 64).reshape(2, 8, 8, 5)
    results = []
    for points in (1, 5):
        ext.rotated_feature_align_forward(image, best, out, spatial_scale=0.125, points=points)
        ext.rotated_feature_align_backward(
            torch.rand(2, 3, 8, 8), best, gradient, spatial_scale=0.125, points=points
        )
        results += [out.clone(), gradient.clone()]
    return results


def nms(ext):
    found, scores = boxes(300, 60), torch.rand(300)
    kept = ext.nms(found, scores, iou_threshold=0.4, offset=0)
    dets = torch.zeros(300, 5)
    soft = [
        ext.softnms(
            found, scores, dets, iou_threshold=0.4, sigma=0.5, min_score=0.01, method=method, offset=1
        )
        for method in (0, 1, 2)
    ]
    match = ext.nms_match(torch.cat([found, scores[:, None]], 1), 0.4)
    return [kept, *soft, dets, match]


def nms_turned(ext):
    results = []
    for name, dets in (("nms_rotated", rotated(120, 40)), ("nms_quadri", quadrilaterals(120, 40))):
        scores = torch.rand(120)
        order = scores.sort(0, descending=True)[1]
        labels = (torch.zeros(120),) if name == "nms_rotated" else ()
        results.append(getattr(ext, name)(dets, scores, order, dets.index_select(0, order), *labels, 0.3, 0))
    return results


def overlaps(ext):
    results = []
    for name, make, aligned in (
        ("bbox_overlaps", boxes, 0),
        ("box_iou_rotated", rotated, 0),
        ("box_iou_quadri", quadrilaterals, 0),
        ("box_iou_rotated", rotated, 1),
    ):
        one, other = make(20, 30), make(20, 30)
        ious = torch.zeros(20 if aligned else 400)
        if name == "bbox_overlaps":
            ious = ious.reshape(20, 20)
            ext.bbox_overlaps(one, other, ious, mode=0, aligned=False, offset=1)
        else:
            getattr(ext, name)(one, other, ious, mode_flag=0, aligned=bool(aligned))
        results.append(ious)
    return results


def deform(ext):
    image, weight = torch.rand(2, 4, 10, 10), torch.rand(6, 4, 3, 3) - 0.5
    offset, out = torch.randn(2, 18, 10, 10), torch.zeros(2, 6, 10, 10)
    columns, ones = torch.zeros(0), torch.zeros(0)
    shape = {"kW": 3, "kH": 3, "dW": 1, "dH": 1, "padW": 1, "padH": 1, "dilationW": 1, "dilationH": 1}
    rest = {"group": 1, "deformable_group": 1, "im2col_step": 2}
    ext.deform_conv_forward(image, weight, offset, out, columns, ones, **shape, **rest)
    given, grads = (
        torch.rand_like(out),
        [torch.zeros_like(image), torch.zeros_like(offset), torch.zeros_like(weight)],
    )
    ext.deform_conv_backward_input(image, offset, given, grads[0], grads[1], weight, columns, **shape, **rest)
    ext.deform_conv_backward_parameters(
        image, offset, given, grads[2], columns, ones, **shape, scale=1, **rest
    )
    return [out, *grads]


def modulated(ext):
    image, weight, bias = torch.rand(2, 4, 10, 10), torch.rand(6, 4, 3, 3) - 0.5, torch.rand(6)
    offset, mask, out = torch.randn(2, 18, 10, 10), torch.rand(2, 9, 10, 10), torch.zeros(2, 6, 10, 10)
    columns, ones = torch.zeros(0), torch.zeros(0)
    shape = {"kernel_h": 3, "kernel_w": 3, "stride_h": 1, "stride_w": 1, "pad_h": 1, "pad_w": 1}
    rest = {"dilation_h": 1, "dilation_w": 1, "group": 1, "deformable_group": 1, "with_bias": True}
    ext.modulated_deform_conv_forward(image, weight, bias, ones, offset, mask, out, columns, **shape, **rest)
    grads = [torch.zeros_like(one) for one in (image, weight, bias, offset, mask)]
    ext.modulated_deform_conv_backward(
        image, weight, bias, ones, offset, mask, columns, *grads, torch.rand_like(out), **shape, **rest
    )
    return [out, *grads]


def psamask(ext):
    results = []
    for kind in (0, 1):
        image, out, gradient = torch.rand(2, 25, 6, 6), torch.zeros(2, 36, 6, 6), torch.zeros(2, 25, 6, 6)
        sizes = {
            "num_": 2,
            "h_feature": 6,
            "w_feature": 6,
            "h_mask": 5,
            "w_mask": 5,
            "half_h_mask": 2,
            "half_w_mask": 2,
        }
        ext.psamask_forward(image, out, psa_type=kind, **sizes)
        ext.psamask_backward(torch.rand_like(out), gradient, psa_type=kind, **sizes)
        results += [out, gradient]
    return results


def points(ext):
    found = torch.cat([torch.rand(6, 3) * 8, 2 + torch.rand(6, 3) * 4, torch.rand(6, 1)], 1)
    inside = torch.zeros(6, 200, dtype=torch.int32)
    ext.points_in_boxes_cpu_forward(found, torch.rand(200, 3) * 10, inside)
    return [inside]


def voxels(ext):
    cloud, size, area = (
        torch.rand(400, 4) * 8,
        torch.tensor([1.0, 1.0, 1.0]),
        torch.tensor([0.0, 0, 0, 8, 8, 8]),
    )
    coors = torch.zeros(400, 3, dtype=torch.int32)
    ext.dynamic_voxelize_forward(cloud, size, area, coors, NDim=3)
    hard = torch.zeros(500, 5, 4), torch.zeros(500, 3, dtype=torch.int32), torch.zeros(500, dtype=torch.int32)
    number = torch.zeros((), dtype=torch.long)
    ext.hard_voxelize_forward(
        cloud, size, area, *hard, number, max_points=5, max_voxels=500, NDim=3, deterministic=True
    )
    return [coors, *hard, number]


def active_filter(ext):
    weight = torch.rand(4, 2, 1, 3, 3)
    indices = torch.stack([torch.randperm(9) + 1 for _ in range(8)], 1).reshape(1, 3, 3, 8).int()
    out, gradient = torch.zeros(32, 2, 3, 3), torch.zeros_like(weight)
    ext.active_rotated_filter_forward(weight, indices, out)
    ext.active_rotated_filter_backward(torch.rand_like(out), indices, gradient)
    return [out, gradient]


def pixels(ext):
    score, label = torch.rand(16, 16), torch.zeros(16, 16, dtype=torch.int32)
    label[2:4, 2:4], label[9:12, 9:12] = 1, 2
    contour = (label > 0).to(torch.uint8)
    group = ext.pixel_group(score, score > 0.2, torch.rand(16, 16, 4), label, contour, 3, 0.8)
    kernels = torch.stack([score > 0.2, score > 0.5, label > 0]).to(torch.uint8)
    return [group, ext.contour_expand(kernels, label, 1, 3)]


RUNS = {
    "roi_align": align("plain"),
    "roi_align_rotated": align("rotated"),
    "bezier_align": align("bezier"),
    "rotated_feature_align": feature_align,
    "nms": nms,
    "nms_turned": nms_turned,
    "overlaps": overlaps,
    "deform_conv": deform,
    "modulated_deform_conv": modulated,
    "psamask": psamask,
    "points_in_boxes": points,
    "voxelize": voxels,
    "active_rotated_filter": active_filter,
    "pixel_group": pixels,
}


def main():
    folder = Path(sys.argv[1])
    ext = extension(folder)
    names = {name for name in dir(ext) if not name.startswith("__")}
    torch.set_num_threads(1)
    results = {}
    for number, (name, run) in enumerate(RUNS.items()):
        torch.manual_seed(number)
        try:
            results[name] = digest(run(ext))
        except (AttributeError, RuntimeError) as error:  # an op that this version lacks
            results[name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    absent = sorted(asked_for(folder) - names)
    print(json.dumps({"names": dict.fromkeys(sorted(names), 1), "absent": absent, "results": results}))


if __name__ == "__main__":
    main()
