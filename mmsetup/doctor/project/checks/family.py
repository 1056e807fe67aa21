"""MM80x: code and configurations of one generation beside the other, and packages that are not installed."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mmsetup.doctor.context import Context
from mmsetup.doctor.model import Observation
from mmsetup.doctor.project.model import counted, project_check, shown
from mmsetup.doctor.project.project import Module, Project
from mmsetup.project.imports import Use, uses, uses_by_line
from mmsetup.project.inherit import Config
from mmsetup.project.values import Value

__all__ = ["absent_packages", "foreign_code", "foreign_configs", "is_foreign"]

_ENOUGH = 2
_TAKEN = re.compile(r"from\s+([\w.]+)\s+import\s+(\([^)]{0,5000}\)?|(?:[^\n\\]|\\\n)*)")
_WORD = re.compile(r"\w+")
_DOTTED = re.compile(r"mm\w+(?:\.\w+)*")
_ALIASED = re.compile(r"\bimport\s+(mm[\w.]*)\s+as\b")


@project_check(
    "MM801",
    title="Code of one generation runs beside packages of the other",
    cause="mmcv 2.0 dropped mmcv.runner, mmcv.parallel, Config and Registry for mmengine, mmsegmentation 1.0 "
    "and mmdet 3.0 renamed what they offer. Code for the first generation does not import with the second, "
    "and the other way round.",
    looks_at="The imports of the project's Python files and notebooks against the generation of the "
    "installed mmcv, mmseg, mmdet and mmcls. An import whose failure the code catches does not count, nor "
    "does a package that the project brings itself.",
    remedy="Install the family that the project was written for (mmsetup plan --for DIR shows it), or move "
    "the code.",
    seen_in=(
        "open-mmlab/mmcv#2762",
        "open-mmlab/mmcv#2761",
        "OpenGVLab/InternImage#206",
        "modelscope/facechain#566",
    ),
    needs_environment=True,
)
def foreign_code(project: Project) -> Iterator[Observation]:
    """Observe names that the installed generation of a package does not have."""
    context = project.context
    assert context is not None  # noqa: S101 (needs_environment)
    found: dict[str, dict[str, None]] = {}
    names, tops = _names_of_others(project, context)
    for module in project.naming(tops):
        for use in _uses(module) if _may_use(module.source, names, tops) else ():
            rule = project.rules.of_name(use.name)
            top = use.name.partition(".")[0]
            if rule is None or not rule.strong or use.guarded or top in project.own_packages:
                continue
            here = _generation(project, context, top)
            wanted = project.rules.generations[rule.family]
            if here is None or here == wanted or _is_there(context, rule.name):
                continue
            found.setdefault(top, {})[f"{module.at(use.line)}  ({rule.meaning})"] = None
    for top, lines in found.items():
        # Of what is not installed, mmcv told the generation.
        owner = next((f"{one.name} {one.version}" for one in context.owners(top)), "")
        told = next((f"{one.name} {one.version}" for one in context.owners("mmcv")), "mmcv")
        beside = owner or f"{told} without {top}"
        yield Observation(
            "error",
            f"the code uses {top} of another generation in {counted(len(lines), 'line')}; here is {beside}",
            shown(list(lines)),
            _other_environment(project),
        )


@project_check(
    "MM802",
    title="A configuration is written for the runner of the other generation",
    cause="mmengine reads train_dataloader, optim_wrapper and train_cfg where mmcv 1.x reads data, "
    "optimizer and runner; neither reads what is meant for the other. A base of an installed package "
    "(mmseg::_base_/...) is read by mmengine alone: mmcv 1.x takes it for a path, FileNotFoundError.",
    looks_at="The keys, types and bases of each configuration against the installed generation. One that "
    "holds keys of both is no finding: a runner passes over keys that it does not read.",
    remedy="Install the family that the configuration was written for, or rewrite it.",
    seen_in=("open-mmlab/mmcv#2762", "OpenGVLab/InternImage#206"),
    needs_environment=True,
)
def foreign_configs(project: Project) -> Iterator[Observation]:
    """Observe configurations of which all keys belong to the other generation."""
    found = [(config, told) for config in project.configs if (told := is_foreign(project, config))]
    if found:
        names = sorted({family for _, told in found for family in told.families})
        yield Observation(
            "error",
            f"{counted(len(found), 'configuration')} {'is' if len(found) == 1 else 'are'} written for "
            f"{', '.join(names)}, which is not what is installed",
            shown([told.line for _, told in found]),
            _other_environment(project),
        )


@project_check(
    "MM803",
    title="A package that the project needs is not installed",
    cause="mmdet, mmcls and mmpretrain are optional beside mmsegmentation: ConvNeXt, BEiT and Mask2Former "
    "come from them, and only the configuration says so: 'is not in the ... registry', or \"'NoneType' "
    "object has no attribute 'parent'\". What custom_imports names is imported first.",
    looks_at="The imports of the project, the scopes in its configurations (type='mmpretrain.ConvNeXt'), "
    "their custom_imports and bases (mmdet::...), against what is installed and what the project "
    "brings itself. Imports whose failure is caught, and tests, do not count; one inside a function "
    "is a warning.",
    remedy="Install the package that fits the rest (mmsetup install --with NAME).",
    seen_in=("open-mmlab/mmsegmentation#2991", "yeungchenwa/OCR-SAM#22"),
    needs_environment=True,
)
def absent_packages(project: Project) -> Iterator[Observation]:
    """Observe packages that are named and that are neither installed nor part of the project."""
    context = project.context
    assert context is not None  # noqa: S101 (needs_environment)
    wanted: dict[str, _Wanted] = {}
    for module, text, is_certain in (*_imported(project, context), *_configured(project)):
        top = module.partition(".")[0]
        if _is_here(project, context, module, top) or _is_foreign_name(project, top):
            continue
        one = wanted.get(top, _Wanted({}, is_certain=False))
        one.lines[text] = None
        wanted[top] = _Wanted(one.lines, one.is_certain or is_certain)
    for top, one in sorted(wanted.items()):
        family = context.family.name if context.family else ""
        distribution = project.rules.of_module(top, family) or project.rules.of_module(top, "")
        is_of_stack = top in project.rules.modules
        name = distribution.name if distribution is not None else top
        yield Observation(
            "error" if one.is_certain else "warning",
            f"{name if is_of_stack else top} is not installed; it is needed in "
            f"{counted(len(one.lines), 'place')}",
            shown(list(one.lines)),
            context.commands.anew("--with", top)
            if top in project.rules.packages
            else f"add the folder that holds {top} to PYTHONPATH, or install it",
        )


@dataclass(frozen=True, slots=True)
class _Wanted:
    lines: dict[str, None]
    is_certain: bool


@dataclass(frozen=True, slots=True)
class _Told:
    families: frozenset[str]
    line: str


def is_foreign(project: Project, config: Config) -> _Told | None:
    """Tell whether a configuration is wholly of another generation than what is installed."""
    told: dict[str, _Told | None] = project.kept.setdefault("foreign", {})
    if config.path not in told:
        told[config.path] = _foreign(project, config)
    return told[config.path]


def _foreign(project: Project, config: Config) -> _Told | None:
    here = project.generation
    if here is None:
        return None
    if config.scoped and here == 1 and not _is_installed(project, "mmengine"):
        name, place = config.scoped[0]
        later = next(family for family, one in project.rules.generations.items() if one != here)
        return _Told(frozenset({later}), f"{config.path}: _base_ {name}, for mmcv 1.x a path ({place})")
    clues: Mapping[str, tuple[str, str]] = {
        key: (rule.rule.family, str(value.place))
        for key, value in config.values.items()
        for rule in project.rules.keys.get(key, ())
        if _fits(rule.value, rule.holds, rule.type, value)
    }
    families = {family for family, _ in clues.values()}
    if len(clues) < _ENOUGH or any(project.rules.generations[family] == here for family in families):
        return None
    keys = ", ".join(list(clues)[:4])
    return _Told(frozenset(families), f"{config.path}: {keys} ({next(iter(clues.values()))[1]})")


def _is_installed(project: Project, module: str) -> bool:
    return project.context is not None and project.context.source(module) is not None


def _fits(kind: str, holds: frozenset[str], of_type: str, value: Value) -> bool:
    if kind == "dict":
        inner = value.at("type")
        is_held = not holds or bool(holds & value.fields.keys())
        return isinstance(value.held, dict) and is_held and of_type in (inner.text if inner else "")
    if kind == "list":
        return isinstance(value.held, (tuple, dict))
    if kind == "text":
        return isinstance(value.held, str)
    return kind == "any" or value.number is not None


def _names_of_others(project: Project, context: Context) -> tuple[frozenset[str], frozenset[str]]:
    """Give the names of the generation that is not here, and the modules that they are in."""
    names = {
        name
        for name, rule in project.rules.names.items()
        if rule.strong
        and (top := name.partition(".")[0]) not in project.own_packages
        and _generation(project, context, top) not in {None, project.rules.generations[rule.family]}
    }
    return frozenset(names), frozenset(name.partition(".")[0] for name in names)


def _may_use(source: str, names: frozenset[str], tops: frozenset[str]) -> bool:
    """Tell whether a file could use one of the names; only then it is worth to be parsed."""
    taken = {f"{match[1]}.{word}" for match in _TAKEN.finditer(source) for word in _WORD.findall(match[2])}
    taken.update(match[0] for match in _DOTTED.finditer(source))
    if any(one.partition(".")[0] in tops for one in _ALIASED.findall(source)):
        return True
    for one in taken:
        if one.partition(".")[0] not in tops:
            continue
        parts = one.split(".")
        if any(".".join(parts[:end]) in names for end in range(1, len(parts) + 1)):
            return True
        # A module that was taken as a whole: what the code takes from it stands elsewhere.
        if any(name.startswith(f"{one}.") for name in names) and one in taken and _is_taken(one, source):
            return True
    return False


def _is_taken(name: str, source: str) -> bool:
    module, _, last = name.rpartition(".")
    return any(match[1] == module and last in _WORD.findall(match[2]) for match in _TAKEN.finditer(source))


def _uses(module: Module) -> tuple[Use, ...]:
    if module.tree is None:
        return tuple(uses_by_line(module.text.lines))
    return tuple(uses(module.walk))


def _generation(project: Project, context: Context, top: str) -> int | None:
    told: dict[str, int | None] = project.kept.setdefault("generations", {})
    if top not in told:
        found = project.generation_of(top)
        # mmengine itself has no first generation: without it, mmcv tells.
        told[top] = found if found is not None or context.owners(top) else project.generation
    return told[top]


def _is_foreign_name(project: Project, top: str) -> bool:
    """Tell whether MM801 or MM802 tells why a package is not there: it is of another generation."""
    rule = project.rules.of_name(top)
    here = project.generation
    return rule is not None and here is not None and project.rules.generations[rule.family] != here


def _is_there(context: Context, name: str) -> bool:
    """Tell whether a module of that name is installed all the same: a fork may have kept it."""
    top, *rest = name.split(".")
    folder = context.source(top)
    if folder is None or not rest:
        return False
    place = folder.joinpath(*rest)
    return place.is_dir() or place.with_suffix(".py").is_file()


def _imported(project: Project, context: Context) -> Iterator[tuple[str, str, bool]]:
    absent = [top for top in project.rules.modules if context.source(top) is None]
    for module in project.naming(set(absent) - project.own_packages):
        if module.is_test:
            continue
        inside = _functions(module)
        for use in _uses(module):
            top = use.name.partition(".")[0]
            if top in project.rules.modules and not use.guarded:
                is_inner = any(begin < use.line <= end for begin, end in inside)
                yield top, module.at(use.line), not is_inner


def _functions(module: Module) -> tuple[tuple[int, int], ...]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return tuple((n.lineno, n.end_lineno or n.lineno) for n, _ in module.walk if isinstance(n, kinds))


def _configured(project: Project) -> Iterator[tuple[str, str, bool]]:
    seen: set[int] = set()
    for config in project.configs:
        if is_foreign(project, config):
            continue
        for value in project.used(config).walk(seen):
            kind = value.fields.get("type")
            scope = kind.text.partition(".")[0] if kind is not None and "." in kind.text else ""
            if kind is not None and scope in project.rules.packages:
                yield scope, f"{kind.place}: type={kind.text!r}", True
        for name, place in config.missing:
            scope = name.partition("::")[0]
            if "::" in name and scope in project.rules.modules:
                yield scope, f"{place}: {name}", True
        custom = config.root.at("custom_imports.imports")
        allowed = config.root.at("custom_imports.allow_failed_imports")
        for one in custom.each() if custom is not None else ():
            if one.text and (allowed is None or allowed.held is False):
                yield one.text, f"{one.place}: custom_imports {one.text}", True


def _is_here(project: Project, context: Context, module: str, top: str) -> bool:
    if top in project.own_packages or project.has(module) or context.source(top) is not None:
        return True
    if top in project.rules.modules:
        return False
    single = (folder / f"{top}.py" for folder in context.environment.site_packages)
    return project.has(top) or any(place.is_file() for place in single) or top in sys.stdlib_module_names


def _other_environment(project: Project) -> str:
    return (
        f"mmsetup install --env .venv.other --for {shlex.quote(str(project.path))}  "
        "# beside this one; or move the code to what is installed"
    )
