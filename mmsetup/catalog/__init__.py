"""What is known about versions: data with sources. Live pages (:mod:`mmsetup.catalog.pages`) overrule it."""

from mmsetup.catalog.load import load
from mmsetup.catalog.model import (
    Break,
    Catalog,
    Family,
    Gate,
    Member,
    OpsDistribution,
    Proven,
    Source,
    TorchRelease,
    WheelGroup,
)

__all__ = [
    "Break",
    "Catalog",
    "Family",
    "Gate",
    "Member",
    "OpsDistribution",
    "Proven",
    "Source",
    "TorchRelease",
    "WheelGroup",
    "load",
]
