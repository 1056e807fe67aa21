"""The data sets that configurations read: where their files are and what is said about them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mmsetup.doctor.project.classes import Classes, Said
from mmsetup.doctor.project.places import at
from mmsetup.doctor.project.project import Project
from mmsetup.project.inherit import Config
from mmsetup.project.values import Place, Value

__all__ = ["Dataset", "Files", "Named", "datasets", "files_below"]

_DEEPEST = 8
_MOST_FILES = 200_000
_ROLES = ("train", "val", "test")
_REMOTE = ("s3://", "http://", "https://", "petrel://", "openmmlab://")


@dataclass(frozen=True, slots=True)
class Named:
    """A file or a folder that a configuration names, and the line that does; ``path``: where it would be."""

    path: Path
    place: Place
    written: str


@dataclass(frozen=True, slots=True)
class Files:
    """The files below a folder by their paths from it; ``is_whole``: there are no others."""

    names: tuple[str, ...]
    is_whole: bool


@dataclass(frozen=True)
class Dataset:
    """One data set of a configuration, without what wraps it (``RepeatDataset``, ``ConcatDataset``).

    ``task`` is ``segmentation`` or ``detection``, ``role`` train, val or test.
    """

    config: Config
    role: str
    task: str
    value: Value
    said: Said | None
    folder: Path = field(default_factory=Path)

    @property
    def type(self) -> str:
        """Give the name of its class."""
        kind = self.value.fields.get("type")
        return kind.text if kind is not None else ""

    @cached_property
    def root(self) -> Named | None:
        """Give its ``data_root``."""
        return self._named(self.value.fields.get("data_root"), joined=False)

    @cached_property
    def images(self) -> tuple[Named, ...]:
        """Give the folders of its images."""
        return self._several("img_dir", "data_prefix.img_path", "data_prefix.img", "img_prefix")

    @cached_property
    def masks(self) -> tuple[Named, ...]:
        """Give the folders of its masks."""
        return self._several("ann_dir", "data_prefix.seg_map_path")

    @cached_property
    def lists(self) -> tuple[Named, ...]:
        """Give the files that name its images: a split, or annotations."""
        return self._several("split", "ann_file")

    def text(self, key: str) -> str | None:
        """Give what is said of the ends of file names, by the configuration or by the class."""
        told = self.value.fields.get(key)
        if told is not None:
            return told.text or None
        default = self.said.defaults.get(key) if self.said is not None else None
        return default if isinstance(default, str) else None

    @property
    def reduces(self) -> bool | None:
        """Tell whether label 0 is left out; nothing where that cannot be told."""
        told = self.value.fields.get("reduce_zero_label")
        if told is not None:
            return told.held if isinstance(told.held, bool) else None
        return bool(self.said.defaults.get("reduce_zero_label", False)) if self.said is not None else None

    @property
    def chosen_classes(self) -> Value | None:
        """Give the classes that the configuration itself chooses."""
        return (
            self.value.fields.get("classes")
            or self.value.at("metainfo.classes")
            or self.value.at("metainfo.CLASSES")
        )

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Give the names of its classes; nothing where they cannot be told."""
        chosen = self.chosen_classes
        if chosen is None:
            has_meta = "metainfo" in self.value.fields and not self.value.fields["metainfo"].fields
            return self.said.classes if self.said is not None and not has_meta else None
        names = tuple(one.text for one in chosen.elements)
        return names if names and all(names) else None

    def _several(self, *keys: str) -> tuple[Named, ...]:
        found = []
        for key in keys:
            value = self.value.at(key)
            for one in value.each() if value is not None else ():
                named = self._named(one, joined=True)
                if named is not None:
                    found.append(named)
        return tuple(found)

    def _named(self, value: Value | None, *, joined: bool) -> Named | None:
        if value is None or not value.text or value.text.startswith(_REMOTE) or "\0" in value.text:
            return None
        above = self.value.fields.get("data_root")
        if joined and above is not None and above.held is not None and not above.text:
            return None
        path = Path(value.text)
        if joined and above is not None and above.text and not path.is_absolute():
            if above.text.startswith(_REMOTE):
                return None
            path = Path(above.text) / path
        return Named(at(self.folder, str(path)), value.place, str(path))


def datasets(project: Project) -> tuple[Dataset, ...]:
    """Give the data sets of all configurations."""
    kept: list[Dataset] = project.kept.setdefault("datasets", [])
    if not kept:
        kept.extend(_datasets(project))
    return tuple(kept)


def _datasets(project: Project) -> Iterator[Dataset]:
    classes = Classes(project)
    said: dict[tuple[str, str], Said | None] = {}
    for config in project.configs:
        for role in _ROLES:
            for value in (config.root.at(f"data.{role}"), config.root.at(f"{role}_dataloader.dataset")):
                for leaf in _leaves(value):
                    task = _task(leaf, config)
                    kind = leaf.fields.get("type")
                    if not task or kind is None or not kind.text or leaf.is_partial:
                        continue
                    key = (kind.text.rpartition(".")[2], "mmseg" if task == "segmentation" else "mmdet")
                    if key not in said:
                        said[key] = classes.of(*key)
                    yield Dataset(config, role, task, leaf, said[key], project.root)


def files_below(folder: Path) -> Files:
    """Give the files below a folder; where there are 200,000 or a folder that is closed, not all of them.

    Links to folders are followed, and files whose names begin with a dot passed over, as mmcv and mmengine
    do (``LocalBackend.list_dir_or_file``); each folder once.
    """
    found: list[str] = []
    seen: set[str] = set()
    closed: list[OSError] = []
    for place, folders, names in os.walk(folder, onerror=closed.append, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        inside = os.path.relpath(place, folder)
        visible = (name for name in names if not name.startswith("."))
        found.extend(sorted(name if inside == "." else f"{inside}/{name}" for name in visible))
        if len(found) > _MOST_FILES:
            return Files(tuple(found), is_whole=False)
    return Files(tuple(found), is_whole=not closed)


def _leaves(value: Value | None) -> Iterator[Value]:
    """Give the data sets that nothing wraps; one that is repeated is given once."""
    waiting = [(value, 0)] if value is not None else []
    seen: set[int] = set()
    while waiting:
        found, depth = waiting.pop()
        if depth > _DEEPEST or id(found) in seen:
            continue
        seen.add(id(found))
        inner = found.fields.get("dataset") or found.fields.get("datasets")
        if found.elements:
            waiting.extend((one, depth + 1) for one in reversed(found.elements))
        elif inner is not None:
            waiting.append((inner, depth + 1))
        elif found.fields:
            yield found


def _task(value: Value, config: Config) -> str:
    if value.at("img_dir") or value.at("data_prefix.img_path") or value.at("data_prefix.seg_map_path"):
        return "segmentation"
    listed = value.at("ann_file")
    is_json = listed is not None and any(one.text.endswith(".json") for one in listed.each())
    if is_json:
        return "detection"
    return "segmentation" if config.root.at("model.decode_head") is not None else ""
