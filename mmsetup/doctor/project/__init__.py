"""The checks of a project: the user's own code and configurations, beside the environment that runs them.

Nothing of the project is imported or executed. :mod:`~mmsetup.doctor.project.project` reads it once,
:mod:`~mmsetup.doctor.project.registry` reads what the installed packages register, and one module in
``checks/`` is one family of checks (MM801 to MM899). A check that has to know what is installed is left out
where no environment was given; the others run all the same.

The doctrine of severity, as far as it is the project's own:

``error``
    Two things that were read contradict each other: code or a configuration and what is installed, masks
    and a configuration. What uses that file fails.
``warning``
    Something that is named is not here (data, weights, a base): it may be where training runs. Or the file
    fails in one of several ways to use it.

The checks are in :mod:`mmsetup.doctor.project.checks`, which is imported when a project is examined or when
all checks are listed: a diagnosis of an environment alone does not wait for it.
"""

from mmsetup.doctor.project.project import Project

__all__ = ["Project"]
