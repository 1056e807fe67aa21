"""Every error that mmsetup raises on purpose, each with its exit code.

``str(error)`` is the message for the user: what was attempted and what was found. ``remedy`` is what mends
it, a command where there is one. The numbers are part of the interface: the README lists them and a test
compares.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

__all__ = [
    "FULL",
    "BuildError",
    "BusyError",
    "CatalogError",
    "CheckFailedError",
    "ConfirmationError",
    "DiskSpaceError",
    "IntegrityError",
    "InternalError",
    "InterpreterError",
    "InterruptedByUserError",
    "LockError",
    "MmsetupError",
    "NetworkError",
    "NoPlanError",
    "ProcessError",
    "RequestError",
    "TargetError",
    "ToolchainError",
]


FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The numbers of operating system errors that mean that there is no room left."""


class MmsetupError(Exception):
    """Something went wrong that the user can be told about; the base of all others."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "", evidence: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.evidence = tuple(evidence)


class CheckFailedError(MmsetupError):
    """The work was done, but what was checked is not good: the smoke run failed, doctor found errors."""

    exit_code = 1


class RequestError(MmsetupError):
    """What was asked for makes no sense: an unknown family, a malformed version, contradictory options."""

    exit_code = 2


class NoPlanError(MmsetupError):
    """No set of versions fits this machine and this request."""

    exit_code = 3


class NetworkError(MmsetupError):
    """A host that is needed did not answer, or answered with an error."""

    exit_code = 4


class LockError(MmsetupError):
    """A lockfile cannot be resolved, read or trusted."""

    exit_code = 5


class BuildError(MmsetupError):
    """A source distribution did not become a usable wheel."""

    exit_code = 6


class TargetError(MmsetupError):
    """The target cannot hold an environment, or is not one."""

    exit_code = 7


class DiskSpaceError(MmsetupError):
    """There is less free space than the work needs."""

    exit_code = 8


class IntegrityError(MmsetupError):
    """A file is not what its hash, its format or its purpose says it is."""

    exit_code = 9


class ToolchainError(MmsetupError):
    """A build is planned and the compiler or a header is missing or does not fit."""

    exit_code = 10


class BusyError(MmsetupError):
    """Another mmsetup works on the same target."""

    exit_code = 11


class ConfirmationError(MmsetupError):
    """A question must be answered and there is no terminal, or the answer was no."""

    exit_code = 12


class InterpreterError(MmsetupError):
    """No Python interpreter of the wanted version can be found or fetched."""

    exit_code = 13


class ProcessError(MmsetupError):
    """A program that mmsetup started failed or ran past its time limit.

    ``returncode`` is the exit status (negative: ended by that signal; ``None``: stopped at the time limit),
    ``output`` the last lines that it printed.
    """

    exit_code = 14

    def __init__(
        self,
        message: str,
        *,
        args: Sequence[str],
        returncode: int | None,
        output: str = "",
        remedy: str = "",
    ) -> None:
        super().__init__(message, remedy=remedy, evidence=output.strip().splitlines()[-20:])
        self.program_args = tuple(args)
        self.returncode = returncode
        self.output = output


class CatalogError(MmsetupError):
    """The catalogue's data files contradict themselves or cannot be read."""

    exit_code = 15


class InternalError(MmsetupError):
    """A fault of mmsetup itself."""

    exit_code = 70


class InterruptedByUserError(MmsetupError):
    """Ctrl-C or SIGTERM ended the work."""

    exit_code = 130
