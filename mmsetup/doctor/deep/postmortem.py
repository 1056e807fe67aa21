"""Where in compiled code a process stands still: read from /proc, without a debugger, while it is there.

The payload leaves a process that met a fatal signal in ``pause``, called as the handler of that signal. Its
stack still holds what the kernel put there for the first handler: the signal and the registers of the moment.
"""

from __future__ import annotations

import os
import platform
import re
import struct
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Place", "look"]

_PROC = Path("/proc")
_WORD = struct.calcsize("P")
_STACK_BYTES = 64 << 10
_CALLERS_BYTES = 16 << 10
_MOST_CALLERS = 6
_PAUSE = {"x86_64": "34"}
"""The number of the system call in which the payload lets a process wait: arch/x86/entry/syscalls."""
_SEGMENTS = 0x002B_0000_0000_0033
_MOST_FLAGS = 1 << 22
"""How a signal frame is found on a stack, as it has no mark: by the code and stack segments of a 64-bit
program (``cs`` and ``ss`` in ``struct sigcontext_64``, arch/x86/include/uapi/asm/sigcontext.h), before which
lie the flags, the program counter and the stack pointer."""
_ANYBODYS = re.compile(
    r"(libc|libm|libdl|libpthread|librt|ld-linux[\w.-]*|ld|libstdc\+\+|libgcc_s|libpython[\w.]*|\[vdso\])"
    r"([.-][\w.-]*)?|(python|pypy)[\d.]*"
)
"""Files whose code is called by everybody: the C and C++ libraries, and Python itself."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process stood: the compiled file, what it had called, and who had called it.

    ``library`` is the file that the cause is looked for in: the innermost that is not the C or C++ library or
    Python. ``innermost`` is the file of the instruction itself and its offset in it (``libc.so.6+0x9c0fc``),
    empty where the address is in no file; ``callers`` are files with return addresses on the stack, innermost
    first, of which some may be left over from earlier calls.
    """

    library: str
    innermost: str
    callers: tuple[str, ...]

    @property
    def is_anybodys(self) -> bool:
        """Tell whether nothing but the C and C++ libraries and Python was seen."""
        return _ANYBODYS.fullmatch(Path(self.library).name) is not None


@dataclass(frozen=True, slots=True)
class _Mapping:
    start: int
    end: int
    offset: int
    executable: bool
    path: str


def look(pid: int, *, died: bool) -> Place | None:
    """Find where a process stands.

    With ``died`` it is one in the session of ``pid`` that met a fatal signal and pauses in its handler;
    without, it is ``pid`` itself, which was stopped. Nothing where that cannot be seen: the process is gone,
    its memory may not be read, or the processor is one whose signal frames are not known here.
    """
    for candidate in _session(pid) if died else [pid]:
        found = _look(candidate, died=died)
        if found is not None:
            return found
    return None


def _look(pid: int, *, died: bool) -> Place | None:
    try:
        mappings = _mappings(pid)
        with (_PROC / str(pid) / "mem").open("rb", buffering=0) as memory:
            for task in sorted((_PROC / str(pid) / "task").iterdir()):
                fields = (task / "syscall").read_text(encoding="ascii").split()
                if len(fields) < 3:  # noqa: PLR2004 ("running", else the stack pointer and the counter are last)
                    continue
                stack, counter = int(fields[-2], 16), int(fields[-1], 16)
                if died and fields[0] != _PAUSE.get(platform.machine()):
                    continue
                if died:
                    registers = _at_signal(_read(memory.fileno(), mappings, stack, _STACK_BYTES), mappings)
                    if registers is None:
                        continue
                    stack, counter = registers
                return _place(counter, _read(memory.fileno(), mappings, stack, _CALLERS_BYTES), mappings)
    except (OSError, ValueError, OverflowError):
        return None
    return None


def _session(pid: int) -> list[int]:
    """Give a process and those that it started; a worker that dies is as good as the process itself."""
    found = [pid]
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != pid:
            try:
                after_name = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
            except OSError:
                continue
            if int(after_name.split()[3]) == pid:
                found.append(int(entry.name))
    return found


def _mappings(pid: int) -> list[_Mapping]:
    found = []
    for line in (_PROC / str(pid) / "maps").read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split(maxsplit=5)
        start, _, end = fields[0].partition("-")
        path = fields[5] if len(fields) > 5 else ""  # noqa: PLR2004 (the sixth field is the path)
        found.append(_Mapping(int(start, 16), int(end, 16), int(fields[2], 16), "x" in fields[1], path))
    return found


def _holding(mappings: list[_Mapping], address: int) -> _Mapping | None:
    return next((one for one in mappings if one.start <= address < one.end), None)


def _read(memory: int, mappings: list[_Mapping], address: int, most: int) -> bytes:
    held = _holding(mappings, address)
    return b"" if held is None else os.pread(memory, min(most, held.end - address), address)


def _at_signal(stack: bytes, mappings: list[_Mapping]) -> tuple[int, int] | None:
    """Find where the signal came on a stack: the stack pointer and the program counter of that moment.

    Of the signal frames the innermost is that of ``raise``, with which the first handler called the second.
    """
    words = [word for (word,) in struct.iter_unpack("<Q", stack[: len(stack) // _WORD * _WORD])]
    found: list[tuple[int, int]] = []
    for at in range(3, len(words)):
        pointer, counter, flags = words[at - 3 : at]
        if words[at] == _SEGMENTS and flags < _MOST_FLAGS and _holding(mappings, pointer) is not None:
            found.append((pointer, counter))
    return found[:2][-1] if found else None


def _place(counter: int, stack: bytes, mappings: list[_Mapping]) -> Place | None:
    within = _holding(mappings, counter)
    code = [one for one in mappings if one.executable and one.path]
    innermost = within.path if within is not None and within.executable else ""
    callers: list[str] = []
    for (word,) in struct.iter_unpack("P", stack[: len(stack) // _WORD * _WORD]):
        held = _holding(code, word)
        if held is not None and held.path not in callers[-1:]:
            callers.append(held.path)
    seen = [one for one in (innermost, *callers) if one]
    if within is None and not seen:
        return None
    library = next((one for one in seen if not _ANYBODYS.fullmatch(Path(one).name)), "")
    offset = f"+{counter - within.start + within.offset:#x}" if within is not None and innermost else ""
    told = tuple(dict.fromkeys(one for one in callers if one != innermost))
    return Place(library or (seen[0] if seen else ""), f"{innermost}{offset}", told[:_MOST_CALLERS])
