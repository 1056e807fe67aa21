"""Let uv's resolver turn a plan into pins.

The ops' source distribution cannot be asked for its metadata (its setup imports ``pkg_resources``, then
torch), so the resolver is told what it would say. Nothing else may come as a source distribution: a silent
build is what goes wrong most often.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from packaging.requirements import Requirement

from mmsetup import uv
from mmsetup.catalog import Family
from mmsetup.errors import IntegrityError, InterpreterError, LockError, NetworkError
from mmsetup.lock.files import check_name
from mmsetup.lock.model import Lock, LockedBuild, LockedFile, LockedPackage, LockedPatch
from mmsetup.lock.pylock import packages_of, parse
from mmsetup.plan import Plan
from mmsetup.plan.account import requirements

__all__ = ["lock", "source_distribution"]


def lock(plan: Plan, family: Family, *, name: str, offline: bool = False) -> Lock:
    """Resolve a plan to files with hashes, for the interpreter that it names.

    Raises:
        LockError: the plan cannot be resolved, or ``name`` cannot name a lockfile.
        InterpreterError: the plan's interpreter is not here.
        NetworkError: the index does not answer.
        IntegrityError: a file is damaged, or not the one that its page promises.
    """
    check_name(name)
    if plan.interpreter is None:
        raise InterpreterError(
            f"the plan needs Python {plan.python}, which is not here, to resolve for",
            remedy=f"uv python install {plan.python}  # or leave --offline away",
        )
    python = plan.interpreter.path
    bounds = [bound.requirement for bound in plan.bounds]
    if plan.unconfirmed:
        raise NetworkError(
            f"where the files of {', '.join(plan.unconfirmed)} are was not read on any page: only the "
            "catalogue says that they are there",
            remedy="mmsetup lock  # without --offline",
        )
    metadata = list(_static_metadata(plan, family))
    packages = _resolve(
        requirements(plan, family),
        bounds,
        python,
        metadata=metadata,
        source_only=[str(known["name"]) for known in metadata],
        replaces=family.replaces,
        glibc=plan.glibc,
        offline=offline,
    )
    _compare(packages, plan)
    build = _build(plan, family, packages, python, offline=offline) if plan.ops.is_built else None
    return Lock(
        name=name,
        family=family.name,
        python=plan.python,
        platform=plan.interpreter.platform,
        variant=plan.variant,
        packages=packages,
        build=build,
        catalog_digest=plan.catalog_digest,
        from_source=tuple(
            str(known["name"]) for known in metadata if known["name"] != family.ops.distribution
        ),
        patches=tuple(LockedPatch(patch.name, patch.package, patch.sha256) for patch in plan.patches),
    )


def source_distribution(name: str, version: str, python: Path, *, offline: bool = False) -> LockedFile:
    """Ask the index where a source distribution is; needed where a lock tells only its hash.

    Raises:
        LockError: there is none.
    """
    found = _resolve(
        [f"{name}=={version}"],
        [],
        python,
        metadata=[{"name": name, "version": version, "requires-dist": []}],
        source_only=[name],
        offline=offline,
    )
    return found[0].files[0]


def _compare(packages: Iterable[LockedPackage], plan: Plan) -> None:
    """Compare what uv hashed with what the page of a source promised."""
    promised = {choice.name: choice.file.sha256 for choice in plan.choices if choice.file}
    for package in packages:
        found = {file.sha256 for file in package.files}
        if promised.get(package.name) and promised[package.name] not in found:
            raise IntegrityError(
                f"{package.files[0].url} is not what its page promises",
                evidence=[f"the page says sha256 {promised[package.name]}", f"it has {', '.join(found)}"],
                remedy="mmsetup lock --no-prebuilt  # builds from source; and tell those who serve the page",
            )


def _build(
    plan: Plan, family: Family, packages: Iterable[LockedPackage], python: Path, *, offline: bool
) -> LockedBuild:
    ops = plan.choice(family.ops.distribution)
    pins = {package.name: package for package in packages}
    torch = pins["torch"]
    wanted = [
        f"torch @ {torch.files[0].url}" if torch.direct else f"torch=={torch.version}",
        *family.build.requires,
        *plan.ops.nvcc_wheels,
    ]
    # What both environments hold is the same in both; setuptools is the exception that makes builds possible.
    loose = {Requirement(line).name for line in family.build.requires} - {"numpy"}
    same = [
        f"{package.name}=={package.version}"
        for package in pins.values()
        if package.name not in loose and not package.direct and package.name != ops.name
    ]
    bounds = [bound.requirement for bound in plan.bounds]
    return LockedBuild(
        name=ops.name,
        version=ops.version,
        requires=_tools(wanted, [*same, *bounds], python, offline=offline),
        environment=family.build.environment,
        with_cuda=plan.ops.with_cuda,
        architectures=plan.ops.architectures,
    )


def _tools(
    wanted: Sequence[str], bounds: Sequence[str], python: Path, *, offline: bool
) -> tuple[LockedPackage, ...]:
    """Resolve a build environment with what uv knows already, and only else with the index.

    Which release of ninja builds the ops does not matter; that it stays the same does, for it is part of the
    key under which the wheel is kept.
    """
    try:
        return _resolve(wanted, bounds, python, metadata=[], source_only=[], offline=True)
    except (LockError, NetworkError):
        if offline:
            raise
        return _resolve(wanted, bounds, python, metadata=[], source_only=[], offline=False)


def _static_metadata(plan: Plan, family: Family) -> Iterator[Mapping[str, Any]]:
    """Give what the metadata of the source distributions among the choices would say."""
    if plan.ops.is_built:
        ops = plan.choice(family.ops.distribution)
        yield {"name": ops.name, "version": ops.version, "requires-dist": list(family.ops.requires)}
    for choice in plan.choices:
        member = next((one for one in family.members if one.distribution == choice.name), None)
        if member is not None and member.sdist is not None:
            yield {
                "name": choice.name,
                "version": choice.version,
                "requires-dist": list(member.sdist.requires),
            }


def _resolve(
    wanted: Sequence[str],
    bounds: Sequence[str],
    python: Path,
    *,
    metadata: Sequence[Mapping[str, Any]],
    source_only: Sequence[str],
    offline: bool,
    replaces: Mapping[str, str] | None = None,
    glibc: str = "",
) -> tuple[LockedPackage, ...]:
    with tempfile.TemporaryDirectory(prefix="mmsetup-lock-") as made:
        folder = Path(made)
        (folder / "requirements.in").write_text("\n".join(wanted) + "\n", encoding="utf-8")
        (folder / "constraints.in").write_text("\n".join(bounds) + "\n", encoding="utf-8")
        # A uv.toml of this folder adds to the user's own configuration; --config-file would replace it.
        (folder / "uv.toml").write_text(
            tomli_w.dumps({"dependency-metadata": list(metadata)}), encoding="utf-8"
        )
        # Nothing is "never": so a distribution that another one replaces is required nowhere.
        never = [f"{name} ; sys_platform == 'never'" for name in replaces or {}]
        (folder / "overrides.in").write_text("\n".join(never) + "\n", encoding="utf-8")
        args: list[str | Path] = ["pip", "compile", "requirements.in", "--constraints", "constraints.in"]
        args += ["--overrides", "overrides.in"]
        args += ["--python", python, "--format", "pylock.toml", "--output-file", "pylock.toml", "--quiet"]
        args += ["--only-binary", ":all:"]
        if glibc:
            args += ["--python-platform", uv.platform_for(glibc)]
        args += [word for name in source_only for word in ("--no-binary", name)]
        uv.call(args, "resolve the plan", cwd=folder, offline=offline)
        return packages_of(parse(folder / "pylock.toml"), source_only=frozenset(source_only))
