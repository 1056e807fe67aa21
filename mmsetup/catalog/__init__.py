"""What is known about versions: data with sources, and the live pages that overrule it."""

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
from mmsetup.catalog.pages import IndexFile, Page, read_pages

__all__ = [
    "Break",
    "Catalog",
    "Family",
    "Gate",
    "IndexFile",
    "Member",
    "OpsDistribution",
    "Page",
    "Proven",
    "Source",
    "TorchRelease",
    "WheelGroup",
    "load",
    "read_pages",
]
