"""One diagnosis of many nodes: each examines itself, the first compares them and says which is sick.

A job launcher starts the doctor on every node. The results come together through a shared folder or over a
connection of mmsetup's own; neither needs torch, which may be what is broken.
"""

from mmsetup.doctor.fleet.compare import Difference, Fleet, Missing, compare
from mmsetup.doctor.fleet.launcher import Place, place
from mmsetup.doctor.fleet.meet import check_way, meet
from mmsetup.doctor.fleet.node import Node

__all__ = ["Difference", "Fleet", "Missing", "Node", "Place", "check_way", "compare", "meet", "place"]
