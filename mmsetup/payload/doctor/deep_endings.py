"""What is told when a question does not come to its answer: an exception, a call of exit, a fatal signal."""

import faulthandler
import importlib
import inspect
import os
import runpy
import signal
import sys
import traceback

__all__ = ["prepare", "told"]

_FATAL = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL")
_OWN = os.path.dirname(os.path.abspath(__file__))
_OF_IMPORTING = (os.path.dirname(importlib.__file__), runpy.__file__)
_MOST_FRAMES = 12
_kept = []


def prepare(speaker):
    """Let what ends the process tell where it was.

    On a fatal signal faulthandler writes the Python frames and hands on to the handler that was there before
    it. That is the C library's own ``pause``: nothing runs in the damaged process, and it stands still with
    its stack and its mappings for the parent to read. Where ctypes does not work it just dies.
    """
    faulthandler.disable()
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        if sys.platform == "linux":
            libc.signal.restype = ctypes.c_void_p
            libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
            for name in _FATAL:
                libc.signal(int(getattr(signal, name)), ctypes.cast(libc.pause, ctypes.c_void_p))
        _watch_exit(ctypes, libc, speaker)
    except (ImportError, OSError, AttributeError):
        pass
    faulthandler.enable()


def told(error):
    """Give an exception as an object: ``kind``, ``message``, ``root`` and its ``frames``, deepest first.

    ``root`` is the exception that it was raised from, where there is one; the frames are the root's.
    """
    root = error
    while root.__cause__ is not None or (root.__context__ is not None and not root.__suppress_context__):
        root = root.__cause__ or root.__context__
    frames = [(one.filename, one.lineno or 0, one.name) for one in traceback.extract_tb(root.__traceback__)]
    if isinstance(root, SyntaxError) and root.filename:
        frames.append((root.filename, root.lineno or 0, "<source>"))
    return {
        "kind": type(error).__name__,
        "message": str(error),
        "root": "" if root is error else "%s: %s" % (type(root).__name__, root),
        "frames": _worded(frames),
    }


def _worded(frames):
    """Word frames as ``file:line in function``, without those of the import system and of the payload."""
    foreign = [one for one in frames if not one[0].startswith(("<frozen", _OWN, *_OF_IMPORTING))]
    return ["%s:%d in %s" % one for one in reversed(foreign or frames)][:_MOST_FRAMES]


def _watch_exit(ctypes, libc, speaker):
    """Tell who called the C library's ``exit``: the main program never does."""
    owner = os.getpid()

    @ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p)
    def exiting(status, _argument):
        if os.getpid() != owner:
            return
        frame = inspect.currentframe()
        frames, library = [], ""
        while frame is not None:
            spec = frame.f_locals.get("spec")
            if frame.f_code.co_name == "create_module" and not library:
                library = str(getattr(spec, "origin", "") or "")
            frames.append((frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_name))
            frame = frame.f_back
        speaker.say("exiting", status=status, library=library, frames=_worded(frames[::-1]))

    libc.on_exit(exiting, None)
    _kept.append(exiting)
