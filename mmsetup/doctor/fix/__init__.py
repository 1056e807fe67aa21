"""Mend an environment: what its findings offer as repairs, in one transaction.

The repairs are merged into one resolution, made in a copy of the environment beside it, examined there, and
only then put in its place by a single step of the kernel. What fails, or is killed, leaves the environment as
it was.
"""

from mmsetup.doctor.fix.repair import LeftOut, Repair, Replacement
from mmsetup.doctor.fix.transaction import Mended, fix

__all__ = ["LeftOut", "Mended", "Repair", "Replacement", "fix"]
