"""Look at a machine and at an environment on it: facts only, and nothing of the environment is imported.

>>> from mmsetup.probe import probe
>>> machine = probe()  # doctest: +SKIP
"""

from mmsetup.probe.survey import probe
from mmsetup.probe.target import environment

__all__ = ["environment", "probe"]
