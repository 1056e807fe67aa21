"""What NVIDIA changed: the boards of its Tegra chips (Jetson), and torch as NVIDIA builds it.

Both look like any other machine until something for the usual GPUs, or for the usual torch, is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmsetup.probe.host import Host
from mmsetup.probe.machine import Jetson, VendorTorch
from mmsetup.probe.torch_files import is_vendor_build, parse_version

__all__ = ["jetson", "vendor_torch"]

_RELEASE_FILE = "/etc/nv_tegra_release"
_TREE = "/proc/device-tree"
_RELEASE = re.compile(r"^# R(\d+) \(release\), REVISION: (\d+(?:\.\d+)*)", re.MULTILINE | re.ASCII)
_CHIP = re.compile(r"nvidia,(tegra\d+)(?=\0|$)", re.ASCII)
_CONTAINER_RELEASE = re.compile(r"\d{2}\.\d{2}(?:\.\d+)?", re.ASCII)
_NAMED = ("PYTORCH_BUILD_VERSION", "PYTORCH_VERSION")
# Where the containers have torch; the older ones have Conda (NVIDIA's release notes, 25.12 and 20.02).
_PLACES = (("/usr/local/lib", "dist-packages"), ("/opt/conda/lib", "site-packages"))


def jetson(host: Host) -> Jetson | None:
    """Tell a Jetson by the release file of Jetson Linux (L4T), or by its chip in the device tree.

    A container often sees only one of the two: Docker hides ``/sys/firmware``, where the tree is, and the
    release file is there when NVIDIA's runtime brings it in. The tree's texts end in a null byte (Devicetree
    Specification, 2.2.4); ``compatible`` holds several and the chip is the last of NVIDIA's.
    """
    released = _RELEASE.search(host.text(_RELEASE_FILE))
    chips = _CHIP.findall(host.text(f"{_TREE}/compatible"))
    if released is None and not chips:
        return None
    model = host.text(f"{_TREE}/model").strip("\0 \n")
    told = ((_RELEASE_FILE, released), (f"{_TREE}/model", model), (f"{_TREE}/compatible", chips))
    return Jetson(
        model=model,
        release=f"{released[1]}.{released[2]}" if released else "",
        chip=chips[-1] if chips else "",
        evidence=tuple(path for path, found in told if found),
    )


def vendor_torch(host: Host) -> VendorTorch | None:
    """Tell the torch of NVIDIA's own build that a container of NGC brings; ``None`` where there is none.

    The containers name their release in ``NVIDIA_PYTORCH_VERSION``. The torch that is installed knows best:
    where somebody put a release of PyTorch in its place, there is no vendor's torch any more. A shell that
    did not inherit the container's variables still sees the file.
    """
    release = host.environ.get("NVIDIA_PYTORCH_VERSION", "")
    release = release if _CONTAINER_RELEASE.fullmatch(release) else ""
    evidence = ["variable NVIDIA_PYTORCH_VERSION"] if release else []
    installed = next(_installed(host), None)
    if installed is not None:
        place, version = installed
        return VendorTorch(version, release, (*evidence, place)) if is_vendor_build(version) else None
    for name in _NAMED:
        version = host.environ.get(name, "")
        if is_vendor_build(version):
            return VendorTorch(version, release, (*evidence, f"variable {name}"))
    return VendorTorch("", release, tuple(evidence)) if release else None


def _installed(host: Host) -> Iterator[tuple[str, str]]:
    for library, folder in _PLACES:
        for python in host.names(library):
            place = f"{library}/{python}/{folder}/torch/version.py"
            text = host.text(place) if python.startswith("python3") else ""
            try:
                version = parse_version(text).get("__version__", "")
            except (SyntaxError, ValueError):
                continue
            if version:
                yield place, version
