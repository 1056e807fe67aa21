"""MM40x: versions that refuse or break each other."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmsetup.catalog import Break, Gate, gate_reader
from mmsetup.doctor.context import Context, parsed
from mmsetup.doctor.fixes import installing
from mmsetup.doctor.model import Observation, check
from mmsetup.probe.machine import Distribution

__all__ = ["known_break", "known_limit", "refused"]


@check(
    "MM401",
    title="A package refuses the installed mmcv",
    cause="mmsegmentation, mmdet and mmcls assert in their own __init__ which versions of mmcv (or "
    "mmengine) they accept. Resolvers do not see that range.",
    looks_at="The bounds and the comparison in the installed __init__.py, read without importing it "
    "(else the catalogue), against the version that mmcv says it has.",
    remedy="Install a version inside the range.",
    seen_in=("open-mmlab/mmdetection#11763", "open-mmlab/mmcv#3096", "open-mmlab/mmsegmentation#3729"),
)
def refused(context: Context) -> Iterator[Observation]:
    """Observe gates that do not admit what is installed."""
    for one in context.stack:
        for gate in _gates(context, one):
            found = context.module_version(gate.on)
            if found is None or gate.admits(found):
                continue
            accepted = gate.range.removeprefix(f"{gate.on} ")
            owner = next((owner.name for owner in context.owners(gate.on)), gate.on)
            yield Observation(
                "error",
                f"{one.name} {one.version} asserts {gate.on} {accepted}, here is {found}",
                (gate.source, *(f"{owner.path}: {owner.version}" for owner in context.owners(gate.on))),
                _within(context, owner, accepted),
                installing(context, Requirement(f"{owner}{accepted}")),
            )


@check(
    "MM402",
    title="A version is on the wrong side of a known break",
    cause="A release changed something that an older part of the stack relies on: numpy 2 with "
    "torch below 2.3, yapf 0.40.2 with older mmcv, setuptools without pkg_resources, Pillow "
    "10.",
    looks_at="The catalogue's breaks whose conditions hold for the installed versions, and the bounds "
    "that each gives.",
    remedy="Install a version within the bound that the evidence names.",
    seen_in=("pytorch/pytorch#107302", "open-mmlab/mmdetection#10962", "yunxiangfu2001/SegMAN#42"),
)
def known_limit(context: Context) -> Iterator[Observation]:
    """Observe installed versions outside the bounds of a break."""
    for found in _concerning(context):
        for bound in map(Requirement, found.bounds):
            version = context.versions.get(canonicalize_name(bound.name))
            if version is not None and not bound.specifier.contains(version, prereleases=True):
                yield Observation(
                    "error" if found.severity == "error" else "warning",
                    f"{bound.name} {version} is outside {bound.specifier}: {found.effect}",
                    _evidence(context, found),
                    context.install(str(bound)),
                    installing(context, bound),
                )


@check(
    "MM403",
    title="The installed versions are known to break together",
    cause="Two installed versions do not work together, and no bound on a third one avoids it.",
    looks_at="The catalogue's breaks without bounds whose conditions hold for the installed versions. "
    "What makes a plan impossible is an error; what only part of the users meet is a warning.",
    remedy="Choose another of the versions that the evidence names, or live with what it says.",
    seen_in=("microsoft/Cream#179", "open-mmlab/mmengine#1655"),
)
def known_break(context: Context) -> Iterator[Observation]:
    """Observe combinations that the catalogue rejects or warns of."""
    for found in _concerning(context):
        if found.reject or found.caution:
            severity = "error" if found.reject else "warning"
            yield Observation(
                "error" if severity == "error" else "warning",
                found.effect,
                _evidence(context, found),
                context.make_again,
            )


def _concerning(context: Context) -> Iterator[Break]:
    for found in context.catalog.breaks:
        if found.concerns(context.versions, built=False) and not context.patches.intersection(found.patches):
            yield found


def _evidence(context: Context, found: Break) -> tuple[str, ...]:
    here = ", ".join(f"{name} {context.versions[name]} ({asked})" for name, asked in found.when.items())
    return (f"{found.id} ({found.certainty}) holds for {here}", *found.source)


def _gates(context: Context, one: Distribution) -> tuple[Gate, ...]:
    """Read the gates of a distribution, from the catalogue only where its source cannot be read."""
    read_any = False
    read: list[Gate] = []
    for module in one.top_level:
        folder = context.folder(module)
        if folder is None or not module.startswith("mm"):
            continue
        try:
            read += gate_reader.read(folder / "__init__.py", one.name, one.version)
            read_any = True
        except (OSError, ValueError):
            continue
    version = parsed(one.version)
    if read_any or version is None:
        return tuple(read)
    return context.catalog.gates_of(one.name, version)


def _within(context: Context, owner: str, accepted: str) -> str:
    if context.family is not None and owner == context.family.ops.distribution:
        return context.make_again
    return context.install(f"{owner}{accepted}")
