"""What an installed torch says of itself, read from its files: nothing is imported and nothing is loaded."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmsetup.binary import elf, fatbin, torch_flags
from mmsetup.errors import IntegrityError
from mmsetup.probe.machine import TorchFacts

__all__ = ["cxx11_abi", "is_vendor_build", "parse_version", "read", "variant"]

_COMMIT = re.compile(r"[0-9a-f]{7,40}(\..*)?", re.ASCII)
_VENDOR_RELEASE = re.compile(r"(?:.*\.)?nv\d\d\.\d\d(\..*)?", re.ASCII)
_LOCAL_VARIANT = re.compile(r"(cu\d+|cpu|rocm[\d.]+|xpu)(?:[.\-_]|$)")


def read(site_packages: Iterable[Path]) -> tuple[TorchFacts | None, tuple[str, ...]]:
    """Find torch in the first folder that has it; ``None`` where none has, with notes on damage."""
    for folder in site_packages:
        if (folder / "torch" / "version.py").is_file():
            return _facts(folder / "torch")
        if (folder / "torch" / "__init__.py").is_file():
            return None, (f"{folder / 'torch'} has no version.py, so torch there is damaged",)
    return None, ()


def parse_version(source: str) -> Mapping[str, str]:
    """Give the assignments in ``torch/version.py`` of a string, or of ``None`` as an empty string.

    Raises:
        SyntaxError: it is no Python.
        ValueError: it holds a null byte.
    """
    values: dict[str, str] = {}
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        else:
            continue
        if isinstance(value, ast.Constant) and (value.value is None or isinstance(value.value, str)):
            values |= {target.id: value.value or "" for target in targets if isinstance(target, ast.Name)}
    return values


def variant(version: str, cuda: str, hip: str = "") -> str:
    """Name what a build was made for: ``cu117``, ``cpu``, ``rocm5.4``.

    The local part of the version says so in the builds of download.pytorch.org. Other builds
    (``2.1.0a0+32f93b1`` of NVIDIA's containers) have another one or none, and only the CUDA that was compiled
    in tells.
    """
    local = _LOCAL_VARIANT.match(version.partition("+")[2])
    if local:
        return local[1]
    if cuda:
        return "cu" + "".join(cuda.split(".")[:2])
    return "rocm" + ".".join(hip.split(".")[:2]) if hip else "cpu"


def is_vendor_build(version: str) -> bool:
    """Tell whether a version of torch is of NVIDIA's own build, for its containers (NGC) or for JetPack.

    Seen: ``1.11.0a0+bfe5ad2`` (open-mmlab/mmcv#1714), ``2.4.0a0+07cecf4168.nv24.05`` and, for JetPack 5,
    ``2.0.0+nv23.05`` (forums.developer.nvidia.com/t/72048). Some builds for JetPack have the plain version of
    a release, which tells nothing. ``2.4.0a0+gitd990dad`` is anybody's build from source.
    """
    release, _, local = version.partition("+")
    return bool(_VENDOR_RELEASE.fullmatch(local) or (release.endswith("a0") and _COMMIT.fullmatch(local)))


def cxx11_abi(exported: Iterable[str]) -> bool | None:
    """Tell ``_GLIBCXX_USE_CXX11_ABI`` from what ``libc10.so`` exports; ``None`` when that does not say.

    A function of ``c10`` that takes a string has ``__cxx11`` in its mangled name with the new layout, and
    ``Ss`` with the old one. Names of the standard library do not count: ``libstdc++`` is linked in, with both
    layouts of its exceptions.
    """
    has_old = False
    for symbol in exported:
        if symbol.startswith(("_ZN3c10", "_ZNK3c10")):
            if "__cxx11" in symbol:
                return True
            has_old = has_old or "Ss" in symbol
    return False if has_old else None


def _facts(package: Path) -> tuple[TorchFacts | None, tuple[str, ...]]:
    notes: list[str] = []
    try:
        source = (package / "version.py").read_text(encoding="utf-8", errors="replace")
        values = parse_version(source)
    except (OSError, SyntaxError, ValueError) as error:
        return None, (f"{package / 'version.py'} cannot be read: {error}",)
    version, cuda = values.get("__version__", ""), values.get("cuda", "")
    architectures = _architectures(package / "lib", notes)
    facts = TorchFacts(
        version=version,
        cuda=cuda,
        variant=variant(version, cuda, values.get("hip", "")),
        cxx11_abi=_abi(package / "lib", notes),
        sass=architectures.sass,
        ptx=architectures.ptx,
        path=package,
        is_vendor_build=is_vendor_build(version),
    )
    return facts, tuple(notes)


def _abi(libraries: Path, notes: list[str]) -> bool | None:
    core = libraries / "libc10.so"
    if not core.is_file():
        return None
    try:
        return cxx11_abi(elf.read(core).exported)
    except IntegrityError as error:
        notes.append(str(error))
        return None


def _architectures(libraries: Path, notes: list[str]) -> fatbin.Architectures:
    """Give what torch's own kernels were compiled for, else what all GPU code in its libraries is for.

    Up to torch 1.4 one library holds everything.
    """
    binding = libraries / torch_flags.BINDING
    try:
        said = torch_flags.stated(binding) if binding.is_file() else None
        found = sorted(libraries.glob("libtorch_cuda*.so")) or sorted(libraries.glob("libtorch.so"))
        return said or fatbin.architectures(*found)
    except IntegrityError as error:
        notes.append(str(error))
        return fatbin.Architectures((), ())
