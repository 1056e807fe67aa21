"""A wheel farm: many builds from one file, and the pages that make a folder of wheels an index."""

from mmsetup.farm.matrix import BuildJob, command_line, read_matrix
from mmsetup.farm.pairs import stated_pair
from mmsetup.farm.publish import Written, publish
from mmsetup.farm.run import JobResult, run
from mmsetup.farm.wheels import FarmWheel, gather

__all__ = [
    "BuildJob",
    "FarmWheel",
    "JobResult",
    "Written",
    "command_line",
    "gather",
    "publish",
    "read_matrix",
    "run",
    "stated_pair",
]
