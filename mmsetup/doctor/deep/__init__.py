"""Ask the environment itself: the part of the doctor that runs code, each question in a child process.

:mod:`~mmsetup.doctor.deep.questions` says what is asked, :mod:`~mmsetup.doctor.deep.children` starts the
children (``mmsetup/payload/doctor/``) and ends them, :mod:`~mmsetup.doctor.deep.hearing` takes what they say,
:mod:`~mmsetup.doctor.deep.postmortem` looks where one stands that died or hangs, and
:mod:`~mmsetup.doctor.deep.judge` makes observations of the answers. The children have the variables of the
user: what is set in the shell is part of what the user meets. Nothing is written outside of a temporary
folder. :func:`mmsetup.doctor.deep.examine.examine` does all that; it is not imported here, as the static
checks should not wait for it.
"""

from mmsetup.doctor.deep.checks import DEEP_CHECKS, SECONDS

__all__ = ["DEEP_CHECKS", "SECONDS"]
