"""Pin a plan: every file with its sha256, in two forms that hold the same."""

from mmsetup.lock.files import read, write
from mmsetup.lock.model import Lock, LockedBuild, LockedFile, LockedPackage, LockedPatch
from mmsetup.lock.resolve import lock, source_distribution

__all__ = [
    "Lock",
    "LockedBuild",
    "LockedFile",
    "LockedPackage",
    "LockedPatch",
    "lock",
    "read",
    "source_distribution",
    "write",
]
