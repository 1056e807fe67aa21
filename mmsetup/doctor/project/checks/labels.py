"""MM843 to MM845: labels of data sets: numbers in masks, numbers of classes, COCO categories."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmsetup.doctor.model import Observation, Severity
from mmsetup.doctor.project.datasets import Dataset, Named, datasets
from mmsetup.doctor.project.masks import sample
from mmsetup.doctor.project.model import project_check, shown
from mmsetup.doctor.project.places import is_file, is_folder
from mmsetup.doctor.project.project import Project
from mmsetup.project.inherit import Config
from mmsetup.project.values import Value

__all__ = ["categories", "class_counts", "mask_values"]

_MOST_DATASETS = 8
_IGNORED = 255
_LARGEST_JSON = 64 << 20
_MOST_IMAGES = 200
_COCO = frozenset({"images", "annotations", "categories"})
_ASSERTING = "NumClassCheckHook"
# Two classes may come out of one channel: labels 0 and 1, learned by a sigmoid.
_BINARY = frozenset({1, 2})


@project_check(
    "MM843",
    title="Masks hold labels that the model has no class for",
    cause="A pixel of a mask is the number of its class, from 0; 255 is ignored. A label of num_classes "
    "or more ends training in the loss: 'Target ... is out of bounds', on a GPU 'device-side assert "
    "triggered'. Masks with colours have three numbers where one is read.",
    looks_at="The values in a sample of 48 PNG masks at most of each data set that is here, against "
    "num_classes of the heads, ignore_index and reduce_zero_label. Not looked at where classes are "
    "renumbered.",
    remedy="What the finding says: num_classes of the heads and the classes of the data set together, or "
    "renumber the masks. MM844 asks for the same.",
)
def mask_values(project: Project) -> Iterator[Observation]:
    """Observe masks that do not fit the heads."""
    seen: set[tuple[object, ...]] = set()
    for one in datasets(project):
        counts = _counts(one.config, "segmentation", project)
        end, reduces = one.text("seg_map_suffix"), one.reduces
        if one.task != "segmentation" or one.role == "test" or not counts or reduces is None or not end:
            continue
        if len(one.masks) != 1 or not is_folder(one.masks[0].path) or _renumbers(one):
            continue
        count = max(number for _, number in counts)
        key = (one.masks[0].path, count, reduces, end)
        if key in seen or len(seen) >= _MOST_DATASETS:
            continue
        seen.add(key)
        yield from _of_masks(project, one, one.masks[0], end, counts, reduces=reduces)


@project_check(
    "MM844",
    title="A head is for another number of classes than the data set has",
    cause="num_classes of a head was left as it was in the base configuration. With too few, labels are "
    "out of bounds in the loss; with too many, some are never learned; mmdet's NumClassCheckHook "
    "refuses both.",
    looks_at="num_classes of decode_head and auxiliary_head, of bbox_head and mask_head, against the "
    "classes that the training data set has: of the configuration, else CLASSES or METAINFO of its "
    "class.",
    remedy="num_classes=... in every head; where the masks hold more labels than the data set has classes, "
    "those as well (MM843).",
)
def class_counts(project: Project) -> Iterator[Observation]:
    """Observe heads whose number of classes is not that of the data set."""
    found: dict[Severity, dict[str, str]] = {"error": {}, "warning": {}}
    mends: dict[Severity, dict[str, None]] = {"error": {}, "warning": {}}
    for one in datasets(project):
        if one.role != "train" or one.classes is None or one.type in project.tables.free_heads:
            continue
        many = len(one.classes)
        severity: Severity = "error" if one.task == "detection" and _asserts(one.config) else "warning"
        for head, number in _counts(one.config, one.task, project):
            is_binary = one.task == "segmentation" and _BINARY.issuperset({many, number})
            if number != many and not is_binary:
                line = f"{head.place}: num_classes={number}, {one.type} has {many} ({_source(one)})"
                found[severity].setdefault(line, one.config.path)
                needed = _needed(project, one)
                mend = _of_both(one, needed) if needed > many else f"num_classes={many} in every head"
                mends[severity][mend] = None
    for severity, lines in found.items():
        if lines:
            paths = list(dict.fromkeys(lines.values()))
            yield Observation(
                severity,
                f"{len(lines)} head(s) are for another number of classes than their data set, in {paths[0]}"
                + (f" and {len(paths) - 1} more" if len(paths) > 1 else ""),
                shown(list(lines)),
                next(iter(mends[severity]))
                if len(mends[severity]) == 1
                else "set num_classes of every head to the number of classes of its data set",
            )


@project_check(
    "MM845",
    title="A COCO annotation file does not fit the configuration",
    cause="mmdet takes the categories whose names are among its classes; with other names every image is "
    "without objects. Names in another language or case are other names.",
    looks_at="The categories and file names in annotation files of 64 MiB at most that are here, against "
    "the classes of the data set and the folder of its images.",
    remedy="metainfo=dict(classes=(...)) (mmdet 3) or classes=(...) (mmdet 2) in every data set.",
)
def categories(project: Project) -> Iterator[Observation]:
    """Observe annotation files whose categories or images are not those of the configuration."""
    seen: set[tuple[object, ...]] = set()
    for one in datasets(project):
        for listed in one.lists if one.task == "detection" else ():
            key = (listed.path, one.classes)
            if key in seen or len(seen) >= _MOST_DATASETS or not is_file(listed.path):
                continue
            seen.add(key)
            yield from _of_annotations(one, listed)


def _counts(config: Config, task: str, project: Project) -> list[tuple[Value, int]]:
    """Give the heads of a model and their num_classes."""
    found = []
    for entry in project.tables.known["heads"]:
        for path in entry["paths"] if entry["task"] == task else ():
            value = config.root.at(f"model.{path}")
            for head in value.each() if value is not None else ():
                number, kind = head.fields.get("num_classes"), head.fields.get("type")
                name = kind.text.rpartition(".")[2] if kind is not None else ""
                if name in project.tables.free_heads:
                    continue
                if number is not None and number.number is not None:
                    found.append((number, number.number))
    return found


def _renumbers(one: Dataset) -> bool:
    """Tell whether labels are mapped to others: classes are chosen that are not those of the class."""
    chosen = one.chosen_classes
    return chosen is not None and one.said is not None and one.said.classes not in {None, one.classes}


def _of_masks(
    project: Project,
    one: Dataset,
    folder: Named,
    end: str,
    counts: Sequence[tuple[Value, int]],
    *,
    reduces: bool,
) -> Iterator[Observation]:
    count = max(number for _, number in counts)
    held = sample(project, folder, end)
    ignored = {_IGNORED, *_ignored(one)}
    # reduce_zero_label: 0 becomes 255, and every other label one less.
    last = count if reduces or count == 1 else count - 1
    strange = sorted(value for value in held.values if value > last and value not in ignored)
    severity: Severity = "warning" if _has_own_steps(project, one) else "error"
    head = f"{counts[0][0].place}: num_classes={count}" + (", reduce_zero_label=True" if reduces else "")
    if strange:
        yield Observation(
            severity,
            f"masks in {folder.written} hold {_words(strange)}, the model has {count} classes",
            (
                f"{folder.place}: {folder.written!r}",
                head,
                *shown([f"{folder.written}/{held.values[value]}: {value}" for value in strange], 3),
                f"{held.looked} of {held.total} mask(s) were looked at",
            ),
            _of_both(one, max(_needed(project, one), count)),
        )
    if held.coloured:
        yield Observation(
            severity,
            f"masks in {folder.written} are pictures in colour, not numbers of classes",
            (
                f"{folder.place}: {folder.written!r}",
                *shown([f"{folder.written}/{name}: colours in place of labels" for name in held.coloured], 3),
            ),
            "write each mask with one number a pixel (grey or palette PNG)",
        )


def _needed(project: Project, one: Dataset) -> int:
    """Give how many classes the masks of a data set need, as far as they were looked at; 0: not told."""
    end, reduces = one.text("seg_map_suffix"), one.reduces
    if one.task != "segmentation" or not end or reduces is None or _renumbers(one):
        return 0
    if len(one.masks) != 1 or not is_folder(one.masks[0].path):
        return 0
    ignored = {_IGNORED, *_ignored(one)}
    values = [value for value in sample(project, one.masks[0], end).values if value not in ignored]
    return max(values, default=0 if reduces else -1) + (0 if reduces else 1)


def _of_both(one: Dataset, needed: int) -> str:
    """Word what makes heads, data set and masks agree: what one of two findings asks for, the other keeps."""
    many = len(one.classes) if one.classes is not None else needed
    renumber = "or renumber the masks (255 is ignored)"
    if needed <= many:
        return f"num_classes={many} in every head, {renumber}"
    if one.said is not None and one.said.classes is not None and not one.said.is_own:
        # A choice of classes renumbers those that the class has, and adds none.
        return (
            f"num_classes={many} in every head, and renumber the masks to the {many} classes of {one.type} "
            "(255 is ignored); or take a data set that has your classes"
        )
    return f"num_classes={needed} in every head and {needed} classes in {_source(one)}, {renumber}"


def _source(one: Dataset) -> str:
    """Give where the classes of a data set are said."""
    chosen = one.chosen_classes
    if chosen is not None:
        return str(chosen.place)
    return one.said.source if one.said is not None else one.type


def _ignored(one: Dataset) -> Iterator[int]:
    """Give the labels that the data set or one of the heads leaves out."""
    heads = (one.config.root.at(f"model.{name}") for name in ("decode_head", "auxiliary_head"))
    for said in (one.value, *(inner for head in heads if head is not None for inner in head.each())):
        value = said.fields.get("ignore_index")
        if value is not None and value.number is not None:
            yield value.number


def _words(values: Sequence[int]) -> str:
    few = ", ".join(map(str, values[:5]))
    return f"{few}{' …' if len(values) > 5 else ''}"  # noqa: PLR2004


def _has_own_steps(project: Project, one: Dataset) -> bool:
    """Tell whether the project's own steps stand in the pipeline: they may change labels."""
    pipeline = one.value.fields.get("pipeline")
    if pipeline is None or not pipeline.elements:
        return pipeline is not None and not pipeline.is_known
    names = {kind.text for step in pipeline.elements if (kind := step.fields.get("type")) is not None}
    wanted = re.compile(rf"^class (?:{'|'.join(map(re.escape, names)) or '-'})\b", re.MULTILINE)
    return any(
        wanted.search(module.source) and project.own_packages.isdisjoint(module.text.path.split("/"))
        for module in project.known
    )


