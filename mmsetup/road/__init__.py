"""The whole road from nothing to an environment that has trained, each step a call of one stage."""

from mmsetup.road.building import wheel_for
from mmsetup.road.journey import Journey, Outcome
from mmsetup.road.trip import travel

__all__ = ["Journey", "Outcome", "travel", "wheel_for"]
