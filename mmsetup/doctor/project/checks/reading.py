"""MM89x: what of a project was not read."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence

from mmsetup.doctor.model import Observation
from mmsetup.doctor.project.model import counted, project_check, shown
from mmsetup.doctor.project.project import Project
from mmsetup.doctor.project.unparsed import faults, python_of

__all__ = ["left_out", "unparsed"]

_MOST_NAMED = 6


@project_check(
    "MM891",
    title="A part of the project was not read",
    cause="Files that cannot be read or parsed, that are no text, or that are beyond the limits (5,000 "
    "files, 20 MiB, 1 MiB a file) are left out: what is wrong in them is not seen.",
    looks_at="What reading the project left out, and which Python files the Python that runs mmsetup cannot "
    "parse, but for those that are a finding of their own: MM892.",
    remedy="The command that the finding names: it shows what is wrong with the files, or examines a folder "
    "of the project alone.",
)
def left_out(project: Project) -> Iterator[Observation]:
    """Observe what was left out, and a project in which there is nothing to read."""
    texts = project.texts
    told = {fault.shown for fault in faults(project)}
    binaries = [path for path in project.binaries if path not in told]
    lines = [f"{count} {what}" for what, count in sorted(project.left_out.items()) if what != "binary files"]
    if binaries:
        lines.append(f"{counted(len(binaries), 'binary file')}: {', '.join(shown(binaries, 4))}")
    broken = [one.text.path for one in project.modules if one.is_broken and one.text.path not in told]
    if not texts and not told:
        lines.append(f"{project.root}: no Python, notebook, shell script, Dockerfile or requirements file")
    if broken:
        own = "{}.{}".format(*sys.version_info)
        lines.append(
            f"{counted(len(broken), 'file')} not of Python {own}, which runs mmsetup, and read line by line: "
            f"{', '.join(shown(broken, 4))}"
        )
    if lines:
        message = "a part of the project was not read" if texts else "there is nothing to read in the project"
        yield Observation("note", message, shown(lines, 8), _looking(project, broken, binaries))


@project_check(
    "MM892",
    title="Python cannot parse a configuration or a script",
    cause="A bracket or quote that nothing closes, a binary file, a syntax that this Python does not have: "
    "Config.fromfile ends with 'There are syntax errors in config file', a script with SyntaxError.",
    looks_at="The file that --project names, or the files below it that are configurations: in a folder "
    "configs, that set _base_, model, data or train_dataloader at their top, or that another one names in "
    "_base_. The environment's Python compiles them and runs nothing of them; without an environment, or "
    "where it does not start, the one that runs mmsetup does, unless it is older. Not tests and templates.",
    remedy="python3 -m py_compile FILE shows the place; correct it there.",
)
def unparsed(project: Project) -> Iterator[Observation]:
    """Observe configurations and named files that Python refuses."""
    found = faults(project)
    if found:
        version = (
            project.context.environment.interpreter.version
            if project.context is not None
            else "{}.{}.{}".format(*sys.version_info)
        )
        yield Observation(
            "error",
            f"Python {version} cannot parse {counted(len(found), 'file')}",
            shown([str(fault) for fault in found]),
            _compiling(python_of(project), [fault.path for fault in found]),
        )


def _looking(project: Project, broken: Sequence[str], binaries: Sequence[str]) -> str:
    """Word the command that shows what became of what matters most among what was left out."""
    left = " ".join(project.left_out)
    top = shlex.quote(str(project.path))
    if broken:
        return _compiling(sys.executable, _typed(project, broken))
    if "cannot be read" in left:
        return f"find {top} ! -readable  # chmod u+r what belongs to the project"
    if "beyond" in left:
        return f"mmsetup doctor --project {shlex.quote(_first_folder(project))}  # or another folder of it"
    if "more than" in left:
        return f"find {top} -name '*.py' -size +1024k  # take data out of code"
    if binaries:
        return shlex.join(["file", "--", *_typed(project, binaries)])
    return f"find {top} -type f  # and name the folder that holds the project"


def _typed(project: Project, paths: Iterable[str]) -> list[str]:
    is_folder = project.path.is_dir()
    return [str(project.path / path) if is_folder else str(project.path) for path in paths]


def _compiling(python: str, paths: Sequence[str]) -> str:
    # A path that begins with a dash would be an option.
    named = [f"./{path}" if path.startswith("-") else path for path in paths[:_MOST_NAMED]]
    return shlex.join([python, "-m", "py_compile", *named])


def _first_folder(project: Project) -> str:
    """Give the folder right below the project in which most of what was read lies."""
    tops = [text.path.partition("/")[0] for text in project.texts if "/" in text.path]
    return str(project.path / max(sorted(set(tops)), key=tops.count)) if tops else str(project.path)
