"""The compilers and build tools on the search path, and the compilers that variables name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mmsetup.errors import ProcessError
from mmsetup.probe.host import Host
from mmsetup.probe.machine import Compiler
from mmsetup.probe.versions import printed
from mmsetup.process import run_together

__all__ = ["NAMING", "TOOLS", "read"]

TOOLS = ("gcc", "g++", "clang", "clang++", "ninja", "cmake", "ccache", "sccache", "git")

NAMING = ("CXX", "CC", "CUDAHOSTCXX")
"""The variables that name the C++ and the C compiler of a build, and that which nvcc runs."""

_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Found:
    """A program to ask: by what it is called, its path, the options that were named, the variable."""

    name: str
    path: Path
    options: tuple[str, ...] = ()
    named_by: str = ""


def read(host: Host) -> tuple[tuple[Compiler, ...], tuple[str, ...]]:
    """Ask each tool that is found for its version; one that does not answer becomes a note.

    A compiler that is named comes first, under the name of its kind, whatever its file is called: ``g++`` or
    ``clang++``, and ``gcc`` or ``clang`` for the one of ``CC``.
    """
    named, notes = _named(host)
    present = [_Found(name, path) for name in TOOLS if (path := host.which(name)) is not None]
    # What a variable names in the usual way is that tool, and not a second one.
    plain = {found.path for found in named if not found.options}
    asked = [*named, *(found for found in present if found.path not in plain)]
    compilers = []
    answers = run_together([(one.path, *one.options, "--version") for one in asked], timeout=_SECONDS)
    for one, answer in zip(asked, answers, strict=True):
        if isinstance(answer, ProcessError):
            notes.append(f"{one.name} is broken: {answer}")
        else:
            name = _kind(answer.stdout, one) if one.named_by else one.name
            compilers.append(Compiler(name, one.path, printed(answer.stdout), one.named_by))
    return tuple(compilers), tuple(notes)


def _named(host: Host) -> tuple[list[_Found], list[str]]:
    found, notes = [], []
    for variable in NAMING:
        words = host.environ.get(variable, "").split()
        if not words:
            continue
        path = host.which(words[0])
        if path is None:
            notes.append(f"{words[0]}, which {variable} names, is not there")
        else:
            found.append(_Found(words[0], path, tuple(words[1:]), variable))
    return found, notes


def _kind(text: str, named: _Found) -> str:
    """Tell from what a compiler prints of itself whether it is of GNU or clang; a C compiler by CC alone."""
    is_c = named.named_by == "CC"
    if "clang" in text.partition("\n")[0]:
        return "clang" if is_c else "clang++"
    if "Free Software Foundation" in text:
        return "gcc" if is_c else "g++"
    return Path(named.name).name
