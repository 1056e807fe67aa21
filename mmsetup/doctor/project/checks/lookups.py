"""MM81x: what configurations name: types that no registry has, own classes that nobody imports, bases."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from mmsetup.doctor.model import Observation, Severity
from mmsetup.doctor.project.checks.family import is_foreign
from mmsetup.doctor.project.imported import Imports
from mmsetup.doctor.project.model import project_check, shown
from mmsetup.doctor.project.project import Project
from mmsetup.doctor.project.registry import Registry, registry_of
from mmsetup.project.inherit import Config
from mmsetup.project.values import Place, Value

__all__ = ["absent_bases", "unimported", "unregistered"]

_CLOSE = 0.8
_DEEPEST = 60
# Each takes up to 0.1 s among the names of all packages; who misspells so many means something else.
_MOST_COMPARED = 30


@dataclass(frozen=True, slots=True)
class _Named:
    """A type as a configuration names it; ``is_scoped``: something around it chose a package's registry.

    ``written`` is the scope in the type itself.
    """

    name: str
    scope: str
    is_scoped: bool
    place: Place
    written: str = ""


@project_check(
    "MM811",
    title="A type is in no registry",
    cause="'X is not in the ... registry': the name belongs to another generation or to a package that the "
    "lookup does not reach, it is misspelt, or the class is never registered. With mmcv 1.x the registry of "
    "a package that nothing imports is not there: \"'NoneType' object has no attribute 'parent'\".",
    looks_at="Every type='...' that is left after inheritance, against the classes that the sources of the "
    "installed packages and the project define or register. What cannot be told without running the file "
    "is not judged, nor are types inside of wrappers of other libraries (Albu).",
    remedy="What the finding says: the name in this generation, the scope (type='mmpretrain.ConvNeXt'), or "
    "the nearest name.",
    seen_in=("open-mmlab/mmsegmentation#2991", "yeungchenwa/OCR-SAM#22"),
    needs_environment=True,
)
def unregistered(project: Project) -> Iterator[Observation]:
    """Observe names that are in no registry, each once, with the reason."""
    registry = registry_of(project)
    if not all(names.is_whole for names in registry.packages.values()):
        # What is in a file that this user may not read is not known: MM107.
        return
    found: dict[tuple[str, str], list[_Named]] = defaultdict(list)
    closed: dict[str, list[_Named]] = defaultdict(list)
    for config, named in _judged(project, registry):
        if not _exists(named, registry):
            found[named.name, named.scope if named.is_scoped else ""].append(named)
        elif named.written and not _is_open(config, named.written, registry):
            closed[named.written].append(named)
    for scope, all_of_scope in sorted(closed.items()):
        places = [f"{one.place}: type='{scope}.{one.name}'" for one in all_of_scope]
        yield Observation(
            "error",
            f"{scope} is installed, and nothing imports it: with mmcv 1.x its registry is not there",
            shown(list(dict.fromkeys(places))),
            f"custom_imports = dict(imports=['{scope}.models'], allow_failed_imports=False)",
        )
    for (name, _), all_of_name in sorted(found.items()):
        severity, reason, remedy = _reason(all_of_name[0], registry)
        places = [f"{place}: type={name!r}" for place in dict.fromkeys(one.place for one in all_of_name)]
        yield Observation(severity, f"{name} is in no registry: {reason}", shown(places), remedy)


@project_check(
    "MM812",
    title="A class of the project is never imported",
    cause="A class is registered when its file is imported. Without custom_imports, and where no script "
    "imports it, the runner does not know it: 'X is not in the ... registry'.",
    looks_at="Types in configurations that only the project's own code registers, against the modules that "
    "custom_imports and the project's scripts lead to.",
    remedy="custom_imports = dict(imports=['package.module'], allow_failed_imports=False) in the "
    "configuration.",
    seen_in=("open-mmlab/mmsegmentation#2991",),
    needs_environment=True,
)
def unimported(project: Project) -> Iterator[Observation]:
    """Observe own classes that are named in a configuration whose run does not import them."""
    registry = registry_of(project)
    imports = Imports(project)
    found: dict[str, list[_Named]] = defaultdict(list)
    for config, named in _judged(project, registry):
        own = registry.own.get(named.name)
        if own is None or not own.is_registered or named.name in registry.every:
            continue
        if not project.own_packages.isdisjoint(own.module.text.path.split("/")):
            # A copy of mmseg registers what is in it when it is imported, as the package itself does.
            continue
        custom = config.root.at("custom_imports.imports")
        begun = [one.text for one in custom.each()] if custom is not None else []
        if custom is not None and not all(begun):
            continue
        if not imports.reaches(own.module, begun) and own.module.text.path != config.path:
            found[named.name].append(named)
    for name, all_of_name in sorted(found.items()):
        own = registry.own[name]
        places = list(dict.fromkeys(f"{one.place}: type={name!r}" for one in all_of_name))
        yield Observation(
            "warning",
            f"{name} is registered in {own.module.text.path}, which nothing imports",
            shown([own.module.at(own.line), *places]),
            f"custom_imports = dict(imports=[{own.module.dotted!r}], allow_failed_imports=False)  "
            f"# in the configuration, with {own.module.text.path} on PYTHONPATH",
        )


@project_check(
    "MM813",
    title="A configuration inherits from a file that is not there",
    cause="_base_ is a path from the folder of the file that names it: a configuration was moved or copied "
    "without what it inherits from.",
    looks_at="The files in _base_ of every configuration and of what it inherits from.",
    remedy="Correct the path, bring the base along, or, with mmengine, name that of the installed package: "
    "mmseg::_base_/...",
)
def absent_bases(project: Project) -> Iterator[Observation]:
    """Observe bases that are not there."""
    places = {
        f"{place}: {name}": None
        for config in project.configs
        for name, place in config.missing
        if "::" not in name
        or (
            project.context is not None
            and project.context.source(name.partition("::")[0])
            and not is_foreign(project, config)
        )
    }
    if places:
        yield Observation(
            "warning",
            f"{len(places)} base(s) of configurations are not there",
            shown(list(places)),
            "correct the path in _base_, or bring the file along",
        )


def _judged(project: Project, registry: Registry) -> Iterator[tuple[Config, _Named]]:
    """Give the types that are looked up, of configurations that are meant for what is installed."""
    rules = project.rules
    seen: set[tuple[int, str, bool, tuple[str, ...]]] = set()
    for config in project.configs:
        scope = config.values.get("default_scope")
        default = scope.text if scope is not None else ""
        if (
            default in rules.modules
            and default not in registry.packages
            and default not in project.own_packages
        ):
            continue
        if is_foreign(project, config):
            continue
        custom = config.root.at("custom_imports.imports")
        modules = tuple(one.text for one in custom.each()) if custom is not None else ()
        if not all(registry.can_read(name) for name in modules):
            # What such a module registers is not known.
            continue
        for named in _types(project.used(config), default, registry, seen, modules):
            if named.scope in {"", default} or named.scope in registry.packages:
                yield config, named


def _types(
    root: Value,
    default: str,
    registry: Registry,
    seen: set[tuple[int, str, bool, tuple[str, ...]]],
    modules: tuple[str, ...],
) -> Iterator[_Named]:
    """Give the types in a configuration; what was seen under the same scope and imports is passed over."""
    foreign = registry.project.tables.known["config"]["foreign"]
    scopes = registry.project.rules.modules
    waiting = [(root, default, False, 0)]
    while waiting:
        value, scope, is_scoped, depth = waiting.pop()
        key = (id(value), scope, is_scoped, modules)
        if depth > _DEEPEST or key in seen:
            continue
        seen.add(key)
        kind = value.fields.get("type")
        inner = value.fields.get("_scope_")
        if inner is not None and inner.text:
            scope, is_scoped = inner.text, True
        if kind is not None and kind.text:
            name = kind.text
            if name.rpartition(".")[2] in foreign:
                continue
            first, dot, rest = name.partition(".")
            written = first if dot and first in scopes else ""
            if written:
                scope, is_scoped, name = first, True, rest
            # What begins small is mostly a word that a class of its own understands: 'conv', 'offset'.
            if name.isidentifier() and name[0].isupper():
                yield _Named(name, scope, is_scoped, kind.place, written)
        waiting.extend(
            (one, scope, is_scoped, depth + 1)
            for one in (*value.fields.values(), *value.elements)
            if one.fields or one.elements
        )


def _exists(named: _Named, registry: Registry) -> bool:
    own = registry.own.get(named.name)
    if named.name.endswith(tuple(registry.project.tables.known["registered_by_loops"]["ends"])):
        return True
    if named.name in registry.aliases or (own is not None and own.is_registered):
        return True
    if named.is_scoped or not named.scope or named.scope not in registry.packages:
        return named.name in registry.every
    return named.name in registry.known_to(named.scope) or (
        named.name in registry.every and registry.registers_for(named.name, named.scope)
    )


def _is_open(config: Config, scope: str, registry: Registry) -> bool:
    """Tell whether the registry of a package is there when a configuration is run.

    mmengine imports the package that a scope names; mmcv 1.x knows it once something has imported it.
    """
    project = registry.project
    custom = config.root.at("custom_imports.imports")
    modules = [one.text for one in custom.each()] if custom is not None else []
    kind = config.root.at("model.type")
    own = kind.text if kind is not None else ""
    return (
        project.generation != 1
        or any(not module or module.partition(".")[0] == scope for module in modules)
        or own in registry.packages[scope].registered
        or own.startswith(f"{scope}.")
        or _is_imported(project, scope)
    )


def _is_imported(project: Project, scope: str) -> bool:
    """Tell whether the project's code imports a package."""
    told: dict[str, bool] = project.kept.setdefault("imported", {})
    if scope not in told:
        line = re.compile(rf"^[ \t]*(?:import|from)[ \t]+{scope}\b", re.MULTILINE)
        code = (*project.known, *(module for module, _ in project.notebooks))
        told[scope] = any(line.search(module.source) for module in code)
    return told[scope]


