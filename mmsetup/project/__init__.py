"""Which family a project was written for, told from its files alone: nothing of it is run or imported."""

from mmsetup.project.model import Clue, ProjectWish
from mmsetup.project.read import read_project

__all__ = ["Clue", "ProjectWish", "read_project"]
