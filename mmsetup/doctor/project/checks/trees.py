"""MM841, MM842: files of data sets: folders that are not there, images without masks, wrong lists."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mmsetup.doctor.model import Observation
from mmsetup.doctor.project.datasets import Dataset, Named, datasets, files_below
from mmsetup.doctor.project.model import project_check, shown
from mmsetup.doctor.project.places import is_file, is_folder, is_there
from mmsetup.doctor.project.project import Project

__all__ = ["absent_data", "unpaired"]

_MOST_DATASETS = 50
_LARGEST_LIST = 16 << 20
_MOST_ENDS = 4


@project_check(
    "MM841",
    title="Files of a data set are not where the configuration says",
    cause="data_root is a path from the folder in which training starts; img_dir, ann_dir, split (0.x), "
    "data_prefix and ann_file (1.x) are paths from data_root.",
    looks_at="The folders and files that the data sets in the configurations name. Where data_root itself "
    "is not there, is empty or is the project's own folder, the data may be on the machine that trains: a "
    "warning; where it holds something and a part of it is not there, an error.",
    remedy="Correct the path, or link the data: ln -s /where/it/is data.",
)
def absent_data(project: Project) -> Iterator[Observation]:
    """Observe folders and files of data sets that are not there."""
    roots: dict[Path, str] = {}
    parts: dict[Path, str] = {}
    for one in datasets(project):
        if one.root is not None and not is_there(one.root.path):
            roots.setdefault(one.root.path, f"{one.root.place}: data_root={one.root.written!r}")
            continue
        for named in (*one.images, *one.masks, *one.lists):
            if not is_there(named.path) and one.role != "test":
                into = parts if one.root is not None and _holds_data(one.root.path, project) else roots
                into.setdefault(named.path, f"{named.place}: {named.written!r} ({one.role})")
    if parts:
        yield Observation(
            "error",
            f"{len(parts)} part(s) of data sets are not there, though their data_root is",
            shown(list(parts.values())),
            "correct the path in the configuration: it is joined to data_root",
        )
    if roots:
        yield Observation(
            "warning",
            f"{len(roots)} folder(s) or file(s) of data are not there, seen from {project.root}",
            shown(list(roots.values())),
            f"ln -s /where/the/data/is {project.root}/data  # or correct data_root",
        )


def _holds_data(root: Path, project: Project) -> bool:
    """Tell whether there is data in a root: not in one that is kept empty, nor in that of the project."""
    try:
        names = os.listdir(root)  # noqa: PTH208 (names alone)
        is_own = project.root.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):
        return False
    return not is_own and not all(name.startswith(".") for name in names)


@project_check(
    "MM842",
    title="Images and masks of a data set do not belong together",
    cause="A mask is found by the name of its image: img_suffix is taken off and seg_map_suffix put in "
    "its place. With another suffix no image is found and the data set is empty; an image without a "
    "mask ends training with FileNotFoundError when it is read.",
    looks_at="The names of the files in the folders of images and masks (200,000 at most), the lines of "
    "split files, and the suffixes of the configuration or of the data set's class.",
    remedy="Set img_suffix and seg_map_suffix in the data set, or rename the files.",
)
def unpaired(project: Project) -> Iterator[Observation]:
    """Observe images without masks, and lists of images that are not there."""
    seen: set[tuple[object, ...]] = set()
    for one in datasets(project):
        images, masks = one.text("img_suffix"), one.text("seg_map_suffix")
        if one.task != "segmentation" or one.role == "test" or not images or not masks:
            continue
        if len(one.images) != 1 or len(one.masks) > 1 or len(one.lists) > 1:
            continue
        listed = one.lists[0] if one.lists else None
        mask = one.masks[0] if one.masks else None
        key = (
            one.images[0].path,
            mask.path if mask else None,
            listed.path if listed else None,
            images,
            masks,
        )
        if key in seen or len(seen) >= _MOST_DATASETS or not is_folder(one.images[0].path):
            continue
        seen.add(key)
        yield from _unpaired(one, mask, listed, images, masks)


def _unpaired(
    one: Dataset, mask: Named | None, listed: Named | None, image_end: str, mask_end: str
) -> Iterator[Observation]:
    folder = one.images[0]
    files = files_below(folder.path)
    if not files.is_whole:
        return
    have = set(files.names)
    ends_with = f"img_suffix={image_end!r}, seg_map_suffix={mask_end!r}"
    at = f"{folder.place}: {folder.written!r} ({one.type}, {ends_with})"
    names = _names(listed) if listed is not None and is_file(listed.path) else None
    if names is not None and listed is not None:
        absent = [name + image_end for name in names if name + image_end not in have]
        if absent:
            yield Observation(
                "error",
                f"{listed.written} names {len(absent)} image(s) of {len(names)} that are not there",
                (f"{listed.place}: {listed.written!r}", at, *shown(absent, 3)),
                "correct the list, or img_suffix in the data set",
            )
        images = [name + image_end for name in names if name + image_end in have]
    else:
        images = sorted(name for name in have if name.endswith(image_end))
        if have and not images:
            ends = sorted({Path(name).suffix for name in have})[:_MOST_ENDS]
            yield Observation(
                "error",
                f"no file in {folder.written} ends with {image_end}: the data set is empty",
                (at, f"{len(have)} file(s) there end with {', '.join(ends)}"),
                f"img_suffix={ends[0]!r}  # in the data set",
            )
    if mask is None or not is_folder(mask.path) or not images:
        return
    files = files_below(mask.path)
    beside = set(files.names)
    without = [name for name in images if name[: -len(image_end)] + mask_end not in beside]
    if without and files.is_whole:
        ends = sorted({Path(name).suffix for name in beside})[:_MOST_ENDS]
        yield Observation(
            "error",
            f"{len(without)} of {len(images)} image(s) in {folder.written} have no mask in {mask.written}",
            (
                at,
                *shown([f"{name}: no {name[: -len(image_end)] + mask_end}" for name in without], 3),
                f"{len(beside)} file(s) in {mask.written} end with {', '.join(ends) or 'nothing'}",
            ),
            "set img_suffix and seg_map_suffix in the data set, or bring the masks along",
        )


def _names(listed: Named) -> list[str] | None:
    try:
        if listed.path.stat().st_size > _LARGEST_LIST:
            return None
        lines = listed.path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return [line.strip() for line in lines if line.strip()]
