"""MM82x: how training is started: normalisation over processes, and the launcher's rank."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmsetup.doctor.context import Context
from mmsetup.doctor.model import Observation
from mmsetup.doctor.project.checks.family import is_foreign
from mmsetup.doctor.project.model import project_check, shown
from mmsetup.doctor.project.project import Project
from mmsetup.project.model import Text

__all__ = ["old_rank", "synchronised"]

_SYNCHRONISED = frozenset({"SyncBN", "MMSyncBN"})
_ADDED = re.compile(r"add_argument\(\s*((?:['\"][-\w]+['\"]\s*,?\s*)+)")
_QUOTED = re.compile(r"['\"]([-\w]+)['\"]")
_LAUNCH = re.compile(r"-m\s+torch\.distributed\.launch\b|\bdistributed/launch\.py\b")
_SCRIPT = re.compile(r"[\w./${}()-]*\.py\b")
_PASSED = re.compile(r"--local([-_])rank=\{")


@project_check(
    "MM821",
    title="SyncBN in a run of one process",
    cause="SyncBN needs a process group; mmcv 1.x does not make one for a single process: 'Default "
    "process group has not been initialized'. mmengine and tools/train.py of newer mmsegmentation "
    "turn SyncBN into BN then; mmdet 2.x, mmcls 0.x and older scripts do not.",
    looks_at="Configurations with SyncBN, where mmcv 1.x is installed and this machine has one GPU or none: "
    "whether the scripts that train (the project's own, else those of the installed package) call "
    "revert_sync_batchnorm.",
    remedy="norm_cfg = dict(type='BN', requires_grad=True), or start one process by the launcher.",
    seen_in=(
        "open-mmlab/mmsegmentation#354",
        "open-mmlab/mmsegmentation#8",
        "open-mmlab/mmsegmentation#809",
        "open-mmlab/mmdetection#6237",
    ),
    needs_environment=True,
)
def synchronised(project: Project) -> Iterator[Observation]:
    """Observe SyncBN where one process trains and nothing takes it out."""
    context = project.context
    assert context is not None  # noqa: S101 (needs_environment)
    if project.generation != 1 or len(context.machine.gpus) > 1:
        return
    scripts = _without_mending(project, context)
    if not scripts:
        return
    seen: set[int] = set()
    places = dict.fromkeys(
        f"{kind.place}: type={kind.text!r}"
        for config in project.configs
        if not is_foreign(project, config)
        for value in project.used(config).walk(seen)
        if (kind := value.fields.get("type")) is not None and kind.text in _SYNCHRONISED
    )
    if places:
        yield Observation(
            "warning",
            "SyncBN needs a process group, and a run of one process without a launcher has none",
            (*shown(list(places), 4), *shown(scripts, 3)),
            "norm_cfg = dict(type='BN', requires_grad=True)  # or: torchrun --nproc_per_node 1 SCRIPT "
            "--launcher pytorch",
        )


@project_check(
    "MM822",
    title="A script does not take the rank as the launcher gives it",
    cause="torch.distributed.launch passes --local-rank since torch 2.0 and passed --local_rank before: "
    "argparse refuses the other one with 'unrecognized arguments: --local-rank=0'. torchrun passes "
    "neither.",
    looks_at="add_argument('--local_rank') in the project's scripts, its shell scripts that call "
    "torch.distributed.launch, and what launch of the installed torch passes.",
    remedy="parser.add_argument('--local_rank', '--local-rank', type=int), or start by torchrun.",
    seen_in=("open-mmlab/mmyolo#839", "Adamdad/ConsistentTeacher#2"),
    needs_environment=True,
)
def old_rank(project: Project) -> Iterator[Observation]:
    """Observe scripts that refuse what the installed launcher passes."""
    context = project.context
    assert context is not None  # noqa: S101 (needs_environment)
    passed = _passed(context)
    if not passed:
        return
    launching = [
        (text, number) for text in project.scripts for number, line in _lines(text) if _LAUNCH.search(line)
    ]
    other = "--local_rank" if passed == "--local-rank" else "--local-rank"
    for module in project.modules:
        # Who parses what is known alone passes over the rest.
        if other not in module.source or "parse_known_args" in module.source:
            continue
        added = [(match, _QUOTED.findall(match[1])) for match in _ADDED.finditer(module.source)]
        if any(passed in names for _, names in added):
            continue
        for match, names in added:
            if other not in names:
                continue
            line = module.source.count("\n", 0, match.start()) + 1
            starts = [one for one in launching if _starts(one[0], one[1], module.text.path)]
            torch = context.environment.torch
            yield Observation(
                "error" if starts else "warning",
                f"{module.text.path} takes {other}, torch.distributed.launch of torch "
                f"{torch.version if torch else ''} passes {passed}",
                (module.at(line), *shown([_at(text, number) for text, number in starts], 3)),
                f"parser.add_argument('--local_rank', '--local-rank', type=int, default=0)  # "
                f"{module.text.path}; or torchrun instead of python -m torch.distributed.launch",
            )


def _without_mending(project: Project, context: Context) -> list[str]:
    """Name the scripts that start training and leave SyncBN as it is; none where all take it out."""
    known = project.tables.known["training"]
    starts = [
        module
        for module in (*project.known, *(code for code, _ in project.notebooks))
        if any(re.search(rf"\b{name}\(", module.source) for name in known["starts"])
        and not re.search(rf"^def (?:{'|'.join(known['starts'])})\(", module.source, re.MULTILINE)
    ]
    if starts:
        return [
            f"{module.text.path} trains without revert_sync_batchnorm"
            for module in starts
            if not any(name in module.source for name in known["mends"])
        ]
    used = {
        config.values["default_scope"].text for config in project.configs if "default_scope" in config.values
    }
    found = []
    for module in ("mmseg", "mmdet", "mmcls"):
        folder = context.source(module)
        script = folder / ".mim" / "tools" / "train.py" if folder is not None else None
        if script is None or (used and module not in used):
            continue
        try:
            text = script.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if any(name in text for name in known["mends"]):
            # The script that the configurations are most likely run with does it.
            return []
        found.append(f"{script} trains without revert_sync_batchnorm")
    return found


def _passed(context: Context) -> str:
    """Give the option that the installed launcher passes; nothing where its source does not say."""
    torch = context.source("torch")
    try:
        text = (torch / "distributed" / "run.py").read_text(encoding="utf-8") if torch is not None else ""
    except (OSError, ValueError):
        return ""
    found = set(_PASSED.findall(text))
    return f"--local{found.pop()}rank" if len(found) == 1 else ""


def _lines(text: Text) -> Iterator[tuple[int, str]]:
    yield from enumerate(text.lines, 1)


def _starts(text: Text, number: int, path: str) -> bool:
    """Tell whether the command at a line starts the script: lines that a backslash continues belong to it."""
    command = []
    for line in text.lines[number - 1 :]:
        command.append(line)
        if not line.rstrip().endswith("\\"):
            break
    joined = " ".join(command)
    if "--use_env" in joined or "--use-env" in joined:
        return False
    name = path.rpartition("/")[2]
    return any(one.rpartition("/")[2] == name for one in _SCRIPT.findall(joined))


def _at(text: Text, number: int) -> str:
    clue = text.clue("", number, "")
    return f"{clue.path}:{clue.line}: {clue.text}"
