"""MM40x: versions that refuse or break each other."""

from __future__ import annotations

from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.version import Version

from mmsetup.catalog import Break
from mmsetup.doctor.breaks import concerning, outside
from mmsetup.doctor.context import Context
from mmsetup.doctor.fixes import installing
from mmsetup.doctor.model import Observation, Severity, check
from mmsetup.doctor.remedies import bring, planned
from mmsetup.doctor.said import parsed

__all__ = ["known_break", "known_limit", "refused"]


@check(
    "MM401",
    title="A package refuses the installed mmcv",
    cause="mmsegmentation, mmdet and mmcls assert in their own __init__ which versions of mmcv (or "
    "mmengine) they accept. Resolvers do not see that range.",
    looks_at="The bounds and the comparison in the installed __init__.py, read without importing it (else "
    "the catalogue), against the version that mmcv says it has.",
    remedy="Install a version inside the range.",
    seen_in=("open-mmlab/mmdetection#11763", "open-mmlab/mmcv#3096", "open-mmlab/mmsegmentation#3729"),
)
def refused(context: Context) -> Iterator[Observation]:
    """Observe gates that do not admit what is installed."""
    for one in context.stack:
        for gate in context.gates_of(one):
            found = context.module_version(gate.on)
            if found is None or gate.admits(found):
                continue
            accepted = gate.range.removeprefix(f"{gate.on} ")
            owner = next((owner.name for owner in context.owners(gate.on)), gate.on)
            wanted = Requirement(f"{owner}{accepted}")
            # Of several that lie over each other MM102 leaves one, which may be another than answers now.
            others = (parsed(one.version) for one in context.mixed(gate.on))
            may_change = any(gate.admits(Version(one.public)) for one in others if one is not None)
            yield Observation(
                "warning" if may_change else "error",
                f"{one.name} {one.version} asserts {gate.on} {accepted}, here is {found}",
                (gate.source, *(f"{owner.path}: {owner.version}" for owner in context.owners(gate.on))),
                bring(context, wanted),
                installing(context, wanted),
            )


@check(
    "MM402",
    title="A version is on the wrong side of a known break",
    cause="A release changed something that an older part of the stack relies on: numpy 2 with torch below "
    "2.3, yapf 0.40.2 with older mmcv, setuptools without pkg_resources, Pillow 10.",
    looks_at="The catalogue's breaks whose conditions hold for the installed versions, and the bounds that "
    "each gives.",
    remedy="Install a version within the bound that the evidence names.",
    seen_in=("pytorch/pytorch#107302", "open-mmlab/mmdetection#10962", "yunxiangfu2001/SegMAN#42"),
)
def known_limit(context: Context) -> Iterator[Observation]:
    """Observe installed versions outside the bounds of a break."""
    for found in outside(context.catalog, context.versions, context.patches):
        yield Observation(
            "error" if found.cause.severity == "error" else "warning",
            f"{found.bound.name} {found.version} is outside {found.bound.specifier}: {found.cause.effect}",
            _evidence(context, found.cause),
            context.commands.install(str(context.bounded(found.name))),
            installing(context, context.bounded(found.name)),
        )


@check(
    "MM403",
    title="The installed versions are known to break together",
    cause="Two installed versions do not work together, and no bound on a third one avoids it.",
    looks_at="The catalogue's breaks without bounds whose conditions hold for the installed versions. What "
    "lets importing, loading or training fail is an error; what only part of the users meet or a package "
    "merely declares is a warning, and so is what fails on GPUs where this machine has none, or on several "
    "where it has one.",
    remedy="Choose another of the versions that the evidence names, or live with what it says.",
    seen_in=("microsoft/Cream#179", "open-mmlab/mmengine#1655"),
)
def known_break(context: Context) -> Iterator[Observation]:
    """Observe combinations that the catalogue rejects or warns of."""
    for found in concerning(context.catalog, context.versions, context.patches):
        if found.reject or found.caution:
            yield Observation(
                _severity(context, found),
                found.effect,
                _evidence(context, found),
                planned(context),
            )


def _severity(context: Context, found: Break) -> Severity:
    enough = {"error": 0, "gpu": 1, "several-gpus": 2}.get(found.severity)
    is_met = enough is not None and len(context.machine.gpus) >= enough
    return "error" if is_met else "warning"


def _evidence(context: Context, found: Break) -> tuple[str, ...]:
    here = ", ".join(f"{name} {context.versions[name]} ({asked})" for name, asked in found.when.items())
    return (f"{found.id} ({found.certainty}) holds for {here}", *found.source)
