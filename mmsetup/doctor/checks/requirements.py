"""MM11x: what distributions need of each other, declared or not."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmsetup.doctor.context import Context, parsed
from mmsetup.doctor.declared import EDITIONS, requirements_of
from mmsetup.doctor.fixes import installing
from mmsetup.doctor.model import Observation, check
from mmsetup.doctor.remedies import bring
from mmsetup.probe.machine import Distribution

__all__ = ["declared", "undeclared"]

# Extras whose contents are imported unconditionally. What openmim installs stands under "mim", in the fork
# under "mminstall"; mmseg/utils of mmsegmentation 1.2.2 imports those of "multimodal".
_OF_MIM = ("mim", "mminstall")
_IMPORTED_EXTRAS = {"mmsegmentation": ("multimodal",)}
_OPENMMLAB = ("mm", "onedl-mm")
_PARTNER = ("torchvision", "torch")


@check(
    "MM111",
    title="A declared requirement is not met",
    cause="A distribution was removed, replaced or installed without its requirements (--no-deps, a second "
    "installer, a hand-made pin), so that what another one declares to need is missing or has another "
    "version.",
    looks_at="Requires-Dist of every distribution, with its markers evaluated for the environment's "
    "interpreter. What is missing for torch, OpenMMLab or what these need is an error; another version is "
    "a warning, also of what openmim alone installs (the extras 'mim' and 'mminstall') where the package "
    "asserts no range itself.",
    remedy="Install the requirement that the evidence quotes.",
)
def declared(context: Context) -> Iterator[Observation]:
    """Observe requirements that are missing or out of their range."""
    environment = context.environment
    for one in environment.distributions:
        for wanted in requirements_of(one, context.markers):
            name = canonicalize_name(wanted.name)
            if (one.name, name) == _PARTNER:
                continue
            found = _standing_in(context, name)
            quoted = f"{one.path}: Requires-Dist {wanted}"
            if found is None:
                # Of several that lie over each other MM102 leaves one, perhaps not this.
                may_go = any(one in context.mixed(module) for module in one.top_level)
                yield Observation(
                    "error" if one.name in context.needed and not may_go else "warning",
                    f"{one.name} {one.version} needs {name}, and it is not here",
                    (quoted,),
                    bring(context, wanted),
                    installing(context, wanted),
                )
            elif found and not _is_within(wanted, found):
                yield Observation(
                    "warning",
                    f"{one.name} {one.version} declares {wanted.name}{wanted.specifier}, here is {found}",
                    (quoted,),
                    bring(context, wanted),
                    installing(context, wanted),
                )
    for one in context.stack:
        for extra in _OF_MIM if one.name.startswith(_OPENMMLAB) else ():
            for wanted in requirements_of(one, context.markers, extra):
                yield from _beyond(context, one, wanted)


@check(
    "MM112",
    title="A requirement that nobody declares is missing",
    cause="Some distributions import what their metadata does not name, or names only under an extra that "
    "no resolver looks at ('mim', 'multimodal'): mmcv imports torchvision and opencv, mmsegmentation 1.2 "
    "imports ftfy and regex.",
    looks_at="What the catalogue says a family imports without declaring it, and those extras.",
    remedy="Install what is missing, and write it into the project's own requirements.",
    seen_in=("open-mmlab/mmsegmentation#3704", "open-mmlab/mim#244"),
)
def undeclared(context: Context) -> Iterator[Observation]:
    """Observe what is imported, not declared and not there."""
    # What somebody of the stack declares as well is told by MM111.
    told = {
        canonicalize_name(wanted.name)
        for one in context.stack
        for wanted in requirements_of(one, context.markers)
    }
    for wanted, evidence in _imported(context):
        name = canonicalize_name(wanted.name)
        if name not in told and _standing_in(context, name) is None:
            told.add(name)
            yield Observation(
                "error",
                f"{wanted.name} is imported and not here",
                (evidence,),
                bring(context, wanted),
                installing(context, wanted),
            )


def _imported(context: Context) -> Iterator[tuple[Requirement, str]]:
    """Give what is imported without being declared, or under an extra alone, each with where that is told."""
    for part in context.family.parts if context.family else ():
        if context.environment.version_of(part.distribution):
            for line in part.omits:
                yield Requirement(line), f"{part.distribution}: {part.source}"
    for one in context.stack:
        if one.name.startswith(_OPENMMLAB):
            for extra in (*_OF_MIM, *_IMPORTED_EXTRAS.get(one.name, ())):
                for wanted in requirements_of(one, context.markers, extra):
                    if canonicalize_name(wanted.name) not in EDITIONS["mmcv"]:
                        yield wanted, f"{one.path}: Requires-Dist {wanted}"


def _beyond(context: Context, one: Distribution, wanted: Requirement) -> Iterator[Observation]:
    """Observe a version out of a range that only openmim keeps; where a package asserts one, that counts."""
    name = canonicalize_name(wanted.name)
    found = _standing_in(context, name)
    module = next((module for module, editions in EDITIONS.items() if name in editions), wanted.name)
    if not found or _is_within(wanted, found) or any(gate.on == module for gate in context.gates_of(one)):
        return
    yield Observation(
        "warning",
        f"{one.name} {one.version} is for {wanted.name}{wanted.specifier}, here is {found}",
        (f"{one.path}: Requires-Dist {wanted}",),
        bring(context, wanted),
    )


def _standing_in(context: Context, name: str) -> str | None:
    """Give the version of a distribution or of its other edition: empty when unknown, nothing when absent."""
    for module, editions in EDITIONS.items():
        if name in editions:
            present = next((context.by_name[one] for one in editions if one in context.by_name), None)
            if present is not None:
                return present.version
            return "" if context.folder(module) is not None else None
    return context.by_name[name].version if name in context.by_name else None


def _is_within(wanted: Requirement, found: str) -> bool:
    version = parsed(found)
    return version is None or wanted.specifier.contains(version, prereleases=True)
