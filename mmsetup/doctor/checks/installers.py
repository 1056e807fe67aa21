"""MM15x: several installers in one environment, and what their caches would bring back."""

from __future__ import annotations

import shlex
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from mmsetup.binary import elf
from mmsetup.binary.library_names import is_cuda_library, is_torch_library
from mmsetup.catalog.mim import mim
from mmsetup.doctor import conda
from mmsetup.doctor.context import Context, parsed
from mmsetup.doctor.declared import EDITIONS, requirements_of
from mmsetup.doctor.model import Fix, Observation, check
from mmsetup.errors import CatalogError, IntegrityError

__all__ = ["brought_back", "conda_and_pip", "mim_cannot_work", "mim_holds_back", "torch_of_nvidia"]

_MIM = "openmim"
# What openmim brings along, and which pins versions of packages that others use.
_BROUGHT_BY_MIM = ("openxlab", "opendatalab")
_MOST_NAMED = 5
_MOST_WHEELS = 20
_LARGEST_OPERATORS = 1 << 30


@check(
    "MM151",
    title="openmim cannot work in this environment",
    cause="mim starts pip and imports pkg_resources, and declares neither: an environment of uv has no "
    "pip, setuptools 82 has no pkg_resources, and that of one before 66.1 fails on Python 3.12.",
    looks_at="The versions of pip and setuptools beside openmim, against what the catalogue knows it to "
    "work with.",
    remedy="Install what the evidence names, or leave openmim out: mmsetup install does without it.",
    seen_in=("open-mmlab/mim#244", "open-mmlab/mim#226", "open-mmlab/mim#246"),
)
def mim_cannot_work(context: Context) -> Iterator[Observation]:
    """Observe an openmim beside which something is missing or has a version that it cannot use."""
    environment = context.environment
    found, python = environment.version_of(_MIM), parsed(environment.interpreter.version)
    if not found or python is None:
        return
    try:
        known = mim()
    except CatalogError:
        return
    wanted = [(Requirement(line), "openmim starts pip") for line in known.requires]
    wanted += [(Requirement(one.requirement), one.reason) for one in known.setuptools if python in one.python]
    unmet = []
    for requirement, reason in wanted:
        name = canonicalize_name(requirement.name)
        version = parsed(environment.version_of(name))
        if name != _MIM and (version is None or version not in requirement.specifier):
            here = f"{name} {version}" if version else f"{name} is not here"
            unmet.append((requirement, f"{here}; {requirement}: {reason}"))
    if unmet:
        names = [str(requirement) for requirement, _ in unmet]
        yield Observation(
            "warning",
            f"openmim {found} does not work here: it needs {', '.join(names)}",
            tuple(words for _, words in unmet),
            _by_uv(context, names),
            Fix(install=tuple(names)),
        )


@check(
    "MM152",
    title="openmim holds other packages back",
    cause="openmim brings openxlab, which pins requests, tqdm, rich, pytz and setuptools to releases of "
    "2023: to install it is to change these.",
    looks_at="The exact and compatible pins that openxlab and opendatalab declare, and the installed "
    "versions.",
    remedy="Uninstall openmim and what it brought, and upgrade what it changed; mmsetup install does "
    "without.",
    seen_in=("open-mmlab/mim#248", "open-mmlab/mim#241", "open-mmlab/mmdetection#8224"),
)
def mim_holds_back(context: Context) -> Iterator[Observation]:
    """Observe versions that only openmim's companions ask for."""
    present = [name for name in (_MIM, *_BROUGHT_BY_MIM) if name in context.by_name]
    held = []
    for name in _BROUGHT_BY_MIM:
        one = context.by_name.get(name)
        for wanted in requirements_of(one, context.markers) if one is not None else ():
            pins = any(part.operator in {"==", "~=", "<", "<="} for part in wanted.specifier)
            pins = pins and canonicalize_name(wanted.name) in context.needed
            version = parsed(context.environment.version_of(canonicalize_name(wanted.name)))
            if pins and version is not None and version in wanted.specifier:
                held.append(
                    (canonicalize_name(wanted.name), f"{wanted.name} {version}: {name} asks for {wanted}")
                )
    if held and _MIM in present:
        names = sorted({name for name, _ in held})
        newest = [str(context.bounded(name)) for name in names]
        yield Observation(
            "warning",
            f"openmim keeps {', '.join(names)} at old releases",
            tuple(words for _, words in held)[: _MOST_NAMED + 3],
            f"{context.commands.uninstall(*present)} && {context.commands.install('--upgrade', *newest)}",
        )


