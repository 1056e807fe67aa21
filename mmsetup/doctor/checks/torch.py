"""MM30x: torch itself, and the torchvision that has to be its partner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from mmsetup.binary import elf
from mmsetup.doctor.context import Context, parsed
from mmsetup.doctor.fixes import partner_of_torch
from mmsetup.doctor.installed import is_held_to
from mmsetup.doctor.model import Fix, Observation, check
from mmsetup.errors import IntegrityError
from mmsetup.probe.torch_files import parse_version

__all__ = ["damaged", "not_partners"]

_CORE = ("libc10.so", "libtorch.so", "libtorch_cpu.so", "libtorch_python.so")


@check(
    "MM301",
    title="torch and torchvision are not partners",
    cause="Each torchvision is compiled against one torch release and one CUDA variant. One of the "
    "two was upgraded alone, or they came from different indexes (a cpu torch with the "
    "default index's torchvision).",
    looks_at="The torch that torchvision's metadata asks for (else the pair in the catalogue), and the "
    "local part of both versions (+cpu, +cu117) in their version.py.",
    remedy="Install both anew, from one index.",
    seen_in=("pytorch/vision#9174", "pytorch/vision#8985"),
)
def not_partners(context: Context) -> Iterator[Observation]:
    """Observe a torchvision that belongs to another release or build of torch."""
    torch, vision = context.environment.torch, context.environment.version_of("torchvision")
    installed = parsed(torch.version) if torch else None
    found = parsed(vision)
    if torch is None or installed is None or found is None:
        return
    folder = context.folder("torchvision")
    wanted = _asks_for(context)
    pair = next((one for one in context.catalog.torch if one.version == Version(installed.public)), None)
    if wanted is not None:
        fits = wanted.specifier.contains(installed.public, prereleases=True)
        reason = f"torchvision {vision} declares {wanted}"
    elif pair is not None:
        fits = Version(pair.torchvision) == Version(found.public)
        reason = f"catalogue: torch {pair.version} and torchvision {pair.torchvision}"
    else:
        fits, reason = True, ""
    repair = partner_of_torch(context)
    if not fits:
        yield Observation(
            "error",
            f"torchvision {vision} does not belong to torch {installed.public}",
            (reason, f"torch {torch.version}: {torch.path}"),
            _partner(context, repair),
            repair,
        )
        return
    says = _version_file(context)
    variant = says.partition("+")[2]
    if folder is not None and variant and torch.variant and variant != torch.variant:
        yield Observation(
            "error",
            f"torchvision is a {variant} build, torch a {torch.variant} build",
            (f"{folder / 'version.py'}: {says}", f"{torch.path / 'version.py'}: {torch.version}"),
            _partner(context, repair),
            repair,
        )


@check(
    "MM302",
    title="torch's libraries are damaged",
    cause="A download, a copy or a disk that filled up left torch without some of its libraries, or "
    "with part of one.",
    looks_at="The libraries in torch/lib that every build has and those in its RECORD, and whether each ELF "
    "file is whole.",
    remedy="Install torch again.",
)
def damaged(context: Context) -> Iterator[Observation]:
    """Observe libraries of torch that are missing or cut short."""
    torch = context.environment.torch
    if torch is None or context.machine.os.name != "linux":
        return
    folder = torch.path / "lib"
    evidence = [f"{folder / name} is missing" for name in _CORE if not (folder / name).is_file()]
    evidence += [f"{path} is gone" for path in _recorded(context, folder) if path.name not in _CORE]
    evidence += filter(None, map(_fault, sorted(folder.glob("*.so*"))))
    if evidence:
        yield Observation(
            "error", f"torch {torch.version} is not whole", tuple(evidence), context.commands.restore
        )


def _recorded(context: Context, folder: Path) -> Iterator[Path]:
    """Give the libraries in ``torch/lib`` that were installed and are gone."""
    one = context.by_name.get("torch")
    if one is None or not is_held_to(one):
        return
    for name, _ in context.listed[one.path]:
        path = one.path.parent / name
        if path.parent == folder and ".so" in path.name and not path.is_file():
            yield path


def _partner(context: Context, repair: Fix | None) -> str:
    """Word the command for torch's partner; where the default index has none of its build, a plan is needed.

    What is there already may have the version that is wanted and be of another build, so that an installer
    would leave it.
    """
    if repair is None or any("+" in one for one in repair.install):
        return context.commands.restore
    return context.commands.install("--force-reinstall", "--no-deps", *repair.install)


def _fault(library: Path) -> str:
    try:
        elf.read_sections(library)
    except IntegrityError as error:
        return str(error)
    return ""


def _asks_for(context: Context) -> Requirement | None:
    for one in context.environment.distributions:
        for line in one.requires if one.name == "torchvision" else ():
            try:
                wanted = Requirement(line)
            except InvalidRequirement:
                continue
            if wanted.name == "torch" and wanted.marker is None and wanted.specifier:
                return wanted
    return None


def _version_file(context: Context) -> str:
    folder = context.folder("torchvision")
    try:
        source = (folder / "version.py").read_text(encoding="utf-8", errors="replace") if folder else ""
        return parse_version(source).get("__version__", "")
    except (OSError, SyntaxError, ValueError):
        return ""
