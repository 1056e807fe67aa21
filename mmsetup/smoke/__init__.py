"""Train a small model inside an environment and see whether it learned: the proof that the stack works.

:func:`smoke` starts the payload (``mmsetup/payload/smoke/``) in the target interpreter, where it draws a data
set, trains and measures, and tells it in JSON lines (:mod:`~mmsetup.smoke.events`,
:mod:`~mmsetup.smoke.listener`); :mod:`~mmsetup.smoke.judge` decides.
"""

from mmsetup.smoke.report import Failure, Recipe, SmokeCheck, SmokeReport, Training
from mmsetup.smoke.run import smoke

__all__ = ["Failure", "Recipe", "SmokeCheck", "SmokeReport", "Training", "smoke"]
