"""Look at a machine and at an environment on it: facts only, and nothing of the environment is imported.

:func:`probe` gives a :class:`~mmsetup.probe.machine.Machine`, :func:`environment` an
:class:`~mmsetup.probe.machine.Environment`. Each source of facts has a module of its own; all of them read
through a :class:`~mmsetup.probe.host.Host`, whose root and variables can be those of another machine.
"""

from mmsetup.probe.survey import probe
from mmsetup.probe.target import environment

__all__ = ["environment", "probe"]
