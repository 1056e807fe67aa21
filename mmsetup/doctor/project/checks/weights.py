"""MM85x: weights that a configuration starts from: names, files and addresses."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmsetup.doctor.context import Context
from mmsetup.doctor.model import Observation
from mmsetup.doctor.project.checks.family import is_foreign
from mmsetup.doctor.project.model import project_check, shown
from mmsetup.doctor.project.places import at, is_file, is_there
from mmsetup.doctor.project.project import Project
from mmsetup.project.values import Place, Value

__all__ = ["absent_files", "silent_hosts", "unknown_names"]

_SECONDS = 3.0
_MOST_ADDRESSES = 64
_SCHEME = re.compile(r"(open-?mmlab)://(.+)")
_ADDRESS = re.compile(r"https?://")
_OTHER = re.compile(r"\w[\w-]+:")
_NAMED = ("pretrained", "load_from", "resume_from", "checkpoint")
_LISTS = ("model_zoo/open_mmlab.json", "hub/openmmlab.json")
_DEPRECATED = ("model_zoo/deprecated.json", "hub/deprecated.json")


@project_check(
    "MM851",
    title="Weights have a name that the installed package does not know",
    cause="open-mmlab://NAME is looked up in a list that mmcv (mmengine) brings: a misspelt name, or one "
    "of another release, ends with KeyError.",
    looks_at="Names after open-mmlab:// in the configurations, against the lists in the installed mmcv or "
    "mmengine.",
    remedy="One of the names in that list, or the address of the weights.",
    needs_environment=True,
)
def unknown_names(project: Project) -> Iterator[Observation]:
    """Observe names that no installed list has."""
    context = project.context
    assert context is not None  # noqa: S101 (needs_environment)
    known = _listed(context)
    if not known:
        return
    import difflib  # noqa: PLC0415 (seldom needed)

    for name, places in _weights(project, _SCHEME, group=2).items():
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        yield Observation(
            "error",
            f"open-mmlab://{name} is in no list of the installed package",
            shown([f"{place}: open-mmlab://{name}" for place in places]),
            f"open-mmlab://{near[0]}" if near else "the https address of the weights",
        )


@project_check(
    "MM852",
    title="A file of weights is not there",
    cause="Weights that a configuration starts from were not fetched or converted yet, or the path is "
    "relative to another folder.",
    looks_at="Paths in pretrained, init_cfg.checkpoint, load_from and resume_from, from the project's "
    "folder.",
    remedy="Fetch the file, or correct the path.",
)
def absent_files(project: Project) -> Iterator[Observation]:
    """Observe files of weights that are not there."""
    places: dict[str, None] = {}
    for name, named in _weights(project, re.compile(r"(.+)"), group=1).items():
        if _OTHER.match(name) or "\0" in name or not re.search(r"\.\w{2,11}$", name):
            continue
        if not is_there(at(project.root, name)):
            places.update(dict.fromkeys(f"{place}: {name}" for place in named))
    if places:
        yield Observation(
            "warning",
            f"{len(places)} place(s) name files of weights that are not there, seen from {project.root}",
            shown(list(places)),
            "fetch them, or correct the paths",
        )


@project_check(
    "MM853",
    title="Weights cannot be fetched",
    cause="The address of pretrained weights does not answer: the file was moved, the host has gone, its "
    "certificate has expired, or this machine may not reach it. Training ends when it fetches them.",
    looks_at="The addresses of weights in the configurations and in the installed lists of open-mmlab:// "
    "names: each is asked for with HEAD, all at once and 3 s at most, through the proxy that is set. "
    "What lies in the cache of torch.hub is not asked for. Not with --offline.",
    remedy="Fetch the file where it can be had, and name its path; or put it in TORCH_HOME/hub/checkpoints.",
    seen_in=("open-mmlab/mmengine#1661", "open-mmlab/mmyolo#1069"),
)
def silent_hosts(project: Project) -> Iterator[Observation]:
    """Observe addresses of weights that do not answer."""
    if project.is_offline:
        return
    wanted = dict(_weights(project, re.compile(r"(https?://\S+)"), group=1))
    if project.context is not None:
        known = _listed(project.context)
        for name, places in _weights(project, _SCHEME, group=2).items():
            if _ADDRESS.match(known.get(name, "")):
                wanted.setdefault(known[name], []).extend(places)
    cache = _cache()
    addresses = [address for address in wanted if not is_file(cache / _file(address))][:_MOST_ADDRESSES]
    if not addresses:
        return
    from mmsetup.catalog.addresses import shown as without_password  # noqa: PLC0415
    from mmsetup.catalog.answering import failures  # noqa: PLC0415 (not for every diagnosis)

    gone: list[str] = []
    silent: list[str] = []
    for address, failure in failures(addresses, seconds=_SECONDS).items():
        line = f"{wanted[address][0]}: {without_password(address)}: {failure.words}"
        (gone if failure.missing else silent).append(line)
    if gone:
        yield Observation(
            "error",
            f"{len(gone)} address(es) of weights are gone, and the cache of torch does not have them",
            shown(gone),
            f"find the file elsewhere, and put it in {cache} or name its path",
        )
    if silent:
        yield Observation(
            "warning",
            f"{len(silent)} address(es) of weights do not answer from here",
            shown(silent),
            f"fetch them where they can be reached, into {cache}; or: --offline, where they need not be",
        )


def _weights(project: Project, pattern: re.Pattern[str], *, group: int) -> dict[str, list[Place]]:
    """Give what the configurations name as weights and what a pattern matches of it, with the places."""
    found: dict[str, list[Place]] = {}
    for text, places in _every(project).items():
        match = pattern.fullmatch(text)
        if match is not None:
            found.setdefault(match[group], []).extend(places)
    return found


def _every(project: Project) -> dict[str, list[Place]]:
    found: dict[str, list[Place]] = project.kept.setdefault("weights", {})
    if found:
        return found
    seen: set[int] = set()
    for config in project.configs:
        if is_foreign(project, config):
            continue
        for value in project.used(config).walk(seen):
            for named in _named(value):
                places = found.setdefault(named.text, [])
                if named.place not in places:
                    places.append(named.place)
    return found


def _named(value: Value) -> Iterator[Value]:
    kind = value.fields.get("type")
    is_checkpoint = kind is not None and kind.text.rpartition(".")[2] == "Pretrained"
    for key in _NAMED:
        named = value.fields.get(key)
        if named is not None and named.text and (key != "checkpoint" or is_checkpoint):
            yield named


def _listed(context: Context) -> Mapping[str, str]:
    """Give the names of open-mmlab:// that the installed package knows, with their addresses."""
    found: dict[str, str] = {}
    older: dict[str, str] = {}
    for module in ("mmcv", "mmengine"):
        folder = context.source(module)
        if folder is not None:
            for into, names in ((found, _LISTS), (older, _DEPRECATED)):
                for name in names:
                    into.update(_texts(folder / name))
    # Old names stand for new ones (get_deprecated_model_names).
    return {**found, **{name: found[new] for name, new in older.items() if new in found}}


def _texts(path: Path) -> dict[str, str]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(document, dict):
        return {}
    return {key: value for key, value in document.items() if isinstance(value, str)}


def _cache() -> Path:
    """Give the folder in which torch.hub keeps weights (torch/hub.py, _get_torch_home)."""
    base = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"
    return at(Path(), os.environ.get("TORCH_HOME", str(base))) / "hub" / "checkpoints"


def _file(address: str) -> str:
    return address.partition("?")[0].rpartition("/")[2] or "-"
