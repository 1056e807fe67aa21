"""Jetson boards, NVIDIA's own torch, MIG and WSL: recognised, and answered truthfully."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from bare_machine import BARE, driver, gpus, python, toolkit

from mmsetup.catalog import Catalog, load
from mmsetup.catalog.gpus import architecture_of
from mmsetup.catalog.vendors import vendors
from mmsetup.errors import CatalogError, NoPlanError, RequestError
from mmsetup.plan import Plan, Request
from mmsetup.plan.elsewhere import machine_elsewhere
from mmsetup.plan.index import request_beside
from mmsetup.plan.vendor import with_integrated_gpu
from mmsetup.probe.machine import Cpu, Environment, Gpu, Jetson, Machine, TorchFacts, VendorTorch

Planned = Callable[..., Plan]
ORIN = Jetson("NVIDIA Jetson AGX Orin Developer Kit", "36.3.0", "tegra234", ("/etc/nv_tegra_release",))
THOR = Jetson("NVIDIA Jetson AGX Thor Developer Kit", "38.2", "tegra264", ("/etc/nv_tegra_release",))
BOARD = replace(
    BARE,
    cpu=Cpu("aarch64", "ARMv8", 12, 12),
    interpreters=(python("3.10.12", platform="linux-aarch64"),),
    jetson=ORIN,
)
NGC = VendorTorch("2.4.0a0+07cecf4168.nv24.05", "24.05", ("variable NVIDIA_PYTORCH_VERSION",))


def refused(planned: Planned, machine: Machine, **wishes: object) -> tuple[str, str]:
    with pytest.raises(NoPlanError) as caught:
        planned(machine=machine, **wishes)
    return "\n".join(caught.value.evidence), caught.value.remedy


def test_a_jetson_is_refused_with_what_is_there_for_it(planned: Planned) -> None:
    evidence, remedy = refused(planned, BOARD)
    assert "a Jetson (NVIDIA Jetson AGX Orin Developer Kit, Jetson Linux 36.3.0, JetPack 6)" in evidence
    assert "torch for sm_87 is NVIDIA's own build for JetPack, which no index" in evidence
    assert "torch's wheels for linux-aarch64 hold code for sm_80, sm_90, sm_100, sm_110, sm_120" in evidence
    assert "no source is known to have a wheel of mmcv-full for linux-aarch64" in evidence
    assert "onedl-mmcv" in evidence
    assert "jetpack61-torch280" in evidence
    assert remedy.startswith("docker run -it --rm --runtime nvidia nvcr.io/nvidia/")
    assert "MMCV_WITH_OPS=1" in remedy


@pytest.mark.parametrize(("release", "jetpack"), [("32.7.1", "4"), ("35.4.1", "5"), ("39.2", "7")])
def test_the_container_follows_the_release_of_the_board(planned: Planned, release: str, jetpack: str) -> None:
    board = replace(BOARD, jetson=replace(ORIN, release=release))
    evidence, remedy = refused(planned, board, family="mmcv")
    assert f"JetPack {jetpack}" in evidence
    pack = vendors().jetpack_of(release)
    assert pack is not None
    assert pack.container in remedy
    assert remedy.endswith(" mmcv")


def test_a_board_of_an_unknown_release_is_told_without_a_container(planned: Planned) -> None:
    evidence, remedy = refused(planned, replace(BOARD, jetson=replace(ORIN, release="99.1")))
    assert "Jetson Linux 99.1)" in evidence
    assert "docker" not in remedy


def test_for_a_thor_torch_holds_code_and_only_the_ops_are_missing(planned: Planned) -> None:
    evidence, _ = refused(planned, replace(BOARD, jetson=THOR))
    assert "holds code for sm_110: the ops are what is missing" in evidence
    assert "NVIDIA's own build" not in evidence


def test_the_named_gpu_of_a_jetson_is_told_to_be_one(planned: Planned, catalog: Catalog) -> None:
    machine = machine_elsewhere(BARE, catalog, gpus=["Jetson AGX Orin"])
    evidence, _ = refused(planned, replace(machine, toolkits=(toolkit("11.7"), toolkit("12.4"))))
    assert "sm_87 is the integrated GPU of a Jetson, whose platform is linux-aarch64" in evidence
    assert "this torch holds no code for Jetson AGX Orin (sm_87)" in evidence
    machine = machine_elsewhere(BARE, catalog, gpus=["Jetson AGX Orin"], platform="linux-aarch64")
    evidence, remedy = refused(planned, machine)
    assert "sm_87 is the integrated GPU of a Jetson\n" in evidence
    assert remedy == "mmsetup plan  # on the board: it says which container has torch for it"


def test_other_machines_with_such_a_processor_are_no_jetson(planned: Planned) -> None:
    evidence, remedy = refused(planned, replace(BOARD, jetson=None))
    assert "no source is known to have a wheel of mmcv-full for linux-aarch64" in evidence
    assert "Jetson" not in evidence
    assert "docker" not in remedy


@pytest.mark.parametrize(
    ("jetson", "architecture"),
    [
        (ORIN, "sm_87"),
        (replace(ORIN, model=""), "sm_87"),
        (replace(ORIN, chip="", model="NVIDIA Jetson Nano Developer Kit"), "sm_53"),
        (replace(ORIN, chip="", model=""), ""),
        (replace(ORIN, chip="tegra999", model="a board of somebody"), ""),
    ],
)
def test_a_jetson_has_the_gpu_of_its_chip(catalog: Catalog, jetson: Jetson, architecture: str) -> None:
    (found,) = with_integrated_gpu(replace(BOARD, jetson=jetson), catalog).gpus
    assert found.architecture == architecture
    assert found.name


def test_what_nvml_told_and_what_was_pretended_stays(catalog: Catalog) -> None:
    told = replace(BOARD, gpus=(Gpu(0, "Orin (nvgpu)", "sm_87", 8 << 30),))
    assert with_integrated_gpu(told, catalog) == told
    (completed,) = with_integrated_gpu(replace(BOARD, gpus=(Gpu(0, "Orin", "", 0),)), catalog).gpus
    assert (completed.name, completed.architecture) == ("Orin", "sm_87")
    for said in ("MMSETUP_OVERRIDE_GPU_ARCHITECTURES=none", "--gpu none"):
        pretended = replace(BOARD, overrides=(said,))
        assert with_integrated_gpu(pretended, catalog) == pretended
    assert with_integrated_gpu(BARE, catalog) == BARE


def test_another_platform_is_no_jetson_and_no_container(catalog: Catalog) -> None:
    elsewhere = machine_elsewhere(replace(BOARD, vendor_torch=NGC), catalog, platform="linux-x86_64")
    assert (elsewhere.jetson, elsewhere.vendor_torch) == (None, None)


def test_a_plan_in_a_container_of_ngc_leaves_its_torch_alone(planned: Planned) -> None:
    made = planned(vendor_torch=NGC)
    (note,) = [note for note in made.notes if "NVIDIA's own torch" in note]
    assert note.startswith("this container brings NVIDIA's own torch 2.4.0a0+07cecf4168.nv24.05 (24.05): no")
    assert note.endswith(f"an environment of its own with torch {made.torch.version}")
    assert not any("NVIDIA's own" in note for note in planned().notes)
    plain = planned(vendor_torch=VendorTorch("2.0.0+nv23.05", "", ("/usr/local",)))
    assert any("this machine has NVIDIA's own torch 2.0.0+nv23.05: " in note for note in plain.notes)


def beside(version: str, *, vendor: bool = False) -> Environment:
    place = Path("/usr/lib/python3/dist-packages/torch")
    torch = TorchFacts(version, "12.4", "cu124", cxx11_abi=True, sass=(), ptx=(), path=place)
    found = python("3.10.12")
    return Environment(found.prefix, found, (), (), replace(torch, is_vendor_build=vendor))


@pytest.mark.parametrize("version", ["2.4.0a0+07cecf4168.nv24.05", "2.0.0+nv23.05"])
def test_no_page_is_computed_beside_nvidias_torch(version: str) -> None:
    with pytest.raises(
        RequestError, match="is NVIDIA's own build for a container of NGC or for JetPack"
    ) as caught:
        request_beside(beside(version, vendor=True), Request())
    assert version in str(caught.value)
    assert caught.value.evidence == (f"/usr/lib/python3/dist-packages/torch/version.py: {version}",)
    assert caught.value.remedy.startswith("mmsetup plan --family mmcv-full  #")


@pytest.mark.parametrize("version", ["2.4.0a0+gitd990dad", "2.6.0.dev20241112+cu124", "2.4.0rc3+cu124"])
def test_no_page_is_computed_beside_a_torch_that_was_not_released(version: str) -> None:
    with pytest.raises(RequestError, match="is no release"):
        request_beside(beside(version), Request())


def test_beside_a_released_torch_pages_are_computed() -> None:
    request = request_beside(beside("2.4.1+cu124"), Request())
    assert (request.torch, request.cuda) == ("2.4.1", "cu124")


def test_slices_and_wsl_are_told(planned: Planned) -> None:
    slices = tuple(replace(gpu, mig="1g.10gb", index=i) for i, gpu in enumerate(gpus("sm_80", "sm_80")))
    made = planned(
        gpus=slices,
        driver=driver("535.104.05"),
        toolkits=(toolkit("11.7"),),
        os=replace(BARE.os, wsl=True, kernel="5.15.133.1-microsoft-standard-WSL2"),
    )
    assert any("MIG divides the GPU (1g.10gb)" in note for note in made.notes)
    assert any("under WSL the driver is that of Windows" in note for note in made.notes)


def test_data_of_vendors_agrees_with_the_catalogue() -> None:
    models = load().gpus
    known = vendors()
    assert {model.kind for chip in known.chips for model in models if model.name == chip.gpu} == {"jetson"}
    architectures = {architecture_of(chip.gpu, models)[0] for chip in known.chips}
    assert architectures == {model.architecture for model in models if model.kind == "jetson"}
    assert len({pack.linux for pack in known.jetpacks}) == len(known.jetpacks)
    assert {found.jetpack for found in known.ops} <= {pack.jetpack for pack in known.jetpacks}


def test_faults_in_the_data_of_vendors_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "vendors.toml"
    file.write_text('jetpacks = [{linux = "36"}]\nchips = 3\nops = [{distribution = "x", torch = []}]\n')
    with pytest.raises(CatalogError) as caught:
        vendors(file)
    assert caught.value.evidence == (
        "jetpacks[0]: 'jetpack' is missing",
        "chips is no list of entries",
        "ops[0]: torch is no list of texts",
    )
    with pytest.raises(CatalogError):
        vendors(tmp_path / "none.toml")