@check(
    "MM153",
    title="conda and pip installed different versions of one package",
    cause="pip put another version over what conda had installed. conda does not see it: its next install "
    "or update mixes the files of both.",
    looks_at="The names of the files in conda-meta against the installed distributions of the stack and of "
    "what it needs.",
    remedy="Keep such packages to one of the two; best, a virtual environment of its own for the stack.",
    seen_in=("open-mmlab/mmsegmentation#2910", "open-mmlab/mmcv#2908"),
)
def conda_and_pip(context: Context) -> Iterator[Observation]:
    """Observe packages of the stack of which conda recorded another version."""
    different = []
    for package in context.conda.values():
        name = conda.NAMES.get(package.name, package.name)
        one = context.by_name.get(canonicalize_name(name))
        recorded, found = parsed(package.version), parsed(one.version if one else "")
        if one is None or one.name not in context.needed or recorded is None or found is None:
            continue
        if recorded.release != found.release:
            by = f", installed by {one.installer}" if one.installer else ""
            different.append(
                f"{package.path}: {package.version} {package.build}; {one.path}: {one.version}{by}"
            )
    if different:
        yield Observation(
            "warning",
            f"conda recorded {len(different)} package(s) of the stack in another version than is here",
            tuple(different[:_MOST_NAMED]),
            context.commands.make_again,
        )


@check(
    "MM154",
    title="A cache would bring back operators that do not fit",
    cause="pip and uv keep each wheel that they build under its version alone. The torch that it was built "
    "with is not part of that: the next install, here or in another environment, takes the same file, "
    "without operators where the first build had no torch.",
    looks_at="The wheels of mmcv for this Python in the caches of pip and uv: whether they hold mmcv/_ext, "
    "and what that needs of torch.",
    remedy="Remove the wheel from the cache: pip cache remove, uv cache clean.",
    seen_in=("open-mmlab/mmcv#3319", "open-mmlab/mmcv#3313", "wzzheng/TPVFormer#48"),
)
def brought_back(context: Context) -> Iterator[Observation]:
    """Observe wheels of this environment's mmcv in caches that fit no environment, or not this one.

    Where the operators that are here are good, it is the next install alone that would meet such a wheel.
    """
    if context.environment.torch is None:
        return
    operators = context.operators
    is_lacking = operators is None or operators.facts is None or bool(context.strange_to_torch)
    for wheel, command in _cached(context):
        problem = _unfit(context, wheel)
        if problem:
            yield Observation(
                "warning" if is_lacking else "note",
                f"{wheel.name} in a cache {problem}",
                (str(wheel),),
                command,
                Fix(delete=(wheel,)),
            )


