"""CUDA toolkits as values: their drivers, what they compile for, which are wheels, what torch lets them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

__all__ = [
    "ForwardCompatibility",
    "MinorCompatibility",
    "ToolkitDriver",
    "ToolkitLimits",
    "ToolkitWheels",
    "TorchArchitectures",
]


@dataclass(frozen=True, slots=True)
class ToolkitDriver:
    """The driver that a CUDA toolkit ships with; that of Windows is nothing where it is not known."""

    cuda: str
    linux_minimum: Version
    windows_minimum: Version | None
    source: str


@dataclass(frozen=True, slots=True)
class MinorCompatibility:
    """The lowest driver that runs every CUDA of a major version."""

    major: int
    linux_minimum: Version
    windows_minimum: Version
    source: str


@dataclass(frozen=True, slots=True)
class ForwardCompatibility:
    """The lowest Linux driver on which the package ``cuda-compat`` runs a newer major CUDA version."""

    major: int
    linux_minimum: Version
    certainty: str
    source: str


@dataclass(frozen=True, slots=True)
class ToolkitLimits:
    """What the CUDA toolkits from ``first`` to ``last`` compile for, and the newest gcc that they take.

    ``lacks`` are architectures between the lowest and the highest that they do not know. ``gcc`` and
    ``gcc_minimum`` are major versions, both still taken, and nothing where no bound is known.
    """

    first: Version
    last: Version
    lowest: str
    highest: str
    gcc: int | None
    certainty: str
    source: str
    lacks: tuple[str, ...] = ()
    gcc_minimum: int | None = None


@dataclass(frozen=True, slots=True)
class ToolkitWheels:
    """The distributions of the default index that together are an nvcc of CUDA ``first`` to ``last``.

    A release of each belongs to the CUDA whose major and minor version it begins with. ``compiler`` is the
    one of them that holds nvcc. Beside the packages that torch's own wheels require they make a folder that
    can be ``CUDA_HOME``. ``platforms`` are those that they are for.
    """

    first: Version
    last: Version
    compiler: str
    distributions: tuple[str, ...]
    platforms: tuple[str, ...]
    source: str

    def requirements(self, cuda: Version) -> tuple[str, ...]:
        """Give the requirements on the newest wheels of the major and minor version of a CUDA."""
        return tuple(f"{name}=={cuda.major}.{cuda.minor}.*" for name in self.distributions)


@dataclass(frozen=True, slots=True)
class TorchArchitectures:
    """What the releases of torch in a range let an extension be compiled for.

    Their ``torch.utils.cpp_extension`` raises a ``ValueError`` for any other in ``TORCH_CUDA_ARCH_LIST``.
    """

    # A plan looks rows up by the hundred, and the hash of a range parses it anew.
    torch: SpecifierSet = field(hash=False)
    architectures: tuple[str, ...]
    source: str
