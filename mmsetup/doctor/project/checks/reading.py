"""MM89x: what of a project was not read."""

from __future__ import annotations

from collections.abc import Iterator

from mmsetup.doctor.model import Observation
from mmsetup.doctor.project.model import project_check, shown
from mmsetup.doctor.project.project import Project

__all__ = ["left_out"]


@project_check(
    "MM891",
    title="A part of the project was not read",
    cause="Files that cannot be read or parsed, that are no text, or that are beyond the limits (5,000 "
    "files, 20 MiB, 1 MiB a file) are left out: what is wrong in them is not seen.",
    looks_at="What reading the project left out, and which Python files are not of this Python.",
    remedy="Name the folder that matters: mmsetup doctor --project DIR/PART.",
)
def left_out(project: Project) -> Iterator[Observation]:
    """Observe what was left out, and a project in which there is nothing to read."""
    texts = project.texts
    lines = [f"{count} {what}" for what, count in sorted(project.left_out.items())]
    broken = [module.text.path for module in project.modules if module.is_broken]
    if not texts:
        lines.append(f"{project.root}: no Python, notebook, shell script, Dockerfile or requirements file")
    if broken:
        lines.append(
            f"{len(broken)} file(s) are not of this Python, read line by line: {', '.join(shown(broken, 4))}"
        )
    if lines:
        message = "a part of the project was not read" if texts else "there is nothing to read in the project"
        yield Observation(
            "note", message, shown(lines, 8), "mmsetup doctor --project DIR  # the part that matters"
        )
