"""Make the private environment in which a build runs, and choose the variables that it sees."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmsetup import uv
from mmsetup.build.preflight import Toolchain
from mmsetup.build.recipe import Recipe
from mmsetup.build.toolkit import additions, code_flags, kit_of_wheels
from mmsetup.errors import BuildError

__all__ = ["BuildEnvironment", "make_environment", "variables"]

_PASSED_ON = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "LOGNAME", "TMPDIR", "TZ", "USER")
_OF_COMPILER_CACHES = ("CCACHE_", "SCCACHE_")


@dataclass(frozen=True, slots=True)
class BuildEnvironment:
    """An environment that exists: its interpreter and its ``site-packages``.

    ``additions`` are further variables of a build for GPUs: a folder for temporary files, and those that add
    what the environment has of CUDA to a toolkit.
    """

    python: Path
    site_packages: Path
    additions: Mapping[str, str] = field(default_factory=dict)

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
    if not recipe.architectures:
        return BuildEnvironment(python=python, site_packages=found[0])
    # An nvcc that is killed leaves what it passes from one of its programs to the next.
    temporary = folder / "temporary"
    temporary.mkdir()
    added = {"TMPDIR": str(temporary), **additions(found[0], folder)}
    return BuildEnvironment(python=python, site_packages=found[0], additions=added)


def variables(
    recipe: Recipe, environment: BuildEnvironment, toolchain: Toolchain, inherited: Mapping[str, str]
) -> dict[str, str]:
    """Give the variables that the build sees: few of ``inherited``, so that the recipe shapes the wheel.

    Those of a compiler cache go along: what it gives is what the compiler would. The GPUs of the machine are
    hidden: mmcv's setup.py compiles for CUDA where torch sees one, and the recipe says for which.

    Raises:
        BuildError: the wheels that should have brought nvcc did not.
    """
    kept = {name: inherited[name] for name in _PASSED_ON if name in inherited}
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
        "CUDA_VISIBLE_DEVICES": "",
        # torch 2.13 puts ccache or sccache before CXX itself, runs or not: mmsetup.build.launcher does that.
        "TORCH_NO_COMPILER_WRAPPER": "1",
    }
    if recipe.architectures:
        toolkit = toolchain.toolkit or kit_of_wheels(environment.site_packages)
        if toolkit is None:
            raise BuildError(
                "there is no nvcc in the build environment, though its wheels were to bring it",
                remedy="mmsetup lock  # pins them anew",
            )
        chosen |= {
            "TORCH_CUDA_ARCH_LIST": code_flags(recipe.architectures).torch,
            "CUDA_HOME": str(toolkit),
            "NVCC_CCBIN": toolchain.cc,
            **environment.additions,
        }
    return {**kept, **chosen, **recipe.environment, "MAX_JOBS": str(toolchain.jobs)}
