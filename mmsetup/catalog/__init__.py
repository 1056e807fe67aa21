"""What is known about versions: data with sources, and the live pages that overrule it."""

from mmsetup.catalog.load import load
from mmsetup.catalog.model import Break, Catalog, Family, Gate, OpsDistribution, Proven, Source, TorchRelease
from mmsetup.catalog.pages import IndexFile, Page, read_pages

__all__ = [
    "Break",
    "Catalog",
    "Family",
    "Gate",
    "IndexFile",
    "OpsDistribution",
    "Page",
    "Proven",
    "Source",
    "TorchRelease",
    "load",
    "read_pages",
]
