"""From a bare machine to an OpenMMLab segmentation stack that is proven to train."""

__version__ = "0.1.0"
