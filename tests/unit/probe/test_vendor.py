"""Boards of NVIDIA's Tegra chips and containers of NGC, told from the files that they have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmsetup.probe import probe, torch_files, vendor
from mmsetup.probe.host import Host
from mmsetup.probe.machine import Jetson, VendorTorch
from mmsetup.render.document import document
from mmsetup.render.machine import lines, machine_rows

Tree = Callable[..., Host]
RELEASE = "/etc/nv_tegra_release"
ORIN = {
    RELEASE: "# R36 (release), REVISION: 3.0, GCID: 36191598, BOARD: generic, EABI: aarch64, DATE: Mon May  6\n"
    "# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n",
    "/proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0",
    "/proc/device-tree/compatible": "nvidia,p3737-0000+p3701-0000\0nvidia,p3701-0000\0nvidia,tegra234\0",
}
NANO = {
    RELEASE: "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64, DATE: Sat Feb 19\n",
    "/proc/device-tree/model": "NVIDIA Jetson Nano Developer Kit\0",
    "/proc/device-tree/compatible": "nvidia,p3450-0000\0nvidia,jetson-nano\0nvidia,tegra210\0",
}
NGC = {
    "NVIDIA_PYTORCH_VERSION": "24.05",
    "PYTORCH_VERSION": "2.4.0a0+07cecf4",
    "PYTORCH_BUILD_VERSION": "2.4.0a0+07cecf4",
}
INSTALLED = "/usr/local/lib/python3.10/dist-packages/torch/version.py"
NVIDIAS = "__version__ = '2.4.0a0+07cecf4168.nv24.05'\ncuda: Optional[str] = '12.4'\n"


def test_board_is_told_by_its_release_and_its_device_tree(tree: Tree) -> None:
    found = vendor.jetson(tree(ORIN))
    assert found == Jetson("NVIDIA Jetson AGX Orin Developer Kit", "36.3.0", "tegra234", tuple(ORIN))
    assert vendor.jetson(tree(NANO)) == Jetson(
        "NVIDIA Jetson Nano Developer Kit", "32.7.1", "tegra210", tuple(NANO)
    )


def test_container_on_a_board_sees_the_release_alone(tree: Tree) -> None:
    assert vendor.jetson(tree({RELEASE: ORIN[RELEASE]})) == Jetson("", "36.3.0", "", (RELEASE,))


def test_board_with_another_linux_is_told_by_its_chip(tree: Tree) -> None:
    files = {path: text for path, text in ORIN.items() if path != RELEASE}
    found = vendor.jetson(tree(files))
    assert found is not None
    assert (found.release, found.chip) == ("", "tegra234")


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"/proc/device-tree/model": "Raspberry Pi 5\0", "/proc/device-tree/compatible": "brcm,bcm2712\0"},
        {RELEASE: "\0garbage\n"},
        {"/proc/device-tree/compatible": "other,nvidia,tegra\0"},
    ],
)
def test_other_boards_and_garbage_are_no_jetson(tree: Tree, files: dict[str, str]) -> None:
    assert vendor.jetson(tree(files)) is None


def test_container_says_its_release_and_its_torch_more_exactly(tree: Tree) -> None:
    named = "variable NVIDIA_PYTORCH_VERSION"
    assert vendor.vendor_torch(tree({}, **NGC)) == VendorTorch(
        "2.4.0a0+07cecf4", "24.05", (named, "variable PYTORCH_BUILD_VERSION")
    )
    assert vendor.vendor_torch(tree({INSTALLED: NVIDIAS}, **NGC)) == VendorTorch(
        "2.4.0a0+07cecf4168.nv24.05", "24.05", (named, INSTALLED)
    )


def test_shell_without_the_variables_of_the_container_sees_its_torch(tree: Tree) -> None:
    old = "/opt/conda/lib/python3.8/site-packages/torch/version.py"
    files = {old: "__version__ = '1.11.0a0+bfe5ad2'\n", "/opt/conda/lib/python3.8/site.py": ""}
    assert vendor.vendor_torch(tree(files)) == VendorTorch("1.11.0a0+bfe5ad2", "", (old,))


def test_release_of_pytorch_in_the_place_of_nvidias_is_no_vendor_torch(tree: Tree) -> None:
    assert vendor.vendor_torch(tree({INSTALLED: "__version__ = '2.4.1+cu121'\n"}, **NGC)) is None


@pytest.mark.parametrize(
    ("files", "environ"),
    [
        ({}, {}),
        ({}, {"PYTORCH_VERSION": "2.4.0"}),
        ({}, {"NVIDIA_PYTORCH_VERSION": ""}),
        ({}, {"NVIDIA_PYTORCH_VERSION": "$(latest)"}),
        ({"/opt/nvidia/nvidia_entrypoint.sh": "#!/bin/bash\n"}, {}),
        ({INSTALLED: "__version__ = (\n"}, {}),
    ],
)
def test_other_containers_have_no_vendor_torch(
    tree: Tree, files: dict[str, str], environ: dict[str, str]
) -> None:
    assert vendor.vendor_torch(tree(files, **environ)) is None


@pytest.mark.parametrize(
    "version",
    [
        "1.11.0a0+bfe5ad2",
        "1.14.0a0+44dac51c.nv23.01",
        "2.4.0a0+07cecf4168.nv24.05",
        "2.10.0a0+b4e4ee81d3.nv25.12",
        "2.0.0+nv23.05",
        "2.5.0a0+872d972e41.nv24.08.17622132",
    ],
)
def test_versions_of_nvidias_own_builds(version: str) -> None:
    assert torch_files.is_vendor_build(version)


@pytest.mark.parametrize(
    "version",
    ["", "1.13.1", "2.1.2+cu121", "2.4.0a0+gitd990dad", "2.6.0.dev20241112+cu121", "2.1.0rc3", "2.4.0a0+cpu"],
)
def test_versions_of_others(version: str) -> None:
    assert not torch_files.is_vendor_build(version)


def test_environment_with_nvidias_torch_says_so(tmp_path: Path) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    (package / "version.py").write_text(NVIDIAS)
    found, _ = torch_files.read([tmp_path])
    assert found is not None
    assert (found.is_vendor_build, found.variant) == (True, "cu124")
    (package / "version.py").write_text("__version__ = '2.4.1+cu124'\n")
    found, _ = torch_files.read([tmp_path])
    assert found is not None
    assert not found.is_vendor_build


def test_probe_tells_both_in_its_document_and_to_people(tree: Tree) -> None:
    machine = probe(overrides={}, host=tree({**ORIN, INSTALLED: NVIDIAS}, **NGC))
    told = document("test", machine)
    assert told["jetson"]["release"] == "36.3.0"
    assert told["vendor_torch"]["release"] == "24.05"
    rows = lines(machine_rows(machine))
    assert "NVIDIA Jetson AGX Orin Developer Kit, tegra234, Jetson Linux (L4T) 36.3.0" in rows
    assert "NVIDIA's own build 2.4.0a0+07cecf4168.nv24.05, of container release 24.05" in rows
