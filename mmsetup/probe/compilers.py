"""The compilers and build tools on the search path."""

from __future__ import annotations

from mmsetup.errors import ProcessError
from mmsetup.probe.host import Host
from mmsetup.probe.machine import Compiler
from mmsetup.probe.versions import printed
from mmsetup.process import run_together

__all__ = ["TOOLS", "read"]

TOOLS = ("gcc", "g++", "clang", "clang++", "ninja", "cmake", "ccache", "sccache", "git")
_SECONDS = 5.0


def read(host: Host) -> tuple[tuple[Compiler, ...], tuple[str, ...]]:
    """Ask each tool that is found for its version; one that does not answer becomes a note."""
    present = [(name, path) for name in TOOLS if (path := host.which(name)) is not None]
    compilers, notes = [], []
    answers = run_together([(path, "--version") for _, path in present], timeout=_SECONDS)
    for (name, path), answer in zip(present, answers, strict=True):
        if isinstance(answer, ProcessError):
            notes.append(f"{name} is broken: {answer}")
        else:
            compilers.append(Compiler(name, path, printed(answer.stdout)))
    return tuple(compilers), tuple(notes)