@check(
    "MM155",
    title="torch is NVIDIA's own build",
    cause="The containers of NGC and JetPack bring a torch for which nobody else makes wheels. A resolver "
    "that puts a release of PyTorch in its place breaks everything that was compiled for it.",
    looks_at="The version in torch/version.py, and PIP_CONSTRAINT, which keeps pip from it.",
    remedy="Build mmcv here, against this torch; or make an environment of its own beside it.",
    seen_in=("open-mmlab/mmcv#1714",),
)
def torch_of_nvidia(context: Context) -> Iterator[Observation]:
    """Observe a torch that must not be replaced."""
    torch = context.environment.torch
    if torch is None or not torch.is_vendor_build:
        return
    constraint = context.variables.get("PIP_CONSTRAINT", "")
    ops = context.family.ops.distribution if context.family else context.catalog.families[0].ops.distribution
    python = shlex.quote(str(context.environment.interpreter.path))
    yield Observation(
        "note",
        f"torch {torch.version} is NVIDIA's own build: no index has operators for it; keep it",
        (
            f"{torch.path / 'version.py'}: {torch.version}",
            f"PIP_CONSTRAINT={constraint}"
            if constraint
            else "PIP_CONSTRAINT is not set: nothing keeps pip from it",
        ),
        f"MMCV_WITH_OPS=1 FORCE_CUDA=1 {python} -m pip install --no-build-isolation --no-deps {ops}",
    )


def _by_uv(context: Context, requirements: list[str]) -> str:
    """Word the command that installs into an environment that may lack pip, pip among it."""
    python = shlex.quote(str(context.environment.interpreter.path))
    if context.environment.version_of("pip"):
        return context.commands.install(*requirements)
    return f"uv pip install --python {python} {shlex.join(requirements)}"


def _cached(context: Context) -> Iterator[tuple[Path, str]]:
    """Give the wheels of mmcv in the caches, each with the command that removes it.

    They are those of the editions that own mmcv here, of the family's where nothing does, else of all.
    """
    family = {context.family.ops.distribution} if context.family else set(EDITIONS["mmcv"])
    wanted = {one.name for one in context.owners("mmcv")} or family
    names = [name.replace("-", "_") for name in EDITIONS["mmcv"] if name in wanted]
    home = context.variables.get("HOME", "")
    general = context.variables.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else "")
    pip = context.variables.get("PIP_CACHE_DIR") or (f"{general}/pip" if general else "")
    uv = context.variables.get("UV_CACHE_DIR") or (f"{general}/uv" if general else "")
    python = shlex.quote(str(context.environment.interpreter.path))
    found: list[tuple[Path, str]] = []
    for name in names if pip else ():
        for path in Path(pip, "wheels").glob(f"*/*/*/*/{name}-*.whl"):
            has_pip = context.environment.version_of("pip")
            command = (
                f"{python} -m pip cache remove {path.stem}" if has_pip else shlex.join(["rm", str(path)])
            )
            found.append((path, command))
    for name in names if uv else ():
        public = name.replace("_", "-")
        for shelf in ("pypi", "index/*"):
            for path in Path(uv).glob(f"sdists-v*/{shelf}/{public}/*/*/{name}-*.whl"):
                found.append((path, f"uv cache clean {public}"))  # noqa: PERF401 (two shelves)
    yield from sorted(found)[:_MOST_WHEELS]


def _unfit(context: Context, wheel: Path) -> str:
    """Say what is wrong with a cached wheel for this environment, or nothing."""
    try:
        tags = parse_wheel_filename(wheel.name)[3]
    except InvalidWheelFilename:
        return ""
    interpreter = context.environment.interpreter
    own = {"py3", f"cp{interpreter.minor.replace('.', '')}"}
    if not any(tag.interpreter in own for tag in tags):
        return ""
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [one for one in archive.infolist() if one.filename.startswith("mmcv/_ext.")]
            if not members:
                return "has no operators: it was built where setup.py saw no torch"
            if members[0].file_size > _LARGEST_OPERATORS:
                return ""
            with TemporaryDirectory() as folder:
                extension = elf.read(Path(archive.extract(members[0], folder)))
    except (OSError, zipfile.BadZipFile, IntegrityError, NotImplementedError, RuntimeError):
        return "cannot be read"
    torch = context.environment.torch
    strange = [
        name
        for name in extension.needed
        if (is_torch_library(name) or is_cuda_library(name)) and name not in context.brought
    ]
    strange += [] if strange else sorted(context.not_in_torch(extension))
    version = torch.version if torch else ""
    return f"needs {strange[0]}, which torch {version} does not have" if strange else ""