def _reason(named: _Named, registry: Registry) -> tuple[Severity, str, str]:  # noqa: PLR0911 (a reason each)
    """Say why a name is in no registry, how certain that is, and what mends it."""
    project, context = registry.project, registry.context
    own = registry.own.get(named.name)
    if own is not None:
        return (
            "warning",
            f"{own.module.text.path}:{own.line} defines it, and nothing registers it",
            f"@MODELS.register_module() (or the registry of its kind) above {named.name}",
        )
    beside = [
        module
        for module, names in registry.packages.items()
        if named.name in names.registered and module not in {"mmcv", "mmengine"}
    ]
    if beside:
        return (
            "error",
            f"it is registered in {beside[0]}, where a lookup in {named.scope} does not reach",
            f"type='{beside[0]}.{named.name}'",
        )
    here = project.generation or project.generation_of("mmengine")
    other = {1: 2, 2: 1}.get(here or 0, 0)
    now = project.tables.moved.get((named.name, other))
    elsewhere = [release for release in project.tables.releases if named.name in release.names]
    if now is not None:
        return "error", "it belongs to the other generation of OpenMMLab", f"here it is {now}"
    nearest = _nearest(named.name, registry)
    same = [
        release
        for release in elsewhere
        if project.rules.generations.get(release.family) == here and release.module not in registry.packages
    ]
    if same:
        return (
            "error",
            f"{same[0].distribution} {same[0].version} has it, which is not installed",
            f"{context.commands.anew('--with', same[0].module)}  # and type='{same[0].module}.{named.name}'",
        )
    strange = [r for r in elsewhere if project.rules.generations.get(r.family) != here]
    if strange:
        return (
            "error",
            f"{strange[0].distribution} {strange[0].version} has it, what is installed here has not",
            f"take what {named.scope or 'the installed package'} has for it"
            + (f": {nearest}" if nearest else ""),
        )
    if nearest:
        return "error", f"no package has it, the nearest name is {nearest}", f"type={nearest!r}"
    return (
        "warning",
        "neither an installed package nor the project defines it",
        "install what defines it, or name its module in custom_imports",
    )


def _nearest(name: str, registry: Registry) -> str:
    asked: dict[str, str] = registry.project.kept.setdefault("nearest", {})
    if name not in asked and len(asked) < _MOST_COMPARED:
        lower = registry.by_lower_case
        found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=_CLOSE)
        asked[name] = lower[found[0]] if found else ""
    return asked.get(name, "")
