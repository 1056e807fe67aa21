"""Where mmcv keeps its compiled operators, whichever distribution of it is installed."""

from __future__ import annotations

from typing import Final

__all__ = ["OPS_MODULE", "OPS_PACKAGE"]

OPS_PACKAGE: Final = "mmcv"
"""The top-level package of every edition of mmcv."""

OPS_MODULE: Final = "mmcv._ext"
"""The extension with the compiled operators."""
