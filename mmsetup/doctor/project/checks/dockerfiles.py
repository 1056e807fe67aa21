"""MM86x: Dockerfiles that build operators for the CPU alone, build without need, or have a moving base."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mmsetup.doctor.model import Observation
from mmsetup.doctor.project.model import project_check, shown
from mmsetup.doctor.project.project import Project
from mmsetup.project.commands import joined
from mmsetup.project.model import Text

__all__ = ["moving_base", "without_cuda", "without_page"]

_STAGE = re.compile(r"^\s*FROM\s+(?:--\S+\s+)?(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_CPU_BASE = re.compile(
    r"(?:^|/)(?:python|debian|ubuntu|alpine|fedora|continuumio/miniconda3)(?::|$)|[-_:]cpu"
)
_GPU_BASE = re.compile(r"(?:^|/)(?:nvidia/cuda|cuda|pytorch/pytorch|pytorch|nvcr\.io/nvidia/\S+)(?::|@|$)")
_SEPARATOR = re.compile(r"&&|\|\||;|\|")
_PIP = re.compile(r"\b(?:pip[\d.]*|uv\s+pip)\s+(?:install|wheel)\b")
_SETUP = re.compile(r"\bsetup\.py\s+(?:develop|install|build_ext|bdist_wheel)\b")
_CLONED = re.compile(r"git\s+clone\s.*?/mmcv(?:\.git)?(?:\s|$)")
_REPOSITORY = re.compile(r"git\+\S*/mmcv(?:\.git)?(?:[@#\s]|$)")
_LOCAL = frozenset({".", "./", "-e", "mmcv", "/mmcv", "./mmcv"})
_SCHEME = "://"
# What pip and uv take their pages from where the command names none.
_PAGES = re.compile(r"\b(?:PIP|UV)_(?:FIND_LINKS|(?:EXTRA_)?INDEX(?:_URL)?|DEFAULT_INDEX)[= ]")
_WITH_OPS = re.compile(r"\bMMCV_WITH_OPS[= ][\"']?1")


@dataclass(frozen=True, slots=True)
class _Install:
    """A command that brings operators; ``is_build``: from source, whatever the index holds."""

    line: str
    name: str
    is_build: bool
    has_page: bool
    has_cuda: bool
    has_architectures: bool
    is_on_cpu: bool


@project_check(
    "MM861",
    title="A Dockerfile builds mmcv's operators without FORCE_CUDA",
    cause="docker build has no GPU: torch.cuda.is_available() is false, and setup.py of mmcv compiles the "
    "operators for the CPU alone. The image imports, and fails on a GPU with 'implementation for "
    "device cuda:0 not found'.",
    looks_at="Dockerfiles whose base has CUDA: commands that compile mmcv (a clone, a git address, "
    "MMCV_WITH_OPS, --no-binary, or an index without wheels), and whether FORCE_CUDA=1 is set before. "
    "Without TORCH_CUDA_ARCH_LIST it is a note.",
    remedy="ENV FORCE_CUDA=1 TORCH_CUDA_ARCH_LIST='8.0;8.6' before the command.",
    seen_in=("open-mmlab/mmcv#1099", "open-mmlab/mmcv#2968"),
)
def without_cuda(project: Project) -> Iterator[Observation]:
    """Observe builds in images that come out for the CPU alone."""
    for text in project.dockerfiles:
        for one in _installs(text, project):
            if one.is_on_cpu or not one.is_build:
                continue
            if not one.has_cuda:
                yield Observation(
                    "warning",
                    f"{text.path} compiles {one.name} without FORCE_CUDA=1: operators for the CPU alone",
                    (one.line,),
                    "ENV FORCE_CUDA=1 TORCH_CUDA_ARCH_LIST='7.5;8.0;8.6'  # above that line; the GPUs "
                    "that are meant",
                )
            elif not one.has_architectures:
                yield Observation(
                    "note",
                    f"{text.path} compiles {one.name} for every architecture that torch knows: "
                    "TORCH_CUDA_ARCH_LIST is not set",
                    (one.line,),
                    "ENV TORCH_CUDA_ARCH_LIST='7.5;8.0;8.6'  # above that line; the GPUs that are meant",
                )


@project_check(
    "MM862",
    title="A Dockerfile installs mmcv without a page of wheels",
    cause="The package index has mmcv and mmcv-full as source alone: without -f and the page of the torch "
    "in the image every build compiles for half an hour, or leaves mmcv without operators.",
    looks_at="pip install of mmcv, mmcv-full and onedl-mmcv in Dockerfiles without -f, --find-links or an "
    "index (nor PIP_FIND_LINKS and the like), and without FORCE_CUDA or MMCV_WITH_OPS, which say that a "
    "build is meant.",
    remedy="Add -f with the page for the torch and CUDA of the image, or install mmsetup's lockfile.",
    seen_in=("open-mmlab/mmcv#2059", "open-mmlab/mmcv#1386"),
)
def without_page(project: Project) -> Iterator[Observation]:
    """Observe installs that can only take the source."""
    lines = [
        one.line
        for text in project.dockerfiles
        for one in _installs(text, project)
        if not one.is_build and not one.has_page
    ]
    if lines:
        yield Observation(
            "warning",
            f"{len(lines)} command(s) in Dockerfiles install the operators where there are no wheels of them",
            shown(lines),
            "pip install --only-binary mmcv-full,mmcv -f "
            "https://download.openmmlab.com/mmcv/dist/CUDA/TORCH/index.html …  # mmsetup index shows which",
        )


@project_check(
    "MM863",
    title="A Dockerfile's base moves",
    cause="With the tag latest, or none, the next build has another torch: mmcv's operators no longer "
    "load, or are compiled anew.",
    looks_at="FROM with an image that brings CUDA or torch and without a tag of its own.",
    remedy="Name the tag, or the digest, of the base.",
    seen_in=("open-mmlab/mmdetection#12326", "open-mmlab/mmcv#3081"),
)
def moving_base(project: Project) -> Iterator[Observation]:
    """Observe bases without a version."""
    lines = []
    for text in project.dockerfiles:
        stages: set[str] = set()
        for number, line in enumerate(text.lines, 1):
            base = _STAGE.match(line)
            if base is None:
                continue
            image = base[1]
            tag = image.rpartition("/")[2].partition(":")[2]
            is_named = image in stages or "$" in image or "@" in image
            if _GPU_BASE.search(image) and not is_named and tag in {"", "latest"}:
                lines.append(f"{text.path}:{number}: {line.strip()}")
            stages.add(base[2] or "")
    if lines:
        yield Observation(
            "warning",
            f"{len(lines)} base image(s) move: the torch in them is another one some day",
            shown(lines),
            "name the tag: FROM pytorch/pytorch:VERSION-cudaX.Y-cudnnZ-devel",
        )


def _installs(text: Text, project: Project) -> Iterator[_Install]:
    known = project.tables.known["docker"]
    sets = (
        re.compile(rf"\b{known['force']}[= ]+[\"']?1"),
        re.compile(rf"\b{known['architectures']}[= ]"),
        _WITH_OPS,
        _PAGES,
    )
    # Which of them is set so far, and by ARG.
    seen, by_argument = [False] * len(sets), [False] * len(sets)
    is_on_cpu, is_cloned = False, False
    stages: dict[str, tuple[bool, list[bool]]] = {}
    stage = ""
    for start, _, whole in joined(text.lines):
        if whole.lstrip().startswith("#"):
            continue
        base = _STAGE.match(whole)
        if base is not None:
            stages[stage] = (is_on_cpu, seen)
            is_foreign = not _GPU_BASE.search(base[1]) and bool(_CPU_BASE.search(base[1]))
            # What ENV sets ends with its stage, but for the stages that begin with it.
            is_on_cpu, seen = stages.get(base[1].lower(), (is_foreign, by_argument))
            stage = (base[2] or "").lower()
            continue
        seen = [before or bool(one.search(whole)) for before, one in zip(seen, sets, strict=True)]
        if whole.lstrip().upper().startswith("ARG"):
            by_argument = [old or bool(one.search(whole)) for old, one in zip(by_argument, sets, strict=True)]
        has_cuda, has_architectures, has_ops, has_pages = seen
        for command in _SEPARATOR.split(whole):
            is_cloned = is_cloned or _CLONED.search(command) is not None
            found = _installed(command, known["operators"], known["pages"], is_cloned=is_cloned)
            if found is not None:
                name, is_build, has_page = found
                has_page = has_page or has_pages
                # Who forces CUDA means to compile.
                is_build = is_build or (not has_page and (has_cuda or has_ops))
                number = _line(text, start, name)
                clue = text.clue("", number, "")
                yield _Install(
                    f"{clue.path}:{clue.line}: {clue.text}",
                    name,
                    is_build,
                    has_page,
                    has_cuda,
                    has_architectures,
                    is_on_cpu,
                )


def _installed(
    command: str, operators: list[str], pages: list[str], *, is_cloned: bool
) -> tuple[str, bool, bool] | None:
    """Give the operators that a command installs, whether it compiles them, and whether it names a page."""
    if is_cloned and _SETUP.search(command):
        return "mmcv", True, False
    match = _PIP.search(command)
    if match is None:
        return None
    words = _words(command[match.end() :])
    has_page = any(word.partition("=")[0] in pages for word in words)
    if _REPOSITORY.search(command):
        return "mmcv", True, has_page
    for word in words:
        if _SCHEME in word or word.startswith("-"):
            continue
        name = _name(word)
        if name in operators:
            return name, any(one.startswith("--no-binary") for one in words), has_page
    if is_cloned and _LOCAL.intersection(words) and not any(word.startswith("-r") for word in words):
        return "mmcv", True, has_page
    return None


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()


def _name(word: str) -> str:
    try:
        return canonicalize_name(Requirement(re.sub(r"\$\{?\w+\}?", "0", word)).name)
    except InvalidRequirement:
        return ""


def _line(text: Text, start: int, name: str) -> int:
    for number in range(start, min(start + 200, len(text.lines))):
        if name in text.lines[number]:
            return number + 1
        if not text.lines[number].rstrip().endswith("\\"):
            break
    return start + 1
