"""Choose versions that belong together, and say why."""

from mmsetup.plan.choose import plan
from mmsetup.plan.interpreter import planned
from mmsetup.plan.model import Bound, Choice, OpsOrigin, Plan, Rejection, SourceReport
from mmsetup.plan.request import Request

__all__ = ["Bound", "Choice", "OpsOrigin", "Plan", "Rejection", "Request", "SourceReport", "plan", "planned"]
