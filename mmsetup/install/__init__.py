"""Make an environment from a lock, in one transaction."""

from mmsetup.install.environment import Installed, install
from mmsetup.install.manifest import Manifest, read_manifest
from mmsetup.install.target import Target, examine

__all__ = ["Installed", "Manifest", "Target", "examine", "install", "read_manifest"]
