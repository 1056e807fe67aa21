"""Make the private environment in which a build runs, and choose the variables that it sees."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmsetup import uv
from mmsetup.build.preflight import Toolchain
from mmsetup.build.recipe import Recipe
from mmsetup.errors import BuildError

__all__ = ["BuildEnvironment", "make_environment", "variables"]

_PASSED_ON = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "LOGNAME", "TMPDIR", "TZ", "USER")
_OF_COMPILER_CACHES = ("CCACHE_", "SCCACHE_")
_PASSED_ON_FOR_GPU = ("CUDA_HOME", "CUDA_PATH")


@dataclass(frozen=True, slots=True)
class BuildEnvironment:
    """An environment that exists: its interpreter and its ``site-packages``."""

    python: Path
    site_packages: Path

    @property
    def torch(self) -> Path | None:
        """Give the package torch, where it is in the environment."""
        folder = self.site_packages / "torch"
        return folder if folder.is_dir() else None


def make_environment(recipe: Recipe, folder: Path, *, offline: bool = False) -> BuildEnvironment:
    """Make an environment with the recipe's interpreter and requirements below ``folder``.

    uv's own configuration decides where files come from. Nothing is built from source, and every file must
    have one of the hashes in the requirements. With ``offline`` it comes from uv's cache or not at all.

    Raises:
        NetworkError, DiskSpaceError, IntegrityError, ProcessError: as :func:`mmsetup.uv.call` tells.
        BuildError: uv made no environment.
    """
    place = folder / "environment"
    requirements = folder / "requirements.txt"
    requirements.write_text("\n".join(recipe.requirements) + "\n", encoding="utf-8")
    python = place / "bin" / "python"
    commands: tuple[list[str | Path], ...] = (
        ["venv", "--quiet", "--no-project", "--python", recipe.python.path, place],
        ["pip", "sync", "--quiet", "--require-hashes", "--no-build", "--python", python, requirements],
    )
    for command in commands:
        uv.call(
            command,
            f"make the environment in which {recipe.distribution} {recipe.version} is built",
            offline=offline,
        )
    found = sorted(place.glob("lib/python*/site-packages"))
    if not found:
        raise BuildError(f"uv made no environment in {place}")
    return BuildEnvironment(python=python, site_packages=found[0])


def variables(
    recipe: Recipe, environment: BuildEnvironment, toolchain: Toolchain, inherited: Mapping[str, str]
) -> dict[str, str]:
    """Give the variables that the build sees: few of ``inherited``, so that the recipe shapes the wheel.

    Those of a compiler cache go along: what it gives is what the compiler would. Without architectures the
    GPUs are hidden, because mmcv's setup.py compiles for CUDA where torch sees one.
    """
    gpu = bool(recipe.architectures)
    kept = {
        name: inherited[name]
        for name in (*_PASSED_ON, *(_PASSED_ON_FOR_GPU if gpu else ()))
        if name in inherited
    }
    kept.update({name: value for name, value in inherited.items() if name.startswith(_OF_COMPILER_CACHES)})
    path = os.pathsep.join([str(environment.python.parent), inherited.get("PATH", os.defpath)])
    chosen = {
        "PATH": path,
        "CC": toolchain.cc,
        "CXX": toolchain.cxx,
        "MAX_JOBS": str(toolchain.jobs),
        "NINJA_STATUS": "[%f/%t] ",
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONWARNINGS": "ignore",
    }
    if gpu:
        chosen["TORCH_CUDA_ARCH_LIST"] = ";".join(map(_dotted, recipe.architectures))
    else:
        chosen["CUDA_VISIBLE_DEVICES"] = ""
    return {**kept, **chosen, **recipe.environment, "MAX_JOBS": str(toolchain.jobs)}


def _dotted(architecture: str) -> str:
    """Spell ``sm_86`` as torch does: ``8.6``; ``sm_90a`` is ``9.0a``."""
    number = architecture.removeprefix("sm_")
    digits = number.rstrip("af")
    return f"{digits[:-1]}.{digits[-1]}{number[len(digits) :]}"
