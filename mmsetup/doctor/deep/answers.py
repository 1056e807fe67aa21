"""What comes back from the children: an answer to each question, or how it failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mmsetup.doctor.deep.postmortem import Place

__all__ = ["Answer", "Failure"]


@dataclass(frozen=True, slots=True)
class Failure:
    """How a question failed.

    ``kind`` is ``raised`` (an exception), ``signal`` (the process was ended by one), ``exit`` (something in
    it called exit) or ``hang`` (it ran past its limit). ``what`` is the exception and its message, the name
    of the signal, the exit status or the limit in words, ``root`` the exception that the first was raised
    from. ``frames`` are the Python frames, deepest first (``file:line in function``), ``place`` where in
    compiled code it was, as far as that could be seen. ``last_lines`` are the last of its standard error.
    """

    kind: Literal["raised", "signal", "exit", "hang"]
    what: str
    root: str = ""
    frames: tuple[str, ...] = ()
    place: Place | None = None
    last_lines: tuple[str, ...] = ()

    @property
    def file(self) -> str:
        """Give the file of the deepest Python frame, or nothing."""
        return self.frames[0].rpartition(" in ")[0].rpartition(":")[0] if self.frames else ""

    @property
    def signature(self) -> tuple[str, str, str]:
        """Give what two failures with one cause have in common."""
        if self.kind == "raised":
            return self.kind, self.root or self.what, self.frames[0] if self.frames else ""
        library = self.place.library if self.place is not None else ""
        return self.kind, self.what, library or self.file


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question.

    ``state`` is ``answered``, ``absent`` (what it asks about is not here, see ``reason``), ``failed`` or
    ``unasked`` (what it needs hangs, see ``reason``). ``seconds`` is how long it took.
    """

    question: str
    state: Literal["answered", "absent", "failed", "unasked"]
    seconds: float = 0.0
    measured: Mapping[str, Any] = field(default_factory=dict)
    failure: Failure | None = None
    reason: str = ""