def _asserts(config: Config) -> bool:
    hooks = config.values.get("custom_hooks")
    types = (hook.fields.get("type") for hook in (hooks.elements if hooks is not None else ()))
    return any(kind is not None and kind.text == _ASSERTING for kind in types)


def _of_annotations(one: Dataset, listed: Named) -> Iterator[Observation]:
    document = _document(listed.path)
    at = f"{listed.place}: {listed.written!r}"
    if document is None:
        return
    named = [entry.get("name") for entry in _entries(document, "categories")]
    names = [name for name in named if isinstance(name, str)]
    if not names:
        if document and document.keys().isdisjoint(_COCO):
            # Annotations of another kind: BaseDataset's own, captions, those of mmocr.
            return
        yield Observation(
            "error",
            f"{listed.written} is no COCO annotation file: "
            + ("it has no categories" if document else "it is empty or no JSON"),
            (at,),
            "name a COCO annotation file in ann_file",
        )
        return
    if one.classes is not None:
        absent = [name for name in one.classes if name not in names]
        if absent:
            yield Observation(
                "error" if len(absent) == len(one.classes) else "warning",
                f"{len(absent)} of the {len(one.classes)} classes of {one.type} are no category in "
                f"{listed.written}",
                (
                    at,
                    f"{_source(one)}: {', '.join(one.classes[:6])}",
                    f"{listed.written}: {', '.join(names[:6])}{' …' if len(names) > 6 else ''}",  # noqa: PLR2004
                ),
                f"classes={tuple(names[:20])!r}  # in the data set, in metainfo=dict(...) for mmdet 3",
            )
    if len(one.images) == 1 and is_folder(one.images[0].path) and one.role != "test":
        files = [entry.get("file_name") for entry in _entries(document, "images")]
        some = [name for name in files if isinstance(name, str) and "\0" not in name]
        step = max(1, -(-len(some) // _MOST_IMAGES))
        gone = [name for name in some[::step] if not is_file(one.images[0].path / name)]
        if gone:
            yield Observation(
                "error",
                f"{listed.written} names images that are not in {one.images[0].written}",
                (
                    at,
                    *shown(gone, 3),
                    f"{len(gone)} of {len(some[::step])} that were looked for are not there",
                ),
                "correct the folder of the images (data_prefix, img_prefix), or ann_file",
            )


def _document(path: Path) -> dict[str, Any] | None:
    """Read an object of JSON; an empty one where there is no JSON, nothing where it is not to be read."""
    try:
        if path.stat().st_size > _LARGEST_JSON:
            return None
        document = json.loads(path.read_bytes())
    except OSError:
        return None
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else None


def _entries(document: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    found = document.get(key)
    return (entry for entry in (found if isinstance(found, list) else ()) if isinstance(entry, dict))
